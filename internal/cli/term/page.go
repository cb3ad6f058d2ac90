// Package term writes what a person sees: plain words in two columns, numbers
// with units, colour only on a terminal and never as the only carrier of
// meaning. The rules: progress goes to standard error, results to standard
// output; each line says something that was measured; one line says what went
// wrong and one what to do.
package term

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
	xterm "golang.org/x/term"
)

// LabelWidth is the width of the left column.
const LabelWidth = 25

// Page is a place to write to: a terminal, or anything else without colour.
type Page struct {
	W        io.Writer
	Terminal bool // lines may be rewritten
	Colour   bool
	Width    int // columns; lines are wrapped to it
}

// NewPage looks at w: colour and rewriting only if it is a terminal and the
// user did not ask for neither (NO_COLOR, TERM=dumb).
func NewPage(w io.Writer, getenv func(string) string) *Page {
	p := &Page{W: w, Width: 100}
	f, ok := w.(*os.File)
	if !ok || !xterm.IsTerminal(int(f.Fd())) {
		return p
	}
	dumb := getenv("TERM") == "dumb"
	p.Terminal = !dumb
	p.Colour = !dumb && getenv("NO_COLOR") == ""
	if width, _, err := xterm.GetSize(int(f.Fd())); err == nil && width > 40 {
		p.Width = min(width, 140)
	}
	return p
}

// Style is a way to set text apart.
type Style int

// The styles.
const (
	Plain Style = iota
	Strong
	Faint
	Good
	Bad
	Warn
)

// Paint renders text in a style, or as it is where there is no colour.
func (p *Page) Paint(s Style, text string) string {
	if !p.Colour || s == Plain || text == "" {
		return text
	}
	st := lipgloss.NewStyle()
	switch s {
	case Strong:
		st = st.Bold(true)
	case Faint:
		st = st.Faint(true)
	case Good:
		st = st.Bold(true).Foreground(lipgloss.Color("2"))
	case Bad:
		st = st.Bold(true).Foreground(lipgloss.Color("1"))
	case Warn:
		st = st.Bold(true).Foreground(lipgloss.Color("3"))
	}
	return st.Render(text)
}

// Line writes a label and text in two columns; long text is wrapped under the
// second.
func (p *Page) Line(style Style, label, text string) {
	p.write(p.format(style, label, text))
}

// Command writes a command that a person is to copy: on one line, however long.
func (p *Page) Command(label, command string) {
	p.write(label + strings.Repeat(" ", max(1, LabelWidth-utf8.RuneCountInString(label))) + command + "\n")
}

// Blank writes an empty line.
func (p *Page) Blank() { p.write("\n") }

// Text writes lines as they are.
func (p *Page) Text(s string) { p.write(strings.TrimRight(s, "\n") + "\n") }

func (p *Page) write(s string) {
	// A person's terminal that is gone is no reason to stop a recovery.
	_, _ = io.WriteString(p.W, s)
}

func (p *Page) format(style Style, label, text string) string {
	if label == "" && text == "" {
		return "\n"
	}
	lines := wrap(text, p.Width-LabelWidth)
	pad := max(1, LabelWidth-utf8.RuneCountInString(label))
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s%s\n", p.Paint(style, label), strings.Repeat(" ", pad), lines[0])
	for _, l := range lines[1:] {
		fmt.Fprintf(&b, "%s%s\n", strings.Repeat(" ", LabelWidth), l)
	}
	return b.String()
}

// wrap breaks text at spaces; words longer than the width stay whole, so that
// a command can be copied.
func wrap(text string, width int) []string {
	var lines []string
	for _, para := range strings.Split(text, "\n") {
		line := ""
		for _, word := range strings.Fields(para) {
			switch {
			case line == "":
				line = word
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
				lines = append(lines, line)
				line = word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return lines
}
