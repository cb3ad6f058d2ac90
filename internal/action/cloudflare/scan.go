package cloudflare

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// texts are the rows of an answer whose every value is a text.
type texts struct {
	width int // values of a row; 0 without rows
	cells [][]byte
}

// len counts the rows.
func (t texts) len() int {
	if t.width == 0 {
		return 0
	}
	return len(t.cells) / t.width
}

func (t texts) row(i int) [][]byte { return t.cells[i*t.width : (i+1)*t.width] }

// scanTexts takes the rows out of the plain answer to one statement whose every
// value is a text, in one pass: for a page of rows the general way costs more than
// all else that is done with them. It takes nothing but the plain success; ok is
// false for whatever it does not know, and then the general way has to tell. The
// texts share the body's memory.
func scanTexts(body []byte) (rows texts, ok bool) {
	s := scanner{data: body}
	success, found := false, false
	ok = s.object(func(name string) bool {
		switch name {
		case "success":
			success = s.word("true")
			return success
		case "errors":
			return s.take('[') && s.take(']')
		case "result":
			found = s.take('[') && s.result(&rows) && s.take(']')
			return found
		}
		return s.skip(0)
	})
	s.space()
	return rows, ok && success && found && s.at == len(body)
}

// result reads the answer to one statement.
func (s *scanner) result(into *texts) bool {
	success, found := false, false
	return s.object(func(name string) bool {
		switch name {
		case "success":
			success = s.word("true")
			return success
		case "results":
			return s.object(func(name string) bool {
				if name != "rows" {
					return s.skip(0)
				}
				found = s.list(func() bool { return s.row(into) })
				return found
			})
		}
		return s.skip(0)
	}) && success && found
}

// row reads one row. All of them are of one width.
func (s *scanner) row(into *texts) bool {
	before := len(into.cells)
	ok := s.list(func() bool {
		text, ok := s.text()
		into.cells = append(into.cells, text)
		return ok
	})
	width := len(into.cells) - before
	same := into.width == 0 || into.width == width
	into.width = width
	return ok && same && width > 0
}

// scanner reads JSON. Every method gives false where it does not find what it is
// asked for; then the scanner is of no more use.
type scanner struct {
	data []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}

// take reads one sign.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.at == len(s.data) || s.data[s.at] != c {
		return false
	}
	s.at++
	return true
}

func (s *scanner) word(w string) bool {
	s.space()
	if !bytes.HasPrefix(s.data[s.at:], []byte(w)) {
		return false
	}
	s.at += len(w)
	return true
}

// list reads an array whose elements each reads.
func (s *scanner) list(each func() bool) bool {
	if !s.take('[') {
		return false
	}
	if s.take(']') {
		return true
	}
	for {
		if !each() {
			return false
		}
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// object reads an object whose values each reads. A name that stands twice is not
// known.
func (s *scanner) object(each func(name string) bool) bool {
	if !s.take('{') {
		return false
	}
	if s.take('}') {
		return true
	}
	var names []string
	for {
		text, ok := s.text()
		if !ok || !s.take(':') {
			return false
		}
		name := string(text)
		for _, n := range names {
			if n == name {
				return false
			}
		}
		names = append(names, name)
		if !each(name) {
			return false
		}
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// skip passes over a value that nobody asked for.
func (s *scanner) skip(depth int) bool {
	const deepest = 100
	s.space()
	if s.at == len(s.data) || depth > deepest {
		return false
	}
	deeper := func() bool { return s.skip(depth + 1) }
	switch s.data[s.at] {
	case '{':
		return s.object(func(string) bool { return deeper() })
	case '[':
		return s.list(deeper)
	case '"':
		_, ok := s.text()
		return ok
	case 't':
		return s.word("true")
	case 'f':
		return s.word("false")
	case 'n':
		return s.word("null")
	}
	return s.number()
}

// number passes over a number.
func (s *scanner) number() bool {
	digits := func() bool {
		from := s.at
		for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
			s.at++
		}
		return s.at > from
	}
	next := func(signs string) bool {
		if s.at < len(s.data) && bytes.IndexByte([]byte(signs), s.data[s.at]) >= 0 {
			s.at++
			return true
		}
		return false
	}
	next("-")
	if !next("0") && !digits() {
		return false
	}
	if next(".") && !digits() {
		return false
	}
	if next("eE") {
		next("+-")
		return digits()
	}
	return true
}

// text reads a string. Bytes that are no text are left as they are.
func (s *scanner) text() ([]byte, bool) {
	if !s.take('"') {
		return nil, false
	}
	from := s.at
	for s.at < len(s.data) {
		switch c := s.data[s.at]; {
		case c == '"':
			s.at++
			return s.data[from : s.at-1 : s.at-1], true
		case c == '\\':
			return s.escaped(from)
		case c < ' ':
			return nil, false
		default:
			s.at++
		}
	}
	return nil, false
}

// escaped reads the rest of a string from its first backslash on.
func (s *scanner) escaped(from int) ([]byte, bool) {
	out := append(make([]byte, 0, 2*(s.at-from)+64), s.data[from:s.at]...)
	for s.at < len(s.data) {
		c := s.data[s.at]
		s.at++
		switch {
		case c == '"':
			return out, true
		case c < ' ':
			return nil, false
		case c != '\\':
			out = append(out, c)
			continue
		}
		if s.at == len(s.data) {
			return nil, false
		}
		c = s.data[s.at]
		s.at++
		switch c {
		case '"', '\\', '/':
			out = append(out, c)
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := s.unit()
			if !ok {
				return nil, false
			}
			if utf16.IsSurrogate(r) {
				r = s.second(r)
			}
			out = utf8.AppendRune(out, r)
		default:
			return nil, false
		}
	}
	return nil, false
}

// unit reads the four digits of \uXXXX.
func (s *scanner) unit() (rune, bool) {
	if s.at+4 > len(s.data) {
		return 0, false
	}
	var r rune
	for _, c := range s.data[s.at : s.at+4] {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c >= 'a' && c <= 'f':
			r = r<<4 | rune(c-'a'+10)
		case c >= 'A' && c <= 'F':
			r = r<<4 | rune(c-'A'+10)
		default:
			return 0, false
		}
	}
	s.at += 4
	return r, true
}

// second reads the other half of a character that is written as two units. Half a
// character becomes U+FFFD.
func (s *scanner) second(first rune) rune {
	before := s.at
	if bytes.HasPrefix(s.data[s.at:], []byte(`\u`)) {
		s.at += 2
		if r, ok := s.unit(); ok {
			if both := utf16.DecodeRune(first, r); both != utf8.RuneError {
				return both
			}
		}
	}
	s.at = before
	return utf8.RuneError
}
