package schedule

import (
	"strings"
	"testing"
	"time"

	"firedrill"
)

// TestOpen walks through moments of one environment each: open, or closed and when
// it opens. The clocks of Berlin jump from 2:00 to 3:00 on 29 March 2026 and back
// from 3:00 to 2:00 on 25 October.
func TestOpen(t *testing.T) {
	t.Parallel()
	berlin := func(from, to string, days ...string) firedrill.Environment {
		return firedrill.Environment{Name: "staging", Window: &firedrill.Window{Days: days, From: from, To: to, Zone: "Europe/Berlin"}}
	}
	frozen := func(env firedrill.Environment, list ...firedrill.Freeze) firedrill.Environment {
		env.Freeze = list
		return env
	}
	onMonday := func(on string) firedrill.Environment {
		env := berlin("02:00", "05:00")
		env.Window.On = on
		return env
	}
	holidays := firedrill.Freeze{From: "2026-12-20", To: "2027-01-03", Reason: "holidays"}
	for name, c := range map[string]struct {
		env  firedrill.Environment
		now  string
		want string // "" if open; else when it opens next
	}{
		"nothing is set":                    {firedrill.Environment{}, "2026-11-27T10:00:00Z", ""},
		"inside":                            {berlin("02:00", "05:00", "mon-fri"), "2026-11-27T01:00:00Z", ""},
		"its last second":                   {berlin("02:00", "05:00", "mon-fri"), "2026-11-27T03:59:59Z", ""},
		"its end":                           {berlin("02:00", "05:00", "mon-fri"), "2026-11-27T04:00:00Z", "Mon 2026-11-30 02:00 CET, in 2 d 21 h"},
		"before it":                         {berlin("02:00", "05:00", "mon-fri"), "2026-11-27T00:59:00Z", "Fri 2026-11-27 02:00 CET, in 1 min"},
		"a weekday that is none":            {berlin("02:00", "05:00", "sat", "sun"), "2026-11-27T01:30:00Z", "Sat 2026-11-28 02:00 CET, in 23 h 30 min"},
		"a range over the end of the week":  {berlin("02:00", "05:00", "fri-mon"), "2026-11-29T01:30:00Z", ""},
		"every day":                         {berlin("02:00", "05:00"), "2026-11-29T01:30:00Z", ""},
		"past midnight, before it":          {berlin("22:00", "03:00", "fri"), "2026-11-27T22:00:00Z", ""},
		"past midnight, after it":           {berlin("22:00", "03:00", "fri"), "2026-11-28T01:30:00Z", ""},
		"past midnight, of another day":     {berlin("22:00", "03:00", "fri"), "2026-11-27T01:30:00Z", "Fri 2026-11-27 22:00 CET, in 19 h 30 min"},
		"all day":                           {berlin("00:00", "24:00", "sun"), "2026-11-29T22:59:59Z", ""},
		"all day, and the next":             {berlin("00:00", "24:00", "sun"), "2026-11-29T23:00:00Z", "Sun 2026-12-06 00:00 CET, in 6 d 0 h"},
		"summer time":                       {berlin("02:00", "05:00"), "2026-07-01T00:00:00Z", ""},
		"the hour that does not exist":      {berlin("02:00", "03:00", "sun"), "2026-03-29T00:59:00Z", "Sun 2026-04-05 02:00 CEST, in 6 d 23 h"},
		"around the hour that is missing":   {berlin("02:00", "05:00"), "2026-03-29T00:59:00Z", "Sun 2026-03-29 03:00 CEST, in 1 min"},
		"the hour that comes twice, first":  {berlin("02:00", "03:00", "sun"), "2026-10-25T00:30:00Z", ""},
		"the hour that comes twice, second": {berlin("02:00", "03:00", "sun"), "2026-10-25T01:30:00Z", ""},
		"after the second":                  {berlin("02:00", "03:00", "sun"), "2026-10-25T02:00:00Z", "Sun 2026-11-01 02:00 CET, in 6 d 23 h"},
		"the first monday":                  {onMonday("first monday"), "2026-12-07T01:00:00Z", ""},
		"the second is none":                {onMonday("first monday"), "2026-12-14T01:30:00Z", "Mon 2027-01-04 02:00 CET, in 20 d 23 h"},
		"the last":                          {onMonday("Last Mon"), "2026-11-27T01:30:00Z", "Mon 2026-11-30 02:00 CET, in 2 d 23 h"},
		"the fourth, which is the last":     {onMonday("fourth monday"), "2027-02-22T01:00:00Z", ""},
		"frozen in the window":              {frozen(berlin("02:00", "05:00", "mon-fri"), holidays), "2026-12-24T01:30:00Z", "Mon 2027-01-04 02:00 CET, in 10 d 23 h"},
		"frozen, no window":                 {frozen(firedrill.Environment{}, holidays), "2027-01-03T23:59:59Z", "Mon 2027-01-04 00:00 UTC, in 0 min"},
		"the day after":                     {frozen(firedrill.Environment{}, holidays), "2027-01-04T00:00:00Z", ""},
		"the day before":                    {frozen(firedrill.Environment{}, holidays), "2026-12-19T23:59:59Z", ""},
		"days end where the window is":      {frozen(berlin("00:00", "24:00"), holidays), "2027-01-03T23:00:00Z", ""},
		"a zone of its own":                 {frozen(berlin("00:00", "24:00"), firedrill.Freeze{From: "2026-12-20", To: "2026-12-20", Zone: "Pacific/Auckland"}), "2026-12-19T11:00:00Z", "Sun 2026-12-20 12:00 CET, in 1 d 0 h"},
		"one freeze after another":          {frozen(firedrill.Environment{}, holidays, firedrill.Freeze{From: "2027-01-04", To: "2027-01-05"}), "2027-01-02T00:00:00Z", "Wed 2027-01-06 00:00 UTC, in 4 d 0 h"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			now, err := time.Parse(time.RFC3339, c.now)
			if err != nil {
				t.Fatal(err)
			}
			err = Open(c.env, now)
			if c.want == "" {
				if err != nil {
					t.Errorf("%v (%s)", err, firedrill.RemedyOf(err))
				}
				return
			}
			if firedrill.KindOf(err) != firedrill.KindGuard || firedrill.RemedyOf(err) != "it opens next at "+c.want {
				t.Errorf("%v: %s; want %s", err, firedrill.RemedyOf(err), c.want)
			}
			if len(c.env.Freeze) > 0 && c.env.Freeze[0].Reason != "" && !strings.Contains(err.Error(), "holidays") {
				t.Errorf("%v: does not say why", err)
			}
		})
	}
}

