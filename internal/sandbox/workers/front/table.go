package front

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net/http"
	"strings"
)

// Table says which process serves which Worker. It is immutable once it is
// given to Proxy.Swap.
type Table struct {
	// Routes are found by script name.
	Routes map[string]*Route
}

// Route leads to one Worker.
type Route struct {
	// WorkersDev tells whether the workers.dev host name is switched on.
	WorkersDev bool
	// Group is the set of Workers that run together.
	Group *Group
}

// Group is a set of Workers that call each other and so share processes. Where
// a deployment is split, there is one process for each combination of
// versions, and a request chooses a version of every Worker at the door.
type Group struct {
	// Splits has one entry per Worker, in the order that Key uses.
	Splits []Split
	// Upstreams are found by Key.
	Upstreams map[string]*Upstream
}

// Split is the deployment of one Worker.
type Split struct {
	Script string
	Shares []Share
}

// Share is one version's part of the requests; Percent is 0 to 100, and the
// shares of one split add up to 100.
type Share struct {
	Version string
	Percent float64
}

// Key names a combination of versions, given in the order of Group.Splits.
func Key(versions []string) string { return strings.Join(versions, "+") }

// The request headers by which a client of the platform influences the choice.
const (
	// headerOverrides picks versions by name: worker="version-id", …
	headerOverrides = "Cloudflare-Workers-Version-Overrides"
	// headerAffinity makes equal values get equal versions.
	headerAffinity = "Cloudflare-Workers-Version-Key"
)

// choose picks the process for one request.
func (r *Route) choose(h http.Header, random func([]byte)) (*Upstream, error) {
	versions := make([]string, len(r.Group.Splits))
	overrides := parseOverrides(h.Get(headerOverrides))
	affinity := h.Get(headerAffinity)
	for i, s := range r.Group.Splits {
		versions[i] = s.pick(overrides[s.Script], affinity, random)
	}
	up := r.Group.Upstreams[Key(versions)]
	if up == nil {
		return nil, fmt.Errorf("no process runs the versions %s", Key(versions))
	}
	return up, nil
}

// pick chooses a version. An override that is not deployed is ignored, as the
// platform does.
func (s Split) pick(override, affinity string, random func([]byte)) string {
	if len(s.Shares) == 1 {
		return s.Shares[0].Version
	}
	var point uint64
	if affinity != "" {
		f := fnv.New64a()
		_, _ = f.Write([]byte(s.Script + "\x00" + affinity)) // a hash never fails
		point = mix(f.Sum64())
	} else {
		var b [8]byte
		random(b[:])
		point = binary.LittleEndian.Uint64(b[:])
	}
	at := float64(point>>11) / (1 << 53) * 100
	chosen := ""
	for _, sh := range s.Shares {
		if override == sh.Version {
			return sh.Version
		}
		if chosen == "" && at < sh.Percent {
			chosen = sh.Version
		}
		at -= sh.Percent
	}
	if chosen == "" {
		// Only rounding can lead here: take the last share that is not empty.
		for _, sh := range s.Shares {
			if sh.Percent > 0 {
				chosen = sh.Version
			}
		}
	}
	return chosen
}

// mix spreads a hash of short, similar strings over all bits (the finalizer of
// MurmurHash3).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// parseOverrides reads a structured-field dictionary of strings:
// worker-a="id", worker-b="id".
func parseOverrides(s string) map[string]string {
	if s == "" {
		return nil
	}
	m := map[string]string{}
	for _, item := range strings.Split(s, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(item), "=")
		if ok {
			m[name] = strings.Trim(value, `"`)
		}
	}
	return m
}
