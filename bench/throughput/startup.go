//go:build unix

package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// callerWorker answers with the answers of all four Workers.
//
//go:embed caller.js
var callerWorker string

// startupLine compares starts: from the start of the process to the first
// right answer.
type startupLine struct {
	Sandbox  []float64 `json:"sandbox_ms"`
	Wrangler []float64 `json:"wrangler_ms"`
	Factor   float64   `json:"factor"` // wrangler's median over the sandbox's
}

// four are Workers of which the last calls the others, so that one answer shows
// that all of them run.
func four() []script {
	names := []string{"one", "two", "three"}
	var project []script
	for _, name := range names {
		project = append(project, script{Name: name, Source: fmt.Sprintf("export default { fetch() { return new Response(%q); } };\n", name)})
	}
	return append(project, script{Name: "bench", Source: callerWorker, Services: names})
}

// starts times n starts of each side, in turns. Both find the state that an
// earlier start left, which is not timed.
func starts(ctx context.Context, n int, dir, wrangler string) (*startupLine, error) {
	var times [2][]float64
	deployed := false
	begin := []func() (*side, error){
		func() (*side, error) {
			s, err := newSandbox(ctx, filepath.Join(dir, "sandbox"), "")
			if err != nil {
				return nil, err
			}
			if !deployed {
				if err := s.deploy(ctx, four()); err != nil {
					return nil, errors.Join(err, s.stop())
				}
				deployed = true
			}
			return s.side, nil
		},
		func() (*side, error) { return newWrangler(ctx, wrangler, filepath.Join(dir, "wrangler"), four()) },
	}
	for i := range n + 1 {
		for which, f := range begin {
			began := time.Now()
			s, err := f()
			if err != nil {
				return nil, err
			}
			err = s.await(ctx, "/", "four one two three")
			took := time.Since(began)
			if err := errors.Join(err, s.stop()); err != nil {
				return nil, err
			}
			if i > 0 {
				times[which] = append(times[which], milliseconds(took))
			}
		}
	}
	l := &startupLine{Sandbox: times[0], Wrangler: times[1]}
	l.Factor = median(l.Wrangler) / median(l.Sandbox)
	return l, nil
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func (l *startupLine) print(out io.Writer) error {
	show := func(v []float64) string {
		return fmt.Sprintf("median %.0f ms (%.0f to %.0f)", median(v), slices.Min(v), slices.Max(v))
	}
	_, err := fmt.Fprint(out, strings.Join([]string{
		"",
		fmt.Sprintf("Start-up, process start to the first right answer of four Workers, %d starts each on existing state:", len(l.Sandbox)),
		"  sandbox       " + show(l.Sandbox),
		"  wrangler dev  " + show(l.Wrangler) + ", one process with four -c",
		fmt.Sprintf("  factor        %.1f", l.Factor),
		"",
	}, "\n"))
	return err
}
