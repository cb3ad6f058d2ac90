package http

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"firedrill"
)

// GuardPlan gives the guard of each environment of a plan: what is not a plain
// read is not sent to an address that another environment has. Where one address
// lies below another, the longer one says whose it is. The guards keep what they
// are told here, whatever becomes of the plan later.
func GuardPlan(environments map[string]firedrill.Environment) func(firedrill.Environment) func(method, address string) error {
	type owned struct{ base, env string }
	var all []owned
	for name, e := range environments {
		for _, r := range e.Resources {
			if u, _ := r.Attrs["url"].(string); u != "" {
				all = append(all, owned{bare(u), name})
			}
		}
	}
	return func(env firedrill.Environment) func(method, address string) error {
		return func(method, address string) error {
			if slices.Contains([]string{"", http.MethodGet, http.MethodHead, http.MethodOptions}, strings.ToUpper(method)) {
				return nil
			}
			var owner owned
			for _, o := range all {
				// What two environments have is another's, too.
				if below(bare(address), o.base) && (len(o.base) > len(owner.base) || len(o.base) == len(owner.base) && owner.env == env.Name) {
					owner = o
				}
			}
			if owner.env == "" || owner.env == env.Name {
				return nil
			}
			return &firedrill.Error{Op: "http", Kind: firedrill.KindGuard, Target: address, Detail: strings.ToUpper(method) + " could change something there, and it belongs to environment " + owner.env,
				Remedy: "give an address of environment " + env.Name + "; nothing was sent"}
		}
	}
}

// bare writes an address as it is compared: without scheme, the port that
// goes without saying, a dot behind the host, and what is behind the path.
func bare(address string) string {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil {
		return strings.ToLower(address)
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if port := u.Port(); port != "" && port != "80" && port != "443" {
		host += ":" + port
	}
	return host + strings.TrimRight(path.Clean("/"+u.Path), "/")
}

// below tells whether an address is a base address or lies below it.
func below(address, base string) bool {
	rest, is := strings.CutPrefix(address, base)
	return is && (rest == "" || rest[0] == '/')
}

// guarded asks the guard about every address in the inputs of an action before it
// does anything.
type guarded struct {
	firedrill.Action
	guard func(firedrill.Environment) func(method, address string) error
}

// Do implements [firedrill.Action].
func (g guarded) Do(ctx context.Context, call firedrill.Call) (firedrill.Outcome, error) {
	if err := refused(map[string]any(call.Inputs), g.guard(call.Environment)); err != nil {
		return firedrill.Outcome{}, err
	}
	return g.Action.Do(ctx, call)
}

// refused looks for requests in inputs, however deep they stand.
func refused(v any, guard func(method, address string) error) error {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			if err := refused(x, guard); err != nil {
				return err
			}
		}
	case map[string]any:
		if address, is := v["url"].(string); is {
			method, _ := v["method"].(string)
			if _, writes := v["routes"]; writes { // a sentinel's: it writes and removes
				method = http.MethodPost
			}
			if err := guard(method, address); err != nil {
				return err
			}
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if err := refused(v[key], guard); err != nil {
				return err
			}
		}
	}
	return nil
}
