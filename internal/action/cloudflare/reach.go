package cloudflare

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"firedrill"
)

// Reach is what a token can reach, as far as the API tells.
type Reach struct {
	// Accounts are those that the token sees; More is set where the list goes on.
	// Neither is told to every token: SeesAccounts.
	Accounts     []Holding
	More         bool
	SeesAccounts bool
	// Permissions are the names of what the token may do, and of what it is denied;
	// they are told to a token that may read itself: ReadsItself.
	Permissions, Denied []string
	ReadsItself         bool
	// Everywhere is set where a permission is for all accounts; Named are the ids of
	// those that permissions name.
	Everywhere bool
	Named      []string
	// Why is what the API says where it does not tell the permissions.
	Why string
}

// Elsewhere tells whether the token reaches another account than one; told is false
// where that is not known.
func (r Reach) Elsewhere(account string) (elsewhere, told bool) {
	other := func(id string) bool { return !strings.EqualFold(id, account) }
	seen := slices.ContainsFunc(r.Accounts, func(a Holding) bool { return other(a.ID) })
	return seen || r.More || r.Everywhere || slices.ContainsFunc(r.Named, other), r.SeesAccounts || r.ReadsItself
}

// Reach asks which accounts the token sees and, of a token that may read itself, what
// it may do there. What the API does not tell is no error.
func (c *Client) Reach(ctx context.Context, op string, s Standing, tell func(string)) (Reach, error) {
	var r Reach
	if err := r.accounts(ctx, c, op, tell); err != nil {
		return Reach{}, err
	}
	if s.ID == "" {
		r.Why = "the API does not say which token it is"
		return r, nil
	}
	path := "/user/tokens/" + url.PathEscape(s.ID)
	if s.OfAccount {
		path = c.AccountPath("tokens", s.ID)
	}
	req := Request{Op: op, Target: "API token", Method: http.MethodGet, Path: path, Ids: []ID{{"token", s.ID}}, Notify: tell}
	var out struct {
		Policies []policy `json:"policies"`
	}
	resp, err := c.Do(ctx, req)
	if err == nil {
		err = resp.Decode(req, &out)
	}
	if err != nil {
		if !untold(err) {
			return Reach{}, err
		}
		r.Why = "it may not read itself"
		return r, nil
	}
	r.ReadsItself = true
	for _, p := range out.Policies {
		r.policy(p)
	}
	for _, list := range []*[]string{&r.Permissions, &r.Denied, &r.Named} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return r, nil
}

// untold tells whether an error means that the API does not tell something, and not
// that it cannot be reached.
func untold(err error) bool {
	return slices.Contains([]firedrill.Kind{firedrill.KindDenied, firedrill.KindNotFound, firedrill.KindInvalid, firedrill.KindUnsupported}, firedrill.KindOf(err))
}

// accounts reads the first page of the accounts that the token sees.
func (r *Reach) accounts(ctx context.Context, c *Client, op string, tell func(string)) error {
	req := Request{Op: op, Target: "API token", Method: http.MethodGet, Path: "/accounts", Query: url.Values{"per_page": {"50"}}, Notify: tell}
	resp, err := c.Do(ctx, req)
	if err == nil {
		err = resp.Decode(req, &r.Accounts)
	}
	if err != nil {
		if !untold(err) {
			return err
		}
		return nil
	}
	r.SeesAccounts = len(r.Accounts) > 0
	r.More = int64(len(r.Accounts)) < resp.Info.TotalCount
	for i := range r.Accounts {
		r.Accounts[i].Name = oneLine(r.Accounts[i].Name)
	}
	return nil
}

// policy is what a token is allowed or denied, and where.
type policy struct {
	Effect string                      `json:"effect"`
	Groups []struct{ ID, Name string } `json:"permission_groups"`
	Where  map[string]any              `json:"resources"`
}

func (r *Reach) policy(p policy) {
	list := &r.Permissions
	if p.Effect == "deny" {
		list = &r.Denied
	}
	for _, g := range p.Groups {
		*list = append(*list, oneLine(cmp.Or(g.Name, g.ID)))
	}
	if p.Effect == "deny" {
		return
	}
	for resource := range p.Where {
		id, is := strings.CutPrefix(resource, "com.cloudflare.api.account.")
		switch {
		case !is || strings.HasPrefix(id, "zone."):
		case id == "*":
			r.Everywhere = true
		default:
			r.Named = append(r.Named, strings.ToLower(id))
		}
	}
}

// Text says in one sentence which accounts the token reaches, and what it may do.
func (r Reach) Text() string {
	accounts := "the API does not tell which accounts the token reaches"
	if r.SeesAccounts {
		var names []string
		for _, a := range r.Accounts {
			names = append(names, cmp.Or(a.Name, a.ID))
		}
		if r.More {
			names = append(names, "and more")
		}
		accounts = fmt.Sprintf("the token reaches %s (%s)", count(len(r.Accounts), "account"), strings.Join(names, ", "))
	}
	if !r.ReadsItself {
		return accounts + "; what it may do there the API does not tell: " + r.Why
	}
	may := "; it may: " + strings.Join(r.Permissions, ", ")
	if len(r.Permissions) == 0 {
		may = "; it may do nothing"
	}
	if len(r.Denied) > 0 {
		may += "; denied: " + strings.Join(r.Denied, ", ")
	}
	if r.Everywhere {
		may += "; on all accounts"
	}
	return accounts + may
}
