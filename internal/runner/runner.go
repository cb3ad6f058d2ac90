// Package runner is the shell round the engine: it makes records durable,
// performs effects through actions, and feeds back how they ended. It decides
// nothing that the engine could decide.
//
// The order is the promise: no effect starts before the record that intends it
// is durable, and the undo of an injection is part of that record. On an error
// or an interrupt the run goes back and ends restored, or says what it left
// and which command repairs it.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/engine"
	"firedrill/internal/journal"
	"firedrill/internal/measure"
	"firedrill/internal/state"
)

// Journal is what a runner needs of a journal.
type Journal interface {
	Append(ctx context.Context, run string, records []firedrill.Record) error
	Records(ctx context.Context, run string) ([]firedrill.Record, error)
	Runs(ctx context.Context, q journal.Query) ([]journal.Run, error)
}

// Home is what a runner needs of a state store beside the journal. The local
// folder is one, a bucket another.
type Home interface {
	// RunDir is the folder of a run on this machine.
	RunDir(run string) (string, error)
	// Acquire takes an environment. Of several that try, one succeeds; the
	// others' errors are of [firedrill.KindBusy]. The run's folder is then as
	// its records say.
	Acquire(ctx context.Context, key string, holder state.Holder) (state.Lease, error)
	// TakeOver takes it from a holder that a person declared gone, named by its
	// fencing number: another one keeps it.
	TakeOver(ctx context.Context, key string, holder state.Holder, from int64) (state.Lease, error)
	// Holder tells who holds an environment, nil if nobody does.
	Holder(ctx context.Context, key string) (*state.Holder, error)
	// Halted tells who wants all drills to turn back, Aborted who wants it of one
	// run, and Stopped either.
	Halted() (*state.Stop, error)
	Aborted(run string) (*state.Stop, error)
	Stopped(run string) (*state.Stop, error)
	// KeepRoom takes space on the disk for whoever holds an environment, and
	// FreeRoom gives it back; had tells whether there was any.
	KeepRoom(key string) error
	FreeRoom(key string) (had bool, err error)
}

// DefaultTimeout bounds a call whose step and action set no time-out.
const DefaultTimeout = 10 * time.Minute

// Config is what a runner works with. All fields but the listeners and the patience
// are required.
type Config struct {
	Journal  Journal
	Home     Home
	Registry *action.Registry
	Resolver firedrill.Resolver
	Now      func() firedrill.Stamp
	NewID    func() string
	Version  string // of firedrill
	Executor string // user@host
	// Listener is told every record once it is durable.
	Listener func(firedrill.Record)
	// Progress is told what calls are doing.
	Progress func(step string, p firedrill.Progress)
	// Notice is told what a person has to know at once and no record says: that the
	// way back waits, and that it goes on.
	Notice func(text string)
	// Patience is how long the way back waits for a platform that is away;
	// 0: [DefaultPatience].
	Patience time.Duration
}

// Runner runs drills, one at a time per environment.
type Runner struct {
	cfg Config

	mu     sync.Mutex
	damage []firedrill.Left // of the run under way
}

// New makes a runner.
func New(cfg Config) *Runner {
	if cfg.Listener == nil {
		cfg.Listener = func(firedrill.Record) {}
	}
	if cfg.Progress == nil {
		cfg.Progress = func(string, firedrill.Progress) {}
	}
	if cfg.Notice == nil {
		cfg.Notice = func(string) {}
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
	}
	return &Runner{cfg: cfg}
}

// Damaged lists what the run under way has changed and not put back, with the
// commands that repair it. It may be called at any time.
func (r *Runner) Damaged() []firedrill.Left {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]firedrill.Left(nil), r.damage...)
}

