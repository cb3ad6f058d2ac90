package cli

import (
	"os"
	"path/filepath"
	"strings"

	"firedrill"
	"firedrill/internal/certify"
	"firedrill/internal/cli/term"
)

// controls gives the mapping that comes along, with that of the plan.
func (a *app) controls(p *firedrill.Plan, r certify.Rubric) ([]certify.Control, error) {
	all, err := certify.Controls()
	if err != nil || p.Certification == nil || p.Certification.Controls == "" {
		return all, err
	}
	file := filepath.Join(filepath.Dir(p.File), filepath.FromSlash(p.Certification.Controls))
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, &firedrill.Error{Op: "read the controls", Kind: firedrill.KindUsage, Err: err, Remedy: "write it, or name another in the plan: certification: {controls: FILE}"}
	}
	own, err := certify.ParseControls(file, data)
	if err != nil {
		return nil, err
	}
	if s := certify.Strangers(own, r); len(s) > 0 {
		return nil, &firedrill.Error{Op: "read the controls", Kind: firedrill.KindUsage, Target: file, Detail: "the rubric has no " + strings.Join(s, ", "), Remedy: "see: firedrill certify"}
	}
	return certify.Extend(all, own), nil
}

func (a *app) showControls(p *firedrill.Plan, r certify.Rubric, res certify.Result) error {
	all, err := a.controls(p, r)
	if err != nil {
		return err
	}
	supported := certify.Support(all, r, res)
	if a.global.json {
		return a.printJSON(map[string]any{"schema_version": 1, "at": a.Now().UTC(), "certification": res.Brief(), "controls": supported})
	}
	framework := ""
	for _, s := range supported {
		if s.Framework != framework {
			if framework != "" {
				a.out.Blank()
			}
			framework = s.Framework
			a.out.Line(term.Strong, framework, "")
		}
		a.showControl(s)
	}
	a.out.Blank()
	a.out.Text("That evidence supports a control does not say that anybody meets it: the standard\nand its auditors do.")
	return nil
}

func (a *app) showControl(s certify.Supported) {
	about := s.About
	if !s.Checked {
		about += " (our words, not checked against the standard's text)"
	}
	a.out.Line(countStyle(s.Supported), "  "+s.Clause, about)
	for _, b := range s.Now {
		text := "supported by " + b.ID + ": " + b.Supports
		if b.Evidence.Run != "" {
			text += " · run " + b.Evidence.Run + ", " + term.Ago(a.Now().Sub(*b.Evidence.At))
		}
		a.out.Line(term.Plain, "", text)
	}
	if len(s.Now) == 0 {
		a.out.Line(term.Faint, "", "nothing supports it now; this would: "+strings.Join(s.Missing, ", "))
	}
}
