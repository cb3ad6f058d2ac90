package kv

import (
	"sync"
	"time"
)

// Place is where a key is read or written.
type Place string

// The places: the API, and the Workers with their bindings.
const (
	API     Place = "api"
	Workers Place = "workers"
)

// edge is what the places remember of what they have read. As on the platform,
// a place that has read a key (or found it absent) may go on saying so for a
// while after a write elsewhere; its own writes it knows at once. Lists are
// always true.
type edge struct {
	lag time.Duration // 0: places remember nothing
	now func() time.Time

	mu      sync.Mutex
	kept    map[edgeKey]kept
	bytes   int
	written int64 // writes so far, as a measure of time
}

type edgeKey struct {
	place   Place
	id, key string
}

type kept struct {
	entry Entry
	ok    bool
	until time.Time
}

// edgeBytes bounds what the places remember together. What is dropped is read
// anew, which is always allowed.
const edgeBytes = 64 << 20

func newEdge(lag time.Duration, now func() time.Time) *edge {
	return &edge{lag: lag, now: now, kept: map[edgeKey]kept{}}
}

// remembered stands, in place of a moment, for an answer out of memory.
const remembered = -1

// lookup gives what a place remembers, with remembered; or else the moment at
// which it begins to read, for keep.
func (g *edge) lookup(place Place, id, key string) (e Entry, ok bool, since int64) {
	if g.lag == 0 {
		return Entry{}, false, 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k := edgeKey{place, id, key}
	have, hit := g.kept[k]
	if hit && g.now().Before(have.until) {
		return have.entry, have.ok, remembered
	}
	g.drop(k)
	return Entry{}, false, g.written
}

// keep makes a place remember what it has read, unless something was written
// since: it may have read what was there before its own write.
func (g *edge) keep(r Read, since int64, id, key string, e Entry, ok bool) {
	if g.lag == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.written != since {
		return
	}
	k := edgeKey{r.Place, id, key}
	g.drop(k)
	for other := range g.kept {
		if g.bytes+len(e.Value) <= edgeBytes {
			break
		}
		g.drop(other)
	}
	g.kept[k] = kept{entry: e, ok: ok, until: g.now().Add(max(g.lag, r.CacheTTL))}
	g.bytes += size(k, e)
}

// wrote makes the place of a write forget the keys.
func (g *edge) wrote(place Place, id string, keys ...string) {
	if g.lag == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written++
	for _, key := range keys {
		g.drop(edgeKey{place, id, key})
	}
}

// forget drops a whole namespace everywhere.
func (g *edge) forget(id string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.written++ // what is being read of it is not kept: another may get its id
	for k := range g.kept {
		if k.id == id {
			g.drop(k)
		}
	}
}

func (g *edge) drop(k edgeKey) {
	if have, ok := g.kept[k]; ok {
		g.bytes -= size(k, have.entry)
		delete(g.kept, k)
	}
}

// size is about what remembering an entry costs.
func size(k edgeKey, e Entry) int { return len(k.key) + len(e.Value) + len(e.Metadata) + 200 }
