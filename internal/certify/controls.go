package certify

import (
	_ "embed" // the mapping is data
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"firedrill"
)

//go:embed controls.yaml
var builtInControls string

// AnyDrill stands for all requirements that a drill shows.
const AnyDrill = "drill"

// Control is a clause of a standard and the evidence that supports it.
type Control struct {
	Framework string         `yaml:"framework" json:"framework"`
	Clause    string         `yaml:"clause" json:"clause"`
	About     string         `yaml:"about" json:"about"` // in words that are not the standard's
	Checked   bool           `yaml:"checked" json:"checked"`
	Source    string         `yaml:"source" json:"source,omitempty"` // what it was checked against
	Evidence  []Contribution `yaml:"evidence" json:"evidence"`
}

// Contribution is what some kinds of evidence contribute to a clause.
type Contribution struct {
	Of       []string `yaml:"of" json:"of"`
	Supports string   `yaml:"supports" json:"supports"`
}

// controlsFile is a file of controls.
type controlsFile struct {
	Version  int       `yaml:"version"`
	Controls []Control `yaml:"controls"`
}

// Controls gives the mapping that comes with firedrill.
func Controls() ([]Control, error) { return ParseControls("controls.yaml", []byte(builtInControls)) }

// ParseControls reads a file of controls, strictly.
func ParseControls(file string, data []byte) ([]Control, error) {
	wrong := func(detail string) error {
		return &firedrill.Error{Op: "read the controls", Kind: firedrill.KindUsage, Target: file, Detail: detail, Remedy: "see docs/guide/certification.md"}
	}
	var f controlsFile
	if err := yaml.UnmarshalWithOptions(data, &f, yaml.Strict()); err != nil {
		// The first line has the place; the rest quotes the file.
		return nil, wrong(strings.SplitN(err.Error(), "\n", 2)[0])
	}
	if f.Version != 1 {
		return nil, wrong(fmt.Sprintf("version %d is not known; this firedrill reads version: 1", f.Version))
	}
	var errs []error
	for i, c := range f.Controls {
		at := fmt.Sprintf("controls[%d] %s %s", i, c.Framework, c.Clause)
		switch {
		case c.Framework == "" || c.Clause == "" || c.About == "":
			errs = append(errs, wrong(at+" needs framework, clause and about"))
		case len(c.Evidence) == 0:
			errs = append(errs, wrong(at+" names no evidence"))
		case c.Checked != (c.Source != ""):
			errs = append(errs, wrong(at+": checked goes with the source that it was checked against"))
		case slices.ContainsFunc(c.Evidence, func(s Contribution) bool { return len(s.Of) == 0 || s.Supports == "" }):
			errs = append(errs, wrong(at+": evidence needs of and supports"))
		case slices.ContainsFunc(f.Controls[:i], c.same):
			errs = append(errs, wrong(at+" stands there twice"))
		}
	}
	return f.Controls, errors.Join(errs...)
}

func (c Control) same(other Control) bool {
	return c.Framework == other.Framework && c.Clause == other.Clause
}

// Extend adds controls to others; one for the same clause takes the other's place.
func Extend(base, more []Control) []Control {
	out := slices.Clone(base)
	for _, c := range more {
		if i := slices.IndexFunc(out, c.same); i >= 0 {
			out[i] = c
			continue
		}
		out = append(out, c)
	}
	return out
}

// Supported is a control with the evidence that supports it now.
type Supported struct {
	Control
	Supported bool     `json:"supported"`
	Now       []Backed `json:"now"`
	// Missing are the requirements that would support it and do not count.
	Missing []string `json:"missing"`
}

// Backed is a requirement that counts, and what it contributes to a control.
type Backed struct {
	ID       string   `json:"id"`
	Supports string   `json:"supports"`
	Evidence Evidence `json:"evidence"`
}

// Support tells which controls the evidence behind a score supports.
func Support(all []Control, r Rubric, res Result) []Supported {
	drills := []string{}
	for _, w := range r.Items {
		if w.Use != "" || len(w.Drills) > 0 {
			drills = append(drills, w.ID)
		}
	}
	out := []Supported{}
	for _, c := range all {
		s := Supported{Control: c, Now: []Backed{}, Missing: []string{}}
		for _, e := range c.Evidence {
			for _, id := range e.Of {
				ids := []string{id}
				if id == AnyDrill {
					ids = drills
				}
				for _, id := range ids {
					s.add(id, e.Supports, res)
				}
			}
		}
		s.Supported = len(s.Now) > 0
		out = append(out, s)
	}
	return out
}

func (s *Supported) add(id, supports string, res Result) {
	l, ok := res.Line(id)
	if ok && l.Counts {
		s.Now = append(s.Now, Backed{id, supports, l.Decides()})
	} else if !slices.Contains(s.Missing, id) {
		s.Missing = append(s.Missing, id)
	}
}

// Strangers names what controls refer to and neither a rubric nor the built-in
// mapping knows.
func Strangers(controls []Control, r Rubric) []string {
	known := []string{AnyDrill}
	for _, n := range append(Default().Needs, r.Needs...) {
		known = append(known, n.ID)
	}
	for _, w := range append(Default().Items, r.Items...) {
		known = append(known, w.ID)
	}
	var out []string
	for _, c := range controls {
		for _, e := range c.Evidence {
			for _, id := range e.Of {
				if !slices.Contains(known, id) && !slices.Contains(out, id) {
					out = append(out, id)
				}
			}
		}
	}
	return out
}
