package drplan

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

// checkUpdate fails where an update changed a line that it did not name, or where
// twice is not the same as once.
func checkUpdate(t rapid.TB, data []byte, facts Facts) {
	u, err := Update("plan.md", data, facts)
	if err != nil {
		return
	}
	again, err := Update("plan.md", u.Text, facts)
	if err != nil || !bytes.Equal(again.Text, u.Text) || len(again.Changes) > 0 {
		t.Fatalf("twice is not the same as once: %v\n%s\n%q", err, asTold(again), data)
	}
	g, err := gather("plan.md", data, facts)
	if err != nil {
		t.Fatal(err)
	}
	changed := map[int]bool{}
	lines := 0
	for _, e := range g.edits {
		line := g.lineAt(e.start)
		if e.start == e.stop && strings.Contains(e.text, "\n") { // lines that are added, between two
			lines += strings.Count(e.text, "\n")
			if e.start != g.lines[line-1] && e.start != len(g.body) {
				t.Fatalf("lines are added within line %d: %q", line, e.text)
			}
			continue
		}
		changed[line] = true
		text := g.lineText(line)
		fact := g.tabled[line] || bullet.MatchString(text) || finalScore.MatchString(text) || sumOfScore.MatchString(text) || itemPoints.MatchString(text) || achieved.MatchString(text)
		if end := g.lineSpan(line).stop; e.stop > end || strings.Contains(e.text, "\n") || !fact {
			t.Fatalf("line %d holds no fact, or more than it is changed: %q becomes %q", line, text, e.text)
		}
		if g.tabled[line] && strings.Contains(strings.ReplaceAll(e.text+g.text(e.span), `\|`, ""), "|") {
			t.Fatalf("line %d: a cell becomes several: %q", line, e.text)
		}
	}
	// What is not named is there, in its order, and nothing else but what was added.
	before, after := strings.Split(string(data), "\n"), strings.Split(string(u.Text), "\n")
	at := 0
	for i, line := range before {
		for !changed[i+1] && at < len(after) && after[at] != line {
			at++
		}
		if at++; at > len(after) {
			t.Fatalf("line %d is gone: %q\n%q", i+1, line, u.Text)
		}
	}
	if len(after) != len(before)+lines {
		t.Fatalf("%d lines became %d, and %d were added", len(before), len(after), lines)
	}
}

// pieces are what documents are made of, whole and broken.
func pieces() []string {
	return []string{
		"## Drill Schedule\n", "# Certification path to 8.5\n", "## Drill Execution Log\n", "## Drill Execution Log (2026-02-27)\n", "### Drill 1: D1 PITR\n", "Score\n=====\n", "---\n", "\n", "\n", "\n", "text\n", "> ", "- ", "  ", "    ",
		"| Drill | Frequency | Last Executed | Next Due |\n|---|---|---|---|\n", "| Next Due | Drill |\n| - | - |\n", "| Drill | Next Due |\n",
		"| D1 PITR | Quarterly | **2026-02-27** ✅ | 2026-05-27 |\n", "| Worker Rollback | Monthly | Pending | TBD |\n", "| KV | | | |\n", "| 2026-05-27 | KV restore |\n", "|||\n", "| `a\\|b` | x | 2026-02-27 ok | **2026-02-27 x** |\n",
		"| Requirement | Status | Notes |\n|---|---|---|\n", "| HARDENING_REPORT complete | ⏳ | 8.0 baseline |\n", "| D1 PITR drill passed | ✅ | **PASSED 2026-02-27** - ~30 s |\n", "| KV drill | ✅ | |\n",
		"- 8.0 (baseline) + 0.1 (each passed drill) × 4 = **8.4**\n", "- Additions: +0.6\n  - Chaos Engineering: +0.15\n", "- **Final Score**: 9.0/10 (Mission-Critical)\n", "- **Certification**: ACHIEVED 2026-02-27\n", "**Target Score**: 8.5/10\n",
		"- **Run**: `01JD1` on staging\n- **Result**: by hand\n", "* **Run**: `01JK2`\n", "- **Note**: x\n", "```\n", "~~~sh\n", "<!-- firedrill:schedule -->\n", "<!-- firedrill:log -->\n", "<!-- /firedrill -->\n", "<!-- ", "-->\n", "<div>\n", "<table>\n", "<pre>\n", "\t", "\\", "|", "\r\n", "ä", "**", "`",
	}
}

// TestOtherBytesNeverChange updates documents that are put together by chance.
func TestOtherBytesNeverChange(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		doc := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces()), 1, 40).Draw(t, "pieces"), "")
		facts := known()
		if rapid.Bool().Draw(t, "no score") {
			facts.Certification = nil
		}
		checkUpdate(t, []byte(doc), facts)
	})
}

// FuzzUpdate updates whatever comes.
func FuzzUpdate(f *testing.F) {
	names, err := filepath.Glob("testdata/update/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		a, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if data := mutilated(a, "plan.md"); len(data) < 600 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { checkUpdate(t, data, known()) })
}
