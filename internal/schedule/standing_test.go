package schedule

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"firedrill"
)

// scenario is a drill and what happened, line by line:
//
//	run TIME VERDICT [REASON] [on ENVIRONMENT]   a run that finished
//	ack TIME                                     the last run was acknowledged
//	at TIME                                      how the drill stands then, indented below
//	dates TIME                                   the dates of the year that follows
type scenario struct {
	env   firedrill.Environment
	drill firedrill.Drill
	lines []string
	head  string
}

func readScenario(t *testing.T, file string) scenario {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, body, ok := strings.Cut(string(data), "---\n")
	if !ok {
		t.Fatal("there is no ---")
	}
	var in struct {
		Every, Grace, Starts string
		Window               *firedrill.Window
		Environment          struct {
			Window *firedrill.Window
			Freeze []firedrill.Freeze
		}
	}
	if err := yaml.Unmarshal([]byte(head), &in); err != nil {
		t.Fatal(err)
	}
	s := scenario{head: head, env: firedrill.Environment{Name: "staging", Window: in.Environment.Window, Freeze: in.Environment.Freeze},
		drill: firedrill.Drill{Name: "d1-pitr", Every: in.Every, Grace: in.Grace, Starts: in.Starts, Window: in.Window}}
	for _, line := range strings.Split(strings.TrimSpace(body), "\n") {
		if !strings.HasPrefix(line, "  ") {
			s.lines = append(s.lines, line)
		}
	}
	return s
}

// moment reads a time of a scenario, in the zone of the drill unless it has one.
func moment(t *testing.T, text string, zone *time.Location) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02T15:04Z07:00"} {
		if at, err := time.ParseInLocation(layout, text, zone); err == nil {
			return at
		}
	}
	t.Fatalf("%q is no time", text)
	return time.Time{}
}

func (s scenario) play(t *testing.T) string {
	t.Helper()
	table, err := Of(s.env, s.drill)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	out.WriteString(s.head + "---\n")
	var pasts []firedrill.Past
	for _, line := range s.lines {
		fmt.Fprintln(&out, line)
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		at := moment(t, words[1], table.zone)
		switch words[0] {
		case "run":
			p := firedrill.Past{Run: fmt.Sprintf("R%d", len(pasts)+1), Drill: "d1-pitr", Environment: "staging", Started: at, Finished: at.Add(time.Minute), Verdict: firedrill.Verdict(words[2])}
			if i := slices.Index(words, "on"); i > 0 {
				p.Environment, words = words[i+1], words[:i]
			}
			if len(words) > 3 {
				p.ReasonCode = firedrill.ReasonCode(words[3])
			}
			pasts = append(pasts, p)
		case "ack":
			last := &pasts[len(pasts)-1]
			last.Remarks = append(last.Remarks, firedrill.Remark{Kind: firedrill.RemarkAck, At: at})
		case "at":
			stands := table.Stand(pasts, at)
			out.WriteString(table.render(stands))
			backwards := slices.Clone(pasts)
			slices.Reverse(backwards)
			if again := table.render(table.Stand(backwards, at)); again != table.render(stands) {
				t.Errorf("%s: in another order\n%s", line, again)
			}
		case "dates":
			for _, d := range table.Dates(table.Stand(pasts, at), at, at.AddDate(1, 0, 0)) {
				fmt.Fprintf(&out, "  %s  %s to %s\n", table.orNever(d.Due), table.orNever(d.Opens), table.orNever(d.Closes))
			}
		default:
			t.Fatalf("what is %q?", line)
		}
	}
	return out.String()
}

func (t Timetable) orNever(at time.Time) string {
	if at.IsZero() {
		return "–"
	}
	return at.In(t.zone).Format(momentLayout)
}

func (t Timetable) render(s Standing) string {
	var b strings.Builder
	state := ""
	for word, is := range map[string]bool{"due": s.IsDue, "OVERDUE": s.Overdue, "waits": s.Waits != nil} {
		if is {
			state += " " + word
		}
	}
	words := strings.Fields(state)
	slices.Sort(words)
	fmt.Fprintf(&b, "  due %s · again %s · opens %s · late %s · missed %d · %s\n", t.orNever(s.Due), t.orNever(s.Again), t.orNever(s.Opens), t.orNever(s.Late), s.Missed, strings.Join(words, " "))
	for _, w := range s.Why {
		fmt.Fprintf(&b, "  - %s\n", w)
	}
	return b.String()
}

// TestStandings plays the scenarios. UPDATE=1 writes what came out into them, to be
// read.
func TestStandings(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/standing/*.txt")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d scenarios, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			s := readScenario(t, file)
			got := s.play(t)
			if os.Getenv("UPDATE") != "" {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}
