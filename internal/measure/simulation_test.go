package measure_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"firedrill"
	"firedrill/internal/measure"
	"firedrill/internal/observe"
)

// The simulation plays drills whose outages and losses are known, with the real
// watches and sentinels on a virtual clock, and compares what is measured with
// the truth. Wall clocks jump, processes die and are taken up again, on the same
// boot of the machine or on another.

const (
	simulated   = 500
	simulations = 2 // at a time
	settled     = 600 * time.Millisecond
)

// world is one simulated drill: what really happens, and the records of it.
type world struct {
	dir   string
	start time.Time
	chance
	probeEvery, writeEvery time.Duration
	services               []*service
	stores                 []*store

	mu       sync.Mutex
	jumped   time.Duration // of the wall clock
	boot     int
	booted   time.Duration // when that boot began
	injected time.Duration // 0: not yet
	acked    time.Duration // when the recovery was acknowledged; 0: not yet
	records  []firedrill.Record
	blind    []span // when no process observed
	reboots  []time.Duration
}

// span is a stretch of the virtual time since the start.
type span struct{ from, to time.Duration }

func (s span) has(t time.Duration) bool { return t >= s.from && t <= s.to }

// chance is a source of numbers that a seed decides.
type chance struct{ *rand.Rand }

func (c chance) between(from, to time.Duration) time.Duration {
	return from + time.Duration(c.Int64N(int64(to-from)))
}

func (c chance) one(in int) bool { return c.IntN(in) == 0 }

// service is down from a while after the injection until a while after the
// recovery was acknowledged, or comes back earlier by itself; it may go down a
// second time.
type service struct {
	w              *world
	name           string
	probes         int
	took           time.Duration // until it answers
	spared         bool
	down, up       time.Duration // after the injection, after the acknowledgement
	early          time.Duration // it comes back by itself so long after it went down; 0: it does not
	again, forSome time.Duration // it goes down once more, after it came back; 0: it does not
}

// outages gives when it is down, as far as that is decided; the lock is held.
func (s *service) outages() []span {
	if s.spared || s.w.injected == 0 {
		return nil
	}
	first := span{s.w.injected + s.down, math.MaxInt64}
	switch {
	case s.early > 0:
		first.to = first.from + s.early
	case s.w.acked > 0:
		first.to = s.w.acked + s.up
	}
	if s.again == 0 || first.to == math.MaxInt64 {
		return []span{first}
	}
	return []span{first, {first.to + s.again, first.to + s.again + s.forSome}}
}

// ask is the check of its probes.
func (s *service) ask(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.took):
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, o := range s.outages() {
		if o.has(s.w.elapsed()) {
			return errors.New("down")
		}
	}
	return nil
}

// store takes numbered writes and loses known ones.
type store struct {
	w    *world
	name string
	chance
	took time.Duration // until it acknowledges
	fail int           // one write in so many is refused, and stored all the same or not

	mu     sync.Mutex
	there  map[int64]time.Duration // when it was stored
	acks   []write
	trying []time.Duration // when a write was not acknowledged
	cut    time.Duration   // the recovery brings this moment back
}

// write is one that was acknowledged.
type write struct {
	n    int64
	at   time.Duration
	lost bool
}

func (s *store) String() string { return s.name }

// Write implements [observe.Numbered].
func (s *store) Write(ctx context.Context, n int64) error {
	var ended error
	select {
	case <-ctx.Done():
		ended = ctx.Err()
	case <-time.After(s.took):
	}
	at := s.w.elapsed()
	s.mu.Lock()
	defer s.mu.Unlock()
	if ended == nil && s.one(s.fail) {
		ended = errors.New("refused")
	}
	if ended != nil {
		s.trying = append(s.trying, at)
		if s.one(2) {
			s.there[n] = at
		}
		return ended
	}
	s.there[n] = at
	s.acks = append(s.acks, write{n: n, at: at})
	return nil
}

// Survivors implements [observe.Numbered].
func (s *store) Survivors(context.Context, []int64, []int64) (map[int64]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[int64]bool{}
	for n := range s.there {
		out[n] = true
	}
	return out, nil
}

