package term

import (
	"strings"
	"testing"
)

func TestLinesAreWrappedUnderTheSecondColumn(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	p := &Page{W: &b, Width: 45}
	p.Line(Strong, "  verify", "one two three four five six")
	want := "  verify                 one two three four\n                         five six\n"
	if b.String() != want {
		t.Errorf("got\n%q, want\n%q", b.String(), want)
	}
}
