package schedule

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"firedrill"
)

// drawn is a timetable, some runs and a moment.
type drawn struct {
	table Timetable
	pasts []firedrill.Past
	now   time.Time
}

func draw(t *rapid.T) drawn {
	var d drawn
	zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "America/Santiago"}).Draw(t, "zone")
	drill := firedrill.Drill{Name: "a", Every: rapid.SampledFrom([]string{"weekly", "monthly", "quarterly", "semi-annual", "annual", "1 day", "10 days", "5 months", "0 2 * * 1", "30 2 * * *", "0 */6 * * *"}).Draw(t, "every")}
	if rapid.Bool().Draw(t, "starts") {
		drill.Starts = time.Date(2024, 1, rapid.IntRange(1, 800).Draw(t, "start"), 0, 0, 0, 0, time.UTC).Format(dateLayout)
	}
	drill.Window = &firedrill.Window{From: "00:00", To: "24:00", Zone: zone}
	if rapid.Bool().Draw(t, "window") {
		drill.Window.From, drill.Window.To = "02:00", "03:30"
	}
	env := firedrill.Environment{Name: "staging"}
	if rapid.Bool().Draw(t, "freeze") {
		env.Freeze = []firedrill.Freeze{{From: "2024-12-20", To: "2025-01-10"}}
	}
	table, err := Of(env, drill)
	if err != nil {
		t.Fatal(err)
	}
	d.table = table
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range rapid.IntRange(0, 12).Draw(t, "runs") {
		at = at.Add(time.Duration(rapid.Int64Range(0, 100*24*60).Draw(t, "minutes")) * time.Minute)
		p := firedrill.Past{Run: fmt.Sprintf("%03d", i), Drill: "a", Environment: rapid.SampledFrom([]string{"staging", "staging", "staging", "ci"}).Draw(t, "environment"), Started: at,
			Verdict:    rapid.SampledFrom([]firedrill.Verdict{firedrill.Passed, firedrill.Passed, firedrill.Failed, firedrill.Inconclusive, firedrill.Aborted, firedrill.Recovered}).Draw(t, "verdict"),
			ReasonCode: rapid.SampledFrom([]firedrill.ReasonCode{firedrill.ReasonDataDiffers, firedrill.ReasonOperational}).Draw(t, "reason")}
		if rapid.Bool().Draw(t, "ack") {
			p.Remarks = []firedrill.Remark{{Kind: firedrill.RemarkAck, At: at.Add(time.Hour)}}
		}
		d.pasts = append(d.pasts, p)
	}
	d.now = at.Add(time.Duration(rapid.Int64Range(60, 400*24*60).Draw(t, "later")) * time.Minute)
	return d
}

func TestStandingsHoldWhateverRan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		s := d.table.Stand(d.pasts, d.now)
		if s.LastPassed != nil && !s.Due.After(s.LastPassed.Started) {
			t.Fatalf("due at %s, and it passed at %s", s.Due, s.LastPassed.Started)
		}
		if s.Due.IsZero() && s.LastRun != nil {
			t.Fatal("it ran, and is due at no date")
		}
		if s.Overdue && (s.Late.Before(s.Due) || s.Missed == 0 && s.Late.After(s.Due.AddDate(0, 0, 7))) {
			t.Fatalf("overdue from %s, due at %s", s.Late, s.Due)
		}
		if s.Waits != nil && (s.IsDue || s.Waits.Acked() || s.Waits.Verdict == firedrill.Passed) {
			t.Fatalf("waits for %+v", s.Waits)
		}
		if !s.Opens.IsZero() {
			if why, _ := d.table.Allowed(s.Opens); why != "" || s.Opens.Before(d.now) || s.Opens.Before(s.Again) {
				t.Fatalf("opens at %s: %s", s.Opens, why)
			}
		}
		if again := d.table.Stand(rapid.Permutation(d.pasts).Draw(t, "order"), d.now); !reflect.DeepEqual(strip(s), strip(again)) {
			t.Fatalf("in another order:\n%+v\n%+v", s, again)
		}
		// A run that passes now meets what is due, and nothing is due at once again.
		after := d.table.Stand(append(d.pasts, firedrill.Past{Run: "zzz", Drill: "a", Environment: "staging", Started: d.now, Verdict: firedrill.Passed}), d.now)
		if after.IsDue || after.Overdue || after.Waits != nil || after.Missed > 0 || !after.Due.After(d.now) {
			t.Fatalf("after a run that passed: %+v", after)
		}
		// What shows nothing never makes the next date later than it was.
		idle := d.table.Stand(append(d.pasts, firedrill.Past{Run: "zzz", Drill: "a", Environment: "staging", Started: d.now, Verdict: firedrill.Inconclusive, ReasonCode: firedrill.ReasonOperational}), d.now)
		if !s.Due.IsZero() && (!idle.Due.Equal(s.Due) || idle.Overdue != s.Overdue) {
			t.Fatalf("after a run that shows nothing: %+v", idle)
		}
	})
}

