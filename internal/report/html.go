package report

import (
	"bytes"
	"embed"
	"html/template"

	"firedrill"
)

// MaxHTML is the size of the largest page, in bytes. A run with more to tell is cut,
// and the page says what it leaves out.
const MaxHTML = 300_000

//go:embed page
var pageFiles embed.FS

// HTML writes the report of a run as one page that needs nothing else: no script, no
// network, no other file. It follows the reader's light or dark setting and prints.
func HTML(p Page) ([]byte, error) {
	t, err := template.ParseFS(pageFiles, "page/*")
	if err != nil {
		return nil, failed(err)
	}
	l := limits{rows: 160, text: 800}
	for {
		var b bytes.Buffer
		if err := t.ExecuteTemplate(&b, "page.html", p.view(l)); err != nil {
			return nil, failed(err)
		}
		if b.Len() <= MaxHTML || l.text <= 25 {
			return b.Bytes(), nil
		}
		l = limits{rows: max(4, l.rows/2), text: l.text / 2}
	}
}

func failed(err error) error {
	return &firedrill.Error{Op: "write the report", Kind: firedrill.KindInternal, Err: err}
}
