package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"firedrill"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// stated makes a plan whose state is in one line.
func stated(state string) string {
	return strings.Replace(head, "name: x\n", "name: x\nstate: "+state+"\n", 1)
}

const keys = `credentials: {access_key: {env: ID}, secret_key: {command: [pass, show, dr]}}`

func TestAPlanNamesWhereRunsAreKept(t *testing.T) {
	t.Parallel()
	text := stated("{bucket: s3://dr-state/foundation, endpoint: https://store.example.com, region: auto, " + keys + "}")
	want := &firedrill.StateStore{Bucket: "s3://dr-state/foundation", Endpoint: "https://store.example.com", Region: "auto",
		AccessKey: firedrill.Values{"env": "ID"}, SecretKey: firedrill.Values{"command": []any{"pass", "show", "dr"}}}
	p, err := plan.Parse("f.yaml", []byte(text), catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, p.State); diff != "" {
		t.Error(diff)
	}
	alone, err := plan.State("f.yaml", []byte(text+"drills: {a: {use: nonsense}}\n"))
	if diff := cmp.Diff(want, alone); diff != "" || err != nil {
		t.Errorf("beside a broken drill: %v\n%s", err, diff)
	}
	if none, err := plan.State("f.yaml", []byte(head)); none != nil || err != nil {
		t.Errorf("without state: %v %v", none, err)
	}
	schema, err := plan.Schema(catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Properties map[string]json.RawMessage }
	if err := json.Unmarshal(schema, &doc); err != nil || !strings.Contains(string(doc.Properties["state"]), "secret_key") {
		t.Errorf("the schema says of state: %s (%v)", doc.Properties["state"], err)
	}
}

func TestMistakesInStateAreNamedWithTheirPlace(t *testing.T) {
	t.Parallel()
	const store = "endpoint: https://s.example.com, "
	for name, c := range map[string]struct{ state, want string }{
		"text":            {"s3://b/p", `f.yaml:3:8: `},
		"unknown key":     {"{buket: s3://b, " + store + keys + "}", `did you mean "bucket"`},
		"no bucket":       {"{" + store + keys + "}", `state needs "bucket"`},
		"no credentials":  {"{bucket: s3://b, " + store + "}", `state needs "credentials"`},
		"a bare secret":   {"{bucket: s3://b, " + store + "credentials: {access_key: {env: ID}, secret_key: hunter2}}", "must not stand in the plan itself"},
		"two places":      {"{bucket: s3://b, " + store + "credentials: {access_key: {env: ID, file: x}, secret_key: {env: S}}}", "exactly one place"},
		"a folder":        {"{bucket: /b, " + store + keys + "}", "f.yaml:3:17: bucket is no address"},
		"a secret inside": {"{bucket: 's3://id:secret@b', " + store + keys + "}", "bucket is no address"},
		"an address":      {"{bucket: s3://b, endpoint: 'https://h/id:secret', " + keys + "}", "f.yaml:3:35: endpoint"},
		"nowhere":         {"{bucket: s3://b, " + keys + "}", `needs "endpoint" or "region"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := plan.Parse("f.yaml", []byte(stated(c.state)), catalog(t), playbook.Library{})
			if err == nil || !strings.Contains(err.Error()+firedrill.RemedyOf(err), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "id:secret") {
				t.Errorf("a secret is shown: %v", err)
			}
			if _, alone := plan.State("f.yaml", []byte(stated(c.state))); alone == nil {
				t.Error("read alone, it is accepted")
			}
		})
	}
}
