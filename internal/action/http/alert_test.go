package http

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"firedrill"
)

// TestTheUsersAlert waits for an alert that fires after the injection, one that
// fired before it, one that never fires, and one whose route is not there.
func TestTheUsersAlert(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                string
		before, after, dead bool
		fired               bool
		summary, note, saw  string
	}{
		{name: "fires", after: true, fired: true, summary: "the alert fires", saw: "red"},
		{name: "fired already", before: true, after: true, summary: "the alert fired already", note: "before the injection", saw: "red"},
		{name: "never fires", summary: "did not fire within 150ms", saw: ""},
		{name: "is not there", dead: true, summary: "did not fire within 150ms", note: "gave no answer", saw: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var fires atomic.Bool
			var asked atomic.Int64
			fires.Store(c.before)
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				state := "normal"
				if fires.Load() {
					state = "firing"
				}
				if r.Header.Get("X-Key") == secretHeader {
					asked.Add(1)
				} else {
					state = "who are you"
				}
				fmt.Fprintf(w, `{"state":%q}`, state)
			}))
			t.Cleanup(s.Close)
			if c.dead {
				s.Close()
			}
			crew := newCrew()
			_, err := do(t, crew, "http.alert", firedrill.Values{"url": s.URL, "every": "5ms", "within": "150ms", "json": map[string]any{"state": "firing"},
				"headers": map[string]any{"X-Key": map[string]any{"env": "KEY"}}})
			if err != nil {
				t.Fatal(err)
			}
			for !c.dead && asked.Load() < 3 {
				await(t, s.Client(), s.URL) // the alert was looked at before the injection
			}
			crew.inject()
			fires.Store(c.after)
			out, err := do(t, crew, "http.await-alert", firedrill.Values{"alert": "http.alert", "within": "150ms"})
			notes := strings.Join(out.Notes, "\n")
			if err != nil || out.Outputs["fired"] != c.fired || !strings.Contains(out.Summary, c.summary) || !strings.Contains(notes, c.note) || (c.note == "") != (notes == "") {
				t.Errorf("%+v %v", out, err)
			}
			crew.all["http.alert"].Stop()
			crew.done.Wait()
			if crew.saw() != c.saw {
				t.Errorf("edges %q", crew.saw())
			}
			for _, e := range crew.edges {
				if !e.Alert {
					t.Errorf("an edge that is not the alert's: %+v", e)
				}
			}
		})
	}
}

// await sends one request of the test's own.
func await(t *testing.T, c *http.Client, url string) {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

func TestAnAlertThatIsWrittenWrongly(t *testing.T) {
	t.Parallel()
	for _, in := range []firedrill.Values{{"url": "http://x", "every": "soon"}, {"url": "http://x", "within": "-1s"}} {
		if _, err := do(t, newCrew(), "http.alert", in); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%v: %v", in, err)
		}
	}
	for _, in := range []firedrill.Values{{"alert": "x", "within": "-1s"}} {
		if _, err := do(t, newCrew(), "http.await-alert", in); firedrill.KindOf(err) != firedrill.KindUsage {
			t.Errorf("%v: %v", in, err)
		}
	}
}

// TestARouteThatFallsSilentChangesNothing: it neither fires nor ceases to.
func TestARouteThatFallsSilentChangesNothing(t *testing.T) {
	t.Parallel()
	a := &alerting{}
	for i, c := range []struct {
		fires   bool
		err     error
		changed bool
	}{{false, nil, false}, {true, nil, true}, {false, errors.New("silent"), false}, {true, nil, false}, {false, nil, true}, {false, errors.New("silent"), false}} {
		if _, changed := a.saw(now(), c.fires, c.err); changed != c.changed {
			t.Errorf("answer %d changed it: %v", i, changed)
		}
	}
}