// restore loses what was stored after the cut, and some older writes.
func (s *store) restore() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, at := range s.there {
		if at > s.cut {
			delete(s.there, n)
		}
	}
	var old []int64 // all but the last ones that survive: they decide the RPO
	for _, a := range s.acks {
		if a.at <= s.cut {
			old = append(old, a.n)
		}
	}
	for range s.IntN(4) {
		if len(old) > 3 {
			delete(s.there, old[s.IntN(len(old)-3)])
		}
	}
	for i, a := range s.acks {
		_, there := s.there[a.n]
		s.acks[i].lost = !there
	}
}

func (w *world) elapsed() time.Duration { return time.Since(w.start) }

func (w *world) stamp() firedrill.Stamp {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stampNow()
}

// stampNow is stamp with the lock held.
func (w *world) stampNow() firedrill.Stamp {
	t := w.elapsed()
	return firedrill.Stamp{Wall: w.start.Add(t + w.jumped), Mono: int64(t-w.booted) + 1, Boot: fmt.Sprint("boot ", w.boot)}
}

func (w *world) record(b firedrill.Body) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.records = append(w.records, firedrill.Record{Seq: int64(len(w.records) + 1), At: w.stampNow(), Body: b})
}

// step records a step that was sent at a moment and ended now.
func (w *world) step(id string, impact firedrill.Impact, started firedrill.Stamp, o *firedrill.Observation) {
	w.record(firedrill.Intended{Step: id, Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: impact}})
	w.record(firedrill.Ended{Step: id, Role: firedrill.RoleDo, Status: firedrill.StatusOK, Started: started, Finished: w.stamp(), Observation: o})
}

// noSync takes notes as the file does, without waiting for the disk.
type noSync struct{ *os.File }

func (noSync) Sync() error { return nil }

// process is a process of the run: what observes in it.
type process struct {
	watch     *observe.Watch
	sentinels []*observe.Sentinel
	end       context.CancelFunc
	running   sync.WaitGroup
}

func (w *world) begin() (*process, error) {
	ctx, end := context.WithCancel(context.Background())
	p := &process{end: end}
	cfg := observe.WatchConfig{Name: "watch", Every: w.probeEvery, Timeout: time.Second, Now: w.stamp, Samples: io.Discard}
	for _, s := range w.services {
		for i := range s.probes {
			cfg.Targets = append(cfg.Targets, observe.Target{Name: fmt.Sprintf("%s /%d", s.name, i), Service: s.name, Check: s.ask})
		}
	}
	p.watch = observe.NewWatch(cfg)
	for _, s := range w.stores {
		sentinel, err := observe.NewSentinel(observe.SentinelConfig{Op: "test", Place: s, File: filepath.Join(w.dir, s.name), Every: w.writeEvery, Now: w.stamp,
			Open: func(file string) (observe.Notes, error) {
				f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				return noSync{f}, err
			}})
		if err != nil {
			end()
			return nil, err
		}
		p.sentinels = append(p.sentinels, sentinel)
		p.running.Go(func() { sentinel.Run(ctx, nil) })
	}
	p.running.Go(func() { p.watch.Run(ctx, func(e firedrill.Edge) { w.record(firedrill.Seen{Edge: e}) }) })
	return p, nil
}

// die ends a process as a kill does: nothing is told to anybody.
func (p *process) die() {
	p.end()
	p.running.Wait()
	for _, s := range p.sentinels {
		s.Stop() // closes its file, and no more
	}
}

// event is something that happens to the run.
type event struct {
	at  time.Duration
	act func() error
}

// newWorld decides by chance what will happen.
func newWorld(seed uint64, dir string) *world {
	w := &world{dir: dir, start: time.Now(), chance: chance{rand.New(rand.NewPCG(seed, 1))}}
	w.probeEvery, w.writeEvery = w.between(20*time.Millisecond, 100*time.Millisecond), w.between(20*time.Millisecond, 100*time.Millisecond)
	for i := range 1 + w.IntN(3) {
		s := &service{w: w, name: fmt.Sprint("service ", i), probes: 1 + w.IntN(2), took: w.between(time.Millisecond, 5*time.Millisecond), spared: w.one(5),
			down: w.between(0, 100*time.Millisecond), up: w.between(0, 1500*time.Millisecond)}
		if w.one(4) {
			s.early = w.between(300*time.Millisecond, time.Second)
		}
		if w.one(4) {
			s.again, s.forSome = w.between(250*time.Millisecond, 600*time.Millisecond), w.between(250*time.Millisecond, 600*time.Millisecond)
		}
		w.services = append(w.services, s)
	}
	for i := range 1 + w.IntN(3) {
		w.stores = append(w.stores, &store{w: w, name: fmt.Sprint("store-", i), chance: chance{rand.New(rand.NewPCG(seed, uint64(100+i)))}, took: w.between(time.Millisecond, 5*time.Millisecond),
			fail: 10 + w.IntN(1000), there: map[int64]time.Duration{}})
	}
	return w
}

