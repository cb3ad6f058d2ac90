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
	Sandbox  string        `json:"sandbox,omitempty"` // what the sandbox runs
	Wrangler string        `json:"wrangler"`
	Ceiling  []ceilingLine `json:"generator_ceiling"`
	Lines    []line        `json:"load"`
	Syncs    []syncLine    `json:"durability,omitempty"`
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
	PerSecond float64 `json:"requests_per_second"`
	Requests  int     `json:"requests"`
	Failed    int     `json:"failed"`
	P50       float64 `json:"p50_ms"`
	P99       float64 `json:"p99_ms"`
	// CPU time a request, of workerd and of the rest of the side; 0 where the
	// system does not tell.
	CPU        float64  `json:"cpu_own_us"`
	CPUWorkerd float64  `json:"cpu_workerd_us"`
	Failures   []string `json:"failures,omitempty"`
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
	n := numbers{PerSecond: float64(len(s.latency)) / s.took.Seconds(), Requests: len(s.latency) + s.failed, Failed: s.failed,
		P50: milliseconds(s.quantile(0.5)), P99: milliseconds(s.quantile(0.99)), Failures: s.failures}
	if s.answered > 0 {
		n.CPU = 1000 * milliseconds(s.cpu.own) / float64(s.answered)
		n.CPUWorkerd = 1000 * milliseconds(s.cpu.workerd) / float64(s.answered)
	}
	return n
}

func (n numbers) cells() string {
	return fmt.Sprintf("%.0f\t%.2f\t%.2f\t%.0f+%.0f", n.PerSecond, n.P50, n.P99, n.CPU, n.CPUWorkerd)
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
		if len(l.Sandbox.Failures) > 0 {
			return "sandbox: " + l.Sandbox.Failures[0]
		}
		if len(l.Wrangler.Failures) > 0 {
			return "wrangler dev: " + l.Wrangler.Failures[0]
		}
	}
	return "none was kept"
}

func machine() string {
	return fmt.Sprintf("%s/%s, %d cores", runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
}

// print writes the report for people.
func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(out, "Machine: %s. Both sides, the generator and workerd share it.\n", r.Machine)
	if r.Sandbox != "" {
		fmt.Fprintf(out, "Sandbox: %s.\n", r.Sandbox)
	}
	fmt.Fprintf(out, "Wrangler dev: %s, as it comes, but that it logs errors only.\n", r.Wrangler)
	var c []string
	for _, l := range r.Ceiling {
		c = append(c, fmt.Sprintf("%.0f (c=%d)", l.PerSecond, l.Connections))
	}
	fmt.Fprintf(out, "The generator's ceiling, requests/s: %s\n\n", strings.Join(c, ", "))
	if len(r.Lines) > 0 {
		fmt.Fprintln(w, "\t\tsandbox\t\t\t\twrangler dev\t\t\t\t\t\t")
		fmt.Fprintln(w, "what\tc\treq/s\tp50 ms\tp99 ms\tCPU us\treq/s\tp50 ms\tp99 ms\tCPU us\tfailed\tfactor\t")
		for _, l := range r.Lines {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%d\t%.2f\t\n", l.Title, l.Connections, l.Sandbox.cells(), l.Wrangler.cells(), l.Sandbox.Failed+l.Wrangler.Failed, l.Factor)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(out, "\nc: connections, each with one request at a time. CPU us: microseconds of CPU a request, outside workerd + in workerd.\n"+
			"factor: the sandbox's requests/s over wrangler dev's.")
	}
	if len(r.Syncs) > 0 {
		printSyncs(out, r.Syncs)
	}
	if r.Startup != nil {
		return r.Startup.print(out)
	}
	return nil
}
