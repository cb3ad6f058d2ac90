package conformance

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudflare/cloudflare-go/v7/d1"
	"github.com/cloudflare/cloudflare-go/v7/kv"
	"github.com/cloudflare/cloudflare-go/v7/workers"
)

// TestAudit gives the audit answers that are wrong in one point each.
func TestAudit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, answer string
		into         any
		want         string // empty: nothing is wrong
	}{
		{"right", `{"uuid":"u","name":"n","file_size":1,"created_at":"2026-01-02T03:04:05Z","read_replication":{"mode":"auto"}}`, &d1.D1{}, ""},
		{"number as text", `{"file_size":"large"}`, &d1.D1{}, "FileSize came as"},
		{"text as object", `{"name":{}}`, &d1.D1{}, "Name came as"},
		{"no time", `{"created_at":"yesterday"}`, &d1.D1{}, "CreatedAt came as"},
		{"number as digits in a text", `{"file_size":"5"}`, &d1.D1{}, "FileSize came as"},
		{"text as number", `{"name":5}`, &d1.D1{}, "Name came as"},
		{"nested", `{"read_replication":{"mode":7}}`, &d1.D1{}, "ReadReplication.Mode came as"},
		{"unknown word", `{"read_replication":{"mode":"sometimes"}}`, &d1.D1{}, "ReadReplication.Mode is sometimes"},
		{"required, absent", `{"id":"i"}`, &kv.Namespace{}, "Title is required"},
		{"required, null", `{"id":"i","title":null}`, &kv.Namespace{}, "Title is required"},
		{"in a list", `{"deployments":[{"id":"i","created_on":"2026-01-02T03:04:05Z","source":"api","strategy":"percentage","versions":[{"version_id":"v"}]}]}`,
			&workers.ScriptDeploymentListResponse{}, "Deployments[0].Versions[0].Percentage is required"},
	} {
		if err := json.Unmarshal([]byte(c.answer), c.into); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		got := strings.Join(findings(c.into), "; ")
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
	for _, empty := range []any{&d1.D1{}, new(workers.ScriptSecretBulkUpdateResponse)} {
		if len(findings(empty)) == 0 {
			t.Errorf("a %T that was never decoded is taken for an answer", empty)
		}
	}
}
