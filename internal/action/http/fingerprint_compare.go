package http

import (
	"context"
	"fmt"
	"strings"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// exportTimes is how often each export is read when it is compared.
const exportTimes = 3

// exportPause is between two rounds while it is waited for an export.
const exportPause = 250 * time.Millisecond

type fingerprintCompareIn struct {
	Exports []Export `json:"exports" doc:"routes to read"`
	Against string   `json:"against" doc:"output file of http.fingerprint"`
	Of      string   `json:"of,omitempty" doc:"only the exports of this; all if left out"`
	Times   int64    `json:"times,omitempty" doc:"how often each is read in a row, each time on connections of its own; 3 if left out"`
	// Damage turns the comparison round.
	Damage   bool  `json:"damage,omitempty" doc:"the data is damaged now: an export that is the same as before shows nothing, which is noted"`
	Patience int64 `json:"patience,omitempty" doc:"seconds until an export has to be as expected, where the application may learn late of a write; at once if left out"`
}

type fingerprintCompareOut struct {
	Equal       int64    `json:"equal" doc:"exports that gave the same every time"`
	Differing   int64    `json:"differing" doc:"exports that differed"`
	Records     int64    `json:"records" doc:"records that were compared"`
	Differences []string `json:"differences" doc:"the first differences, by export and key, with fields and values"`
}

// shownDifferences bounds how many differences are listed one by one.
const shownDifferences = 20

func (p *pack) fingerprintCompare() firedrill.Action {
	const name = "http.fingerprint-compare"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Timeout: time.Hour,
		Doc: "Read the application's export routes again and compare every record with what http.fingerprint found. Each is read several times in a row, because another answer can come from another replica: all must be the same as before. With `damage` it is the other way round, and an export that did not change is noted."},
		func(ctx context.Context, call firedrill.Call, in fingerprintCompareIn) (action.Result[fingerprintCompareOut], error) {
			res := action.Result[fingerprintCompareOut]{Out: fingerprintCompareOut{Differences: []string{}}}
			exports, err := exportsOf(name, in.Exports, in.Of)
			if err != nil {
				return res, err
			}
			before, err := loadExports(name, call.Dir, in.Against)
			if err != nil {
				return res, err
			}
			if in.Times <= 0 {
				in.Times = exportTimes
			}
			fresh := p.fresh()
			for _, e := range exports {
				was, there := before[e.name()]
				if !there {
					return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: e.name(), Detail: "was not read before the drill", Remedy: "give http.fingerprint the same exports"}
				}
				check, diff, err := fresh.settle(ctx, call, e, was, in)
				if err != nil {
					return res, err
				}
				res.Out.Records += check.Compared
				for _, d := range diff[:min(len(diff), max(0, shownDifferences-len(res.Out.Differences)))] {
					res.Out.Differences = append(res.Out.Differences, e.name()+" "+d)
				}
				if len(diff) == 0 {
					res.Out.Equal++
				} else {
					res.Out.Differing++
				}
				switch {
				case !in.Damage:
					res.Checks = append(res.Checks, check)
				case len(diff) == 0:
					res.Collateral = append(res.Collateral, e.name()+" was the same while the data was damaged: it comes from a cache or shows other records, so that it is the same afterwards shows nothing")
				}
			}
			res.Summary = fmt.Sprintf("%d of %d exports as before", res.Out.Equal, len(exports))
			if in.Damage {
				res.Summary = fmt.Sprintf("%d of %d exports show the damage", res.Out.Differing, len(exports))
			}
			return res, nil
		})
}

// settle compares an export until it is as expected or patience is over.
func (p *pack) settle(ctx context.Context, call firedrill.Call, e Export, was records, in fingerprintCompareIn) (firedrill.Check, []string, error) {
	began := call.Now()
	for {
		check, diff, err := p.compareExport(ctx, e, was, in.Times)
		if err != nil {
			return check, nil, err
		}
		waited, _ := call.Now().Since(began)
		if (len(diff) > 0) == in.Damage || waited >= time.Duration(in.Patience)*time.Second {
			return check, diff, nil
		}
		call.Progress(firedrill.Progress{Text: check.Detail + "; looking again"})
		timer := time.NewTimer(exportPause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return check, nil, ctx.Err()
		}
	}
}

// compareExport reads an export several times and stops at the first answer that
// differs. An answer that cannot be compared is a difference, too.
func (p *pack) compareExport(ctx context.Context, e Export, was records, times int64) (firedrill.Check, []string, error) {
	check := firedrill.Check{OK: true}
	for i := range times {
		now, err := p.read(ctx, e)
		if ctx.Err() != nil {
			return check, nil, err
		}
		var diff []string
		if err != nil {
			diff = []string{strings.TrimPrefix(err.Error(), "http: "+e.name()+": ")}
		} else {
			diff = differences(e, was, now)
		}
		check.Compared += int64(len(was.Records))
		if len(diff) > 0 {
			check.OK = false
			check.Detail = fmt.Sprintf("%s: answer %d of %d: %s", e.name(), i+1, times, some(diff))
			return check, diff, nil
		}
	}
	check.Detail = fmt.Sprintf("%s: %s, %d times as before", e.name(), countRecords(len(was.Records)), times)
	return check, nil, nil
}