func TestWhatIsNoWindow(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]firedrill.Environment{
		"no zone":      {Window: &firedrill.Window{From: "02:00", To: "05:00", Zone: "Europe/Berlni"}},
		"local":        {Window: &firedrill.Window{From: "02:00", To: "05:00", Zone: "Local"}},
		"no time":      {Window: &firedrill.Window{From: "2", To: "05:00"}},
		"no end":       {Window: &firedrill.Window{From: "02:00", To: "25:00"}},
		"empty":        {Window: &firedrill.Window{From: "02:00", To: "02:00"}},
		"no day":       {Window: &firedrill.Window{Days: []string{"mo"}, From: "02:00", To: "05:00"}},
		"no place":     {Window: &firedrill.Window{On: "fifth monday", From: "02:00", To: "05:00"}},
		"no day of it": {Window: &firedrill.Window{On: "first", From: "02:00", To: "05:00"}},
		"on and days":  {Window: &firedrill.Window{On: "first monday", Days: []string{"mon"}, From: "02:00", To: "05:00"}},
		"no first day": {Freeze: []firedrill.Freeze{{From: "20.12.2026", To: "2027-01-03"}}},
		"no last day":  {Freeze: []firedrill.Freeze{{From: "2026-12-20"}}},
		"backwards":    {Freeze: []firedrill.Freeze{{From: "2026-12-20", To: "2026-12-19"}}},
		"a bad zone":   {Freeze: []firedrill.Freeze{{From: "2026-12-20", To: "2026-12-21", Zone: "X"}}},
	} {
		if err := Check(env); firedrill.KindOf(err) != firedrill.KindUsage || firedrill.RemedyOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
