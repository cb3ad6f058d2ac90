package cloudflare

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

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
			if note := c.reach(ctx, name, notify(call)); note != "" && call.Environment.Class != firedrill.ClassSandbox {
				res.Notes = append(res.Notes, note)
			}
			return res, nil
		})
}

// reach says what the token can reach besides the environment, as far as the API
// tells: permissions on databases, namespaces and Workers are for whole accounts.
// "" where nothing is protected that it could reach.
func (c *Client) reach(ctx context.Context, op string, tell func(string)) string {
	if c.cfg.Guard == nil || len(c.cfg.Guard.kinds()) == 0 {
		return ""
	}
	const rest = "permissions on databases, namespaces and Workers are for a whole account, so what is protected there is kept by firedrill's guards alone: a separate account for what is drilled is safer"
	req := Request{Op: op, Target: "API token", Method: http.MethodGet, Path: "/accounts", Query: url.Values{"per_page": {"50"}}, Notify: tell}
	var accounts []struct{ ID, Name string }
	resp, err := c.Do(ctx, req)
	if err == nil {
		err = resp.Decode(req, &accounts)
	}
	if err != nil || len(accounts) == 0 {
		return "the API does not tell what the token can reach; " + rest
	}
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = oneLine(cmp.Or(a.Name, a.ID))
	}
	if int64(len(accounts)) < resp.Info.TotalCount {
		names = append(names, "and more")
	}
	return fmt.Sprintf("the token reaches %s (%s); %s", count(len(accounts), "account"), strings.Join(names, ", "), rest)
}