// strip leaves out what points into a list, and keeps what it points at.
func strip(s Standing) Standing {
	s.dates = dates{}
	return s
}

func TestDatesAreAnIntervalApart(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		list := d.table.Dates(d.table.Stand(d.pasts, d.now), d.now, d.now.AddDate(1, 0, 0))
		for i, x := range list {
			if x.Opens.Before(x.Due) || !x.Closes.IsZero() && !x.Closes.After(x.Opens) {
				t.Fatalf("%d: %+v", i, x)
			}
			if i == 0 {
				continue
			}
			before := list[i-1]
			if !x.Due.After(before.Due) || !x.Opens.After(before.Opens) {
				t.Fatalf("%d: %+v after %+v", i, x, before)
			}
			// Between two dates of a list lies a whole interval, less what the clocks
			// jump; the first may be long over.
			if r := d.table.rule; i > 1 && r.cron == nil && x.Due.Sub(before.Due) < time.Duration(r.days+28*r.months)*24*time.Hour-time.Hour {
				t.Fatalf("%d: %s is too soon after %s", i, x.Due, before.Due)
			}
		}
	})
}

// TestOpeningsAreThoseOfEveryMinute holds what jumps from turn to turn against a look
// at every minute, around the days on which clocks jump.
func TestOpeningsAreThoseOfEveryMinute(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		clock := func(name string) string {
			return fmt.Sprintf("%02d:%02d", rapid.IntRange(0, 23).Draw(t, name), rapid.SampledFrom([]int{0, 30}).Draw(t, name))
		}
		window := func(name string) *firedrill.Window {
			return &firedrill.Window{From: clock(name), To: clock(name), Zone: rapid.SampledFrom([]string{"Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "UTC"}).Draw(t, name),
				Days: rapid.SampledFrom([][]string{nil, {"sun"}, {"sat-mon"}, {"wed"}}).Draw(t, name)}
		}
		env := firedrill.Environment{Window: window("environment"), Freeze: []firedrill.Freeze{{From: "2026-03-30", To: "2026-03-30"}, {From: "2026-10-25", To: "2026-10-26"}}}
		h, err := readHours(env, window("drill"))
		if err != nil {
			t.Skip(err)
		}
		day := rapid.SampledFrom([]string{"2026-03-28", "2026-10-24", "2026-04-04", "2026-10-03", "2026-09-05"}).Draw(t, "day")
		from, _ := time.Parse(dateLayout, day)
		from = from.Add(time.Duration(rapid.IntRange(0, 48*60).Draw(t, "minute")) * time.Minute)
		want := from
		for want.Before(from.AddDate(0, 0, 5)) && !h.open(want) {
			want = want.Add(time.Minute)
		}
		got, ok := h.opens(from)
		if want.Before(from.AddDate(0, 0, 5)) != (ok && got.Before(from.AddDate(0, 0, 5))) || ok && h.open(want) && !got.Equal(want) {
			t.Fatalf("opens at %s, want %s", got, want)
		}
		if !ok {
			return
		}
		end := got
		for end.Before(got.Add(24*time.Hour)) && h.open(end) {
			end = end.Add(time.Minute)
		}
		if closes := h.closes(got); !closes.Equal(end) {
			t.Fatalf("opens at %s, closes at %s, want %s", got, closes, end)
		}
	})
}
