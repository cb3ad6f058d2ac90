package d1

import "strings"

// split takes SQL text apart into statements. It knows strings, quoted names,
// comments and the bodies of triggers (BEGIN … END with CASE … END in them),
// as sqlite3_complete does (https://www.sqlite.org/c3ref/complete.html).
// Pieces that hold only white space and comments are left out.
func split(sql string) []string {
	var statements []string
	s := scanner{text: sql}
	start, body := 0, triggerBody{}
	blank := true
	for {
		token, from := s.next()
		if token == "" {
			break
		}
		if token == ";" && !body.inside() {
			if !blank {
				statements = append(statements, strings.TrimSpace(sql[start:from]))
			}
			start, blank, body = s.at, true, triggerBody{}
			continue
		}
		blank = false
		body.take(token)
	}
	if !blank {
		statements = append(statements, strings.TrimSpace(sql[start:]))
	}
	return statements
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
	word := strings.ToUpper(token)
	b.words++
	switch {
	case b.words == 1:
		b.create = word == "CREATE"
	case b.create && !b.trigger && b.words <= 3 && word == "TRIGGER": // CREATE [TEMP] TRIGGER
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
		case strings.ContainsRune(" \t\r\n\f", rune(rest[0])):
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

func wordByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c >= 0x80
}

// firstWord gives the first word of a statement in capitals.
func firstWord(statement string) string {
	s := scanner{text: statement}
	token, _ := s.next()
	return strings.ToUpper(token)
}