// play plays the drill to its end.
func (w *world) play() error {
	w.record(firedrill.RunStarted{Program: firedrill.Program{Steps: []firedrill.Step{
		{ID: "disaster", Phase: firedrill.Inject}, {ID: "seen", Phase: firedrill.Detect, Proves: firedrill.ProvesDamage},
		{ID: "restore", Phase: firedrill.Recover}, {ID: "equal", Phase: firedrill.Verify, Proves: firedrill.ProvesData}, {ID: "stop", Phase: firedrill.Cleanup},
	}}})
	p, err := w.begin()
	if err != nil {
		return err
	}
	for _, e := range w.events(&p) {
		time.Sleep(max(0, e.at-w.elapsed()))
		if err := e.act(); err != nil {
			return err
		}
	}
	w.mu.Lock()
	end := w.acked
	for _, s := range w.services {
		for _, o := range s.outages() {
			end = max(end, o.to)
		}
	}
	w.mu.Unlock()
	time.Sleep(max(0, end-w.elapsed()) + settled)
	w.step("equal", firedrill.Reads, w.stamp(), nil)
	p.watch.Stop()
	o := p.watch.Observation()
	w.step("stop", firedrill.Reads, w.stamp(), &o)
	for i, s := range p.sentinels {
		_, o, err := observe.StopSentinel(context.Background(), "test", s, fmt.Sprint("sentinel ", i), w.stores[i])
		if err != nil {
			return err
		}
		w.step("stop", firedrill.Reads, w.stamp(), o)
	}
	p.die()
	return nil
}

// events gives what happens, in its order. A process that dies is followed by
// another, and what was to happen meanwhile happens then.
func (w *world) events(p **process) []event {
	injected := w.between(700*time.Millisecond, 1400*time.Millisecond)
	acked := injected + w.between(200*time.Millisecond, 2*time.Second)
	all := []event{
		{injected, w.inject},
		{injected + 100*time.Millisecond, func() error { w.step("seen", firedrill.Reads, w.stamp(), nil); return nil }},
		{acked, w.recover},
	}
	for range w.IntN(3) {
		by := w.between(-5*time.Hour, 5*time.Hour)
		all = append(all, event{w.between(0, 4*time.Second), func() error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.jumped += by
			return nil
		}})
	}
	for range w.IntN(3) {
		gap, reboot := w.between(10*time.Millisecond, time.Second), w.one(3)
		all = append(all, event{w.between(300*time.Millisecond, 4*time.Second), func() (err error) {
			(*p).die()
			from := w.elapsed()
			time.Sleep(gap)
			w.mu.Lock()
			w.blind = append(w.blind, span{from, w.elapsed()})
			if reboot {
				w.boot, w.booted = w.boot+1, w.elapsed()
				w.reboots = append(w.reboots, from)
			}
			w.mu.Unlock()
			w.record(firedrill.Resumed{})
			*p, err = w.begin()
			return err
		}})
	}
	slices.SortStableFunc(all, func(a, b event) int { return int(a.at - b.at) })
	return all
}

func (w *world) inject() error {
	for _, s := range w.stores {
		s.mu.Lock()
		s.cut = w.elapsed() - w.between(0, 500*time.Millisecond)
		s.mu.Unlock()
	}
	w.mu.Lock()
	w.injected = w.elapsed()
	w.mu.Unlock()
	at := w.stamp()
	time.Sleep(time.Millisecond)
	w.step("disaster", firedrill.Damages, at, nil)
	return nil
}

func (w *world) recover() error {
	for _, s := range w.stores {
		s.restore()
	}
	w.mu.Lock()
	w.acked = w.elapsed()
	w.mu.Unlock()
	w.step("restore", firedrill.Changes, w.stamp(), nil)
	return nil
}

// rebooted tells whether the machine was restarted between two moments.
func (w *world) rebooted(from, to time.Duration) bool {
	return slices.ContainsFunc(w.reboots, func(at time.Duration) bool { return at >= from && at <= to })
}

// unseen tells whether nobody observed a moment, or not for a whole interval
// since.
func (w *world) unseen(t, every time.Duration) bool {
	return slices.ContainsFunc(w.blind, func(s span) bool { return span{s.from - every, s.to + every}.has(t) })
}

