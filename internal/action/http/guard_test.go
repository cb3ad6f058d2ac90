package http

import (
	"testing"

	"firedrill"
)

func TestWhoseAnAddressIs(t *testing.T) {
	t.Parallel()
	env := func(name string, urls ...string) firedrill.Environment {
		e := firedrill.Environment{Name: name, Resources: map[string]firedrill.Resource{}}
		for _, u := range urls {
			e.Resources[u] = firedrill.Resource{Kind: "worker", Attrs: firedrill.Values{"url": u}}
		}
		return e
	}
	staging := env("staging", "https://staging.example.com", "https://example.com/staging", "https://both.example.com")
	guard := GuardPlan(map[string]firedrill.Environment{"staging": staging, "production": env("production", "https://Example.com/", "https://both.example.com")})(staging)
	for address, want := range map[string]firedrill.Kind{
		"https://example.com":                       firedrill.KindGuard,
		"HTTPS://EXAMPLE.COM:443/orders?x=1":        firedrill.KindGuard,
		"http://example.com.:80/orders":             firedrill.KindGuard,
		"https://user@example.com/x":                firedrill.KindGuard,
		"https://example.com/staging/../orders":     firedrill.KindGuard,
		"https://example.com/staging/%2e%2e/orders": firedrill.KindGuard,
		"https://example.com/stagings":              firedrill.KindGuard,
		"https://both.example.com/x":                firedrill.KindGuard,
		"https://example.com/staging/orders":        "",
		"https://staging.example.com/":              "",
		"https://elsewhere.example.org/":            "",
	} {
		if err := guard("post", address); firedrill.KindOf(err) != want {
			t.Errorf("%s: %v", address, err)
		}
		if err := guard("GET", address); err != nil {
			t.Errorf("reading %s: %v", address, err)
		}
	}
}
