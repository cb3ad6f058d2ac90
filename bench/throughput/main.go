//go:build unix

// Command throughput measures one Worker in firedrill's sandbox and, side by
// side in the same run, under `wrangler dev --local`, which is what a user has
// without the sandbox: requests a second and latency of a trivial route, of
// reads and writes of KV and D1 through the Worker, and how long a start takes
// until four Workers answer.
//
// The load is a closed loop over 1, 16 and 64 connections that are kept. The
// two sides take turns, so that whatever else the machine does hurts both.
// Every answer is compared with what it must be; one wrong answer makes the
// exit status 1. The generator's own ceiling is measured first, against a Go
// handler that does nothing.
//
//	go run ./bench/throughput
//	go run ./bench/throughput --only trivial,d1 --cpuprofile sandbox.pprof
//
// The first run installs the pinned wrangler with npm, into the user's cache.
// With FIREDRILL_WORKERD the sandbox runs another workerd, for instance
// wrangler's own, so that both sides run the same one.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	seconds    float64
	only       []string
	json       bool
	cpuprofile string
	starts     int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) > 1 && os.Args[1] == serveCommand {
		exit(serve(ctx, os.Args[2:]))
	}
	opt, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		os.Exit(2) // the flag package has said why
	}
	exit(run(ctx, opt))
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/throughput:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// startup is the name of the measurement that is no row of the load.
const startup = "startup"

func parse(args []string) (options, error) {
	var opt options
	f := flag.NewFlagSet("throughput", flag.ContinueOnError)
	names := make([]string, 0, len(rows())+1)
	for _, r := range rows() {
		names = append(names, r.Name)
	}
	names = append(names, startup)
	var only string
	f.Float64Var(&opt.seconds, "seconds", 4, "seconds of load for each side, row and number of connections")
	f.StringVar(&only, "only", "", "what to measure, separated by commas: "+strings.Join(names, ", "))
	f.BoolVar(&opt.json, "json", false, "print one JSON document and no table")
	f.StringVar(&opt.cpuprofile, "cpuprofile", "", "write a CPU profile of the sandbox's process to this file")
	f.IntVar(&opt.starts, "starts", 5, "starts of each side that are timed")
	if err := f.Parse(args); err != nil {
		return opt, err
	}
	opt.only = names
	if only != "" {
		opt.only = strings.Split(only, ",")
	}
	var err error
	for _, n := range opt.only {
		if !slices.Contains(names, n) {
			err = fmt.Errorf("--only: there is no %q; known are %s", n, strings.Join(names, ", "))
		}
	}
	switch {
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case opt.seconds < 0.1 || opt.starts < 1:
		err = errors.New("--seconds must be 0.1 or more, and --starts 1 or more")
	}
	if err == nil && opt.cpuprofile != "" {
		opt.cpuprofile, err = filepath.Abs(opt.cpuprofile)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/throughput:", err)
	}
	return opt, err
}

func run(ctx context.Context, opt options) (err error) {
	dir, err := os.MkdirTemp("", "fd-throughput-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	wrangler, err := installWrangler(ctx)
	if err != nil {
		return err
	}
	bundled, err := bundledWorkerd(wrangler)
	if err != nil {
		return err
	}
	rep := report{Machine: machine(), Wrangler: "wrangler " + pinned + " with its workerd " + bundled}
	if rep.Ceiling, err = ceiling(ctx, opt.length()); err != nil {
		return err
	}
	if err := load(ctx, opt, dir, wrangler, &rep); err != nil {
		return err
	}
	if slices.Contains(opt.only, startup) {
		progress("timing %d starts of each side", opt.starts)
		if rep.Startup, err = starts(ctx, opt.starts, filepath.Join(dir, startup), wrangler); err != nil {
			return err
		}
	}
	if opt.json {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		err = out.Encode(rep)
	} else {
		err = rep.print(os.Stdout)
	}
	if n := rep.failures(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests were not answered as they must be; first: %s", n, rep.firstFailure()))
	}
	return err
}

// load measures the rows: both sides serve all the time and take turns.
func load(ctx context.Context, opt options, dir, wrangler string, rep *report) (err error) {
	chosen := slices.DeleteFunc(rows(), func(r row) bool { return !slices.Contains(opt.only, r.Name) })
	if len(chosen) == 0 {
		return nil
	}
	progress("starting both sides")
	sides := make([]*side, 0, 2)
	defer func() {
		for _, s := range sides {
			err = errors.Join(err, s.stop())
		}
	}()
	project := []script{{Name: "bench", Source: benchWorker, KV: true, D1: true}}
	sandbox, err := newSandbox(ctx, filepath.Join(dir, "sandbox"), opt.cpuprofile)
	if err != nil {
		return err
	}
	sides = append(sides, sandbox.side)
	if err := sandbox.deploy(ctx, project); err != nil {
		return err
	}
	dev, err := newWrangler(ctx, wrangler, filepath.Join(dir, "wrangler"), project)
	if err != nil {
		return err
	}
	sides = append(sides, dev)
	rep.Sandbox = "workerd " + sandbox.Workerd
	for _, s := range sides {
		if err := s.await(ctx, "/trivial", "ok"); err != nil {
			return err
		}
		for i := range keys / seedBatch {
			if err := s.await(ctx, fmt.Sprintf("/seed/%d", i*seedBatch), "seeded"); err != nil {
				return err
			}
		}
	}
	for _, r := range chosen {
		for _, c := range connections() {
			progress("%s, %d connections", r.Title, c)
			line := line{Row: r.Name, Title: r.Title, Write: r.Write, Connections: c}
			for range rounds {
				for i, s := range sides {
					got, err := s.turn(ctx, r, c, opt.length())
					if err != nil {
						return err
					}
					line.add(i, got)
				}
			}
			rep.Lines = append(rep.Lines, line.finish())
		}
	}
	for _, r := range chosen {
		if r.Write {
			progress("%s, what is synced", r.Title)
			rep.Syncs = append(rep.Syncs, syncs(ctx, r, sides, dir))
		}
	}
	return nil
}

// rounds is how many times each side has its turn in one line.
const rounds = 2

// length is how long one turn lasts.
func (o options) length() time.Duration {
	return time.Duration(o.seconds * float64(time.Second) / rounds)
}

// connections are the numbers of connections that the load comes over.
func connections() []int { return []int{1, 16, 64} }

// progress says on stderr what is done now.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
