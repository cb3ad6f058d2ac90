package http

import (
	"context"
	"fmt"
	"math"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

type proveIn struct {
	Probes     []Probe  `json:"probes" doc:"probes to ask"`
	Answers    []Answer `json:"answers,omitempty" doc:"what they answered before the drill; without them only what they declare is compared"`
	Share      float64  `json:"share,omitempty" doc:"share of wrong answers to exclude, above 0 and below 1; 0.05 if left out"`
	Confidence float64  `json:"confidence,omitempty" doc:"confidence to exclude it with, above 0 and below 1; 0.99 if left out"`
}

type proveOut struct {
	Answers    int64   `json:"answers" doc:"right answers in a row, of each probe"`
	Share      float64 `json:"share" doc:"share of wrong answers that is excluded"`
	Confidence float64 `json:"confidence" doc:"confidence of that"`
}

// needed is how many right answers in a row exclude, with a confidence, that a
// share of all answers is wrong: (1-share)^n must be at most 1-confidence.
func needed(share, confidence float64) int64 {
	return int64(math.Ceil(math.Log(1-confidence) / math.Log(1-share)))
}

func (p *pack) prove() firedrill.Action {
	const name = "http.prove"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent, Timeout: 20 * time.Minute,
		Doc: "Prove by behaviour that a service answers as before, also where several versions share the traffic: so many right answers in a row, each on a connection of its own, that a share of wrong ones is excluded with a stated confidence."},
		func(ctx context.Context, call firedrill.Call, in proveIn) (action.Result[proveOut], error) {
			var res action.Result[proveOut]
			all, err := expectations(name, in.Probes, in.Answers)
			if err != nil {
				return res, err
			}
			all, res.Notes, err = p.trusted(ctx, name, all)
			if err != nil {
				return res, err
			}
			res.Out.Share, res.Out.Confidence = orShare(in.Share, 0.05), orShare(in.Confidence, 0.99)
			if res.Out.Share <= 0 || res.Out.Share >= 1 || res.Out.Confidence <= 0 || res.Out.Confidence >= 1 {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindUsage, Target: "inputs share and confidence", Detail: "must be above 0 and below 1", Remedy: "write for example share: 0.05, confidence: 0.99"}
			}
			res.Out.Answers = needed(res.Out.Share, res.Out.Confidence)
			fresh := p.fresh()
			for _, e := range all {
				check := firedrill.Check{OK: true}
				for i := range res.Out.Answers {
					call.Progress(firedrill.Progress{Text: "asking " + e.name(), Done: i, Total: res.Out.Answers})
					a, err := fresh.ask(ctx, e.Probe)
					if ctx.Err() != nil {
						return res, err
					}
					check.Compared++
					if err == nil {
						err = kept(a, call)
					}
					if unknown := hidden(name, e, err); unknown != nil {
						return res, unknown
					}
					if err == nil {
						err = e.judge(a)
					}
					if err != nil {
						check.OK, check.Detail = false, fmt.Sprintf("%s: answer %d: %v", e.name(), i+1, err)
						break
					}
				}
				if check.OK {
					check.Detail = fmt.Sprintf("%s: %d answers in a row as before", e.name(), check.Compared)
				}
				res.Checks = append(res.Checks, check)
			}
			res.Summary = fmt.Sprintf("%d answers in a row of each of %d routes: fewer than %g %% wrong with %g %% confidence",
				res.Out.Answers, len(all), res.Out.Share*100, res.Out.Confidence*100)
			return res, nil
		})
}

func orShare(v, otherwise float64) float64 {
	if v == 0 {
		return otherwise
	}
	return v
}
