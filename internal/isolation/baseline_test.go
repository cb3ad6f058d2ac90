package isolation_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/isolation"
)

func day(t *testing.T, text string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		t.Fatal(err)
	}
	return d.Add(13 * time.Hour)
}

// TestABaselineAcceptsUntilItsDay writes a baseline of what is found, reads it
// back, and lets its day pass.
func TestABaselineAcceptsUntilItsDay(t *testing.T) {
	t.Parallel()
	r := audit(t, leaky())
	data, err := json.Marshal(isolation.Accept(r, "shared on purpose", day(t, "2026-06-30")))
	if err != nil {
		t.Fatal(err)
	}
	b, err := isolation.ParseBaseline("isolation.json", data)
	if err != nil || len(b.Accepted) != 2 {
		t.Fatalf("%+v, %v", b, err)
	}
	for _, c := range []struct {
		on      string
		expired int
	}{{"2026-06-29", 0}, {"2026-06-30", 0}, {"2026-07-01", 2}} {
		r := audit(t, leaky())
		expired, unused := b.Apply(&r, day(t, c.on))
		if len(expired) != c.expired || len(unused) != 0 || r.Fails() != (c.expired > 0) {
			t.Errorf("on %s: expired %v, unused %v, fails %t", c.on, expired, unused, r.Fails())
		}
	}
	clean := isolation.Audit(nil, nil)
	if expired, unused := b.Apply(&clean, day(t, "2026-07-01")); len(expired) != 0 || len(unused) != 2 {
		t.Errorf("without findings: expired %v, unused %v", expired, unused)
	}
}

// TestABaselineKeepsReasons: accepting something new changes no reason of what is
// accepted, and takes out what matches nothing any more.
func TestABaselineKeepsReasons(t *testing.T) {
	t.Parallel()
	r := audit(t, leaky())
	first := isolation.Accept(isolation.Report{Findings: r.Findings[:1]}, "first", day(t, "2026-06-30"))
	first.Accepted = append(first.Accepted, isolation.Acceptance{Fingerprint: "gone", Reason: "old", Expires: "2026-06-30"})
	first.Apply(&r, day(t, "2026-01-01"))
	both := isolation.Accept(r, "second", day(t, "2026-12-31"))
	if len(both.Accepted) != 2 || both.Accepted[0].Reason != "first" || both.Accepted[0].Expires != "2026-06-30" || both.Accepted[1].Reason != "second" {
		t.Errorf("%+v", both)
	}
}

func TestBadBaselines(t *testing.T) {
	t.Parallel()
	const good = `{"fingerprint":"f","rule":"shared-resource","reason":"why","expires":"2026-06-30"}`
	if _, err := isolation.ParseBaseline("b.json", []byte(`{"format":1,"accepted":[`+good+`]}`)); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ text, want string }{
		"nothing":           {"", "EOF"},
		"no JSON":           {"[", "unexpected"},
		"more":              {`{"format":1,"accepted":[]} {}`, "behind"},
		"unknown field":     {`{"format":1,"accept":[]}`, "unknown field"},
		"no format":         {`{"accepted":[]}`, "format 0"},
		"a later format":    {`{"format":2,"accepted":[]}`, "format 2"},
		"no fingerprint":    {`{"format":1,"accepted":[{"reason":"why","expires":"2026-06-30"}]}`, "no fingerprint"},
		"no reason":         {`{"format":1,"accepted":[{"fingerprint":"f","reason":" ","expires":"2026-06-30"}]}`, "no reason"},
		"for ever":          {`{"format":1,"accepted":[{"fingerprint":"f","reason":"why"}]}`, "no day"},
		"no day":            {`{"format":1,"accepted":[{"fingerprint":"f","reason":"why","expires":"2026-02-30"}]}`, "no day"},
		"a fingerprint two": {`{"format":1,"accepted":[` + good + `,` + good + `]}`, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := isolation.ParseBaseline("b.json", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "b.json") || firedrill.KindOf(err) != firedrill.KindUsage {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

// FuzzParseBaseline: whatever is read can be written and is read the same.
func FuzzParseBaseline(f *testing.F) {
	for _, s := range []string{"", "{}", `{"format":1,"accepted":[]}`, `{"format":1,"accepted":[{"fingerprint":"f","rule":"shared-resource","message":"m","reason":"why","expires":"2026-06-30"}]}`, `{"format":1,"accepted":null}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := isolation.ParseBaseline("b.json", data)
		if err != nil {
			return
		}
		again, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		c, err := isolation.ParseBaseline("b.json", again)
		if err != nil || len(c.Accepted) != len(b.Accepted) {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
