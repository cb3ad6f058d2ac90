package backup

import (
	"bytes"
	"fmt"
	"strings"
)

// maxStatement is the longest statement that the platform takes, in bytes.
const maxStatement = 100_000

// splitter takes SQL apart into statements while it is written into it, in the
// memory of one statement. It follows sqlite3_complete
// (https://www.sqlite.org/c3ref/complete.html): a semicolon inside of a string, a
// quoted name, a comment or the body of a trigger ends nothing.
type splitter struct {
	// statement takes each statement without its semicolon, and where it begins.
	statement func(sql []byte, offset int64) error

	buf    []byte
	from   int64 // where buf begins
	at     int64
	state  sqlState
	inside byte // what we are in: see below
	seen   bool // something other than white space and comments is in buf
	word   []byte
	err    error
}

// What the splitter may be inside of, beside the quotes ' " ` and ].
const (
	inNothing   byte = 0
	inWord      byte = 'w'
	inLine      byte = '-' // a comment to the end of the line
	inBlock     byte = '*'
	afterDash   byte = 'd' // a minus that may begin a comment
	afterSlash  byte = 's'
	afterStar   byte = 'e' // a star that may end a comment
	longestWord      = 16  // no word that matters is longer
)

// sqlState is the state of sqlite3_complete.
type sqlState byte

const (
	stInvalid sqlState = iota // nothing came yet
	stStart                   // a statement has ended, none has begun
	stNormal
	stExplain
	stCreate
	stTrigger // in the body of a trigger
	stSemi    // there, after a semicolon
	stEnd     // there, after a semicolon and END
)

type sqlToken byte

const (
	tkSemi sqlToken = iota
	tkOther
	tkExplain
	tkCreate
	tkTemp
	tkTrigger
	tkEnd
)

// next is the table of sqlite3_complete; white space changes nothing.
func (s sqlState) next(t sqlToken) sqlState {
	switch s {
	case stInvalid, stStart:
		return [...]sqlState{stStart, stNormal, stExplain, stCreate, stNormal, stNormal, stNormal}[t]
	case stExplain:
		return [...]sqlState{stStart, stExplain, stNormal, stCreate, stNormal, stNormal, stNormal}[t]
	case stCreate:
		return [...]sqlState{stStart, stNormal, stNormal, stNormal, stCreate, stTrigger, stNormal}[t]
	case stTrigger:
		return [...]sqlState{stSemi, stTrigger, stTrigger, stTrigger, stTrigger, stTrigger, stTrigger}[t]
	case stSemi:
		return [...]sqlState{stSemi, stTrigger, stTrigger, stTrigger, stTrigger, stTrigger, stEnd}[t]
	case stEnd:
		return [...]sqlState{stStart, stTrigger, stTrigger, stTrigger, stTrigger, stTrigger, stTrigger}[t]
	}
	return [...]sqlState{stStart, stNormal, stNormal, stNormal, stNormal, stNormal, stNormal}[t]
}

func keyword(word []byte) sqlToken {
	switch strings.ToUpper(string(word)) {
	case "EXPLAIN":
		return tkExplain
	case "CREATE":
		return tkCreate
	case "TEMP", "TEMPORARY":
		return tkTemp
	case "TRIGGER":
		return tkTrigger
	case "END":
		return tkEnd
	}
	return tkOther
}

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

