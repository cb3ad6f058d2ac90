package http

import (
	"context"
	"errors"
	"fmt"
	"net"

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
		Doc: "Take the answers of a healthy service, to compare later ones with. Each probe is asked several times; it must hold what it declares, and it must be able to fail."},
		func(ctx context.Context, _ firedrill.Call, in baselineIn) (action.Result[baselineOut], error) {
			var res action.Result[baselineOut]
			res.Out.Answers = []Answer{}
			all, err := expectations(name, in.Probes, nil)
			if err != nil {
				return res, err
			}
			if err := p.notAnsweredByNobody(ctx); err != nil {
				return res, err
			}
			for _, e := range all {
				a, err := p.sample(ctx, e.Probe)
				if err != nil {
					return res, err
				}
				res.Out.Answers = append(res.Out.Answers, a)
				if note := blind(e.Probe, a); note != "" {
					res.Collateral = append(res.Collateral, note)
				}
				res.Checks = append(res.Checks, firedrill.Check{OK: true, Compared: baselineSamples, Detail: e.name() + " is healthy"})
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

// blind names a probe that would not notice a wrong body. That it notices a
// wrong status and no answer at all is certain.
func blind(pr Probe, a Answer) string {
	e := expectation{Probe: pr, before: &a}
	if e.judge(answer{status: int(a.Status), body: []byte("a body that no service answers")}) != nil {
		return ""
	}
	return fmt.Sprintf("probe %s would not notice a wrong body: its answer varies and it declares neither json nor contains", pr.name())
}

// notAnsweredByNobody asks a port that nothing listens on. Where that gives an
// answer (an intercepting proxy), no probe could ever fail.
func (p *pack) notAnsweredByNobody(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return &firedrill.Error{Op: "http.baseline", Kind: firedrill.KindStorage, Target: "this machine", Detail: "no port can be opened", Err: err}
	}
	dead := "http://" + l.Addr().String() + "/"
	if err := l.Close(); err != nil {
		return err
	}
	if _, err := p.ask(ctx, Probe{Name: "a dead address", URL: dead}); err == nil {
		return &firedrill.Error{Op: "http.baseline", Kind: firedrill.KindExpectation, Target: dead, Detail: "nothing listens there, and it answers: no probe could ever fail here",
			Remedy: "look what intercepts connections on this machine"}
	} else if errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}