// tally counts what was compared, so that nothing passes by comparing nothing.
type tally struct {
	mu                                                        sync.Mutex
	rto, noRTO, unseen, perService, observed, rpo, noRPO, all int
	before, after, ghosts                                     int64
}

func TestMeasuredAgainstTheTruth(t *testing.T) {
	t.Parallel()
	sum := &tally{}
	t.Run("", func(t *testing.T) {
		for part := range simulations {
			t.Run(fmt.Sprint("part ", part), func(t *testing.T) {
				t.Parallel()
				for seed := part; seed < simulated; seed += simulations {
					dir := t.TempDir()
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(uint64(seed), dir)
						if err := w.play(); err != nil {
							t.Fatalf("seed %d: %v", seed, err)
						}
						for _, wrong := range w.compare(measure.Measure(w.records), sum) {
							t.Errorf("seed %d: %s", seed, wrong)
						}
					})
				}
			})
		}
	})
	t.Logf("%d drills: RTO compared %d, not measurable %d, ended unseen %d; of services %d, observed %d; RPO compared %d, not measurable %d; lost before %d, after %d, ghosts %d",
		sum.all, sum.rto, sum.noRTO, sum.unseen, sum.perService, sum.observed, sum.rpo, sum.noRPO, sum.before, sum.after, sum.ghosts)
	if sum.all != simulated || sum.rto < simulated/2 || sum.noRTO == 0 || sum.unseen == 0 || sum.perService < simulated/2 || sum.observed < simulated/2 || sum.rpo < simulated || sum.noRPO == 0 || sum.before < simulated || sum.after < simulated || sum.ghosts == 0 {
		t.Error("too little was compared")
	}
}

// compare gives what is measured wrongly.
func (w *world) compare(m firedrill.Measurement, sum *tally) []string {
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.all++
	wrong := w.compareRTO(m, sum)
	wrong = append(wrong, w.compareLoss(m, sum)...)
	if len(m.Gaps) != len(w.blind) {
		wrong = append(wrong, fmt.Sprintf("%d gaps, %d are told", len(w.blind), len(m.Gaps)))
	}
	for i, g := range m.Gaps {
		// It is told from the last record on: the samples after it are lost.
		if truth := w.blind[i].to - w.blind[i].from; len(w.reboots) == 0 && g.To.Sub(g.From) < truth {
			wrong = append(wrong, fmt.Sprintf("gap of %s is told as %s", truth, g.To.Sub(g.From)))
		}
	}
	return wrong
}

// compareRTO compares the recovery time of the whole and of each service: within
// one probe interval of the truth, or null where no clock can tell.
func (w *world) compareRTO(m firedrill.Measurement, sum *tally) (wrong []string) {
	judge := func(what string, got *float64, end time.Duration, unseen bool, measured, none *int) {
		truth := end - w.injected
		switch {
		case unseen: // and the gap is told
			if sum.unseen++; len(m.Gaps) == 0 || got != nil && *got > (truth+w.gaps()+w.probeEvery).Seconds() {
				wrong = append(wrong, fmt.Sprintf("%s: nobody saw its end after %s, and it is told as %s s", what, truth, shown(got)))
			}
		case w.rebooted(w.injected, end):
			if *none++; got != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v s, and the machine was restarted in between", what, *got))
			}
		case got == nil:
			wrong = append(wrong, what+" is not measured")
		default:
			*measured++
			if over := *got - truth.Seconds(); over < -1e-9 || over > w.probeEvery.Seconds()+1e-9 {
				wrong = append(wrong, fmt.Sprintf("%s: %v s, it was %s; a probe every %s", what, *got, truth, w.probeEvery))
			}
		}
	}
	ignored, whole, unseenWhole := 0, w.acked, false
	first, firstUnseen := time.Duration(math.MaxInt64), false
	for _, s := range w.services {
		end, unseen, red := w.acked, false, false
		for _, o := range s.outages() {
			end = max(end, o.to)
			unseen = unseen || w.unseen(o.to, w.probeEvery+s.took)
			red = red || !w.unseen(o.from, w.probeEvery+s.took)
			first, firstUnseen = min(first, o.from), firstUnseen || w.unseen(o.from, w.probeEvery+s.took)
		}
		whole, unseenWhole = max(whole, end), unseenWhole || unseen
		got := m.RTO.Services[s.name].Actual
		if s.spared {
			if got != nil {
				wrong = append(wrong, s.name+" was never down and has a recovery time")
			}
		} else if red {
			judge(s.name, got, end, unseen, &sum.perService, &ignored)
		}
	}
	judge("RTO", m.RTO.Actual, whole, unseenWhole, &sum.rto, &sum.noRTO)
	if seen := m.RTO.Observe; first+w.probeEvery < w.acked && !firstUnseen && !w.rebooted(w.injected, w.acked) {
		if sum.observed++; seen == nil || (*seen-(first-w.injected).Seconds()) > w.probeEvery.Seconds() || *seen < 0 {
			wrong = append(wrong, fmt.Sprintf("observed after %s s, down since %s", shown(seen), first-w.injected))
		}
	}
	return wrong
}

