package kv

import (
	"testing"
	"time"
)

// TestAReadThatOverlapsAWriteIsNotRemembered plays the order in which a place
// would otherwise go on saying what it has overwritten itself.
func TestAReadThatOverlapsAWriteIsNotRemembered(t *testing.T) {
	t.Parallel()
	g := newEdge(time.Minute, func() time.Time { return time.Unix(1, 0) })
	_, _, since := g.lookup(Workers, "n", "k")
	g.wrote(Workers, "n", "k")
	g.keep(Read{Place: Workers}, since, "n", "k", Entry{Key: "k", Value: []byte("old")}, true)
	if e, _, since := g.lookup(Workers, "n", "k"); since == remembered {
		t.Errorf("the place remembers %q", e.Value)
	}
}

// TestAReadThatOverlapsADeletionIsNotRemembered: a deleted namespace must not
// go on answering.
func TestAReadThatOverlapsADeletionIsNotRemembered(t *testing.T) {
	t.Parallel()
	g := newEdge(time.Minute, func() time.Time { return time.Unix(1, 0) })
	_, _, since := g.lookup(Workers, "n", "k")
	g.forget("n")
	g.keep(Read{Place: Workers}, since, "n", "k", Entry{Key: "k", Value: []byte("old")}, true)
	if e, _, since := g.lookup(Workers, "n", "k"); since == remembered {
		t.Errorf("the place remembers %q", e.Value)
	}
}

// TestWhatPlacesRememberIsBounded keeps more than the bound.
func TestWhatPlacesRememberIsBounded(t *testing.T) {
	t.Parallel()
	g := newEdge(time.Minute, func() time.Time { return time.Unix(1, 0) })
	value := make([]byte, 1<<20)
	for i := range 3 * edgeBytes >> 20 {
		g.keep(Read{Place: API}, 0, "n", string(rune('a'+i)), Entry{Value: value}, true)
	}
	if g.bytes > edgeBytes+1<<20 || len(g.kept) == 0 {
		t.Errorf("%d bytes in %d entries", g.bytes, len(g.kept))
	}
	g.forget("n")
	if g.bytes != 0 || len(g.kept) != 0 {
		t.Errorf("after the end of the namespace %d bytes in %d entries", g.bytes, len(g.kept))
	}
}
