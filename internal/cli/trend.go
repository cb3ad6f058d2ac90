package cli

import (
	"context"
	"fmt"
	"slices"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/report"
)

// trendBlock is the trend of a drill on one environment, the newest run first.
type trendBlock struct {
	environment string
	runs        []report.Followed
}

// trend shows how the times of a drill went.
func (a *app) trend(ctx context.Context, given []string, limit int) (err error) {
	if len(given) == 0 {
		return usage("a trend is that of one drill", "name it: firedrill history DRILL --trend")
	}
	s, err := a.open(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	defer func() { err = s.close(err) }()
	blocks, err := a.trendBlocks(ctx, s, given[0], limit)
	if err != nil {
		return err
	}
	if a.global.json {
		return a.printJSON(trendDocument(given[0], blocks))
	}
	if len(blocks) == 0 {
		a.out.Text("No drill " + given[0] + " has finished yet. Try: firedrill run " + given[0])
		return nil
	}
	for i, b := range blocks {
		if i > 0 {
			a.out.Blank()
		}
		a.out.Line(term.Strong, given[0], "on "+b.environment)
		a.showTrend("RTO", b, func(f report.Followed) report.Reading { return f.RTO })
		a.showTrend("RPO", b, func(f report.Followed) report.Reading { return f.RPO })
		a.out.Blank()
		a.out.Columns(trendRows(b.runs))
	}
	return nil
}

// trendBlocks gives the trend of a drill on each environment, of the newest runs. No
// more of the history is read than they and what they are held against.
func (a *app) trendBlocks(ctx context.Context, s *station, drill string, limit int) ([]trendBlock, error) {
	runs, err := s.journal.Runs(ctx, journal.Query{Drill: drill})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, r := range runs {
		if !slices.Contains(names, r.Environment) {
			names = append(names, r.Environment)
		}
	}
	var blocks []trendBlock
	for _, n := range names {
		q := journal.Query{Drill: drill, Environment: n}
		if limit > 0 {
			q.Limit = limit + report.LookBack
		}
		pasts, err := a.pasts(ctx, s, q)
		if err != nil {
			return nil, err
		}
		followed := report.Follow(pasts)
		if limit > 0 {
			followed = followed[:min(len(followed), limit)]
		}
		if len(followed) > 0 {
			blocks = append(blocks, trendBlock{n, followed})
		}
	}
	return blocks, nil
}

// showTrend writes the line of one time: a spark from the oldest to the newest run,
// and what the newest is held against.
func (a *app) showTrend(name string, b trendBlock, pick func(report.Followed) report.Reading) {
	var times []*float64
	for _, f := range slices.Backward(b.runs) {
		times = append(times, pick(f).Actual)
	}
	text := report.Spark(times)
	last := pick(b.runs[0])
	if last.Usual != nil {
		text += fmt.Sprintf(" · usual %s, up to %s", term.Seconds(last.Usual.Median), term.Seconds(last.Usual.Limit))
	} else {
		text += " · too few runs passed to tell what is usual"
	}
	if last.Target != nil {
		text += ", target " + term.Seconds(*last.Target)
	}
	style := term.Plain
	if last.Unusual() {
		style = term.Warn
	}
	a.out.Line(style, "  "+name, text)
}

func trendRows(runs []report.Followed) [][]string {
	rows := [][]string{{"STARTED", "VERDICT", "RTO", "USUAL", "RPO", "USUAL", "RUN", ""}}
	for _, f := range runs {
		remark := ""
		switch {
		case f.RTO.Unusual() && f.RPO.Unusual():
			remark = "slower, and more lost, than usual"
		case f.RTO.Unusual():
			remark = "slower than usual"
		case f.RPO.Unusual():
			remark = "more lost than usual"
		}
		rows = append(rows, []string{f.Started.Local().Format("2006-01-02 15:04"), string(f.Verdict), timeOrDash(f.RTO.Actual), usualOrDash(f.RTO),
			timeOrDash(f.RPO.Actual), usualOrDash(f.RPO), f.Run, remark})
	}
	return rows
}

func timeOrDash(s *float64) string {
	if s == nil {
		return "–"
	}
	return term.Seconds(*s)
}

func usualOrDash(r report.Reading) string {
	if r.Usual == nil {
		return "–"
	}
	return term.Seconds(r.Usual.Median)
}

func trendDocument(drill string, blocks []trendBlock) map[string]any {
	reading := func(r report.Reading) map[string]any {
		m := map[string]any{"actual_s": r.Actual, "target_s": r.Target, "usual_s": nil, "limit_s": nil, "of": 0, "unusual": r.Unusual()}
		if r.Usual != nil {
			m["usual_s"], m["limit_s"], m["of"] = r.Usual.Median, r.Usual.Limit, r.Usual.Of
		}
		return m
	}
	runs := []map[string]any{}
	for _, b := range blocks {
		for _, f := range b.runs {
			runs = append(runs, map[string]any{"run": f.Run, "environment": f.Environment, "started": f.Started, "verdict": f.Verdict, "rto": reading(f.RTO), "rpo": reading(f.RPO)})
		}
	}
	return map[string]any{"schema_version": 1, "drill": drill, "runs": runs}
}

// unusual says what of a run that just ended is out of the usual. Earlier runs that
// cannot be read are told of and change nothing: the run itself is recorded.
func (a *app) unusual(ctx context.Context, s *station, r firedrill.Result) []string {
	pasts, err := a.pasts(context.WithoutCancel(ctx), s, journal.Query{Drill: r.Drill, Environment: r.Environment, Limit: 1 + report.LookBack})
	if err != nil {
		return []string{"earlier runs cannot be read: " + err.Error()}
	}
	for _, f := range report.Follow(pasts) {
		if f.Run == r.Run {
			return f.Unusual()
		}
	}
	return nil
}
