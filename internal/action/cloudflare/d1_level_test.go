package cloudflare

import (
	"strings"
	"testing"

	"firedrill"
)

func TestTheLevelQuickShowsAndProvesNothing(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	id := p.create("shop", append(hostile, fill)...)
	b := newBench(t, p.url)
	quick := b.do("quick", "d1.fingerprint", db(id, "level", "quick"))
	full := b.do("full", "d1.fingerprint", db(id))
	if quick.Outputs["rows"] != full.Outputs["rows"] || quick.Outputs["level"] != "quick" || full.Outputs["level"] != "full" {
		t.Errorf("quick %v, full %v", quick.Outputs, full.Outputs)
	}
	point := text(t, full, "bookmark")
	tries := []firedrill.Values{
		db(id, "against", text(t, quick, "file")),
		db(id, "against", text(t, full, "file"), "level", "quick"),
	}
	for _, c := range []struct{ change, shows string }{
		{"", ""},
		{"DELETE FROM tenants WHERE id = 700", "table tenants has 803 rows instead of 804"},
		{"UPDATE tenants SET name = 'other' WHERE id = 1", `tenants id=1 column name`},
		{"UPDATE tenants SET id = 1000 WHERE id = 900", "table tenants has other outermost rows"},
		{"DROP INDEX users_email", "index users_email is missing"},
		{"CREATE TABLE more (id INTEGER PRIMARY KEY)", "table more is extra"},
		{`DROP TABLE "order"`, "table order is missing"},
	} {
		if c.change != "" {
			p.exec(id, c.change)
		}
		for i, in := range tries {
			o := b.do("compare", "d1.compare", in)
			if len(o.Checks) != 1 || !o.Checks[0].Partial || o.Checks[0].OK != (c.change == "") || o.Outputs["equal"] != (c.change == "") {
				t.Errorf("%d, %q: %+v", i, c.change, o)
			}
			shows := c.shows
			if i == 0 { // values are kept at the level full only
				shows, _, _ = strings.Cut(shows, " column")
			}
			if !strings.Contains(o.Summary, shows) || c.change == "" && !strings.Contains(o.Summary, "proves nothing") {
				t.Errorf("%d, %q: %q does not show %q", i, c.change, o.Summary, shows)
			}
		}
		back(t, p, id, point)
	}
	b.fails(firedrill.KindUsage, "d1.compare", db(id, "against", text(t, quick, "file"), "level", "full"))
	b.fails(firedrill.KindUsage, "d1.compare", db(id, "against", text(t, quick, "file"), "level", "some"))
	b.fails(firedrill.KindUsage, "d1.fingerprint", db(id, "level", "Full"))
}

// TestADrillAtTheLevelQuickNeverPasses runs the whole drill with nothing wrong.
func TestADrillAtTheLevelQuickNeverPasses(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.create("shop", append(hostile, fill)...)
	b := newBench(t, p.url)
	program, registry := linkEdited(t, b, firedrill.ClassCI, "d1-pitr", "rows: 40", "rows: 400, level: quick")
	records := conduct(t, program, registry)
	end, is := records[len(records)-1].Body.(firedrill.Finished)
	if !is || end.Verdict != firedrill.Inconclusive || end.ReasonCode != firedrill.ReasonUnknownOutcome || end.Environment != firedrill.Restored || !strings.Contains(strings.Join(end.Reasons, "; "), "compared only a part") {
		t.Errorf("%+v", end)
	}
}
