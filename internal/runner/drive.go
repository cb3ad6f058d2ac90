package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"firedrill"
	"firedrill/internal/engine"
	"firedrill/internal/state"
)

// drive is one run in this process.
type drive struct {
	r         *Runner
	lease     state.Lease
	m         *engine.Machine
	id        string
	dir       string
	records   []firedrill.Record
	inputs    chan engine.Input
	observers *observers
	injection injection
	calls     map[string]context.CancelFunc // by op and role
	flying    int                           // effects whose answer is outstanding
	base      context.Context               // of calls: not ended by an interrupt
	away      outage
	room      room
}

// drive runs the machine until the run has finished. env is the key of the
// environment; first makes the first input.
func (r *Runner) drive(ctx context.Context, lease state.Lease, m *engine.Machine, id, env string, earlier []firedrill.Record, first func(firedrill.Stamp) engine.Input) ([]firedrill.Record, error) {
	dir, err := r.cfg.Home.RunDir(id)
	if err != nil {
		return nil, err
	}
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	d := &drive{r: r, lease: lease, m: m, id: id, dir: dir, records: earlier, inputs: make(chan engine.Input), calls: map[string]context.CancelFunc{}, base: base,
		injection: injection{phases: map[string]firedrill.Phase{}, damaged: map[string]bool{}}}
	d.room.free = func() (bool, error) { return r.cfg.Home.FreeRoom(env) }
	d.injection.note(earlier)
	d.observers = newObservers(lease.Guard(base), func(e firedrill.Edge) { d.send(engine.EdgeSeen{At: r.cfg.Now(), Edge: e}) })
	defer r.setDamage(nil)
	err = d.loop(ctx, first(r.cfg.Now()))
	end() // observers and calls that are still there must let go of the channel
	d.observers.close()
	for ; d.flying > 0; d.flying-- {
		<-d.inputs
	}
	if m.Done() {
		_, ferr := d.room.free()
		err = errors.Join(err, ferr, os.RemoveAll(filepath.Join(dir, firedrill.PrivateFolder)))
	}
	return d.records, err
}

// send hands an input to the loop, or drops it when the run is over: what an
// observer sees after the end belongs to nobody.
func (d *drive) send(in engine.Input) {
	select {
	case d.inputs <- in:
	case <-d.base.Done():
	}
}

func (d *drive) loop(ctx context.Context, first engine.Input) error {
	if err := d.step(first); err != nil {
		return err
	}
	interrupt := ctx.Done()
	for !d.m.Done() {
		var in engine.Input
		if d.room.turns() {
			if err := d.step(engine.Interrupt{At: d.r.cfg.Now(), Kind: firedrill.KindStorage, Detail: diskFull}); err != nil {
				return err
			}
			continue
		}
		select {
		case in = <-d.inputs:
		case <-d.lease.Lost():
			return d.lease.Check(d.base)
		case <-interrupt:
			interrupt = nil
			in = engine.Interrupt{At: d.r.cfg.Now(), Detail: reason(ctx)}
		}
		if _, edge := in.(engine.EdgeSeen); !edge {
			if _, stop := in.(engine.Interrupt); !stop {
				d.flying--
			}
		}
		if err := d.step(in); err != nil {
			return err
		}
	}
	return nil
}

func reason(ctx context.Context) string {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause.Error()
	}
	return "it was interrupted"
}

// step feeds an input and performs what follows: first the records, then,
// when they are durable, the effects.
func (d *drive) step(in engine.Input) error {
	if err := d.m.Step(in); err != nil {
		return &firedrill.Error{Op: "run", Kind: firedrill.KindInternal, Target: "run " + d.id, Err: err, Remedy: "resume it: firedrill resume " + d.id}
	}
	for rd, ok := d.m.Ready(); ok; rd, ok = d.m.Ready() {
		if err := d.persist(rd.Records); err != nil {
			return err
		}
		d.m.Advance()
		d.records = append(d.records, rd.Records...)
		d.injection.note(rd.Records)
		d.r.setDamage(d.m.Damaged())
		for _, rec := range rd.Records {
			d.r.cfg.Listener(rec)
		}
		if len(rd.Effects) == 0 {
			continue
		}
		// Whoever took the environment over answers for it now.
		if err := d.lease.Check(d.base); err != nil {
			return err
		}
		for _, e := range rd.Effects {
			d.perform(e)
		}
	}
	return nil
}

