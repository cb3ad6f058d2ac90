package term

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"firedrill"
)

// Live shows drills as they run: on a terminal the last line says what is
// happening, how far it is and for how long; a finished phase leaves one line
// of what was measured. Elsewhere only the finished lines are written.
type Live struct {
	page *Page
	now  func() time.Time

	mu      sync.Mutex
	quiet   bool
	verbose bool
	steps   map[string]firedrill.Step
	phase   firedrill.Phase
	said    []string // summaries of the phase
	role    firedrill.Role
	running []*activity
	drawn   bool // a transient line stands on the screen
	stop    chan struct{}
	stopped sync.WaitGroup
}

// activity is one call under way.
type activity struct {
	op       string
	step     string
	text     string
	started  time.Time
	progress firedrill.Progress
}

// NewLive starts a view. Close must be called.
func NewLive(page *Page, now func() time.Time, quiet, verbose bool) *Live {
	l := &Live{page: page, now: now, quiet: quiet, verbose: verbose, steps: map[string]firedrill.Step{}, stop: make(chan struct{})}
	if page.Terminal && !quiet {
		l.stopped.Go(l.tick)
	}
	return l
}

// Close ends the view and removes the transient line.
func (l *Live) Close() {
	close(l.stop)
	l.stopped.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.erase()
}

func (l *Live) tick() {
	t := time.NewTicker(120 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-t.C:
			l.mu.Lock()
			l.draw()
			l.mu.Unlock()
		}
	}
}

// Line writes a finished line above the transient one.
func (l *Live) Line(style Style, label, text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line(style, label, text)
}

func (l *Live) line(style Style, label, text string) {
	if l.quiet {
		return
	}
	l.erase()
	l.page.Line(style, label, text)
}

// Begin shows something that is no drill: a fetch, a deploy. The returned
// functions report how far it is, and end it with a finished line.
func (l *Live) Begin(label, text string) (progress func(firedrill.Progress), end func(style Style, text string)) {
	a := &activity{op: label, step: label, text: text, started: l.now()}
	l.mu.Lock()
	l.running = append(l.running, a)
	if !l.page.Terminal && !l.quiet && l.verbose {
		l.page.Line(Plain, label, text)
	}
	l.mu.Unlock()
	progress = func(p firedrill.Progress) {
		l.mu.Lock()
		defer l.mu.Unlock()
		a.progress = p
	}
	end = func(style Style, text string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.drop(label)
		if text != "" {
			l.line(style, label, text)
		}
	}
	return progress, end
}

// Progress takes a transient word about a step.
func (l *Live) Progress(step string, p firedrill.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.running {
		if a.step == step {
			a.progress = p
		}
	}
}

// Record takes a durable record and shows what it says.
func (l *Live) Record(r firedrill.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch b := r.Body.(type) {
	case firedrill.RunStarted:
		l.begin(b)
	case firedrill.Expanded:
		for _, s := range b.Steps {
			l.steps[s.ID] = s
		}
	case firedrill.Intended:
		l.intended(b)
	case firedrill.Ended:
		l.ended(b)
	case firedrill.StepSkipped:
		if l.verbose {
			l.line(Faint, "    "+b.Step, "skipped: "+b.Reason)
		}
	case firedrill.StepRefused:
		l.flush()
		l.line(Bad, "  "+b.Step, b.Problem.Detail)
	case firedrill.Seen:
		if l.verbose {
			l.line(Faint, "    "+b.Edge.Target, strings.TrimSpace(string(b.Edge.State)+" "+b.Edge.Detail))
		}
	case firedrill.Turned:
		l.flush()
		l.line(Warn, "  turning back", b.Detail)
	case firedrill.Resumed:
		l.line(Strong, "  resumed", "by "+b.Executor)
	case firedrill.Finished:
		l.flush()
		l.running = nil
		l.erase()
	}
}

func (l *Live) begin(b firedrill.RunStarted) {
	l.steps = map[string]firedrill.Step{}
	for _, s := range b.Program.Steps {
		l.steps[s.ID] = s
	}
	l.phase, l.said, l.running, l.role = "", nil, nil, ""
	where := ", on " + b.Program.Environment.Name
	if !l.quiet {
		l.erase()
		l.page.Line(Strong, b.Program.Drill, b.Program.Title+where)
	}
}

