package cloudflare

import (
	"net/url"
	"slices"
	"strings"
)

// family is a part of the API whose paths name a resource behind a prefix.
type family struct {
	prefix []string // below the account
	kind   string
	name   string // member of a body that names a new one
	// data are the calls whose bodies are the user's own data and refer to nothing,
	// by the segment behind the resource.
	data []string
}

func families() []family {
	return []family{
		{prefix: []string{"d1", "database"}, kind: "d1", name: "name", data: []string{"query", "raw", "import"}},
		{prefix: []string{"storage", "kv", "namespaces"}, kind: "kv", name: "title", data: []string{"bulk", "values"}},
		{prefix: []string{"workers", "scripts"}, kind: "worker"},
		{prefix: []string{"workers", "services"}, kind: "worker"},
		{prefix: []string{"workers", "workers"}, kind: "worker", name: "name"},
		{prefix: []string{"workers", "dispatch", "namespaces"}, kind: "dispatch-namespace", name: "name"},
		{prefix: []string{"r2", "buckets"}, kind: "r2", name: "name"},
		{prefix: []string{"queues"}, kind: "queue", name: "queue_name"},
		{prefix: []string{"vectorize", "v2", "indexes"}, kind: "vectorize", name: "name"},
		{prefix: []string{"hyperdrive", "configs"}, kind: "hyperdrive", name: "name"},
		{prefix: []string{"workflows"}, kind: "workflow"},
	}
}

// segments gives the parts of a path as the API reads them.
func segments(path string) []string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	for i, s := range parts {
		if p, err := url.PathUnescape(s); err == nil {
			parts[i] = p
		}
	}
	return parts
}

// place finds the family of a path and what stands behind its prefix.
func familyOf(path string) (f family, below []string, ok bool) {
	parts := segments(path)
	if len(parts) > 2 && parts[0] == "accounts" {
		parts = parts[2:]
	}
	for _, f := range families() {
		if len(parts) >= len(f.prefix) && slices.Equal(parts[:len(f.prefix)], f.prefix) {
			return f, parts[len(f.prefix):], true
		}
	}
	return family{}, nil, false
}

// pathIDs are the resources that a path names.
func pathIDs(path string) []ID {
	var ids []ID
	if f, below, ok := familyOf(path); ok && len(below) > 0 {
		ids = append(ids, ID{f.kind, below[0]})
	}
	for _, s := range segments(path) {
		if idLike.MatchString(s) {
			ids = append(ids, ID{"id", s})
		}
	}
	return ids
}

// carriesData tells whether a path takes the user's own data, which refers to
// nothing.
func carriesData(path string) bool {
	f, below, ok := familyOf(path)
	return ok && len(below) > 1 && slices.Contains(f.data, below[1])
}

// disguised tells whether servers could disagree about what a path names: by
// segments that go up, or by slashes that stand in a name. Keys of KV may hold
// slashes.
func disguised(path string) bool {
	if strings.ContainsAny(path, "?#") {
		return true // a query of its own, that nobody reads
	}
	_, below, _ := familyOf(path)
	parts := segments(path)
	if len(below) > 2 && below[1] == "values" {
		parts = parts[:len(parts)-len(below)+2]
	}
	return slices.ContainsFunc(parts, func(s string) bool {
		return s == "." || s == ".." || strings.ContainsAny(s, "/\\%\x00")
	})
}
