package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"firedrill"
)

var update = flag.Bool("update", false, "write what the scenarios give into their files")

// TestScenarios plays the files of testdata. A file is a list of blocks: what
// happens, a line ----, and what the machine says to it.
func TestScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 10 && !*update {
		t.Fatalf("only %d scenario files: %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(data))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(data) {
				t.Errorf("%s differs; with -update it becomes\n%s", file, firstDifference(string(data), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range b {
		if i >= len(a) || a[i] != b[i] {
			return fmt.Sprintf("line %d:\n%s", i+1, strings.Join(b[max(0, i-3):min(len(b), i+12)], "\n"))
		}
	}
	return "shorter"
}

// play runs a scenario and gives it back with what the machine said.
func play(t *testing.T, scenario string) string {
	t.Helper()
	p := &player{}
	var out strings.Builder
	lines := strings.Split(scenario, "\n")
	for i := 0; i < len(lines); {
		if strings.TrimSpace(lines[i]) == "" || strings.HasPrefix(lines[i], "#") {
			out.WriteString(lines[i])
			if i < len(lines)-1 {
				out.WriteString("\n")
			}
			i++
			continue
		}
		var block []string
		for ; i < len(lines) && lines[i] != "----" && lines[i] != ""; i++ {
			block = append(block, lines[i])
		}
		if i < len(lines) && lines[i] == "----" {
			for i++; i < len(lines) && lines[i] != ""; i++ {
				continue // what was said before
			}
		}
		p.said.Reset()
		p.block(block)
		p.foldsEqually(t)
		fmt.Fprintf(&out, "%s\n----\n%s", strings.Join(block, "\n"), p.said.String())
	}
	return out.String()
}

// player keeps the machine of a scenario and all that was made durable.
type player struct {
	m       *Machine
	program firedrill.Program
	durable []firedrill.Record
	ticks   int64
	boot    string
	jumped  time.Duration // of the wall clock alone
	said    strings.Builder
}

func (p *player) now() firedrill.Stamp {
	at := stampAt(p.ticks, p.boot)
	at.Wall = at.Wall.Add(p.jumped)
	return at
}

func stampAt(ticks int64, boot string) firedrill.Stamp {
	at := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(ticks) * time.Second)
	return firedrill.Stamp{Wall: at, Mono: ticks * int64(time.Second), Boot: boot}
}

// block plays the commands of one block; indented lines belong to the one above.
func (p *player) block(lines []string) {
	for i := 0; i < len(lines); {
		j := i + 1
		for j < len(lines) && strings.HasPrefix(lines[j], "  ") {
			j++
		}
		if err := p.command(lines[i], lines[i+1:j]); err != nil {
			fmt.Fprintf(&p.said, "error: %v\n", err)
		}
		i = j
	}
}

func (p *player) command(line string, below []string) error {
	words := strings.Fields(line)
	if words[0] == "drill" {
		return p.drill(words[1:], below)
	}
	switch words[0] {
	case "truth":
		return p.truth()
	case "incidents":
		return p.incidents()
	case "jump":
		d, err := time.ParseDuration(words[1])
		p.jumped += d
		return err
	case "reboot":
		p.boot += "'"
		return nil
	}
	p.ticks++
	switch words[0] {
	case "start":
		p.m, p.durable = New(fakeResolver{}), nil
		return p.step(Start{At: p.now(), Run: "R", Version: "v1", Executor: "a@b", Program: p.program})
	case "ok", "fail", "unknown":
		in, err := p.completion(words, below)
		if err != nil {
			return err
		}
		return p.step(in)
	case "answer":
		return p.step(Answer{At: p.now(), Op: "R/" + words[1], Done: firedrill.Doneness(words[2]), Outcome: firedrill.Outcome{Outputs: outputsOf(words[3:])}})
	case "interrupt":
		return p.step(Interrupt{At: p.now(), Detail: "SIGINT"})
	case "edge":
		return p.step(EdgeSeen{At: p.now(), Edge: firedrill.Edge{Observer: "probe", Target: words[1], State: firedrill.Colour(words[2]), At: p.now()}})
	case "crash":
		return p.crash(words[1:])
	case "resume":
		return p.step(Resume{At: p.now(), Version: "v2", Executor: "c@d", Abort: len(words) > 1})
	case "measured":
		return p.step(p.measured(words[1:]))
	case "rest":
		return p.rest()
	case "view":
		p.view()
		return nil
	}
	return fmt.Errorf("no command %q", words[0])
}

func (p *player) drill(options, below []string) error {
	p.program = firedrill.Program{Drill: "d"}
	p.boot, p.m, p.ticks, p.jumped = "boot1", nil, 0, 0
	for _, o := range options {
		if o == "incident" {
			p.program.Incident, p.program.Environment.Incident = &firedrill.Incident{Point: "P"}, true
			continue
		}
		if o == "lists" {
			p.program.Incident.Lists = true
			continue
		}
		key, value, _ := strings.Cut(o, "=")
		d, err := time.ParseDuration(value)
		if err != nil {
			return err
		}
		switch key {
		case "rto":
			p.program.RTO = d
		case "rpo":
			p.program.RPO = d
		}
	}
	for _, line := range below {
		s, err := parseStep(line)
		if err != nil {
			return err
		}
		p.program.Steps = append(p.program.Steps, s)
	}
	return nil
}

// completion reads "ok step [undo|look|rearm] [key=value…] [compared:n] [part:n] [differs]".
func (p *player) completion(words, below []string) (Completion, error) {
	role := firedrill.RoleDo
	rest := words[2:]
	if len(rest) > 0 {
		switch r := firedrill.Role(rest[0]); r {
		case firedrill.RoleDo, firedrill.RoleUndo, firedrill.RoleLook, firedrill.RoleRearm:
			role, rest = r, rest[1:]
		}
	}
	c := Completion{At: p.now(), Op: "R/" + words[1], Role: role, Attempt: 1, Started: stampAt(p.ticks-1, p.boot), Finished: p.now(), Status: firedrill.StatusOK}
	for _, e := range p.m.InFlight() {
		if e.Op == c.Op && e.Role == role {
			c.Attempt = e.Attempt
		}
	}
	switch words[0] {
	case "fail":
		kind := firedrill.KindUnavailable
		if len(rest) > 0 {
			kind = firedrill.Kind(rest[0])
		}
		c.Status, c.Problem = firedrill.StatusFailed, &firedrill.Problem{Kind: kind, Detail: "it said " + string(kind)}
		return c, nil
	case "unknown":
		c.Status, c.Problem = firedrill.StatusUnknown, &firedrill.Problem{Kind: firedrill.KindUnknown, Detail: "no answer came"}
		return c, nil
	}
	c.Outcome.Outputs = outputsOf(rest)
	for _, w := range rest {
		if n, ok := strings.CutPrefix(w, "compared:"); ok {
			rows, err := strconv.ParseInt(n, 10, 64)
			if err != nil {
				return c, err
			}
			c.Outcome.Checks = append(c.Outcome.Checks, firedrill.Check{OK: true, Compared: rows, Detail: n + " rows equal"})
		}
		if n, ok := strings.CutPrefix(w, "part:"); ok {
			rows, err := strconv.ParseInt(n, 10, 64)
			if err != nil {
				return c, err
			}
			c.Outcome.Checks = append(c.Outcome.Checks, firedrill.Check{OK: true, Compared: rows, Partial: true, Detail: n + " rows of a sample equal"})
		}
		if w == "differs" {
			c.Outcome.Checks = append(c.Outcome.Checks, firedrill.Check{Compared: 3, Detail: "1 of 3 rows differs"})
		}
		if name, ok := strings.CutPrefix(w, "stopped:"); ok {
			c.Outcome.Observation = &firedrill.Observation{Observer: name}
		}
	}
	for _, line := range below {
		s, err := parseStep(line)
		if err != nil {
			return c, err
		}
		c.Outcome.Steps = append(c.Outcome.Steps, s)
	}
	return c, nil
}

func outputsOf(words []string) firedrill.Values {
	var out firedrill.Values
	for _, w := range words {
		if key, value, ok := strings.Cut(w, "="); ok {
			if out == nil {
				out = firedrill.Values{}
			}
			out[key] = value
		}
	}
	return out
}

func (p *player) measured(words []string) MeasureDone {
	in := MeasureDone{At: p.now()}
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch key {
		case "rto", "rpo", "green":
			d, err := time.ParseDuration(value)
			if err != nil {
				panic(err)
			}
			s := d.Seconds()
			switch key {
			case "rto":
				in.Measurement.RTO.Actual = &s
			case "green":
				in.Measurement.RTO.Green = &s
			default:
				in.Measurement.RPO.Actual = &s
			}
		case "gap":
			from, to, _ := strings.Cut(value, "-")
			a, _ := strconv.ParseInt(from, 10, 64)
			b, _ := strconv.ParseInt(to, 10, 64)
			in.Measurement.Gaps = append(in.Measurement.Gaps, firedrill.Interval{From: stampAt(a, "").Wall, To: stampAt(b, "").Wall})
		}
	}
	return in
}

// rest lets everything that is under way and follows go well.
func (p *player) rest() error {
	for !p.m.Done() {
		if err := p.goWell(); err != nil {
			return err
		}
	}
	return nil
}

// goWell lets the oldest call under way go well, or measures.
func (p *player) goWell() error {
	p.ticks++
	calls := p.m.InFlight()
	if len(calls) == 0 {
		return p.step(MeasureDone{At: p.now(), Measurement: firedrill.Measurement{}})
	}
	e := calls[0]
	if _, asked := p.m.asked[e.Op]; asked {
		return p.step(Answer{At: p.now(), Op: e.Op, Done: firedrill.Done, Outcome: goodOutcome()})
	}
	return p.step(Completion{At: p.now(), Op: e.Op, Role: e.Role, Attempt: e.Attempt, Status: firedrill.StatusOK, Started: p.now(), Finished: p.now(), Outcome: goodOutcome()})
}

func goodOutcome() firedrill.Outcome {
	return firedrill.Outcome{Outputs: firedrill.Values{"v": "1"}, Checks: []firedrill.Check{{OK: true, Compared: 3, Detail: "3 rows equal"}}}
}

// crash loses what was not durable. "crash before TEXT" keeps only what stands
// before the last record that is shown as TEXT: a batch that was written in part.
func (p *player) crash(words []string) error {
	if len(words) > 0 {
		text := strings.Join(words[1:], " ")
		n := len(p.durable) - 1
		for ; n >= 0 && !strings.HasPrefix(show(p.durable[n].Body), text); n-- {
			continue
		}
		if n < 0 {
			return fmt.Errorf("no record %q", text)
		}
		p.durable = p.durable[:n]
	}
	m, err := Load(fakeResolver{}, p.durable)
	if err != nil {
		return err
	}
	p.m = m
	return nil
}

func (p *player) step(in Input) error {
	if err := p.m.Step(in); err != nil {
		return err
	}
	for rd, ok := p.m.Ready(); ok; rd, ok = p.m.Ready() {
		for _, r := range rd.Records {
			fmt.Fprintf(&p.said, "%d %s\n", r.Seq, show(r.Body))
		}
		p.durable = append(p.durable, rd.Records...)
		p.m.Advance()
		for _, e := range rd.Effects {
			fmt.Fprintf(&p.said, "  -> %s\n", strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Step, tag(e.Role, e.Attempt))))
		}
	}
	return nil
}