// persistAttempts is how often a batch is written before the run gives up. A
// full disk or a lock may pass; the run waits rather than lose its way back.
const persistAttempts = 5

// persist makes records durable. After an error it looks whether they are
// there all the same. On a disk that is full it goes on in the space that was kept,
// and the run turns back. A journal that stays dead ends the run in this process:
// nothing may start that is not recorded.
func (d *drive) persist(records []firedrill.Record) error {
	if len(records) == 0 {
		return nil
	}
	var err error
	for attempt := range persistAttempts {
		if attempt > 0 {
			time.Sleep(time.Duration(attempt) * 200 * time.Millisecond)
		}
		if err = d.r.cfg.Journal.Append(d.base, d.id, records); err == nil {
			return nil
		}
		if got, rerr := d.r.cfg.Journal.Records(d.base, d.id); rerr == nil && len(got) > 0 && got[len(got)-1].Seq >= records[len(records)-1].Seq {
			return nil
		}
		if kind := firedrill.KindOf(err); kind == firedrill.KindConflict || kind == firedrill.KindInterrupted {
			return err // another process has this run now
		}
		if attempt == persistAttempts-2 { // whatever it calls itself: a quota, too, is used up
			d.room.spend()
		}
	}
	return &firedrill.Error{Op: "run", Kind: firedrill.KindStorage, Target: "run " + d.id,
		Detail: "the journal cannot be written, so nothing more may be done", Remedy: "free the disk, then: firedrill resume " + d.id, Err: err}
}

func (d *drive) perform(e engine.Effect) {
	key := e.Op + "\x00" + string(e.Role)
	switch e.Kind {
	case engine.Cancel:
		if cancel := d.calls[key]; cancel != nil {
			cancel()
		}
	case engine.Measure:
		d.flying++
		records := append([]firedrill.Record(nil), d.records...)
		go d.reply(engine.MeasureDone{At: d.r.cfg.Now(), Measurement: measured(records)})
	case engine.AskDone:
		d.flying++
		go func() { d.reply(d.ask(e)) }()
	case engine.Do:
		ctx, cancel := context.WithCancel(d.base)
		d.calls[key] = cancel
		d.flying++
		refused, patient := d.guard(e), d.patient(e)
		go func() {
			defer cancel()
			d.reply(d.call(d.lease.Guard(ctx), e, refused, patient))
		}()
	}
}

// reply hands the answer to an effect to the loop; it is always taken.
func (d *drive) reply(in engine.Input) { d.inputs <- in }

// call performs an action, unless it is refused. Whatever it does, a completion
// comes of it. A patient one
// waits for a platform that is away.
func (d *drive) call(ctx context.Context, e engine.Effect, refused error, patient bool) engine.Completion {
	for pause := firstWait; ; pause = min(2*pause, longestWait) {
		done, err := d.try(ctx, e, refused)
		if patient && errors.Is(err, syscall.ENOSPC) {
			d.room.spend() // the next attempt has it
		}
		switch {
		case !patient:
			return done
		case err == nil:
			d.answers()
			return done
		case !d.isAway(e, err) || !d.wait(ctx, err, pause):
			return done
		}
	}
}