func blankByte(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' }

// Write takes SQL. An error stays.
func (s *splitter) Write(b []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	for i, c := range b {
		if err := s.take(c); err != nil {
			s.err = err
			return i, err
		}
		s.at++
	}
	return len(b), nil
}

// end tells that no more comes.
func (s *splitter) end() error {
	if s.err != nil {
		return s.err
	}
	s.settle()
	if s.seen || s.inside == inBlock || s.inside == afterStar {
		return fmt.Errorf("at offset %d: it ends inside of a statement", s.from)
	}
	return nil
}

// complete tells what sqlite3_complete tells of what came so far.
func (s *splitter) complete() bool {
	s.settle()
	return s.state == stStart && s.inside == inNothing
}

// settle ends what only the next byte could have gone on with.
func (s *splitter) settle() {
	switch s.inside {
	case inWord:
		s.token(keyword(s.word))
		s.inside = inNothing
	case afterDash, afterSlash:
		s.token(tkOther)
		s.inside = inNothing
	}
}

func (s *splitter) token(t sqlToken) {
	s.seen = true
	s.state = s.state.next(t)
}

// take takes the byte at s.at.
func (s *splitter) take(c byte) error {
	if c == 0 {
		return fmt.Errorf("at offset %d: SQL with a NUL in it", s.at)
	}
	switch s.inside {
	case inWord:
		if wordByte(c) {
			if len(s.word) < longestWord {
				s.word = append(s.word, c)
			}
			return s.keep(c)
		}
		s.settle()
	case afterDash:
		if c == '-' {
			s.inside = inLine
			return s.comment(c)
		}
		s.settle()
	case afterSlash:
		if c == '*' {
			s.inside = inBlock
			return s.comment(c)
		}
		s.settle()
	case inLine:
		if c == '\n' {
			s.inside = inNothing
		}
		return s.keep(c)
	case inBlock, afterStar:
		switch {
		case c == '*':
			s.inside = afterStar
		case c == '/' && s.inside == afterStar:
			s.inside = inNothing
		default:
			s.inside = inBlock
		}
		return s.keep(c)
	case '\'', '"', '`', ']':
		if c == s.inside { // a doubled quote ends one string and begins the next
			s.inside = inNothing
		}
		return s.keep(c)
	}
	return s.begin(c)
}

// begin takes a byte that stands by itself.
func (s *splitter) begin(c byte) error {
	switch {
	case blankByte(c):
		if len(s.buf) == 0 {
			return nil
		}
	case c == ';':
		s.state = s.state.next(tkSemi)
		if s.state == stStart {
			return s.flush()
		}
		s.seen = true
	case c == '\'' || c == '"' || c == '`':
		s.token(tkOther)
		s.inside = c
	case c == '[':
		s.token(tkOther)
		s.inside = ']'
	case c == '-':
		s.inside = afterDash
	case c == '/':
		s.inside = afterSlash
	case wordByte(c):
		s.inside = inWord
		s.word = append(s.word[:0], c)
		s.seen = true
	default:
		s.token(tkOther)
	}
	return s.keep(c)
}

// comment takes the second byte of what has turned out to be a comment. Before a
// statement it is dropped.
func (s *splitter) comment(c byte) error {
	if !s.seen {
		s.buf = s.buf[:0]
		return nil
	}
	return s.keep(c)
}

func (s *splitter) keep(c byte) error {
	if !s.seen && s.inside != afterDash && s.inside != afterSlash { // a comment before a statement
		return nil
	}
	if len(s.buf) == 0 {
		s.from = s.at
	}
	if len(s.buf) >= maxStatement {
		return &longStatement{offset: s.from}
	}
	s.buf = append(s.buf, c)
	return nil
}

func (s *splitter) flush() error {
	seen := s.seen
	s.seen = false
	sql := bytes.TrimRight(s.buf, " \t\r\n\f")
	s.buf = s.buf[:0]
	if !seen {
		return nil
	}
	return s.statement(sql, s.from)
}

// longStatement says that a statement is too long for an import.
type longStatement struct{ offset int64 }

func (e *longStatement) Error() string {
	return fmt.Sprintf("at offset %d: a statement of more than %d bytes, which no import takes", e.offset, maxStatement)
}

// tokens gives the words, strings and marks of one statement; comments are left
// out.
func tokens(sql string) []string {
	var out []string
	from, kind := -1, inNothing
	flush := func(to int) {
		if from >= 0 {
			out = append(out, sql[from:to])
		}
		from, kind = -1, inNothing
	}
	for i := 0; i < len(sql); i++ {
		c := sql[i]
		switch kind {
		case inWord:
			if wordByte(c) {
				continue
			}
			flush(i)
		case '\'', '"', '`', ']':
			if c != kind {
				continue
			}
			if c != ']' && i+1 < len(sql) && sql[i+1] == c {
				i++
				continue
			}
			flush(i + 1)
			continue
		}
		rest := sql[i:]
		switch {
		case strings.HasPrefix(rest, "--"):
			i += skip(rest, "\n")
		case strings.HasPrefix(rest, "/*"):
			i += 1 + skip(rest[1:], "*/")
		case blankByte(c):
		case c == '\'' || c == '"' || c == '`':
			from, kind = i, c
		case c == '[':
			from, kind = i, ']'
		case wordByte(c):
			from, kind = i, inWord
		default:
			out = append(out, string(c))
		}
	}
	if kind == inWord {
		flush(len(sql))
	}
	return out
}

// skip gives the index of the last byte of the first end in s, or of s.
func skip(s, end string) int {
	if i := strings.Index(s[1:], end); i >= 0 {
		return 1 + i + len(end) - 1
	}
	return len(s) - 1
}
