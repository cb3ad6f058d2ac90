package cloudflare

import (
	"regexp"
	"slices"
	"testing"
)

// TestNoLieIsForgotten names every way in which a cloud is known to be wrong, and
// the drills that it can touch.
func TestNoLieIsForgotten(t *testing.T) {
	t.Parallel()
	d1, kv, worker := D1PITR, KVBackup, WorkerRollback
	want := map[string][]string{
		// A recovery of any kind.
		"recovery-does-nothing": {d1, kv},
		"rollback-does-nothing": {worker},
		"success-after-error":   {d1, kv, worker},
		"errors-under-200":      {d1, kv, worker},
		"finishes-later":        {d1, kv, worker},
		"never-finishes":        {d1, kv, worker},
		"wrong-moment":          {d1, kv, worker},
		"other-target":          {d1, kv, worker},
		// What a restore brings back.
		"loses-row":            {d1},
		"loses-index":          {d1},
		"loses-trigger":        {d1},
		"loses-sequence":       {d1},
		"bookmark-from-future": {d1},
		"flips-byte":           {d1, kv},
		"rounds-integer":       {d1, kv},
		"null-becomes-empty":   {d1, kv},
		"drops-key":            {kv},
		"drops-metadata":       {kv},
		"drops-expiration":     {kv},
		"resurrects-key":       {kv},
		"swaps-values":         {kv},
		"truncates-value":      {kv},
		"reads-stay-stale":     {kv},
		"backup-altered":       {kv},
		// What a rollback puts back.
		"three-in-four":         {worker},
		"code-without-bindings": {worker},
		"loses-secret":          {worker},
		// What is said by others.
		"health-says-ok":         {d1, kv, worker},
		"health-is-cached":       {d1, kv, worker},
		"probe-is-redirected":    {d1, kv, worker},
		"list-misses-page":       {d1, kv, worker},
		"list-repeats-page":      {d1, kv},
		"delete-deletes-nothing": {d1, kv},
		"clock-jumps":            {d1, kv, worker},
	}
	name := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	for _, l := range Lies() {
		if !name.MatchString(l.Name) || l.Sentence == "" {
			t.Errorf("%q: %q", l.Name, l.Sentence)
		}
		drills, known := want[l.Name]
		slices.Sort(drills)
		if !known || !slices.Equal(drills, l.Drills()) {
			t.Errorf("%s is told in %v, want %v", l.Name, l.Drills(), drills)
		}
		for d, telling := range l.Tells {
			if telling.Tell == nil {
				t.Errorf("%s cannot be told in %s", l.Name, d)
			}
		}
		delete(want, l.Name)
	}
	for name := range want {
		t.Errorf("nobody tells %s", name)
	}
}
