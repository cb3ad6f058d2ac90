// Command measure compares what firedrill measures with what really happened,
// in real time, and tells what measuring costs.
//
// An application of its own process is damaged: it answers wrongly for a time
// that it notes itself, and loses writes that it chooses itself. Drills are run
// against it as a user would run them, by a plan with steps of its own, probes
// and a sentinel that writes through the application's routes. Printed are the
// truth of the application and the measurements side by side, and the processor
// time of this process for each sample of a probe and of a sentinel. The exit
// status is 1 when a loss is not exact, or a time is further from the truth than
// an interval and the slack.
//
//	go run ./bench/measure
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

type options struct {
	drills             int
	probe, write, look time.Duration
	slack              time.Duration
}

func main() {
	var opt options
	serve := flag.Bool("app", false, "be the application (the command starts itself so)")
	flag.IntVar(&opt.drills, "drills", 10, "drills to run")
	flag.DurationVar(&opt.probe, "probe", 50*time.Millisecond, "time between two requests of a probe")
	flag.DurationVar(&opt.write, "write", 50*time.Millisecond, "time between two writes of the sentinel")
	flag.DurationVar(&opt.look, "look", 5*time.Second, "how long to measure the cost of each")
	flag.DurationVar(&opt.slack, "slack", 100*time.Millisecond, "what a busy machine may add to an interval")
	flag.Parse()
	var err error
	if *serve {
		err = beApp(os.Stdin, os.Stdout)
	} else {
		err = run(context.Background(), opt)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/measure:", err)
		os.Exit(1)
	}
}

// run does everything in a folder of its own.
func run(ctx context.Context, opt options) (err error) {
	dir, err := os.MkdirTemp("", "fd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	a, err := startApp(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.end()) }()
	fmt.Printf("%d drills, a probe and a write every %s and %s; truth | measured\n\n", opt.drills, opt.probe, opt.write)
	off, err := drills(ctx, a, dir, opt)
	if err != nil {
		return err
	}
	if err := costs(ctx, a, dir, opt); err != nil {
		return err
	}
	if off > 0 {
		return fmt.Errorf("%d of %d drills measured something that was not so", off, opt.drills)
	}
	return nil
}
