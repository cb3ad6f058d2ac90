//go:build unix

package main

import (
	_ "embed"
	"fmt"
	"strings"
)

// benchWorker is the Worker that the load goes to.
//
//go:embed bench.js
var benchWorker string

const (
	keys      = 1000 // keys in KV, and rows in D1
	seedBatch = 100  // of them are made by one request
)

// row is one kind of request.
type row struct {
	Name, Title string
	Write       bool
	want        func(i int) string // the answer to the request for key i
}

// path is that of the request for key i.
func (r row) path(i int) string { return fmt.Sprintf("/%s/%d", strings.ReplaceAll(r.Name, "-", ""), i) }

func rows() []row {
	constant := func(s string) func(int) string { return func(int) string { return s } }
	return []row{
		{Name: "trivial", Title: "trivial route", want: constant("ok")},
		{Name: "kv", Title: "KV get", want: func(i int) string {
			s := fmt.Sprintf("value of key %d ", i)
			return s + strings.Repeat(".", 100-len(s))
		}},
		{Name: "d1", Title: "D1 point select", want: func(i int) string { return fmt.Sprintf("%d user %d %d@example.com", i, i, i) }},
		{Name: "kv-put", Title: "KV put", Write: true, want: constant("put")},
		{Name: "d1-insert", Title: "D1 insert", Write: true, want: constant("inserted 1")},
	}
}
