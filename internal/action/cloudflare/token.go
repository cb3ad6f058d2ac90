package cloudflare

import (
	"context"

	"firedrill"
	"firedrill/internal/action"
)

type verifyOut struct {
	Status string `json:"status" doc:"what the platform says about the token: active"`
	API    string `json:"api" doc:"address of the API that answered"`
}

// verifyToken asks whether the token is active, for the user or, where the
// token belongs to the account, for the account.
func (p *pack) verifyToken() firedrill.Action {
	const name = "cloudflare.verify"
	return action.Typed(firedrill.Spec{Name: name, Impact: firedrill.Reads, Replay: firedrill.Idempotent,
		Doc: "Ask whether the API token is valid and active. A token that is disabled, expired or refused is an error."},
		func(ctx context.Context, call firedrill.Call, _ struct{}) (action.Result[verifyOut], error) {
			var res action.Result[verifyOut]
			c, err := p.client(call)
			if err != nil {
				return res, err
			}
			s, err := c.Standing(ctx, name, notify(call))
			if err != nil {
				return res, err
			}
			if s.Status != "active" {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindDenied, Target: "API token", Detail: "its status is " + s.Status, Remedy: "make a new token, or enable this one"}
			}
			res.Out = verifyOut{s.Status, c.API()}
			res.Summary = "token is active"
			return res, nil
		})
}
