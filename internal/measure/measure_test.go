package measure

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"firedrill"
)

// at is t tenths of a second after noon on a boot; wall clock and monotonic
// clock go together unless a test says otherwise.
func at(boot string, t float64) firedrill.Stamp {
	d := time.Duration(t * float64(time.Second))
	return firedrill.Stamp{Wall: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC).Add(d), Mono: int64(time.Hour + d), Boot: boot}
}

// records builds a run from lines:
//
//	do ID PHASE IMPACT PROVES START END [STATUS]
//	red|green TARGET T
//	resumed FROM TO [BOOT]
//	acks BOOT t[!],…      (! is lost)
//	probes N FAILED
//	turned · skipped ID
func records(t *testing.T, program firedrill.Program, lines string) []firedrill.Record {
	t.Helper()
	boot := "b1"
	var bodies []firedrill.Record
	add := func(when float64, b firedrill.Body) {
		bodies = append(bodies, firedrill.Record{Seq: int64(len(bodies) + 1), At: at(boot, when), Body: b})
	}
	num := func(s string) float64 {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		w := strings.Fields(line)
		if w[0] == "do" || w[0] == "step" {
			program.Steps = append(program.Steps, firedrill.Step{ID: w[1], Phase: firedrill.Phase(w[2]), Proves: firedrill.Proof(strings.TrimPrefix(w[4], "-"))})
		}
	}
	add(0, firedrill.RunStarted{Program: program})
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		w := strings.Fields(line)
		switch w[0] {
		case "do":
			status := firedrill.StatusOK
			if len(w) > 7 {
				status = firedrill.Status(w[7])
			}
			add(num(w[5]), firedrill.Intended{Step: w[1], Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: firedrill.Impact(w[3])}})
			add(num(w[6]), firedrill.Ended{Step: w[1], Role: firedrill.RoleDo, Status: status, Started: at(boot, num(w[5])), Finished: at(boot, num(w[6]))})
		case "red", "green":
			add(num(w[2]), firedrill.Seen{Edge: firedrill.Edge{Observer: "p", Target: w[1], State: firedrill.Colour(w[0]), At: at(boot, num(w[2]))}})
		case "resumed":
			add(num(w[1]), firedrill.Discharged{})
			if len(w) > 3 {
				boot = w[3]
			}
			add(num(w[2]), firedrill.Resumed{})
		case "acks":
			o := &firedrill.Observation{Observer: "s", Boot: w[1]}
			for i, a := range strings.Split(w[2], ",") {
				o.Acks = append(o.Acks, firedrill.Ack{N: int64(i + 1), At: at("", num(strings.TrimSuffix(a, "!"))).Mono, Lost: strings.HasSuffix(a, "!")})
			}
			add(90, firedrill.Ended{Step: "stop", Role: firedrill.RoleDo, Status: firedrill.StatusOK, Observation: o})
		case "probes":
			add(90, firedrill.Ended{Step: "stop", Role: firedrill.RoleDo, Status: firedrill.StatusOK,
				Observation: &firedrill.Observation{Observer: "p", Probes: int64(num(w[1])), Failed: int64(num(w[2]))}})
		case "turned":
			add(90, firedrill.Turned{})
		case "skipped":
			add(90, firedrill.StepSkipped{Step: w[1]})
		case "step":
		default:
			t.Fatalf("line %q", line)
		}
	}
	return bodies
}

func brief(m firedrill.Measurement) string {
	f := func(x *float64) string {
		if x == nil {
			return "-"
		}
		return strconv.FormatFloat(*x, 'f', 1, 64)
	}
	n := func(x *int64) string {
		if x == nil {
			return "-"
		}
		return fmt.Sprint(*x)
	}
	s := fmt.Sprintf("rto %s = %s+%s+%s verified %s", f(m.RTO.Actual), f(m.RTO.Observe), f(m.RTO.Recover), f(m.RTO.Green), f(m.RTO.Verified))
	s += fmt.Sprintf(" rpo %s of %s lost %s/%s", f(m.RPO.Actual), n(m.RPO.Acknowledged), n(m.RPO.LostBefore), n(m.RPO.LostAfter))
	s += fmt.Sprintf(" probes %d/%d", m.Availability.Failed, m.Availability.Probes)
	for _, o := range m.Availability.Outages {
		to := "now"
		if o.To != nil {
			to = o.To.Format("05.0")
		}
		s += fmt.Sprintf(" %s %s-%s", o.Target, o.From.Format("05.0"), to)
	}
	for _, g := range m.Gaps {
		s += fmt.Sprintf(" gap %s-%s", g.From.Format("05.0"), g.To.Format("05.0"))
	}
	return s
}

