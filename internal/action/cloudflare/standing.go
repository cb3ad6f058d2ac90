package cloudflare

import (
	"context"
	"net/http"
	"slices"
	"time"

	"firedrill"
)

// Standing is how a client's token and account stand with the API.
type Standing struct {
	ID string // of the token; it says nothing about its value
	// OfAccount is set for a token that belongs to the account, not to a user.
	OfAccount bool
	Status    string    // of the token, as the platform says: "active"
	Expires   time.Time // zero: it does not, or the platform does not say
	// At is the API's own clock; zero where the answer does not tell it.
	At time.Time
	// Left is how many requests are left until Reset has passed; told only if Quota.
	Quota bool
	Left  int
	Reset time.Duration
}

// Standing asks about the token, for the user or, where the token belongs to the
// account, for the account. A token that is refused is an error; one that is not
// active is not.
func (c *Client) Standing(ctx context.Context, op string, tell func(string)) (Standing, error) {
	ask := func(path string) (Standing, error) {
		req := Request{Op: op, Target: "API token", Method: http.MethodGet, Path: path, Notify: tell}
		resp, err := c.Do(ctx, req)
		if err != nil {
			return Standing{}, err
		}
		var out struct {
			ID      string    `json:"id"`
			Status  string    `json:"status"`
			Expires time.Time `json:"expires_on"`
		}
		err = resp.Decode(req, &out)
		s := Standing{ID: out.ID, Status: out.Status, Expires: out.Expires}
		if at, derr := http.ParseTime(resp.Header.Get("Date")); derr == nil {
			s.At = at
		}
		s.Left, s.Reset, s.Quota = quota(resp.Header)
		return s, err
	}
	s, err := ask("/user/tokens/verify")
	// A token of the account is refused there, and known here.
	if err != nil && slices.Contains([]firedrill.Kind{firedrill.KindDenied, firedrill.KindInvalid}, firedrill.KindOf(err)) {
		if own, err2 := ask(c.AccountPath("tokens", "verify")); err2 == nil {
			own.OfAccount = true
			return own, nil
		}
	}
	return s, err
}

// Serves tells how many versions of a Worker serve. One that is not deployed is an
// error.
func (c *Client) Serves(ctx context.Context, op, worker string, tell func(string)) (int, error) {
	all, err := script{c, worker, op, tell}.deployments(ctx)
	if err != nil {
		return 0, err
	}
	return len(all[0].Versions), nil
}

// RestoresLeft tells how many restores of a database are left in the present ten
// minutes, of how many, by firedrill's own count: the platform does not tell.
func RestoresLeft(log RestoreLog, database string, now time.Time) (left, allowed int, err error) {
	done, err := log.Since(database, now.Add(-restoreWindow))
	return max(0, restoresAllowed-len(done)), restoresAllowed, err
}
