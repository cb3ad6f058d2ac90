package certify

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"firedrill"
)

// The prerequisites that the baseline can need.
const (
	NeedIsolation = "isolation" // the isolation audit finds nothing
	NeedDocuments = "documents" // the recovery documents are current
	NeedSecrets   = "secrets"   // no secret stands in the repository
)

// LevelNone is the level below the first.
const LevelNone = "none"

// DefaultGrace is how long evidence still counts after its interval.
const DefaultGrace = 7 * 24 * time.Hour

// Rubric says what counts how much.
type Rubric struct {
	Of       Points // what the score is out of; the sum of all never exceeds it
	Baseline Points // given for all needs together
	Needs    []Need
	Items    []Wanted
	Levels   []Level           // rising
	Classes  []firedrill.Class // of the environments whose drills count
	Grace    time.Duration
}

// Need is a prerequisite of the baseline.
type Need struct {
	ID    string
	Title string
	// WhereExists lets a need hold nothing back as long as there is no check that
	// could show it. It is not shown then, and is said to be so.
	WhereExists bool
}

// Wanted is something that gives points while there is fresh evidence of it.
type Wanted struct {
	ID     string
	Title  string
	Points Points
	Use    string   // built-in drill that shows it
	Drills []string // drills of the plan that show it
	Every  string   // how long evidence counts where the drill does not say
}

// Level is the name of a score.
type Level struct {
	Name string
	At   Points
}

// Default is the rubric of the drill plan that firedrill grew from: a hardened
// platform is worth 8.0, each of its five drills 0.1, and each of four abilities
// beyond drills 0.15.
func Default() Rubric {
	return Rubric{Of: 1000, Baseline: 800, Grace: DefaultGrace, Classes: []firedrill.Class{firedrill.ClassStaging},
		Needs: []Need{need(NeedIsolation), need(NeedDocuments), {ID: NeedSecrets, Title: titleOf(NeedSecrets), WhereExists: true}},
		Items: []Wanted{
			{ID: "d1-pitr", Title: "a database returns to a point in time", Points: 10, Use: "d1-pitr", Every: "quarterly"},
			{ID: "worker-rollback", Title: "a bad Worker version is rolled back", Points: 10, Use: "worker-rollback", Every: "monthly"},
			{ID: "kv-backup-restore", Title: "a KV namespace returns from its backup", Points: 10, Use: "kv-backup-restore", Every: "quarterly"},
			{ID: "do-state-recovery", Title: "Durable Objects return from their source of truth", Points: 10, Use: "do-state-recovery", Every: "semi-annual"},
			{ID: "full-failover", Title: "the whole platform is rebuilt", Points: 10, Use: "full-failover", Every: "annual"},
			{ID: "dr-pipeline", Title: "an automated recovery pipeline", Points: 15},
			{ID: "multi-region", Title: "a multi-region strategy", Points: 15},
			{ID: "chaos-engineering", Title: "chaos engineering", Points: 15},
			{ID: "zero-trust-secrets", Title: "zero-trust secrets", Points: 15},
		},
		Levels: []Level{{"data-safe", 800}, {"operationally-excellent", 850}, {"mission-critical", 900}}}
}

func need(id string) Need { return Need{ID: id, Title: titleOf(id)} }

func titleOf(id string) string {
	switch id {
	case NeedIsolation:
		return "the isolation audit is clean"
	case NeedDocuments:
		return "the recovery documents are current"
	case NeedSecrets:
		return "no secret stands in the repository"
	}
	return id
}

// RubricOf gives the rubric that a plan wants; nil is the default. A need that the
// plan names itself holds the baseline back also where no check can show it. The
// error joins all that is wrong.
func RubricOf(c *firedrill.Certification) (Rubric, error) {
	r := Default()
	if c == nil {
		return r, nil
	}
	b := &reader{}
	if c.Of != 0 {
		r.Of = b.points("of", c.Of)
	}
	if c.Baseline.Points != 0 {
		r.Baseline = b.points("baseline.points", c.Baseline.Points)
	}
	if c.Baseline.Needs != nil {
		r.Needs = b.needs(c.Baseline.Needs)
	}
	if c.Classes != nil {
		r.Classes = b.classes(c.Classes)
	}
	if c.Grace != "" {
		r.Grace = b.grace(c.Grace)
	}
	if c.Items != nil {
		r.Items = b.items(c.Items)
	}
	if c.Levels != nil {
		r.Levels = b.levels(c.Levels)
	}
	if most := r.Most(); most > r.Of {
		b.wrong("the points add up to %s, and the score is out of %s", most, r.Of)
	}
	return r, errors.Join(b.errs...)
}

