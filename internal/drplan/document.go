package drplan

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	extast "github.com/yuin/goldmark/extension/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"

	"firedrill"
)

// MaxSize is the size of a document above which it is refused, in bytes: a plan that
// people read is far below it.
const MaxSize = 1 << 20

// maxNesting is how deep quotations may stand in each other: reading them takes time by
// the square of it.
const maxNesting = 100

// maxParts is how many headings and tables a document may have, for the same reason.
const maxParts = 5000

// bom is what some editors write before UTF-8.
const bom = "\uFEFF"

// span is a stretch of the body, in bytes.
type span struct{ start, stop int }

// document is a plan with its structure. Positions are those of the body, which is the
// text without a byte order mark; lines count from 1.
type document struct {
	name     string // in errors
	bom      string
	body     []byte
	lines    []int // where each line starts
	headings []heading
	tables   []table
	codes    []code
	marked   []marked
	hidden   map[int]bool // lines that are code or HTML
	tabled   map[int]bool // lines of tables at the top level
	quoted   []int        // lines of tables that stand in a quotation or a list
	html     []int        // lines of tables in HTML
	unclosed int          // line of code or of a comment without an end; 0: all have one
}

// heading is one at the top level of the document.
type heading struct {
	level int
	text  string
	span      // its lines
	under int // where the next heading of its level or above begins
}

// table is one at the top level. The first row is its head.
type table struct {
	line int
	rows []row
	stop int // where it ends
}

// row is one line of a table. Cells are what stands between the bars, spaces included.
type row struct {
	line  int
	cells []span
}

// code is a block of code, fenced or indented.
type code struct {
	language string
	line     int // of its first line of text
	text     string
	at       []int // the line of the document for each line of text
}

// marked is what stands between two markers.
type marked struct {
	part Part
	line int // of the first marker
	span     // between the markers
}

// refuse is the error for a document that cannot be worked on.
func refuse(name string, line int, detail, remedy string) error {
	target := name
	if line > 0 {
		target = fmt.Sprintf("%s:%d", name, line)
	}
	return &firedrill.Error{Op: "read the plan document", Kind: firedrill.KindUsage, Target: target, Detail: detail, Remedy: remedy}
}

// read finds the structure of a document. name stands for it in errors.
func read(name string, data []byte) (*document, error) {
	d := &document{name: name, body: data, hidden: map[int]bool{}, tabled: map[int]bool{}}
	if rest, has := bytes.CutPrefix(data, []byte(bom)); has {
		d.bom, d.body = bom, rest
	}
	d.lines = []int{0}
	for i, b := range d.body {
		if b == '\n' {
			d.lines = append(d.lines, i+1)
		}
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	tree := parser.NewParser(
		parser.WithBlockParsers(parser.DefaultBlockParsers()...),
		parser.WithParagraphTransformers(util.Prioritized(extension.NewTableParagraphTransformer(), 200)),
	).Parse(text.NewReader(d.body))
	d.walk(tree)
	if len(d.headings)+len(d.tables) > maxParts {
		return nil, refuse(d.name, 0, fmt.Sprintf("it has more than %d headings and tables", maxParts), "keep the plan in a document of its own")
	}
	if d.unclosed > 0 {
		return nil, refuse(d.name, d.unclosed, "what begins here, code or a comment, is never closed, so all that follows is part of it", "close it")
	}
	if err := d.conflicts(); err != nil {
		return nil, err
	}
	return d, d.markers()
}

// check refuses what is no text.
func (d *document) check() error {
	if len(d.body) > MaxSize {
		return refuse(d.name, 0, fmt.Sprintf("it has %d bytes, more than the %d of the longest plan that is read", len(d.body), MaxSize), "keep the plan in a document of its own")
	}
	if i := bytes.IndexByte(d.body, 0); i >= 0 {
		return refuse(d.name, d.lineAt(i), "it holds a NUL byte, so it is no text", "save it as UTF-8")
	}
	for i := 0; i < len(d.body); {
		r, size := utf8.DecodeRune(d.body[i:])
		if r == utf8.RuneError && size == 1 {
			return refuse(d.name, d.lineAt(i), fmt.Sprintf("byte %d is not UTF-8", len(d.bom)+i), "save it as UTF-8")
		}
		i += size
	}
	for line := 1; line <= len(d.lines); line++ {
		text := d.lineText(line)
		if lead := text[:len(text)-len(strings.TrimLeft(text, "> \t"))]; strings.Count(lead, ">") > maxNesting {
			return refuse(d.name, line, fmt.Sprintf("it is quoted more than %d times", maxNesting), "take this line out")
		}
	}
	if len(d.lines) == 1 && bytes.IndexByte(d.body, '\r') >= 0 {
		return refuse(d.name, 1, "its lines end with a carriage return alone", "save it with line ends of Unix or Windows")
	}
	return nil
}

// lineAt gives the line that holds a position, from 1.
func (d *document) lineAt(pos int) int {
	i, found := slices.BinarySearch(d.lines, pos)
	if found {
		i++
	}
	return max(1, i)
}

// lineSpan gives a line without its end.
func (d *document) lineSpan(line int) span {
	s := span{d.lines[line-1], len(d.body)}
	if line < len(d.lines) {
		s.stop = d.lines[line] - 1
	}
	if s.stop > s.start && d.body[s.stop-1] == '\r' {
		s.stop--
	}
	return s
}

func (d *document) text(s span) string    { return string(d.body[s.start:s.stop]) }
func (d *document) lineText(l int) string { return d.text(d.lineSpan(l)) }
func (d *document) cell(s span) string    { return strings.TrimFunc(d.text(s), blank) }
func (d *document) afterLine(line int) int { // where the next line starts
	if line < len(d.lines) {
		return d.lines[line]
	}
	return len(d.body)
}

// blank is what Markdown trims from cells.
func blank(r rune) bool { return strings.ContainsRune(" \t\r\n\v\f", r) }

// walk gathers headings, tables and code.
func (d *document) walk(tree ast.Node) {
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		top := n.Parent() != nil && n.Parent().Kind() == ast.KindDocument
		switch n := n.(type) {
		case *ast.Heading:
			if top {
				d.heading(n)
			}
		case *extast.Table:
			t := d.table(n)
			if top {
				d.tables = append(d.tables, t)
				for line := t.line; line <= len(d.lines) && d.lines[line-1] < t.stop; line++ {
					d.tabled[line] = true
				}
			} else {
				d.quoted = append(d.quoted, t.line)
			}
			return ast.WalkSkipChildren, nil
		case *ast.FencedCodeBlock:
			language := ""
			if n.Info != nil {
				language, _, _ = strings.Cut(strings.ToLower(strings.TrimSpace(string(n.Info.Segment.Value(d.body)))), " ")
			}
			d.code(n, language)
			d.fence(n, top)
		case *ast.CodeBlock:
			d.code(n, "")
		case *ast.HTMLBlock:
			d.htmlBlock(n, top)
		}
		return ast.WalkContinue, nil
	})
}

