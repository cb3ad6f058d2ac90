package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"firedrill"
)

// TestResumeAtEveryRecord crashes every scenario's run after each of its
// records, batches written in part included, and lets the rest go well: the
// run comes to an end, no injection is done twice, and what was damaged is
// undone, discharged or named.
func TestResumeAtEveryRecord(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, run := range runsOf(t, string(data)) {
			for n := 1; n < len(run); n++ {
				total++
				resumeAt(t, fmt.Sprintf("%s, run %d, after record %d", filepath.Base(file), i+1, n), run[:n])
			}
		}
	}
	if total < 500 {
		t.Errorf("only %d places to crash at", total)
	}
}

// runsOf plays a scenario file and gives the records of each run in it.
func runsOf(t *testing.T, scenario string) [][]firedrill.Record {
	t.Helper()
	var runs [][]firedrill.Record
	p := &player{}
	keep := func() {
		if len(p.durable) > 1 {
			runs = append(runs, p.durable)
		}
		p.durable = nil
	}
	for _, block := range strings.Split(scenario, "\n\n") {
		var lines []string
		for _, l := range strings.Split(block, "\n") {
			if l == "----" {
				break
			}
			if l != "" && !strings.HasPrefix(l, "#") {
				lines = append(lines, l)
			}
		}
		if len(lines) > 0 && strings.HasPrefix(lines[0], "drill") {
			keep()
		}
		p.block(lines)
	}
	keep()
	return runs
}

func resumeAt(t *testing.T, name string, records []firedrill.Record) {
	t.Helper()
	if _, over := records[len(records)-1].Body.(firedrill.Finished); over {
		return
	}
	m, err := Load(fakeResolver{}, recode(t, records))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p := &player{m: m, durable: append([]firedrill.Record(nil), records...), boot: "boot1", ticks: 1000}
	if err := p.command("resume", nil); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for i := 0; !p.m.Done(); i++ {
		if i > 200 {
			t.Fatalf("%s: does not come to an end:\n%s", name, p.said.String())
		}
		p.foldsEqually(t)
		if err := p.goWell(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if wrong := violations(p.durable); len(wrong) > 0 {
		t.Errorf("%s: %s\n%s", name, strings.Join(wrong, "; "), p.said.String())
	}
}

// violations checks what must hold of the records of every finished run.
func violations(records []firedrill.Record) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	injected := map[string]int{}
	due := map[string]bool{}
	proved := map[firedrill.Proof]bool{}
	declared := map[firedrill.Proof]bool{}
	steps := map[string]firedrill.Step{}
	know := func(list []firedrill.Step) {
		for _, s := range list {
			steps[s.ID] = s
			declared[s.Proves] = true
		}
	}
	broken := false // something that was to hold did not
	for _, r := range records {
		switch b := r.Body.(type) {
		case firedrill.RunStarted:
			know(b.Program.Steps)
		case firedrill.Expanded:
			know(b.Steps)
		case firedrill.Intended:
			if b.Role != firedrill.RoleDo {
				continue
			}
			if b.Resolved.Impact == firedrill.Damages {
				injected[b.Step]++
			}
			if b.Resolved.Undo != nil {
				due[b.Step] = true
			}
		case firedrill.Ended:
			if b.Role == firedrill.RoleUndo && b.Status == firedrill.StatusOK {
				delete(due, b.Step)
			}
			if b.Role == firedrill.RoleDo && b.Status == firedrill.StatusOK && len(b.Checks) > 0 {
				proved[steps[b.Step].Proves] = true
			}
		case firedrill.Discharged:
			for _, id := range b.Steps {
				for other := range due {
					if other == id || strings.HasPrefix(other, id+"/") {
						delete(due, other)
					}
				}
			}
		case firedrill.StepRefused:
			broken = true
		case firedrill.Turned:
			broken = true
		case firedrill.Finished:
			if b.Verdict == firedrill.Passed {
				if broken || b.Environment != firedrill.Restored || len(b.Left) > 0 || len(injected) == 0 {
					say("passed, although the run turned back, nothing was injected or something is left")
				}
				if !proved[firedrill.ProvesDamage] || !proved[firedrill.ProvesData] && !proved[firedrill.ProvesService] {
					say("passed without the proofs")
				}
				for p := range declared {
					if p != "" && !proved[p] {
						say("passed without proof of %s", p)
					}
				}
			}
			named := map[string]bool{}
			for _, l := range b.Left {
				named[l.Step] = true
			}
			for id := range due {
				if !named[id] || b.Environment != firedrill.Dirty {
					say("%s is neither undone nor discharged nor named", id)
				}
			}
			if len(b.Reasons) == 0 {
				say("no reason is given")
			}
		}
	}
	for id, n := range injected {
		if n > 1 {
			say("%s was injected %d times", id, n)
		}
	}
	return wrong
}
