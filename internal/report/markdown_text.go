package report

import (
	"strings"
	"unicode"
)

// markdown makes a text mean itself in Markdown: on one line, with whatever would be
// markup there escaped, so that neither a table named `<script>` nor a note that
// begins with "#" changes the document.
func markdown(text string) string {
	runes := []rune(oneLine(text))
	var b strings.Builder
	for i, r := range runes {
		if special(runes, i) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// special tells whether the character at i could be markup.
func special(runes []rune, i int) bool {
	r := runes[i]
	next := rune(' ')
	if i+1 < len(runes) {
		next = runes[i+1]
	}
	switch r {
	case '\\', '`', '*', '[', ']', '<', '|', '~':
		return true
	case '_': // inside of a word it means itself
		return i == 0 || i+1 == len(runes) || !word(runes[i-1]) || !word(next)
	case '&':
		return next == '#' || unicode.IsLetter(next)
	case '#', '>', '-', '+', '=':
		return i == 0
	case '.', ')':
		return next == ' ' && i > 0 && i < 10 && digits(runes[:i])
	}
	return false
}

func word(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }

func digits(runes []rune) bool {
	for _, r := range runes {
		if r < '0' || r > '9' {
			return false
		}
	}
	return true
}

// oneLine joins the lines of a text and leaves out what cannot be seen.
func oneLine(text string) string {
	visible := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r): // terminals obey some of them, and readers see none
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	return strings.Join(strings.Fields(visible), " ")
}

// code writes a command so that it can be copied, whatever backticks it has.
func code(text string) string {
	text = oneLine(text)
	longest, run := 0, 0
	for _, r := range text {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	if strings.HasPrefix(text, "`") || strings.HasSuffix(text, "`") {
		text = " " + text + " "
	}
	return fence + text + fence
}

func escaped(texts []string) []string {
	out := make([]string, len(texts))
	for i, t := range texts {
		out[i] = markdown(t)
	}
	return out
}
