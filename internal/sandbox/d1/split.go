package d1

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// splitter takes SQL text apart into statements, one after another. It knows
// strings, quoted names, comments and the bodies of triggers (BEGIN … END with
// CASE … END in them), as sqlite3_complete does
// (https://www.sqlite.org/c3ref/complete.html). Pieces that hold only white
// space and comments are left out, and so are comments before a statement.
//
// Of a text that comes from a reader it holds little more than the longest
// statement that is allowed; a longer one is an error, not a larger memory.
type splitter struct {
	scanner
	more  io.Reader // gives what follows the scanner's text; nil: nothing does
	chunk []byte
	lines int // before the scanner's text
}

// chunkSize is how much of a text is read at a time. It must exceed
// MaxStatement.
const chunkSize = 256 << 10

func readSplitter(r io.Reader) *splitter { return &splitter{more: r, chunk: make([]byte, chunkSize)} }

// split takes apart a text that is whole in memory.
func split(sql string) []string {
	var statements []string
	s := splitter{scanner: scanner{text: sql}}
	for {
		statement, err := s.next()
		if err != nil { // it ends; without a reader nothing else can happen
			return statements
		}
		statements = append(statements, statement)
	}
}

// next gives the next statement; io.EOF: there is none.
func (s *splitter) next() (string, error) {
	if err := s.skip(); err != nil {
		return "", err
	}
	start, body := s.at, triggerBody{}
	for {
		token, from := s.scanner.next()
		switch {
		case token == "" && s.more != nil: // and more than MaxStatement bytes were there
			return "", tooLong(s.lines + strings.Count(s.text[:start], "\n") + 1)
		case token == "":
			return strings.TrimSpace(s.text[start:]), nil
		case token == ";" && !body.inside():
			return strings.TrimSpace(s.text[start:from]), nil
		}
		body.take(token)
	}
}

func tooLong(line int) error {
	return queryError("statement too long: the one of line %d has more than %d bytes: SQLITE_TOOBIG", line, MaxStatement)
}

// skip moves to the beginning of a statement.
func (s *splitter) skip() error {
	for {
		if err := s.fill(); err != nil {
			return err
		}
		rest := s.text[s.at:]
		var err error
		switch {
		case rest == "":
			return io.EOF
		case rest[0] == ';' || blank(rest[0]):
			s.at++
		case strings.HasPrefix(rest, "--"):
			err = s.past("\n")
		case strings.HasPrefix(rest, "/*"):
			s.at += 2
			err = s.past("*/")
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// past moves behind the next end mark, or to the end of the text, over any
// length.
func (s *splitter) past(end string) error {
	for {
		if err := s.fill(); err != nil {
			return err
		}
		if s.until(end); s.more == nil || strings.HasSuffix(s.text[:s.at], end) {
			return nil
		}
		s.at -= len(end) - 1 // the mark may be cut in two
	}
}

// fill makes sure that more than MaxStatement bytes can be looked at, or all
// that follow.
func (s *splitter) fill() error {
	if s.more == nil || len(s.text)-s.at > MaxStatement {
		return nil
	}
	n, err := io.ReadFull(s.more, s.chunk)
	s.lines += strings.Count(s.text[:s.at], "\n")
	s.text, s.at = s.text[s.at:]+string(s.chunk[:n]), 0
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		s.more = nil
	case err != nil:
		return fmt.Errorf("read SQL: %w", err)
	}
	return nil
}

// triggerBody follows the words of a statement to know whether a semicolon
// ends it.
type triggerBody struct {
	words   int
	create  bool
	trigger bool
	begun   bool
	depth   int // of BEGIN and CASE
}

func (b *triggerBody) inside() bool { return b.trigger && b.begun && b.depth > 0 }

func (b *triggerBody) take(token string) {
	if b.words++; b.words > 3 && !b.trigger {
		return
	}
	word := strings.ToUpper(token)
	switch {
	case b.words == 1:
		b.create = word == "CREATE"
	case b.create && !b.trigger && word == "TRIGGER": // CREATE [TEMP] TRIGGER
		b.trigger = true
	case b.trigger && word == "BEGIN" && !b.begun:
		b.begun, b.depth = true, 1
	case b.trigger && b.begun && word == "CASE":
		b.depth++
	case b.trigger && b.begun && word == "END":
		b.depth--
	}
}

// scanner gives the tokens of SQL text that matter for taking it apart: words,
// semicolons and single other characters. Strings and quoted names are one
// token; white space and comments are none.
type scanner struct {
	text string
	at   int
}

func (s *scanner) next() (token string, from int) {
	s.skipBlank()
	from = s.at
	if s.at >= len(s.text) {
		return "", from
	}
	switch c := s.text[s.at]; {
	case c == '\'' || c == '"' || c == '`':
		s.quoted(c)
	case c == '[':
		s.until("]")
	case wordByte(c):
		for s.at < len(s.text) && wordByte(s.text[s.at]) {
			s.at++
		}
	default:
		s.at++
	}
	return s.text[from:s.at], from
}

func (s *scanner) skipBlank() {
	for s.at < len(s.text) {
		rest := s.text[s.at:]
		switch {
		case strings.HasPrefix(rest, "--"):
			s.until("\n")
		case strings.HasPrefix(rest, "/*"):
			s.at += 2
			s.until("*/")
		case blank(rest[0]):
			s.at++
		default:
			return
		}
	}
}

// until moves behind the next end mark, or to the end of the text.
func (s *scanner) until(end string) {
	if i := strings.Index(s.text[s.at:], end); i >= 0 {
		s.at += i + len(end)
		return
	}
	s.at = len(s.text)
}

// quoted moves behind a quoted piece; a doubled quote stands for itself.
func (s *scanner) quoted(q byte) {
	for s.at++; s.at < len(s.text); s.at++ {
		if s.text[s.at] != q {
			continue
		}
		if s.at+1 < len(s.text) && s.text[s.at+1] == q {
			s.at++
			continue
		}
		s.at++
		return
	}
}

func blank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\f' }

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// firstWord gives the first word of a statement in capitals.
func firstWord(statement string) string {
	s := scanner{text: statement}
	token, _ := s.next()
	return strings.ToUpper(token)
}
