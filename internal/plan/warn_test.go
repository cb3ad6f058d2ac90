package plan_test

import (
	"slices"
	"strings"
	"testing"

	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// TestWarnings: what says nothing is named with its place, and what says anything is
// not. None of it is an error.
func TestWarnings(t *testing.T) {
	t.Parallel()
	const text = `version: 1
name: shop
environments:
  staging:
    class: staging
    limits: {rows: 5, objects: 7}
    cloudflare: {account: 0a1b2c3d4e5f60718293a4b5c6d7e8f9, token: {env: TOKEN}}
    resources:
      door:
        kind: worker
        name: door
        url: https://door.example.com
        probes:
          - {path: /any}
          - {path: /any, status: 204}
          - {path: /nothing-asked, json: {}, contains: ""}
          - {path: /json, json: {ok: true}}
          - {path: /text, contains: ok}
          - {path: /header, response_headers: {X-Version: "1"}}
          - {path: /closed, status: 401}
      primary: {kind: d1, name: shop}
drills:
  d1-pitr: {use: d1-pitr, with: {database: primary}, limits: {objects: 1}}
`
	p, err := plan.Parse("f.yaml", []byte(text), catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range p.Warnings {
		if w.Remedy == "" {
			t.Errorf("no remedy: %+v", w)
		}
		got = append(got, w.At.String()+" "+strings.Fields(w.Text)[0])
	}
	want := []string{"f.yaml:14:14 this", "f.yaml:15:14 this", "f.yaml:16:14 this", "f.yaml:6:32 limits.objects", "f.yaml:23:72 limits.objects"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