func (d *document) heading(n *ast.Heading) {
	lines := n.Lines()
	if lines.Len() == 0 {
		return // without a text it is nothing's heading
	}
	first, last := d.lineAt(lines.At(0).Start), d.lineAt(lines.At(lines.Len()-1).Start)
	words := strings.TrimSpace(string(lines.Value(d.body)))
	if !strings.HasPrefix(strings.TrimLeft(d.lineText(first), " "), "#") {
		last++ // the line below an underlined heading
	}
	last = min(last, len(d.lines))
	h := heading{level: n.Level, text: words, span: span{d.lines[first-1], d.afterLine(last)}, under: len(d.body)}
	for i := len(d.headings) - 1; i >= 0; i-- {
		if o := &d.headings[i]; o.level >= h.level && o.under == len(d.body) {
			o.under = h.start
		} else if o.level < h.level && o.under == len(d.body) {
			break // what is above it is open, too
		}
	}
	d.headings = append(d.headings, h)
}

func (d *document) table(n *extast.Table) table {
	t := table{}
	for r := n.FirstChild(); r != nil; r = r.NextSibling() {
		line := d.lineAt(r.Pos())
		if t.line == 0 {
			t.line = line
		}
		t.rows = append(t.rows, row{line, d.split(d.lineSpan(line))})
		t.stop = d.afterLine(line)
		if len(t.rows) == 1 {
			t.stop = d.afterLine(min(line+1, len(d.lines))) // the line of dashes
		}
	}
	return t
}

// split finds the cells of a line of a table, as goldmark does: a bar that is escaped
// separates nothing.
func (d *document) split(s span) []span {
	for s.start < s.stop && blank(rune(d.body[s.start])) {
		s.start++
	}
	for s.stop > s.start && blank(rune(d.body[s.stop-1])) {
		s.stop--
	}
	if s.start < s.stop && d.body[s.start] == '|' {
		s.start++
	}
	if s.stop > s.start && d.body[s.stop-1] == '|' {
		s.stop--
	}
	var cells []span
	from := s.start
	for i := s.start; i < s.stop; i++ {
		if d.body[i] == '|' && (i == s.start || d.body[i-1] != '\\') {
			cells = append(cells, span{from, i})
			from = i + 1
		}
	}
	if from < s.stop {
		cells = append(cells, span{from, s.stop})
	}
	return cells
}

func (d *document) code(n ast.Node, language string) {
	c := code{language: language}
	var b strings.Builder
	for i := range n.Lines().Len() {
		s := n.Lines().At(i)
		line := d.lineAt(s.Start)
		c.at = append(c.at, line)
		d.hidden[line] = true
		b.WriteString(strings.TrimRight(string(s.Value(d.body)), "\r\n") + "\n")
	}
	if c.text = b.String(); len(c.at) > 0 {
		c.line = c.at[0]
		d.codes = append(d.codes, c)
	}
}

var fenceEnd = regexp.MustCompile("^ {0,3}(?:`{3,}|~{3,})[ \t]*$")

