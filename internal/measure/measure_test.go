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
//	alert T
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
		if len(w) > 0 && (w[0] == "do" || w[0] == "step") {
			program.Steps = append(program.Steps, firedrill.Step{ID: w[1], Phase: firedrill.Phase(w[2]), Proves: firedrill.Proof(strings.TrimPrefix(w[4], "-"))})
		}
	}
	add(0, firedrill.RunStarted{Program: program})
	for _, line := range strings.Split(strings.TrimSpace(lines), "\n") {
		w := strings.Fields(line)
		if len(w) == 0 {
			continue
		}
		switch w[0] {
		case "do":
			status := firedrill.StatusOK
			if len(w) > 7 {
				status = firedrill.Status(w[7])
			}
			add(num(w[5]), firedrill.Intended{Step: w[1], Role: firedrill.RoleDo, Resolved: firedrill.Resolved{Impact: firedrill.Impact(w[3])}})
			add(num(w[6]), firedrill.Ended{Step: w[1], Role: firedrill.RoleDo, Status: status, Started: at(boot, num(w[5])), Finished: at(boot, num(w[6]))})
		case "alert":
			add(num(w[1]), firedrill.Seen{Edge: firedrill.Edge{Observer: "a", Target: "alert", State: firedrill.Red, At: at(boot, num(w[1])), Alert: true}})
		case "red", "green":
			service, _, two := strings.Cut(w[1], ":")
			if !two {
				service = ""
			}
			add(num(w[2]), firedrill.Seen{Edge: firedrill.Edge{Observer: "p", Target: w[1], Service: service, State: firedrill.Colour(w[0]), At: at(boot, num(w[2]))}})
		case "resumed":
			add(num(w[1]), firedrill.Discharged{})
			if len(w) > 3 {
				boot = w[3]
			}
			add(num(w[2]), firedrill.Resumed{})
		case "acks":
			o := &firedrill.Observation{Observer: fmt.Sprintf("s%d", len(bodies)), Boot: w[1]}
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
			"rto - = 3.0+-+- verified - rpo - of - lost -/- probes 0/0 gap 13.0-30.0"},
		{"a write after a restart of the machine is after the disaster, however the clocks stand", "do drop inject damages - 10 11\ndo seen detect reads damage 12 13\nresumed 13 30 b2\nacks b1 8,9.5!\nacks b2 1!,40",
			"rto - = 3.0+-+- verified - rpo - of 4 lost 1/1 probes 0/0 gap 13.0-30.0"},
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

func short(x *float64) string {
	if x == nil {
		return "-"
	}
	return strconv.FormatFloat(*x, 'f', 1, 64)
}

func TestServicesAreMeasuredByTheirOwnProbes(t *testing.T) {
	t.Parallel()
	const before = "green web:a 1\ngreen web:b 1\ngreen db:a 1\ngreen idle:a 1\n"
	for _, c := range []struct{ name, lines, want string }{
		{"each has its own time", before + drill + "red web:a 11\nred web:b 11.5\ngreen web:a 15\ngreen web:b 17\nred db:a 12\ngreen db:a 16.5",
			"db 6.5=2.0+0.5 idle -=-+- web 7.0=1.0+1.0 whole 7.0"},
		{"one does not come back", before + drill + "red web:a 11\ngreen web:a 16\nred db:a 12",
			"db -=2.0+- idle -=-+- web 6.0=1.0+0.0 whole -"},
		{"the machine was restarted", before + "do drop inject damages - 10 11\nred web:a 11\ndo seen detect reads damage 12 13\nresumed 13 30 b2\ndo restore recover changes - 31 32\ngreen web:a 33\ndo rows verify reads data 34 35",
			"db -=-+- idle -=-+- web -=1.0+1.0 whole -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := Measure(records(t, firedrill.Program{}, c.lines))
			var got []string
			for _, name := range []string{"db", "idle", "web"} {
				s, there := m.RTO.Services[name]
				if !there {
					t.Errorf("%s is not measured", name)
				}
				got = append(got, fmt.Sprintf("%s %s=%s+%s", name, short(s.Actual), short(s.Observe), short(s.Green)))
			}
			if s := strings.Join(got, " ") + " whole " + short(m.RTO.Actual); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
}

// TestARequestUnderWayAtTheInjection: it shows the damage from its bad answer on,
// if that came after the injection.
func TestARequestUnderWayAtTheInjection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answered float64 // 0: not told
		want     string
	}{{10.5, "0.5"}, {9.9, "3.0"}, {0, "3.0"}} {
		recs := records(t, firedrill.Program{}, "green a 1\n"+drill+"red a 9.8\ngreen a 15")
		for i, r := range recs {
			if b, is := r.Body.(firedrill.Seen); is && b.Edge.State == firedrill.Red && c.answered > 0 {
				b.Edge.Answered = at("b1", c.answered)
				recs[i].Body = b
			}
		}
		if got := short(Measure(recs).RTO.Observe); got != c.want {
			t.Errorf("answered at %v: observed after %s, want %s", c.answered, got, c.want)
		}
	}
}

// TestTheUsersAlert: detect_s is there only where the plan names an alert, and
// what the alert says is nothing about the service.
func TestTheUsersAlert(t *testing.T) {
	t.Parallel()
	named := firedrill.Program{Alert: firedrill.Values{"url": "http://alerts"}}
	for _, c := range []struct {
		program firedrill.Program
		lines   string
		want    string
	}{
		{firedrill.Program{}, drill, ""},
		{named, drill + "alert 14.5\nalert 15", `"detect_s":4.5`},
		{named, drill + "alert 9", `"detect_s":null`},
		{named, drill, `"detect_s":null`},
	} {
		m := Measure(records(t, c.program, c.lines))
		text, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "detect_s") != (c.want != "") || !strings.Contains(string(text), c.want) || len(m.Availability.Outages) != 0 || short(m.RTO.Observe) != "3.0" {
			t.Errorf("%q: %s", c.lines, text)
		}
		var back firedrill.Measurement
		if err := json.Unmarshal(text, &back); err != nil || back.RTO.Detect.Named != (c.want != "") {
			t.Errorf("read back: %+v %v", back.RTO.Detect, err)
		}
		if told := strings.Contains(strings.Join(m.Notes, "\n"), "was not seen to fire"); told != strings.HasSuffix(c.want, "null") {
			t.Errorf("notes %q", m.Notes)
		}
	}
}

