package cloudflare

import (
	"context"
	"net/http"
	"slices"

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
			ask := func(path string) (string, error) {
				req := Request{Op: name, Target: "API token", Method: http.MethodGet, Path: path, Notify: notify(call)}
				resp, err := c.Do(ctx, req)
				if err != nil {
					return "", err
				}
				var out struct {
					Status string `json:"status"`
				}
				return out.Status, resp.Decode(req, &out)
			}
			status, err := ask("/user/tokens/verify")
			// A token of the account is refused there, and known here.
			if err != nil && slices.Contains([]firedrill.Kind{firedrill.KindDenied, firedrill.KindInvalid}, firedrill.KindOf(err)) {
				if s, err2 := ask(c.AccountPath("tokens", "verify")); err2 == nil {
					status, err = s, nil
				}
			}
			if err != nil {
				return res, err
			}
			if status != "active" {
				return res, &firedrill.Error{Op: name, Kind: firedrill.KindDenied, Target: "API token", Detail: "its status is " + status, Remedy: "make a new token, or enable this one"}
			}
			res.Out = verifyOut{status, c.API()}
			res.Summary = "token is active"
			return res, nil
		})
}
