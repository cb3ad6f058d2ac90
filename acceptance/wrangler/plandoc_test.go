package wrangler

import (
	"os"
	"strings"
	"testing"

	"firedrill/internal/drplan"
)

// TestCommandsOfPlanDocuments compares the list by which plan documents are judged with
// the real wrangler: each command is asked for its help, a few of them by default, all of
// them with FIREDRILL_SOAK.
func TestCommandsOfPlanDocuments(t *testing.T) {
	t.Parallel()
	if drplan.Wrangler != pinned {
		t.Fatalf("documents are judged by wrangler %s, and %s is pinned", drplan.Wrangler, pinned)
	}
	b := newBench(t)
	for i, line := range drplan.WranglerCommands() {
		if os.Getenv("FIREDRILL_SOAK") == "" && i%8 != 2 {
			continue
		}
		all := strings.Fields(line)
		var path []string
		for _, w := range all {
			if strings.ContainsAny(w[:1], "<[-") {
				break
			}
			path = append(path, w)
		}
		out, err := b.run("gateway", "", append(path, "--help")...)
		if err != nil || !strings.Contains(out, "wrangler "+strings.Join(path, " ")) {
			t.Errorf("%v: %v\n%s", path, err, out)
			continue
		}
		for _, w := range all[len(path):] {
			for name := range strings.SplitSeq(strings.TrimSuffix(w, "="), "|") {
				if !strings.Contains(out, name) {
					t.Errorf("%v: its help does not tell %s:\n%s", path, name, out)
				}
			}
		}
	}
	for _, line := range []string{"d1 time-travel bookmark db", "deployments list api", "rollback api --deployment-id x"} {
		if out, err := b.run("gateway", "", words(line)...); err == nil {
			t.Errorf("wrangler takes %q:\n%s", line, out)
		}
	}
}
