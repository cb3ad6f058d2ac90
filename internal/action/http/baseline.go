package http

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/action"
)

// baselineSamples is how often each probe is asked before a drill, to see
// whether its answer varies.
const baselineSamples = 3

type baselineIn struct {
	Probes []Probe `json:"probes" doc:"probes to ask, as environment.probes gives them"`
}

type baselineOut struct {
	Answers []Answer `json:"answers" doc:"what each probe answered"`
}

func (p *pack) baseline() firedrill.Action {
	const name = "http.baseline"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Take the answers of a healthy service, to compare later ones with. Each probe is asked several times; it must hold what it declares, and one at least must be able to fail."},
		func(ctx context.Context, _ firedrill.Call, in baselineIn) (action.Result[baselineOut], error) {
			var res action.Result[baselineOut]
			res.Out.Answers = []Answer{}
			all, err := expectations(name, in.Probes, nil)
			if err != nil {
				return res, err
			}
			for i, e := range all {
				a, err := p.sample(ctx, e.Probe)
				if err != nil {
					return res, err
				}
				all[i].before = &a
				res.Out.Answers = append(res.Out.Answers, a)
				res.Checks = append(res.Checks, firedrill.Check{OK: true, Compared: baselineSamples, Detail: e.name() + " is healthy"})
			}
			if _, res.Notes, err = p.trusted(ctx, name, all); err != nil {
				return res, err
			}
			res.Summary = fmt.Sprintf("%d of %d routes healthy", len(all), len(all))
			return res, nil
		})
}

// sample asks a probe several times.
func (p *pack) sample(ctx context.Context, pr Probe) (Answer, error) {
	out := Answer{Name: pr.name()}
	for i := range baselineSamples {
		a, err := p.ask(ctx, pr)
		if err != nil {
			return out, err
		}
		if err := pr.check(a); err != nil {
			return out, &firedrill.Error{Op: "http.baseline", Kind: firedrill.KindExpectation, Target: pr.name(), Detail: "is not healthy before the drill: " + err.Error(),
				Remedy: "repair the service, or correct the probe in the plan"}
		}
		if i > 0 && (a.digest() != out.Digest || int64(a.status) != out.Status) {
			out.Varies = true
		}
		out.Status, out.Digest = int64(a.status), a.digest()
	}
	return out, nil
}