// TestProbesThatShowNothingAreNamed: a probe that stayed green while the damage
// was proven is named, once the damage was proven.
func TestProbesThatShowNothingAreNamed(t *testing.T) {
	t.Parallel()
	const before = "green web:a 1\ngreen web:b 1\ngreen db:a 1\n"
	for _, c := range []struct{ lines, want string }{
		{before + drill + "red web:a 11\ngreen web:a 15", "1 of 2 probes of web passed while the service was damaged: web:b|no probe of db showed the damage that was proven: db:a"},
		{before + drill + "red web:a 11\nred web:b 11\nred db:a 15.9", ""},
		{before + drill + "red web:a 11\nred web:b 11\nred db:a 16.1", "no probe of db showed the damage that was proven: db:a"},
		{before + strings.Replace(drill, "12 13", "12 13 failed", 1), ""},
		{before + "red web:a 9\n" + drill + "red web:b 11\nred db:a 11\n", ""},
	} {
		if got := strings.Join(Measure(records(t, firedrill.Program{}, c.lines)).Notes, "|"); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.lines, got, c.want)
		}
	}
}

// TestGapsAreNamed: a gap before the injection hides nothing.
func TestGapsAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lines, want string }{
		{"resumed 3 5\n" + drill, ""},
		{drill + "resumed 20 22.5", "nobody observed for 2.5 s, from 10.0 s after the injection on: whether the service was up is not known"},
	} {
		if got := strings.Join(Measure(records(t, firedrill.Program{}, c.lines)).Notes, "|"); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.lines, got, c.want)
		}
	}
}

// TestLossesAreNamed: which numbers were lost and when, per store, and ghosts.
func TestLossesAreNamed(t *testing.T) {
	t.Parallel()
	recs := records(t, firedrill.Program{}, drill+"acks b1 8,9!,9.5!,10.5!,12\nacks b1 7,11!")
	for i, r := range recs {
		if b, is := r.Body.(firedrill.Ended); is && b.Observation != nil && len(b.Observation.Acks) == 5 {
			b.Observation.Store, b.Observation.Ghosts = "database one", []int64{7, 9}
			recs[i].Body = b
		}
	}
	m := Measure(recs)
	got, err := json.Marshal(m.RPO)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"actual_s":3,"acknowledged_writes":7,"lost_before_disaster":2,"lost_after_disaster":2,"ghosts":2`,
		`"store":"database one","actual_s":2,"acknowledged_writes":5,"lost_before_disaster":{"count":2,"first":{"n":2,"at":"2026-01-01T12:00:09Z"},"last":{"n":3,"at":"2026-01-01T12:00:09.5Z"}}`,
		`"lost_after_disaster":{"count":1,"first":{"n":4,"at":"2026-01-01T12:00:10.5Z"},"last":{"n":4,"at":"2026-01-01T12:00:10.5Z"}}`,
		`"ghosts":{"count":2,"first":{"n":7,"at":null},"last":{"n":9,"at":null}}`,
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if len(m.Notes) != 1 || m.Notes[0] != "database one: 2 writes between 7 and 9 are there, and no acknowledgement came: not counted as loss, nor as kept" {
		t.Errorf("notes %q", m.Notes)
	}
}

// TestOutagesKeepTheirFirstAndLastBadAnswer, and slow answers are told apart.
func TestOutagesKeepTheirFirstAndLastBadAnswer(t *testing.T) {
	t.Parallel()
	recs := records(t, firedrill.Program{}, drill+"green a 1\ngreen b 1\nred a 11\ngreen a 15\nred b 12\nprobes 40 9")
	for i, r := range recs {
		switch b := r.Body.(type) {
		case firedrill.Seen:
			b.Edge.Detail = "first"
			if b.Edge.Target == "a" && b.Edge.State == firedrill.Green {
				b.Edge.Last = &firedrill.BadAnswer{At: at("b1", 14.9), Detail: "last of a"}
			}
			recs[i].Body = b
		case firedrill.Ended:
			if b.Observation != nil {
				b.Observation.Targets = []firedrill.TargetProbed{{Target: "a", Probes: 20, Slow: 3, Cached: 2}, {Target: "b", Probes: 20, Slow: 4, Last: &firedrill.BadAnswer{At: at("b1", 19), Detail: "last of b"}}}
			}
		}
	}
	m := Measure(recs)
	a := m.Availability
	if len(a.Outages) != 2 || a.Outages[0].Detail != "first" || a.Outages[0].Last != "last of a" || a.Outages[0].LastAt.Format("05.0") != "14.9" ||
		a.Outages[1].Last != "last of b" || a.Outages[1].To != nil || a.Slow != 7 || a.Failed != 9 || len(a.Targets) != 2 {
		t.Errorf("%+v", a)
	}
	if len(m.Notes) != 1 || !strings.Contains(m.Notes[0], "a: 2 answers came from a cache") {
		t.Errorf("notes %q", m.Notes)
	}
}
