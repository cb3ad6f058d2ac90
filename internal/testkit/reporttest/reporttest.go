// Package reporttest gives tests of reports pages to write: of a run that passed, of
// one that failed and left its environment dirty, and of one in which every text is
// hostile and every list is far too long.
package reporttest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"firedrill"
	"firedrill/internal/report"
)

// passed holds the records of a real run of d1-pitr, without the outputs of its steps.
//
//go:embed passed.jsonl
var passed string

// zone is where the pages are read: an hour east of Greenwich.
func zone() *time.Location { return time.FixedZone("CET", 3600) }

// Passed is a run that passed, the 24th of its drill, and slower than usual.
func Passed(t testing.TB) report.Page {
	t.Helper()
	var records []firedrill.Record
	for dec := json.NewDecoder(strings.NewReader(passed)); dec.More(); {
		var r firedrill.Record
		if err := dec.Decode(&r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	p := page(t, records)
	p.Result.Platform = firedrill.Platform{API: "sandbox", Proven: true}
	for i := 1; i < 24; i++ {
		h := p.History[0]
		h.Run = fmt.Sprintf("01K%023d", 24-i)
		h.Started, h.Finished = h.Started.AddDate(0, 0, -14*i), h.Finished.AddDate(0, 0, -14*i)
		rto, rpo := 0.42+0.03*float64(i%5), 0.31+0.04*float64(i%4)
		h.RTO.Actual, h.RPO.Actual = &rto, &rpo
		switch i {
		case 9: // it failed, slowly
			rto = 5.3
			h.Verdict, h.ReasonCode = firedrill.Failed, firedrill.ReasonDataDiffers
		case 15: // it turned back before anything was measured
			h.Verdict, h.ReasonCode, h.RTO.Actual, h.RPO.Actual, h.LostBefore, h.LostAfter = firedrill.Inconclusive, firedrill.ReasonNoDamage, nil, nil, nil, nil
		}
		p.History = append(p.History, h)
	}
	p.Remarks = []firedrill.Remark{{Kind: firedrill.RemarkNote, At: p.Result.Finished.Add(time.Hour), By: "grace@example", Text: "slower because the machine was busy"}}
	return p
}

// page makes the page of a run whose history is the run itself.
func page(t testing.TB, records []firedrill.Record) report.Page {
	t.Helper()
	r, err := report.Result(records)
	if err != nil {
		t.Fatal(err)
	}
	h := firedrill.Past{Run: r.Run, Drill: r.Drill, Use: r.Use, Title: r.Title, Environment: r.Environment, Class: r.Class, Verdict: r.Verdict,
		ReasonCode: r.ReasonCode, State: r.State, Started: r.Started, Finished: r.Finished, Executor: r.Executor,
		RTO: firedrill.Figure{Actual: r.RTO.Actual, Target: r.RTO.Target}, RPO: firedrill.Figure{Actual: r.RPO.Actual, Target: r.RPO.Target},
		LostBefore: r.RPO.LostBefore, LostAfter: r.RPO.LostAfter}
	return report.Page{Result: r, Records: records, History: []firedrill.Past{h}, Zone: zone()}
}

// at is a moment of the runs that are made up here, in milliseconds from their start.
func at(ms int64) firedrill.Stamp {
	return firedrill.Stamp{Wall: time.Date(2026, 11, 20, 2, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond), Mono: ms * 1e6, Boot: "b"}
}

// book collects records.
type book struct {
	records []firedrill.Record
}

func (b *book) add(ms int64, body firedrill.Body) {
	b.records = append(b.records, firedrill.Record{Seq: int64(len(b.records) + 1), At: at(ms), Body: body})
}

// step adds a call that began and ended.
func (b *book) step(id string, role firedrill.Role, impact firedrill.Impact, from, to int64, end firedrill.Ended) {
	b.add(from, firedrill.Intended{Step: id, Role: role, Attempt: 1, Op: "R/" + id, Uses: "d1." + id, Resolved: firedrill.Resolved{Impact: impact}})
	end.Step, end.Role, end.Attempt, end.Op, end.Started, end.Finished = id, role, 1, "R/"+id, at(from), at(to)
	if end.Status == "" {
		end.Status = firedrill.StatusOK
	}
	b.add(to, end)
}

func number[T any](x T) *T { return &x }

// Failed is the first run of its drill: its data differs, the undo failed, the
// environment is dirty, a route is down to the end, and nobody observed a stretch.
func Failed(t testing.TB) report.Page {
	t.Helper()
	b := &book{}
	b.add(0, firedrill.RunStarted{Format: 1, Run: "01KFAILED", Version: "0.1.0", Executor: "ci@runner", Program: firedrill.Program{
		Drill: "d1-pitr", Use: "d1-pitr", Title: "restore a database to a point in time", RTO: 15 * time.Minute, RPO: 30 * time.Minute,
		PlanFile: "firedrill.yaml", PlanHash: strings.Repeat("ab", 32),
		Environment: firedrill.Environment{Name: "staging", Class: firedrill.ClassStaging},
		Inputs:      firedrill.Values{"database": map[string]any{"kind": "d1", "name": "foundation-primary-staging", "key": "primary"}, "rows": int64(400)},
		Steps: []firedrill.Step{
			{ID: "before", Phase: firedrill.Baseline, Title: "the state before the drill"},
			{ID: "damage", Phase: firedrill.Inject, Title: "rows changed and deleted"},
			{ID: "seen", Phase: firedrill.Detect, Title: "every damaged row is found", Proves: firedrill.ProvesDamage},
			{ID: "restore", Phase: firedrill.Recover, Title: "back to the bookmark"},
			{ID: "equal", Phase: firedrill.Verify, Title: "every row and the schema as before", Proves: firedrill.ProvesData},
			{ID: "service", Phase: firedrill.Verify, Title: "the application answers as before", Proves: firedrill.ProvesService},
			{ID: "clean", Phase: firedrill.Cleanup, Title: "as before the drill", Proves: firedrill.ProvesClean},
		}}})
	b.step("before", firedrill.RoleDo, firedrill.Reads, 100, 9000, firedrill.Ended{Summary: "3,204 rows in 5 tables fingerprinted"})
	b.step("damage", firedrill.RoleDo, firedrill.Damages, 9100, 9400, firedrill.Ended{Summary: "412 rows changed, 57 deleted"})
	b.step("seen", firedrill.RoleDo, firedrill.Reads, 9450, 12000, firedrill.Ended{Summary: "469 of 469 damaged rows found", Checks: []firedrill.Check{{OK: true, Compared: 3204, Detail: "469 of 469 damaged rows found"}}})
	b.step("restore", firedrill.RoleDo, firedrill.Changes, 12100, 30000, firedrill.Ended{Summary: "back at the bookmark after 17.9 s", Collateral: []string{"2 rows of tenants, written by others after the disaster, were undone"}})
	b.step("equal", firedrill.RoleDo, firedrill.Reads, 30100, 33000, firedrill.Ended{Status: firedrill.StatusFailed,
		Checks:  []firedrill.Check{{Compared: 3204, Detail: `1 of 3,204 rows differs: tenants id=812 column plan: "pro" is now "CORRUPTED"`}},
		Problem: &firedrill.Problem{Kind: firedrill.KindExpectation, Detail: `1 of 3,204 rows differs: tenants id=812 column plan: "pro" is now "CORRUPTED"`}})
	b.add(33000, firedrill.Turned{Cause: firedrill.ReasonDataDiffers, Step: "equal", Detail: "equal: 1 of 3,204 rows differs"})
	b.add(33000, firedrill.StepSkipped{Step: "service", Reason: "the run turned back before it"})
	b.step("damage", firedrill.RoleUndo, "", 33100, 36000, firedrill.Ended{Status: firedrill.StatusFailed, Problem: &firedrill.Problem{Kind: firedrill.KindUnavailable, Detail: "the API answered 503 three times"}})
	b.add(36100, firedrill.Measured{Measurement: firedrill.Measurement{
		RTO: firedrill.RTO{Target: number(900.0)}, RPO: firedrill.RPO{Target: number(1800.0)},
		Availability: firedrill.Availability{Probes: 360, Failed: 267, Outages: []firedrill.Outage{
			{Target: "gateway /api/tenants", Service: "gateway", From: at(9200).Wall, To: number(at(30050).Wall), Detail: "status 500"},
			{Target: "gateway /api/users", Service: "gateway", From: at(9300).Wall, Detail: "the answer is not the one before the drill"}}},
		Gaps:  []firedrill.Interval{{From: at(14000).Wall, To: at(17000).Wall}},
		Notes: []string{"1 of 3 probes of gateway passed while the service was damaged: gateway /health"}}})
	b.add(36200, firedrill.Finished{Verdict: firedrill.Failed, ReasonCode: firedrill.ReasonDataDiffers, Environment: firedrill.Dirty,
		Reasons: []string{`equal: 1 of 3,204 rows differs: tenants id=812 column plan: "pro" is now "CORRUPTED"`, "the environment was not put back as it was: database foundation-primary-staging"},
		Left:    []firedrill.Left{{Step: "damage", What: "database foundation-primary-staging is not as it was", Repair: "npx wrangler d1 time-travel restore foundation-primary-staging --bookmark=0000001f-00000002"}}})
	p := page(t, b.records)
	p.Result.Ticket, p.Result.Approver = number("OPS-1432"), number("grace@example")
	p.Result.Platform.API = "api.cloudflare.com"
	p.Remarks = []firedrill.Remark{{Kind: firedrill.RemarkAck, At: at(7_200_000).Wall, By: "ada@example", Text: "the trigger on tenants was to blame"}}
	return p
}

// Hostile is the page of a run in which every text is the given one, repeated, and
// every list has n items.
func Hostile(t testing.TB, text string, n int) report.Page {
	t.Helper()
	p := Failed(t)
	fill(reflect.ValueOf(&p.Result).Elem(), text, n)
	fill(reflect.ValueOf(&p.Remarks).Elem(), text, n)
	p.Result.Verdict, p.Result.State, p.Result.ReasonCode = firedrill.Failed, firedrill.Dirty, firedrill.ReasonDataDiffers
	b, _ := p.Records[0].Body.(firedrill.RunStarted)
	b.Version, b.Program.PlanFile = text, text
	for i, s := range p.Result.Steps {
		b.Program.Steps = append(b.Program.Steps, firedrill.Step{ID: fmt.Sprintf("%s%d", text, i), Title: text, Phase: firedrill.Verify, Proves: firedrill.ProvesData})
		s.Step, s.Role, s.Phase, s.Status = fmt.Sprintf("%s%d", text, i), firedrill.RoleDo, firedrill.Verify, string(firedrill.StatusFailed)
		p.Result.Steps[i] = s
	}
	p.Records[0].Body = b
	h := p.History[0]
	p.History = nil
	for i := range n {
		h.Run, h.Drill, h.Environment, h.Started = fmt.Sprintf("%s%d", text, i), p.Result.Drill, p.Result.Environment, p.Result.Started.Add(-time.Duration(i)*time.Hour)
		h.RTO.Actual, h.RPO.Actual = number(float64(i)), number(float64(n-i))
		p.History = append(p.History, h)
	}
	return p
}

// fill sets every string in a value, and gives every list n items.
func fill(v reflect.Value, text string, n int) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), text, n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i), text, n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), text, n/20+1) // lists in lists are shorter, or a run would fill the memory
		}
	case reflect.Float64:
		v.SetFloat(1.5)
	case reflect.Int64:
		v.SetInt(42)
	}
}
