package sandboxtest

import "testing"

// BenchmarkStart tells what a sandbox costs a test: starting, one call, stopping.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		c := Start(b)
		c.Database("d")
		c.Stop()
	}
}

func TestSandboxesRunSideBySide(t *testing.T) {
	t.Parallel()
	clouds := make([]*Cloud, 4)
	for i := range clouds {
		clouds[i] = Start(t)
		clouds[i].KV("only here")
	}
	for _, c := range clouds {
		var list []any
		c.Must("GET", "storage/kv/namespaces", nil).Into(t, &list)
		if len(list) != 1 {
			t.Errorf("%d namespaces, want one's own", len(list))
		}
	}
}