// fence hides the lines of the fences, too, and sees whether there are two.
func (d *document) fence(n *ast.FencedCodeBlock, top bool) {
	first := d.lineAt(n.Pos())
	last := first + 1
	if l := n.Lines().Len(); l > 0 {
		last = d.lineAt(n.Lines().At(l-1).Start) + 1
	}
	d.hidden[first], d.hidden[last] = true, true
	if top && (last > len(d.lines) || !fenceEnd.MatchString(d.lineText(last))) {
		d.unclosed = first
	}
}

// htmlBlock hides HTML, and sees whether a comment has an end.
func (d *document) htmlBlock(n *ast.HTMLBlock, top bool) {
	all := []text.Segment{}
	for i := range n.Lines().Len() {
		all = append(all, n.Lines().At(i))
	}
	if n.HasClosure() {
		all = append(all, n.ClosureLine)
	}
	if top && n.HTMLBlockType == ast.HTMLBlockType2 && len(all) > 0 && !bytes.Contains(d.body[all[0].Start:all[len(all)-1].Stop], []byte("-->")) {
		d.unclosed = d.lineAt(all[0].Start)
	}
	for _, s := range all {
		line := d.lineAt(s.Start)
		d.hidden[line] = true
		if strings.Contains(strings.ToLower(d.lineText(line)), "<table") {
			d.html = append(d.html, line)
		}
	}
}

var conflict = regexp.MustCompile(`^(<{7}|>{7}) `)

// conflicts refuses a document that git could not merge: either side may be wrong.
func (d *document) conflicts() error {
	for line := 1; line <= len(d.lines); line++ {
		if !d.hidden[line] && conflict.MatchString(d.lineText(line)) {
			return refuse(d.name, line, "a conflict of a merge stands here", "resolve it first")
		}
	}
	return nil
}

var marker = regexp.MustCompile(`^ {0,3}<!--\s*(/?)firedrill(?::([A-Za-z-]*))?\s*-->\s*$`)

// markers finds what is marked. A marker that opens nothing or is not closed is refused.
func (d *document) markers() error {
	open := marked{}
	for line := 1; line <= len(d.lines); line++ {
		m := marker.FindStringSubmatch(d.lineText(line))
		if m == nil || d.inCode(line) {
			continue
		}
		switch closing := m[1] != ""; {
		case closing && open.line == 0:
			return refuse(d.name, line, "this marker closes what none opened", "write <!-- firedrill:schedule --> before it, or take it out")
		case closing:
			open.stop = d.lineSpan(line).start
			d.marked, open = append(d.marked, open), marked{}
		case open.line != 0:
			return refuse(d.name, line, fmt.Sprintf("the marker of line %d is not closed before this one", open.line), "close it: <!-- /firedrill -->")
		case !slices.Contains(Parts(), Part(m[2])):
			names := []string{}
			for _, p := range Parts() {
				names = append(names, string(p))
			}
			return refuse(d.name, line, fmt.Sprintf("there is no part %q to mark", m[2]), cmp.Or(didYouMean(m[2], names), "write one of: "+strings.Join(names, ", ")))
		case slices.ContainsFunc(d.marked, func(o marked) bool { return o.part == Part(m[2]) }):
			return refuse(d.name, line, "part "+m[2]+" is marked twice", "mark what is to be brought up to date, once")
		default:
			open = marked{part: Part(m[2]), line: line, span: span{start: d.afterLine(line)}}
		}
	}
	if open.line != 0 {
		return refuse(d.name, open.line, "the marker is not closed", "write <!-- /firedrill --> after what it marks")
	}
	return nil
}

func didYouMean(given string, names []string) string {
	if near := firedrill.Nearest(given, names); near != "" {
		return "did you mean " + near + "?"
	}
	return ""
}

// inCode tells whether a line is code; other than in hidden, HTML is none.
func (d *document) inCode(line int) bool {
	return slices.ContainsFunc(d.codes, func(c code) bool { return slices.Contains(c.at, line) })
}

// markedAs gives what is marked as a part.
func (d *document) markedAs(p Part) (marked, bool) {
	i := slices.IndexFunc(d.marked, func(m marked) bool { return m.part == p })
	if i < 0 {
		return marked{}, false
	}
	return d.marked[i], true
}

// section gives what stands under a heading, up to the next of its level or above.
func (d *document) section(i int) span { return span{d.headings[i].stop, d.headings[i].under} }

// under tells whether a position stands under a heading that passes, at any level.
func (d *document) under(pos int, passes func(string) bool) bool {
	for i, h := range d.headings {
		if s := d.section(i); s.start <= pos && pos < s.stop && passes(h.text) {
			return true
		}
	}
	return false
}

// plainLines gives the lines of a stretch that are neither code, HTML nor table.
func (d *document) plainLines(s span) []int {
	var lines []int
	for line := d.lineAt(s.start); line <= len(d.lines) && d.lines[line-1] < s.stop; line++ {
		if d.lines[line-1] >= s.start && !d.hidden[line] && !d.tabled[line] {
			lines = append(lines, line)
		}
	}
	return lines
}