func (p *player) view() {
	t, turned := p.m.Turned()
	fmt.Fprintf(&p.said, "phase %s, turned %v %s, done %v\n", p.m.Phase(), turned, t.Cause, p.m.Done())
	for _, e := range p.m.InFlight() {
		fmt.Fprintf(&p.said, "in flight %s %s\n", e.Step, tag(e.Role, e.Attempt))
	}
	for _, l := range p.m.Damaged() {
		fmt.Fprintf(&p.said, "damaged %s: %s | %s\n", l.Step, l.What, l.Repair)
	}
}

func tag(role firedrill.Role, attempt int) string {
	if role == "" {
		return ""
	}
	if attempt == 1 {
		return string(role)
	}
	return fmt.Sprintf("%s #%d", role, attempt)
}

// show writes a record on one line, its reasons below.
func show(b firedrill.Body) string {
	switch b := b.(type) {
	case firedrill.RunStarted:
		return "started " + b.Run
	case firedrill.StepSkipped:
		return "skipped " + b.Step + ": " + b.Reason
	case firedrill.StepRefused:
		return "refused " + b.Step + ": " + b.Problem.Detail
	case firedrill.Intended:
		s := "intended " + b.Step + " " + tag(b.Role, b.Attempt)
		if b.Resolved.Undo != nil {
			s += ", undo is " + b.Resolved.Undo.Uses
		}
		return s
	case firedrill.Ended:
		s := "ended " + b.Step + " " + tag(b.Role, b.Attempt) + " " + string(b.Status)
		if b.Problem != nil {
			s += ": " + b.Problem.Detail
		}
		return s
	case firedrill.Expanded:
		var ids []string
		for _, s := range b.Steps {
			ids = append(ids, s.ID)
		}
		return "expanded " + b.Step + ": " + strings.Join(ids, ", ")
	case firedrill.Discharged:
		return "discharged by " + b.By + ": " + strings.Join(b.Steps, ", ")
	case firedrill.Seen:
		return "seen " + b.Edge.Target + " " + string(b.Edge.State)
	case firedrill.Turned:
		return "turned " + string(b.Cause) + ": " + b.Detail
	case firedrill.Resumed:
		return "resumed by " + b.Executor
	case firedrill.Answered:
		return "answered " + b.Step + " " + string(b.Done)
	case firedrill.Measured:
		return "measured"
	case firedrill.Finished:
		s := fmt.Sprintf("finished %s %s, %s", b.Verdict, b.ReasonCode, b.Environment)
		for _, r := range b.Reasons {
			s += "\n  because " + r
		}
		for _, l := range b.Left {
			s += fmt.Sprintf("\n  left %s: %s | %s", l.Step, l.What, l.Repair)
		}
		return s
	}
	return fmt.Sprintf("%T", b)
}
