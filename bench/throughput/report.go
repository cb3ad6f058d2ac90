//go:build unix

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what a run found out.
type report struct {
	Machine  string        `json:"machine"`
	Versions []string      `json:"versions,omitempty"`
	Ceiling  []ceilingLine `json:"generator_ceiling"`
	Lines    []line        `json:"load"`
	Startup  *startupLine  `json:"startup,omitempty"`
}

// ceilingLine is what the generator does against a handler that does nothing.
type ceilingLine struct {
	Connections int     `json:"connections"`
	PerSecond   float64 `json:"requests_per_second"`
}

// line compares the sides in one row over a number of connections.
type line struct {
	Row         string  `json:"row"`
	Title       string  `json:"-"`
	Write       bool    `json:"write"`
	Connections int     `json:"connections"`
	Sandbox     numbers `json:"sandbox"`
	Wrangler    numbers `json:"wrangler"`
	// Factor is the sandbox's requests a second over wrangler's.
	Factor float64 `json:"factor"`

	samples [2]sample
}

// numbers are those of one side.
type numbers struct {
	PerSecond float64  `json:"requests_per_second"`
	Requests  int      `json:"requests"`
	Failed    int      `json:"failed"`
	P50       float64  `json:"p50_ms"`
	P99       float64  `json:"p99_ms"`
	Failures  []string `json:"failures,omitempty"`
}

func (l *line) add(side int, s sample) {
	l.samples[side].add(s)
	l.samples[side].took += s.took
}

func (l *line) finish() line {
	l.Sandbox, l.Wrangler = l.samples[0].numbers(), l.samples[1].numbers()
	if l.Wrangler.PerSecond > 0 {
		l.Factor = l.Sandbox.PerSecond / l.Wrangler.PerSecond
	}
	l.samples = [2]sample{} // thousands of latencies
	return *l
}

func (s *sample) numbers() numbers {
	slices.Sort(s.latency)
	return numbers{PerSecond: float64(len(s.latency)) / s.took.Seconds(), Requests: len(s.latency) + s.failed, Failed: s.failed,
		P50: milliseconds(s.quantile(0.5)), P99: milliseconds(s.quantile(0.99)), Failures: s.failures}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (r *report) failures() int {
	n := 0
	for _, l := range r.Lines {
		n += l.Sandbox.Failed + l.Wrangler.Failed
	}
	return n
}

func (r *report) firstFailure() string {
	for _, l := range r.Lines {
		for side, n := range map[string]numbers{"sandbox": l.Sandbox, "wrangler": l.Wrangler} {
			if len(n.Failures) > 0 {
				return side + ": " + n.Failures[0]
			}
		}
	}
	return "unknown"
}

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// print writes the report for people.
func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "Machine: %s. Both sides, the generator and workerd share it.\n", r.Machine)
	for _, v := range r.Versions {
		fmt.Fprintln(out, v)
	}
	var c []string
	for _, l := range r.Ceiling {
		c = append(c, fmt.Sprintf("%.0f (c=%d)", l.PerSecond, l.Connections))
	}
	fmt.Fprintf(out, "The generator's ceiling, requests/s: %s\n\n", strings.Join(c, ", "))
	if len(r.Lines) > 0 {
		fmt.Fprintln(w, "\t\tsandbox\t\t\twrangler dev\t\t\t\t\t")
		fmt.Fprintln(w, "what\tc\treq/s\tp50 ms\tp99 ms\treq/s\tp50 ms\tp99 ms\tfailed\tfactor\t")
		for _, l := range r.Lines {
			fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.0f\t%.2f\t%.2f\t%d\t%.2f\t\n", l.Title, l.Connections,
				l.Sandbox.PerSecond, l.Sandbox.P50, l.Sandbox.P99, l.Wrangler.PerSecond, l.Wrangler.P50, l.Wrangler.P99, l.Sandbox.Failed+l.Wrangler.Failed, l.Factor)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Startup != nil {
		return r.Startup.print(out)
	}
	return nil
}
