package runbook

import (
	"embed"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"text/template"
	"time"

	"firedrill"
)

// Wrangler is the version for which the commands are written. Others may have
// other flags.
const Wrangler = "4.86.0"

//go:embed books/*.md
var books embed.FS

// Book is what a runbook is about: the recovery of one resource.
type Book struct {
	Drill       string // its name in the plan
	Use         string // the built-in drill
	Plan        string // the plan's file
	Environment string
	Class       firedrill.Class
	API         string // "" for the platform's own address
	Account     string // "" where the plan does not say
	Token       string // a word of a shell that gives the token
	Key         string // of the resource in the plan
	ID, Name    string // of the resource; one of them may be empty
	RTO, RPO    time.Duration
	Probes      []Probe
	// Pause and Resume say in words how the plan stops and restarts writers.
	Pause, Resume []string
}

// Probe is a request that shows whether the service is well.
type Probe struct {
	Method, URL string
	Status      int
	Expect      string   // what else the answer has to hold, in words; may be empty
	Headers     []string // each a word of a shell: 'Name: value', or "Name: $VARIABLE"
}

// Uses are the built-in drills for which there is a runbook.
func Uses() []string {
	entries, err := fs.ReadDir(books, "books")
	if err != nil {
		return nil // it is embedded
	}
	var uses []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), path.Ext(e.Name())); name != "before" && name != "probes" {
			uses = append(uses, name)
		}
	}
	return uses
}

// Write writes a runbook. A drill for which there is none is an error of
// [firedrill.KindUnsupported].
func Write(w io.Writer, b Book) error {
	if !slices.Contains(Uses(), b.Use) {
		what := b.Use
		if what == "" {
			what = "steps of its own"
		}
		return &firedrill.Error{Op: "write the runbook", Kind: firedrill.KindUnsupported, Target: "drill " + b.Drill,
			Detail: "it has " + what + ", for which there is no runbook", Remedy: "there are runbooks for: " + strings.Join(Uses(), ", ")}
	}
	t, err := template.New("").Funcs(template.FuncMap{"word": Word, "wrangler": func() string { return "npx wrangler@" + Wrangler }}).ParseFS(books, "books/*.md")
	if err == nil {
		err = t.ExecuteTemplate(w, b.Use+".md", b)
	}
	if err != nil {
		return &firedrill.Error{Op: "write the runbook", Kind: firedrill.KindStorage, Target: "drill " + b.Drill, Err: err, Remedy: "look at where it is written to"}
	}
	return nil
}

// Word quotes a text for a shell. What needs no quotes stays as it is.
func Word(text string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+=,", r)
	}
	if text != "" && strings.IndexFunc(text, func(r rune) bool { return !safe(r) }) < 0 {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
