package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/certify"
	"firedrill/internal/cli/term"
)

// certifyOptions are the flags of `certify`.
type certifyOptions struct {
	controls bool
	level    string  // at least this
	least    float64 // at least this score
}

func (a *app) certifyCommand() *cobra.Command {
	var o certifyOptions
	c := &cobra.Command{
		Use: "certify", Short: "The score, how it came about, and what would change it",
		Long: `Certify computes a score from evidence. The rubric stands in the plan
(certification:); without one it is that of docs/guide/certification.md: 8.0 for a
hardened platform, 0.1 for each of five drills, 0.15 for each of four abilities
beyond drills.

A drill counts while its last run that tells anything passed, is fresh (within
the drill's interval and a grace), ran on an environment of a class that counts,
and agrees with its records. A newer run that failed takes the point away, one
that told nothing does not. What does not exist counts nothing.

With --at or --min the exit status is 1 below that level or score, for CI.`,
		Example: `  firedrill certify
  firedrill certify --at data-safe
  firedrill certify --controls --json`,
		Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return a.certify(c.Context(), o) },
	}
	c.Flags().BoolVar(&o.controls, "controls", false, "which controls of which standards the evidence supports")
	c.Flags().StringVar(&o.level, "at", "", "exit status 1 below this `level`")
	c.Flags().Float64Var(&o.least, "min", 0, "exit status 1 below this `score`")
	if err := c.RegisterFlagCompletionFunc("at", a.completeLevels); err != nil {
		panic(err) // the flag is there: it was made above
	}
	return c
}

func (a *app) completeLevels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	p, _, err := a.loadPlan()
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	r, err := certify.RubricOf(p.Certification)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return levelNames(r), cobra.ShellCompDirectiveNoFileComp
}

func levelNames(r certify.Rubric) []string {
	var names []string
	for _, l := range r.Levels {
		names = append(names, l.Name)
	}
	return names
}

func (a *app) certify(ctx context.Context, o certifyOptions) (err error) {
	p, _, err := a.loadPlan()
	if err != nil {
		return err
	}
	s, err := a.open(ctx, p.Environments, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	rubric, res, err := a.certificate(ctx, s, p)
	if err != nil {
		return err
	}
	least, err := o.bar(rubric)
	if err != nil {
		return err
	}
	if o.controls {
		err = a.showControls(p, rubric, res)
	} else {
		err = a.showCertificate(res)
	}
	if err == nil && res.Score < least {
		return exitStatus(firedrill.ExitFailed)
	}
	return err
}

// bar gives the score that is asked for, 0 if none is.
func (o certifyOptions) bar(r certify.Rubric) (certify.Points, error) {
	least, err := certify.PointsOf(o.least)
	if err != nil || least > r.Of {
		return 0, usage(fmt.Sprintf("--min %v is no score", o.least), fmt.Sprintf("it is out of %s, in hundredths", r.Of))
	}
	if o.level == "" {
		return least, nil
	}
	i := slices.IndexFunc(r.Levels, func(l certify.Level) bool { return l.Name == o.level })
	if i < 0 {
		return 0, usage(fmt.Sprintf("there is no level %q", o.level), didYouMean(o.level, levelNames(r), strings.Join(levelNames(r), ", ")))
	}
	return max(least, r.Levels[i].At), nil
}

// certificateDocument is what --json prints.
type certificateDocument struct {
	SchemaVersion int       `json:"schema_version"`
	At            time.Time `json:"at"`
	certify.Result
}

func (a *app) showCertificate(res certify.Result) error {
	if a.global.json {
		return a.printJSON(certificateDocument{1, a.Now().UTC(), res})
	}
	p := a.out
	p.Line(term.Strong, "score", fmt.Sprintf("%s of %s · level %s · at most %s", res.Score, res.Of, res.Level, res.Most))
	p.Blank()
	p.Line(countStyle(res.Baseline.Counts), "baseline", worth(res.Baseline.Points, res.Baseline.Counts)+", for all of:")
	for _, l := range res.Baseline.Needs {
		a.showLine("  "+l.ID, l)
	}
	for _, l := range res.Items {
		a.showLine(l.ID, l)
	}
	p.Blank()
	for i, g := range res.Gains {
		label := ""
		if i == 0 {
			label = "would add"
		}
		p.Line(term.Plain, label, fmt.Sprintf("%s %s, to %s: %s", g.Points, g.ID, scored(g.Score, g.Level, res), strings.Join(g.How, " · ")))
	}
	for i, l := range res.Losses {
		label := ""
		if i == 0 {
			label = "will be lost"
		}
		p.Line(term.Plain, label, fmt.Sprintf("%s %s on %s, to %s", l.Points, l.ID, onDay(l.At), scored(l.Score, l.Level, res)))
	}
	return nil
}

// scored writes a score to come, and its level where it is another one.
func scored(score certify.Points, level string, now certify.Result) string {
	if level == now.Level {
		return score.String()
	}
	return score.String() + ", " + level
}

func worth(p certify.Points, counts bool) string {
	if counts {
		return p.String()
	}
	return "0 of " + p.String()
}

func countStyle(counts bool) term.Style {
	if counts {
		return term.Good
	}
	return term.Plain
}

// showLine writes a requirement: what it gives, and what is known about it.
func (a *app) showLine(label string, l certify.Line) {
	head := ""
	if l.Points > 0 {
		head = worth(l.Points, l.Counts) + ", "
	}
	for i, e := range l.Evidence {
		text := a.evidenceText(e)
		if len(l.Evidence) > 1 && e.Drill != "" {
			text = "drill " + e.Drill + ": " + text
		}
		if i == 0 {
			a.out.Line(countStyle(l.Counts), label, head+l.Title)
		}
		a.out.Line(term.Faint, "", text)
	}
}

// evidenceText says what is known, how old it is and until when it counts.
func (a *app) evidenceText(e certify.Evidence) string {
	parts := []string{string(e.Status)}
	if e.Why != "" {
		parts[0] += ": " + e.Why
	}
	if e.Run != "" {
		parts = append(parts, fmt.Sprintf("run %s on %s (%s)", e.Run, e.Environment, e.Class))
	}
	if e.Run != "" && e.At != nil {
		parts = append(parts, term.Ago(a.Now().Sub(*e.At)))
	}
	if e.Expires != nil {
		word := "counts until "
		if !e.Counts() {
			word = "fresh until "
		}
		parts = append(parts, word+onDay(*e.Expires))
	}
	if e.Remark != "" {
		parts = append(parts, e.Remark)
	}
	return strings.Join(parts, " · ")
}

// scoreNow gives the score for a result document. That it cannot be computed is
// told, and takes nothing from the result.
func (a *app) scoreNow(ctx context.Context, s *station, p *firedrill.Plan) *firedrill.Score {
	_, res, err := a.certificate(context.WithoutCancel(ctx), s, p)
	if err != nil {
		a.err.Line(term.Warn, "certification", "not computed: "+err.Error())
		return nil
	}
	brief := res.Brief()
	return &brief
}