func (l *Live) intended(b firedrill.Intended) {
	phase := l.steps[b.Step].Phase
	if b.Role != firedrill.RoleDo {
		phase = firedrill.Phase(label(b.Role))
	}
	if phase != l.phase {
		l.flush()
		l.phase = phase
	}
	text := l.steps[b.Step].Title
	if text == "" || b.Role != firedrill.RoleDo {
		text = b.Uses
	}
	if b.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", b.Attempt)
	}
	l.running = append(l.running, &activity{op: key(b.Op, b.Role), step: b.Step, text: text, started: l.now()})
	l.draw()
}

func (l *Live) ended(b firedrill.Ended) {
	l.drop(key(b.Op, b.Role))
	if b.Status == firedrill.StatusOK {
		if b.Summary != "" {
			l.said = append(l.said, b.Summary)
		}
		return
	}
	l.flush()
	what := "failed"
	if b.Problem != nil {
		what = b.Problem.Detail
	}
	for _, c := range b.Checks {
		if !c.OK {
			what += "\n" + strings.TrimSpace(c.Expr+" "+c.Detail)
		}
	}
	l.line(Bad, "  "+b.Step, what)
	if b.Problem != nil && b.Problem.Remedy != "" {
		l.line(Plain, "", b.Problem.Remedy)
	}
}

func key(op string, role firedrill.Role) string { return op + "\x00" + string(role) }

func label(r firedrill.Role) string {
	switch r {
	case firedrill.RoleUndo:
		return "undo"
	case firedrill.RoleLook:
		return "look again"
	case firedrill.RoleRearm:
		return "observe again"
	}
	return string(r)
}

// flush writes the line of a phase that is over.
func (l *Live) flush() {
	if len(l.said) > 0 {
		l.line(Plain, "  "+string(l.phase), strings.Join(l.said, " · "))
	}
	l.said = nil
}

func (l *Live) drop(op string) {
	for i, a := range l.running {
		if a.op == op {
			l.running = append(l.running[:i], l.running[i+1:]...)
			return
		}
	}
}

func (l *Live) erase() {
	if l.drawn {
		l.page.write("\r\x1b[2K")
		l.drawn = false
	}
}

// draw writes the transient line: the calls under way, the oldest first.
func (l *Live) draw() {
	if !l.page.Terminal || l.quiet {
		return
	}
	l.erase()
	if len(l.running) == 0 {
		return
	}
	var parts []string
	for _, a := range l.running {
		parts = append(parts, a.line(l.now()))
	}
	label := "  " + string(l.phase)
	if l.phase == "" { // no drill yet: a fetch, a deploy
		label = l.running[0].step
	}
	text := fmt.Sprintf("%-*s%s", LabelWidth, label, strings.Join(parts, " · "))
	if r := []rune(text); len(r) >= l.page.Width {
		text = string(r[:l.page.Width-2]) + "…"
	}
	l.page.write(l.page.Paint(Faint, text))
	l.drawn = true
}

func (a *activity) line(now time.Time) string {
	s := a.text
	if a.progress.Text != "" {
		s = a.progress.Text
	}
	if a.progress.Total > 0 {
		s += fmt.Sprintf(" %d %%", 100*a.progress.Done/a.progress.Total)
		if left := a.left(now); left > time.Second {
			s += ", " + Duration(left.Round(time.Second)) + " left"
		}
	}
	return s + " " + fmt.Sprintf("%.1f s", now.Sub(a.started).Seconds())
}

// left is how long it will take at the pace so far.
func (a *activity) left(now time.Time) time.Duration {
	if a.progress.Done <= 0 {
		return 0
	}
	per := now.Sub(a.started) / time.Duration(a.progress.Done)
	return per * time.Duration(a.progress.Total-a.progress.Done)
}

// Verdict writes how a run ended, below its lines, and what of it is out of the usual.
func (l *Live) Verdict(r firedrill.Result, unusual ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quiet {
		return
	}
	l.erase()
	l.page.Verdict(r)
	for _, text := range unusual {
		l.page.Line(Warn, "    trend", text)
	}
	l.page.Blank()
}