const drill = `
do drop inject damages - 10 11
do seen detect reads damage 12 13
do restore recover changes - 14 16
do rows verify reads data 17 20
`

func TestMeasurements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, lines, want string }{
		{"nothing happened", "do token preflight reads - 1 2", "rto - = -+-+- verified - rpo - of - lost -/- probes 0/0"},
		{"no probes: the check observed, and green is not measured", drill,
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo - of - lost -/- probes 0/0"},
		{"a probe saw it and the service came back after the recovery", drill + "green a 1\nred a 10.5\ngreen a 16.5\nprobes 100 7",
			"rto 6.5 = 0.5+5.5+0.5 verified 10.0 rpo - of - lost -/- probes 7/100 a 10.5-16.5"},
		{"green before the recovery was acknowledged", drill + "red a 11\ngreen a 15\nprobes 9 1",
			"rto 6.0 = 1.0+5.0+0.0 verified 10.0 rpo - of - lost -/- probes 1/9 a 11.0-15.0"},
		{"flapping: the last time counts", drill + "red a 11\ngreen a 15\nred a 16.2\ngreen a 18\nred b 12\ngreen b 17",
			"rto 8.0 = 1.0+5.0+2.0 verified 10.0 rpo - of - lost -/- probes 0/0 a 11.0-15.0 b 12.0-17.0 a 16.2-18.0"},
		{"green twice is one turn", drill + "red a 11\ngreen a 15\ngreen a 18",
			"rto 6.0 = 1.0+5.0+0.0 verified 10.0 rpo - of - lost -/- probes 0/0 a 11.0-15.0"},
		{"still red", drill + "red a 11\ngreen b 1",
			"rto - = 1.0+5.0+- verified 10.0 rpo - of - lost -/- probes 0/0 a 11.0-now"},
		{"green only after the verification", drill + "red a 11\ngreen a 21",
			"rto - = 1.0+5.0+- verified 10.0 rpo - of - lost -/- probes 0/0 a 11.0-21.0"},
		{"probes that told nothing", drill + "probes 50 0",
			"rto - = 3.0+3.0+- verified 10.0 rpo - of - lost -/- probes 0/50"},
		{"probes that stayed green: the check observed", drill + "green a 1\nprobes 50 0",
			"rto 6.0 = 3.0+3.0+0.0 verified 10.0 rpo - of - lost -/- probes 0/50"},
		{"red before the disaster is not the damage", drill + "red a 5\ngreen a 6",
			"rto 6.0 = 3.0+3.0+0.0 verified 10.0 rpo - of - lost -/- probes 0/0 a 05.0-06.0"},
		{"the recovery failed", strings.Replace(drill, "14 16", "14 16 failed", 1),
			"rto - = 3.0+-+- verified 10.0 rpo - of - lost -/- probes 0/0"},
		{"half of the recovery", drill + "step more recover changes -\nturned\nskipped more",
			"rto - = 3.0+-+- verified 10.0 rpo - of - lost -/- probes 0/0"},
		{"a part of the recovery that was not needed", drill + "step more recover changes -\nskipped more",
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo - of - lost -/- probes 0/0"},
		{"the damage was not proven and no probe saw it", strings.Replace(drill, "12 13", "12 13 failed", 1),
			"rto - = -+-+- verified 10.0 rpo - of - lost -/- probes 0/0"},
		{"a proof that failed", strings.Replace(drill, "17 20", "17 20 failed", 1),
			"rto 6.0 = 3.0+3.0+- verified - rpo - of - lost -/- probes 0/0"},
		{"the earliest injection counts", drill + "do early inject damages - 8 12",
			"rto 8.0 = 5.0+3.0+- verified 12.0 rpo - of - lost -/- probes 0/0"},
		{"losses before and after", drill + "acks b1 8,9,9.5!,10.5!,11!,12",
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo 1.0 of 6 lost 1/2 probes 0/0"},
		{"nothing survived: the age is not known", drill + "acks b1 8!,9!",
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo - of 2 lost 2/0 probes 0/0"},
		{"a sentinel of another boot does not compare", drill + "acks b2 8,9",
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo - of 2 lost -/- probes 0/0"},
		{"two sentinels: the worst counts", drill + "acks b1 9\nacks b1 7,9.5!",
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo 3.0 of 3 lost 1/0 probes 0/0"},
		{"resumed on the same boot", "do drop inject damages - 10 11\ndo seen detect reads damage 12 13\nresumed 13 15\ndo restore recover changes - 15 16\ndo rows verify reads data 17 20",
			"rto 6.0 = 3.0+3.0+- verified 10.0 rpo - of - lost -/- probes 0/0 gap 13.0-15.0"},
		{"resumed on another boot", "do drop inject damages - 10 11\ndo seen detect reads damage 12 13\nresumed 13 30 b2\ndo restore recover changes - 31 32\ndo rows verify reads data 33 34",
			"rto 22.0 = 3.0+19.0+- verified 24.0 rpo - of - lost -/- probes 0/0 gap 13.0-30.0"},
		{"a wall clock that ran backwards measures nothing", "do drop inject damages - 10 11\ndo seen detect reads damage 12 13\nresumed 13 5 b2\ndo restore recover changes - 6 7\ndo rows verify reads data 8 9",
			"rto - = 3.0+-+- verified - rpo - of - lost -/- probes 0/0 gap 13.0-13.0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := brief(Measure(records(t, firedrill.Program{}, c.lines))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestClockJumps moves the wall clock during the run: within a boot nothing changes.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	recs := records(t, firedrill.Program{}, drill+"red a 11\ngreen a 17")
	want := Measure(recs).RTO
	for i, r := range recs {
		jump := func(s firedrill.Stamp) firedrill.Stamp { s.Wall = s.Wall.Add(-time.Duration(i) * time.Hour); return s }
		recs[i].At = jump(r.At)
		switch b := r.Body.(type) {
		case firedrill.Ended:
			b.Started, b.Finished = jump(b.Started), jump(b.Finished)
			recs[i].Body = b
		case firedrill.Seen:
			b.Edge.At = jump(b.Edge.At)
			recs[i].Body = b
		}
	}
	got, err := json.Marshal(Measure(recs).RTO)
	if err != nil {
		t.Fatal(err)
	}
	if w, _ := json.Marshal(want); string(got) != string(w) || want.Actual == nil {
		t.Errorf("got %s, want %s", got, w)
	}
}

func TestTargetsAreThoseOfTheProgram(t *testing.T) {
	t.Parallel()
	m := Measure(records(t, firedrill.Program{RTO: time.Minute}, drill))
	if m.RTO.Target == nil || *m.RTO.Target != 60 || m.RPO.Target != nil {
		t.Errorf("targets %v and %v", m.RTO.Target, m.RPO.Target)
	}
}

// TestPrefixesNeverPanic measures every beginning of a run: what is not there
// yet is nil, never a number that shrinks later.
func TestPrefixesNeverPanic(t *testing.T) {
	t.Parallel()
	recs := records(t, firedrill.Program{}, drill+"red a 11\ngreen a 17\nacks b1 8,9\nresumed 20 21 b2")
	for n := range recs {
		m := Measure(recs[:n])
		if m.RTO.Actual != nil && *m.RTO.Actual < 0 {
			t.Errorf("after %d records: %v", n, *m.RTO.Actual)
		}
	}
}
