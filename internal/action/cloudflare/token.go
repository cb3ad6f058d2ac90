package cloudflare

import (
	"context"
	"time"

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
			if note := c.reachNote(ctx, name, s, call); note != "" {
				res.Notes = append(res.Notes, note)
			}
			if left := s.Expires.Sub(call.Now().Wall); !s.Expires.IsZero() && left < expiresSoon {
				res.Notes = append(res.Notes, "the token expires on "+s.Expires.UTC().Format(time.DateOnly)+": renew it before a drill finds it expired")
			}
			return res, nil
		})
}

// expiresSoon is how long before its end a token is told to expire.
const expiresSoon = 14 * 24 * time.Hour

// wholeAccount is why guards are not enough.
const wholeAccount = "permissions on databases, namespaces and Workers are for a whole account, so what is protected there is kept by firedrill's guards alone: a separate account for what is drilled is safer"

// reachNote says what the token can reach besides the environment, as far as the API
// tells. "" in a sandbox, and where nothing is protected that it could reach.
func (c *Client) reachNote(ctx context.Context, op string, s Standing, call firedrill.Call) string {
	if c.cfg.Guard == nil || len(c.cfg.Guard.kinds()) == 0 || call.Environment.Class == firedrill.ClassSandbox {
		return ""
	}
	r, err := c.Reach(ctx, op, s, notify(call))
	if err != nil { // it is told, and keeps nobody from drilling
		return "the API did not say what the token can reach; " + wholeAccount
	}
	return r.Text() + "; " + wholeAccount
}
