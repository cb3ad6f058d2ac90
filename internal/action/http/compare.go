package http

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/action"
)

// compareTimes is how often each probe is asked when answers are compared.
const compareTimes = 3

type compareIn struct {
	Probes  []Probe  `json:"probes" doc:"probes to ask"`
	Answers []Answer `json:"answers,omitempty" doc:"what they answered before the drill; without them only what they declare is compared"`
	Times   int64    `json:"times,omitempty" doc:"requests of each probe; 3 if left out"`
}

type compareOut struct {
	Equal    int64 `json:"equal" doc:"probes that answered as before every time"`
	Compared int64 `json:"compared" doc:"answers that were compared"`
}

func (p *pack) compare() firedrill.Action {
	const name = "http.compare"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Compare what a service answers with what it answered before the drill. One check for each probe that can fail: one that passes with a wrong body proves nothing."},
		func(ctx context.Context, call firedrill.Call, in compareIn) (action.Result[compareOut], error) {
			var res action.Result[compareOut]
			all, err := expectations(name, in.Probes, in.Answers)
			if err != nil {
				return res, err
			}
			all, res.Notes, err = p.trusted(ctx, name, all)
			if err != nil {
				return res, err
			}
			times := in.Times
			if times <= 0 {
				times = compareTimes
			}
			for _, e := range all {
				check := firedrill.Check{OK: true, Detail: e.name() + " as before"}
				for range times {
					a, err := p.ask(ctx, e.Probe)
					check.Compared++
					res.Out.Compared++
					if err == nil {
						err = kept(a, call)
					}
					if unknown := hidden(name, e, err); unknown != nil {
						return res, unknown
					}
					if err == nil {
						err = e.judge(a)
					}
					if ctx.Err() != nil {
						return res, err
					}
					if err != nil {
						check.OK, check.Detail = false, e.name()+": "+err.Error()
						break
					}
				}
				if check.OK {
					res.Out.Equal++
				}
				res.Checks = append(res.Checks, check)
			}
			res.Summary = fmt.Sprintf("%d of %d routes as before", res.Out.Equal, len(all))
			return res, nil
		})
}
