package http

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"firedrill"
)

// TestAFullDiskTakesNoMoreSamples: from the moment that the disk ran full nothing is
// added to the stream, also when there is room again, and it is said how much is
// missing.
func TestAFullDiskTakesNoMoreSamples(t *testing.T) {
	t.Parallel()
	s := newService(t)
	c := newCrew()
	c.dir = t.TempDir()
	if _, err := do(t, c, "http.watch", firedrill.Values{"probes": []any{probe(s, "/data", nil)}, "every_ms": int64(2)}); err != nil {
		t.Fatal(err)
	}
	samples := func() int {
		data, err := os.ReadFile(filepath.Join(c.dir, "samples-http.watch.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte("\n"))
	}
	asked := func(more int64) {
		for was := s.calls.Load(); s.calls.Load() < was+more; {
			if _, err := do(t, c, "http.await", firedrill.Values{"watch": "http.watch", "state": "green", "hold_ms": int64(1)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.full.Store(true)
	asked(2) // the one under way may have been kept
	kept := samples()
	asked(3)
	c.full.Store(false)
	asked(3)
	out, err := do(t, c, "http.unwatch", firedrill.Values{"watch": "http.watch"})
	c.done.Wait()
	if err != nil || samples() != kept || kept == 0 {
		t.Errorf("%d samples, then %d: %v", kept, samples(), err)
	}
	if told := strings.Join(out.Notes, "\n"); !strings.Contains(told, "samples are not in the run's folder: the disk ran full") {
		t.Errorf("notes %q", told)
	}
}
