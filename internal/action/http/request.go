package http

import (
	"context"
	"fmt"

	"firedrill"
	"firedrill/internal/action"
)

type getOut struct {
	Status int64  `json:"status" doc:"status"`
	Body   string `json:"body" doc:"the answer's text"`
	Digest string `json:"digest" doc:"SHA-256 of the answer"`
}

func (p *pack) get() firedrill.Action {
	const name = "http.get"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Send one request and give the answer, whatever it is. Redirects are not followed."},
		func(ctx context.Context, _ firedrill.Call, in Probe) (action.Result[getOut], error) {
			a, err := p.ask(ctx, in)
			return action.Result[getOut]{Out: getOut{int64(a.status), string(a.body), a.digest()}, Summary: fmt.Sprintf("%s answered %d", in.name(), a.status)}, err
		})
}

func (p *pack) expect() firedrill.Action {
	const name = "http.expect"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Send one request and fail unless the answer has the declared status, JSON and text."},
		func(ctx context.Context, _ firedrill.Call, in Probe) (action.Result[getOut], error) {
			var res action.Result[getOut]
			a, err := p.ask(ctx, in)
			if err != nil {
				return res, err
			}
			res.Out = getOut{int64(a.status), string(a.body), a.digest()}
			check := firedrill.Check{OK: true, Compared: 1, Detail: in.name() + " as declared"}
			if err := in.check(a); err != nil {
				check.OK, check.Detail = false, in.name()+": "+err.Error()
			}
			res.Checks = []firedrill.Check{check}
			res.Summary = fmt.Sprintf("%s answered %d as declared", in.name(), a.status)
			return res, nil
		})
}