// try performs an action once, within the time that it has.
func (d *drive) try(ctx context.Context, e engine.Effect, refused error) (done engine.Completion, failed error) {
	now := d.r.cfg.Now
	timeout := e.Timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	done = engine.Completion{Op: e.Op, Role: e.Role, Attempt: e.Attempt, Started: now()}
	finish := func(out firedrill.Outcome, err error) {
		done.Finished = now()
		done.At, done.Outcome = done.Finished, out
		done.Status, done.Problem = status(ctx, e, err), firedrill.ProblemOf(err)
		if done.Problem != nil && errors.Is(ctx.Err(), context.Canceled) && e.Impact == firedrill.Reads {
			done.Problem.Kind = firedrill.KindInterrupted
		}
	}
	defer func() {
		if p := recover(); p != nil {
			finish(firedrill.Outcome{}, &firedrill.Error{Op: e.Uses, Kind: firedrill.KindInternal, Target: "step " + e.Step,
				Detail: "the action broke: " + broken(p), Remedy: "this is a defect of firedrill: please report it", Err: errors.New(string(debug.Stack()))})
			if e.Impact != firedrill.Reads {
				done.Status = firedrill.StatusUnknown
			}
		}
	}()
	a, ok := d.r.cfg.Registry.Lookup(e.Uses)
	if !ok {
		finish(firedrill.Outcome{}, &firedrill.Error{Op: e.Uses, Kind: firedrill.KindUnsupported, Target: "step " + e.Step, Detail: "this version has no such action", Remedy: "use the version of firedrill that began the run"})
		return done, nil
	}
	if refused != nil {
		finish(firedrill.Outcome{}, refused)
		return done, nil
	}
	out, err := a.Do(ctx, d.callOf(e))
	finish(out, err)
	return done, err
}

// broken says what a panic was about. Only what the language itself says is shown:
// other values may hold anything, secrets too, and the stack says where it was.
func broken(p any) string {
	if err, is := p.(runtime.Error); is {
		return err.Error()
	}
	return fmt.Sprintf("a panic with a value of type %T", p)
}

// status tells how a call ended. One that ran out of time while it changed
// something may have happened.
func status(ctx context.Context, e engine.Effect, err error) firedrill.Status {
	switch {
	case err == nil:
		return firedrill.StatusOK
	case firedrill.KindOf(err) == firedrill.KindUnknown:
		return firedrill.StatusUnknown
	case ctx.Err() != nil && e.Impact != firedrill.Reads:
		return firedrill.StatusUnknown
	}
	return firedrill.StatusFailed
}

func (d *drive) callOf(e engine.Effect) firedrill.Call {
	return firedrill.Call{Run: d.id, Step: e.Step, Attempt: e.Attempt, Op: e.Op, Impact: e.Impact, Inputs: e.Inputs, Environment: d.m.Program().Environment,
		Dir: d.dir, Observers: d.observers, Now: d.r.cfg.Now, Injected: d.injection.sent, Full: d.room.full, Progress: func(p firedrill.Progress) { d.r.cfg.Progress(e.Step, p) }}
}

// ask asks an action what became of a call whose outcome was lost.
func (d *drive) ask(e engine.Effect) (answer engine.Answer) {
	answer = engine.Answer{Op: e.Op, Done: firedrill.DoneUnknown}
	defer func() {
		if p := recover(); p != nil {
			answer.Done = firedrill.DoneUnknown
			answer.Problem = &firedrill.Problem{Op: e.Uses, Kind: firedrill.KindInternal, Target: "step " + e.Step, Detail: "the action broke: " + broken(p)}
		}
		answer.At = d.r.cfg.Now()
	}()
	a, _ := d.r.cfg.Registry.Lookup(e.Uses)
	doer, ok := a.(firedrill.Doner)
	if !ok {
		answer.Problem = &firedrill.Problem{Op: e.Uses, Kind: firedrill.KindUnsupported, Target: "step " + e.Step, Detail: "this version cannot ask whether it happened"}
		return answer
	}
	ctx, cancel := context.WithTimeout(d.base, DefaultTimeout)
	defer cancel()
	done, out, err := doer.Done(d.lease.Guard(ctx), d.callOf(e))
	answer.Done, answer.Outcome, answer.Problem = done, out, firedrill.ProblemOf(err)
	if err != nil {
		answer.Done = firedrill.DoneUnknown
	}
	return answer
}