// Most is the score if everything counts.
func (r Rubric) Most() Points {
	sum := r.Baseline
	for _, w := range r.Items {
		sum += w.Points
	}
	return sum
}

// LevelOf names a score.
func (r Rubric) LevelOf(score Points) string {
	name := LevelNone
	for _, l := range r.Levels {
		if score >= l.At {
			name = l.Name
		}
	}
	return name
}

// reader gathers what is wrong with a rubric.
type reader struct{ errs []error }

func (b *reader) wrong(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

func (b *reader) points(what string, x float64) Points {
	p, err := PointsOf(x)
	if err != nil {
		b.wrong("%s: %v", what, err)
	} else if p == 0 {
		b.wrong("%s is worth nothing", what)
	}
	return p
}

func (b *reader) needs(list []string) []Need {
	known := []string{NeedIsolation, NeedDocuments, NeedSecrets}
	var out []Need
	if len(list) == 0 {
		b.wrong("baseline.needs is empty, so the baseline would be given for nothing")
	}
	for _, id := range list {
		switch {
		case !slices.Contains(known, id):
			b.wrong("baseline.needs: there is no prerequisite %q; there are: %s", id, strings.Join(known, ", "))
		case slices.ContainsFunc(out, func(n Need) bool { return n.ID == id }):
			b.wrong("baseline.needs has %s twice", id)
		}
		out = append(out, need(id))
	}
	return out
}

func (b *reader) classes(list []string) []firedrill.Class {
	known := []string{string(firedrill.ClassSandbox), string(firedrill.ClassCI), string(firedrill.ClassStaging)}
	var out []firedrill.Class
	for _, c := range list {
		if !slices.Contains(known, c) {
			b.wrong("classes: no drill runs on class %q; there are: %s", c, strings.Join(known, ", "))
		}
		out = append(out, firedrill.Class(c))
	}
	if len(out) == 0 {
		b.wrong("classes is empty, so no drill could count")
	}
	return out
}

// grace reads a span of days or a duration: 7d, 36h.
func (b *reader) grace(text string) time.Duration {
	if n, is := strings.CutSuffix(text, "d"); is {
		count, err := strconv.ParseUint(n, 10, 9)
		if err != nil {
			b.wrong("grace: %q is no number of days below 512", text)
		}
		return time.Duration(count) * 24 * time.Hour
	}
	span, err := time.ParseDuration(text)
	if err != nil || span < 0 {
		b.wrong("grace: %q is no span of time; write for example 7d or 36h", text)
	}
	return span
}

func (b *reader) items(list []firedrill.RubricItem) []Wanted {
	var out []Wanted
	for _, i := range list {
		w := Wanted{ID: i.ID, Title: i.Title, Points: b.points("item "+i.ID, i.Points), Use: i.Use, Drills: i.Drills, Every: i.Every}
		if w.Title == "" {
			w.Title = w.ID
		}
		if slices.ContainsFunc(out, func(o Wanted) bool { return o.ID == w.ID }) {
			b.wrong("there are two items %s", w.ID)
		}
		out = append(out, w)
	}
	return out
}

func (b *reader) levels(list []firedrill.RubricLevel) []Level {
	var out []Level
	for _, l := range list {
		at := b.points("level "+l.Name, l.At)
		if n := len(out); n > 0 && at <= out[n-1].At {
			b.wrong("level %s is not above %s, which stands before it", l.Name, out[n-1].Name)
		}
		if l.Name == LevelNone || l.Name == "" {
			b.wrong("no level can be called %q", l.Name)
		}
		out = append(out, Level{l.Name, at})
	}
	return out
}
