package drplan

import (
	"regexp"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// command is a call of a program in the shell of a document.
type command struct {
	words    []string // as the program gets them; variables stand as $NAME
	line     int      // of the document
	pos      int      // order within the document
	into     string   // variable that takes its output; "" for none
	pipeline int      // calls that are piped into each other have one number; 0: alone
	looped   bool     // in the body of a loop
	items    bool     // its output is what a for loop goes through
	hushed   bool     // its failure is hidden
	inline   bool     // in a sentence, where arguments may be left out
}

// assigned is a variable that is set to a text.
type assigned struct {
	name, value string
	comment     string // behind it
	line        int
}

// isShell tells whether a block is to be read as shell.
func isShell(c code) bool {
	if len(c.text) > maxShell {
		return false // nobody types that
	}
	switch c.language {
	case "sh", "bash", "shell", "zsh", "console", "shell-session", "shellsession", "terminal":
		return true
	case "":
		return program.MatchString(c.text)
	}
	return false
}

var (
	program    = regexp.MustCompile(`(?m)^\s*(?:\$ )?(?:(?:npx|pnpm|yarn|bunx) (?:exec )?)?(?:wrangler|curl)\b`)
	prompt     = regexp.MustCompile(`(?m)^(\s*)\$ `)
	gap        = regexp.MustCompile(`<([A-Za-z][A-Za-z0-9 _-]*)>`)
	inlineCode = regexp.MustCompile("`((?:(?:npx|pnpm|yarn|bunx) (?:exec )?)?wrangler [^`]+)`")
	hexID      = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// maxShell is the size of the largest block that is read as shell, in bytes, and
// maxCalls how many calls a document may have.
const (
	maxShell = 1 << 16
	maxCalls = 2000
)

// mostRestarts is how often reading a block goes on after a line that is no shell.
const mostRestarts = 50

// shell reads what a document's blocks of shell call, in order.
func (d *document) shell() (calls []command, sets []assigned) {
	for _, c := range d.codes {
		if !isShell(c) {
			continue
		}
		text := prompt.ReplaceAllString(c.text, "$1  ")
		text = gap.ReplaceAllStringFunc(text, func(m string) string { // a gap to fill in is a word, no redirection
			return "_" + strings.ReplaceAll(m[1:len(m)-1], " ", "_") + "_"
		})
		r := &shellReader{at: c.at, calls: calls, sets: sets}
		r.read(text)
		calls, sets = r.calls, r.sets
	}
	for line := 1; line <= len(d.lines); line++ {
		if d.hidden[line] {
			continue
		}
		for _, m := range inlineCode.FindAllStringSubmatch(d.lineText(line), -1) {
			r := &shellReader{at: []int{line}, calls: calls, inline: true}
			r.read(m[1] + "\n")
			calls = r.calls
		}
	}
	slices.SortStableFunc(calls, func(a, b command) int { return a.line - b.line })
	for i := range calls {
		calls[i].pos = i
	}
	return calls, sets
}

type shellReader struct {
	at     []int // the document's line for each line of the text
	calls  []command
	sets   []assigned
	inline bool
	skip   int // lines of the text before what is read
}

// read reads text that may have lines that are no shell: it goes on after them.
func (r *shellReader) read(text string) {
	for range mostRestarts {
		bad := 0
		for stmt, err := range syntax.NewParser(syntax.KeepComments(true)).StmtsSeq(strings.NewReader(text)) {
			if err != nil {
				var at syntax.ParseError
				if bad = 1; asParseError(err, &at) {
					bad = max(1, int(at.Pos.Line()))
				}
				break
			}
			r.stmt(stmt)
		}
		if bad == 0 {
			return
		}
		lines := strings.SplitAfter(text, "\n")
		if bad >= len(lines) {
			return
		}
		// A block that is never closed is told at its end: begin after its first line.
		text, r.skip = strings.Join(lines[bad:], ""), r.skip+bad
	}
}

func asParseError(err error, at *syntax.ParseError) bool {
	p, ok := err.(syntax.ParseError) //nolint:errorlint // the parser gives it as it is
	if ok {
		*at = p
	}
	return ok
}

func (r *shellReader) line(pos syntax.Pos) int {
	i := r.skip + int(pos.Line()) - 1
	return r.at[max(0, min(i, len(r.at)-1))]
}

// stmt gathers the calls of a statement with what they stand in.
func (r *shellReader) stmt(stmt *syntax.Stmt) {
	var above []syntax.Node
	comments := map[uint]string{}
	syntax.Walk(stmt, func(n syntax.Node) bool {
		if c, ok := n.(*syntax.Comment); ok {
			comments[c.Pos().Line()] = strings.TrimSpace(c.Text)
		}
		return true
	})
	syntax.Walk(stmt, func(n syntax.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		if call, ok := n.(*syntax.CallExpr); ok {
			for _, a := range call.Assigns {
				if a.Name != nil && a.Value != nil {
					r.sets = append(r.sets, assigned{a.Name.Value, wordText(a.Value), comments[a.Pos().Line()], r.line(a.Pos())})
				}
			}
			if len(call.Args) > 0 {
				r.call(call, above)
			}
		}
		above = append(above, n)
		return true
	})
}

func (r *shellReader) call(call *syntax.CallExpr, above []syntax.Node) {
	c := command{line: r.line(call.Pos()), inline: r.inline}
	for _, w := range call.Args {
		c.words = append(c.words, wordText(w))
	}
	piped := false
	for i := len(above) - 1; i >= 0; i-- {
		switch n := above[i].(type) {
		case *syntax.Stmt:
			for _, to := range n.Redirs {
				if to.Word != nil && wordText(to.Word) == "/dev/null" && (to.N != nil && to.N.Value == "2" || to.Op == syntax.RdrAll || to.Op == syntax.AppAll) {
					c.hushed = true
				}
			}
		case *syntax.BinaryCmd:
			if (n.Op == syntax.Pipe || n.Op == syntax.PipeAll) && c.into == "" {
				piped = true
			}
			if n.Op == syntax.OrStmt && n.X.Pos().Offset() <= call.Pos().Offset() && call.Pos().Offset() < n.X.End().Offset() && harmless(n.Y) {
				c.hushed = true
			}
		case *syntax.CmdSubst:
			if i > 0 {
				c.into = variable(above[:i])
			}
		case *syntax.ForClause:
			inBody := len(n.Do) > 0 && call.Pos().Offset() >= n.Do[0].Pos().Offset()
			c.looped, c.items = c.looped || inBody, c.items || !inBody
		case *syntax.WhileClause:
			c.looped = true
		}
	}
	if piped {
		c.pipeline = r.pipelineOf(above)
	}
	r.calls = append(r.calls, c)
}

// pipelineOf gives a number to the outermost pipe around a call, by where it begins.
func (r *shellReader) pipelineOf(above []syntax.Node) int {
	for _, n := range above {
		if b, ok := n.(*syntax.BinaryCmd); ok && (b.Op == syntax.Pipe || b.Op == syntax.PipeAll) {
			return r.line(b.Pos())<<12 | int(b.Pos().Col())&0xfff
		}
	}
	return 0
}

// variable gives the variable that a substitution is assigned to.
func variable(above []syntax.Node) string {
	for i := len(above) - 1; i >= 0; i-- {
		switch n := above[i].(type) {
		case *syntax.Assign:
			if n.Name != nil {
				return n.Name.Value
			}
			return ""
		case *syntax.Word, *syntax.DblQuoted:
		default:
			return ""
		}
	}
	return ""
}

// harmless tells whether what stands behind || does nothing about a failure.
func harmless(s *syntax.Stmt) bool {
	call, ok := s.Cmd.(*syntax.CallExpr)
	return ok && len(call.Args) > 0 && slices.Contains([]string{"true", ":", "echo"}, wordText(call.Args[0]))
}

// wordText writes a word as a program gets it; variables stand as $NAME, and what a call
// puts there as $(…).
func wordText(w *syntax.Word) string {
	var b strings.Builder
	var part func(p syntax.WordPart)
	part = func(p syntax.WordPart) {
		switch p := p.(type) {
		case *syntax.Lit:
			b.WriteString(unescape(p.Value))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			for _, q := range p.Parts {
				part(q)
			}
		case *syntax.ParamExp:
			if p.Param != nil {
				b.WriteString("$" + p.Param.Value)
			}
		default:
			b.WriteString("$(…)")
		}
	}
	for _, p := range w.Parts {
		part(p)
	}
	return b.String()
}

// unescape takes out the backslashes by which the shell is told to leave a sign alone.
func unescape(lit string) string {
	return strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`, "\\\n", "").Replace(lit)
}