// gaps is how long nobody observed in all.
func (w *world) gaps() time.Duration {
	var sum time.Duration
	for _, b := range w.blind {
		sum += b.to - b.from
	}
	return sum
}

// compareLoss compares the losses: which writes, exactly, and how old the last
// survivor is, within one interval of the sentinel.
func (w *world) compareLoss(m firedrill.Measurement, sum *tally) (wrong []string) {
	for i, s := range w.stores {
		got := m.RPO.Sentinels[i]
		var before, after firedrill.Lost
		survivor := time.Duration(-1)
		acknowledged := map[int64]bool{}
		for _, a := range s.acks {
			acknowledged[a.n] = true
			switch {
			case a.lost && a.at > w.injected:
				count(&after, a.n)
			case a.lost:
				count(&before, a.n)
			case a.at <= w.injected:
				survivor = a.at
			}
		}
		ghosts := int64(0)
		for n := range s.there {
			if !acknowledged[n] {
				ghosts++
			}
		}
		if got.Store != s.name || got.Acknowledged != int64(len(s.acks)) || !same(got.LostBefore, before) || !same(got.LostAfter, after) || got.Ghosts.Count != ghosts {
			wrong = append(wrong, fmt.Sprintf("%s: lost %s and %s of %d, %d ghosts; it was %s and %s of %d, %d ghosts",
				s.name, told(got.LostBefore), told(got.LostAfter), got.Acknowledged, got.Ghosts.Count, told(&before), told(&after), len(s.acks), ghosts))
		}
		sum.before, sum.after, sum.ghosts = sum.before+before.Count, sum.after+after.Count, sum.ghosts+ghosts
		if survivor < 0 || w.rebooted(survivor, w.injected) {
			if sum.noRPO++; got.Actual != nil {
				wrong = append(wrong, fmt.Sprintf("%s: RPO %v s, and no clock can tell", s.name, *got.Actual))
			}
			continue
		}
		// Writes that nobody sent, or that were refused, are not the store's loss.
		interval := w.writeEvery + s.took
		idle := w.unseen(s.cut, interval) || slices.ContainsFunc(s.trying, func(at time.Duration) bool { return span{s.cut - 2*interval, s.cut + interval}.has(at) })
		truth := w.injected - s.cut
		switch {
		case got.Actual == nil:
			wrong = append(wrong, s.name+": no RPO")
		case math.Abs(*got.Actual-(w.injected-survivor).Seconds()) > 1e-9:
			wrong = append(wrong, fmt.Sprintf("%s: RPO %v s, the last survivor was %s old", s.name, *got.Actual, w.injected-survivor))
		case idle:
		default:
			sum.rpo++
			if over := *got.Actual - truth.Seconds(); over < -1e-9 || over > interval.Seconds()+1e-9 {
				wrong = append(wrong, fmt.Sprintf("%s: RPO %v s, it was %s; a write every %s", s.name, *got.Actual, truth, interval))
			}
		}
	}
	return wrong
}

func shown(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprint(*x)
}

func count(l *firedrill.Lost, n int64) {
	w := &firedrill.NumberedWrite{N: n}
	if l.Count++; l.First == nil {
		l.First = w
	}
	l.Last = w
}

func same(got *firedrill.Lost, want firedrill.Lost) bool {
	return got != nil && told(got) == told(&want)
}

func told(l *firedrill.Lost) string {
	switch {
	case l == nil:
		return "not known"
	case l.Count == 0:
		return "none"
	}
	return fmt.Sprintf("%d from %d to %d", l.Count, l.First.N, l.Last.N)
}
