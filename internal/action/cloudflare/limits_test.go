package cloudflare

import (
	"slices"
	"strings"
	"testing"

	"firedrill"
)

// TestRowsAreCapped: no more is chosen than the plan allows; what is planned beyond
// it is not sent; and what statements of a user's own reached is counted.
func TestRowsAreCapped(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill)...)
	b := newBench(t, p.url)
	whole := b.do("plan-all", "d1.plan-damage", db(id))
	b.call.Environment.Limits.Rows = 12
	few := b.do("plan-few", "d1.plan-damage", db(id))
	if n := few.Outputs["updates"].(int64) + few.Outputs["deletes"].(int64); n < 2 || n > 12 {
		t.Errorf("%d rows were chosen", n)
	}
	sent := len(p.requests())
	err := b.fails(firedrill.KindGuard, "d1.damage", db(id, "plan", text(t, whole, "file")))
	if !strings.Contains(firedrill.RemedyOf(err), "limits.rows") || slices.ContainsFunc(p.requests()[sent:], func(r string) bool { return strings.Contains(r, "/raw") }) {
		t.Errorf("%v (%s); sent: %v", err, firedrill.RemedyOf(err), p.requests()[sent:])
	}
	b.do("damage", "d1.damage", db(id, "plan", text(t, few, "file")))
	b.fails(firedrill.KindGuard, "d1.execute", db(id, "sql", []any{"UPDATE tenants SET ratio = 1"}))
}

func TestKeysAreCapped(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	b := newBench(t, p.url)
	ns := firedrill.Values{"namespace": p.cache(50)}
	damage := firedrill.Values{"namespace": ns["namespace"], "backup": "backup", "keys": int64(60)}
	b.do("backup", "kv.backup", ns)
	b.call.Environment.Limits.Keys = 2
	b.fails(firedrill.KindGuard, "kv.damage", damage)
	b.call.Environment.Limits.Keys = 6
	d := b.do("damage", "kv.damage", damage)
	if n := d.Outputs["deleted"].(int64) + d.Outputs["overwritten"].(int64) + d.Outputs["strangers"].(int64); n != 6 {
		t.Errorf("%d keys were damaged", n)
	}
}