// Run runs a drill to its end and gives its records. When ctx ends the run
// turns back: what was changed is put back under a context of its own. An
// error means that the run could not begin, or that its journal failed.
func (r *Runner) Run(ctx context.Context, p firedrill.Program) ([]firedrill.Record, error) {
	if err := errors.Join(r.guard(p), r.closed(p), r.halted(p)); err != nil {
		return nil, err
	}
	id := r.cfg.NewID()
	lease, err := r.lease(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if err := r.cfg.Home.KeepRoom(key(p)); err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	ctx, stop := context.WithCancelCause(ctx)
	watched := make(chan struct{})
	watching, done := context.WithCancel(ctx)
	go func() {
		defer close(watched)
		r.watch(watching, p, id, stop)
	}()
	defer func() { done(); <-watched; stop(nil) }()
	records, err := r.drive(ctx, lease, engine.New(r.cfg.Resolver), id, key(p), nil, func(at firedrill.Stamp) engine.Input {
		return engine.Start{At: at, Run: id, Version: r.cfg.Version, Executor: r.cfg.Executor, Program: p}
	})
	return records, errors.Join(err, lease.Release())
}

// Resume takes up a run that another process left, puts back what is open,
// and brings it to its end. An injection is never done again.
func (r *Runner) Resume(ctx context.Context, run string) ([]firedrill.Record, error) {
	return r.resume(ctx, run, func(key string, h state.Holder) (state.Lease, error) { return r.cfg.Home.Acquire(ctx, key, h) })
}

// TakeOver is Resume for a run whose holder a person declared gone. from is the
// fencing number of that holder.
func (r *Runner) TakeOver(ctx context.Context, run string, from int64) ([]firedrill.Record, error) {
	return r.resume(ctx, run, func(key string, h state.Holder) (state.Lease, error) { return r.cfg.Home.TakeOver(ctx, key, h, from) })
}

func (r *Runner) resume(ctx context.Context, run string, take func(key string, h state.Holder) (state.Lease, error)) ([]firedrill.Record, error) {
	m, _, err := r.load(ctx, "resume", run)
	if err != nil {
		return nil, err
	}
	if m.Done() {
		return nil, hasFinished(run)
	}
	lease, err := take(key(*m.Program()), r.holder(run))
	if err != nil {
		return nil, err
	}
	// Until the lease was taken, somebody else may have worked on the run.
	m, records, err := r.load(ctx, "resume", run)
	if err == nil && m.Done() {
		err = hasFinished(run)
	}
	if err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	// Also on a full disk it is tried to put things back: nothing new is begun.
	_ = r.cfg.Home.KeepRoom(key(*m.Program()))
	all, err := r.drive(ctx, lease, m, run, key(*m.Program()), records, func(at firedrill.Stamp) engine.Input {
		return engine.Resume{At: at, Version: r.cfg.Version, Executor: r.cfg.Executor}
	})
	return all, errors.Join(err, lease.Release())
}

// load reads the records of a run and folds them.
func (r *Runner) load(ctx context.Context, op, run string) (*engine.Machine, []firedrill.Record, error) {
	records, err := r.cfg.Journal.Records(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	m, err := engine.Load(r.cfg.Resolver, records)
	if err != nil {
		return nil, nil, &firedrill.Error{Op: op, Kind: firedrill.KindCorrupt, Target: "run " + run, Err: err, Remedy: "use the version of firedrill that began it"}
	}
	return m, records, nil
}

func hasFinished(run string) error {
	return &firedrill.Error{Op: "resume", Kind: firedrill.KindUsage, Target: "run " + run, Detail: "it has finished", Remedy: "see: firedrill show " + run}
}

// Holder tells who works on a run, nil if nobody does.
func (r *Runner) Holder(ctx context.Context, run string) (*state.Holder, error) {
	m, _, err := r.load(ctx, "look at the run", run)
	if err != nil {
		return nil, err
	}
	return r.cfg.Home.Holder(ctx, key(*m.Program()))
}

// Unfinished gives the runs that did not finish: those on which a process works,
// and those that nobody works on, with what each left changed.
func (r *Runner) Unfinished(ctx context.Context) (running []journal.Run, interrupted []Interrupted, err error) {
	open, err := r.cfg.Journal.Runs(ctx, journal.Query{Unfinished: true})
	if err != nil {
		return nil, nil, err
	}
	for _, run := range open {
		m, _, err := r.load(ctx, "read the journal", run.ID)
		if err != nil {
			return nil, nil, err
		}
		holder, err := r.cfg.Home.Holder(ctx, key(*m.Program()))
		if err != nil {
			return nil, nil, err
		}
		if holder != nil {
			running = append(running, run)
			continue
		}
		interrupted = append(interrupted, Interrupted{Run: run, Damaged: m.Damaged()})
	}
	return running, interrupted, nil
}

// Interrupted is a run that nobody works on and that did not finish.
type Interrupted struct {
	Run     journal.Run
	Damaged []firedrill.Left
}

// lease takes the environment, unless an interrupted run left it damaged.
func (r *Runner) lease(ctx context.Context, p firedrill.Program, id string) (state.Lease, error) {
	lease, err := r.cfg.Home.Acquire(ctx, key(p), r.holder(id))
	if err != nil {
		return nil, err
	}
	open, err := r.cfg.Journal.Runs(ctx, journal.Query{Environment: p.Environment.Name, Unfinished: true})
	if err != nil {
		return nil, errors.Join(err, lease.Release())
	}
	for _, run := range open {
		records, err := r.cfg.Journal.Records(ctx, run.ID)
		if err != nil {
			return nil, errors.Join(err, lease.Release())
		}
		started, ok := records[0].Body.(firedrill.RunStarted)
		if ok && key(started.Program) == key(p) {
			return nil, errors.Join(&firedrill.Error{Op: "run " + p.Drill, Kind: firedrill.KindBusy, Target: "environment " + p.Environment.Name,
				Detail: "run " + run.ID + " (" + run.Drill + ") was interrupted and is not finished", Remedy: "finish it first: firedrill resume " + run.ID}, lease.Release())
		}
	}
	return lease, nil
}

// key names an environment among all that this machine drills.
func key(p firedrill.Program) string {
	e := p.Environment
	return fmt.Sprintf("%s-%s-%v-%v", e.Name, e.Provider, e.Settings["api"], e.Settings["account"])
}

// holder names this process.
func (r *Runner) holder(run string) state.Holder {
	host, err := os.Hostname()
	if err != nil {
		host = "this machine"
	}
	return state.Holder{Run: run, PID: os.Getpid(), Host: host, Since: r.cfg.Now().Wall}
}

func (r *Runner) setDamage(left []firedrill.Left) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.damage = left
}

// measured computes what the records amount to.
func measured(records []firedrill.Record) firedrill.Measurement { return measure.Measure(records) }
