package certify

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheMappingCoversWhatItPromises: every clause that the guide names is there, no
// text claims that anybody complies, and all evidence exists in the default rubric.
func TestTheMappingCoversWhatItPromises(t *testing.T) {
	t.Parallel()
	all, err := Controls()
	if err != nil {
		t.Fatal(err)
	}
	for framework, clauses := range map[string][]string{
		"SOC 2": {"A1.2", "A1.3", "CC7.5"}, "ISO/IEC 27001:2022": {"A.5.29", "A.5.30", "A.8.13", "A.8.14"}, "ISO 22301:2019": {"8.5"},
		"NIST SP 800-53 Rev. 5": {"CP-4", "CP-9", "CP-10"}, "NIST SP 800-34 Rev. 1": {"3.5"},
		"DORA, Regulation (EU) 2022/2554": {"Article 11", "Article 12", "Article 24", "Article 25"},
		"HIPAA, 45 CFR":                   {"164.308(a)(7)(ii)(A)", "164.308(a)(7)(ii)(B)", "164.308(a)(7)(ii)(D)"},
	} {
		for _, clause := range clauses {
			if !slices.ContainsFunc(all, func(c Control) bool { return c.Framework == framework && c.Clause == clause }) {
				t.Errorf("%s %s is missing", framework, clause)
			}
		}
	}
	if s := Strangers(all, Default()); len(s) > 0 {
		t.Errorf("the mapping refers to %v", s)
	}
	if text := strings.ToLower(builtInControls); strings.Contains(text, "complies") || strings.Contains(text, "compliant") {
		t.Error("the mapping says that somebody complies")
	}
}

func TestEvidenceSupportsControls(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	r, items, now := stage(t, "now "+now.Format(time.DateOnly)+"\ncheck documents ok\nrun d1-pitr passed 2026-11-01 expires=2027-02-08\nrun kv-backup-restore failed 2026-11-01")
	all, err := Controls()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Supported{}
	for _, s := range Support(all, r, Evaluate(r, items, now)) {
		got[s.Clause] = s
	}
	if s := got["A1.3"]; !s.Supported || len(s.Now) != 2 || s.Now[0].Evidence.Run != "d1-pitr-1" || !slices.Contains(s.Missing, "kv-backup-restore") {
		t.Errorf("%+v", s)
	}
	for _, clause := range []string{"A.8.14", "CP-9", "164.308(a)(7)(ii)(A)"} {
		if got[clause].Supported {
			t.Errorf("%s: %+v", clause, got[clause])
		}
	}
	if s := got["CP-10"]; slices.Contains(s.Missing, "multi-region") {
		t.Errorf("what no drill shows stands for a drill: %v", s.Missing)
	}
}

func TestOnesOwnControlsTakeTheirPlace(t *testing.T) {
	t.Parallel()
	base, err := Controls()
	if err != nil {
		t.Fatal(err)
	}
	more, err := ParseControls("own.yaml", []byte(`version: 1
controls:
  - {framework: SOC 2, clause: A1.2, about: mine, checked: true, source: our auditor, evidence: [{of: [orders], supports: orders return}]}
  - {framework: PCI DSS 4.0, clause: "12.10", about: incidents are practised, evidence: [{of: [drill], supports: they were}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	all := Extend(base, more)
	if len(all) != len(base)+1 || all[0].About != "mine" || all[len(all)-1].Clause != "12.10" || base[0].About == "mine" {
		t.Errorf("%d of %d: %+v", len(all), len(base), all[0])
	}
	if s := Strangers(more, Default()); !slices.Equal(s, []string{"orders"}) {
		t.Errorf("%v", s)
	}
}

func TestControlsAreReadStrictly(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"empty":        {"", "version 0 is not known"},
		"not YAML":     {"version: [", "own.yaml"},
		"version":      {"version: 2", "version 2 is not known"},
		"unknown key":  {"version: 1\ncontrol: []", "unknown field"},
		"no clause":    {"version: 1\ncontrols: [{framework: X, about: y, evidence: [{of: [drill], supports: z}]}]", "needs framework, clause and about"},
		"no evidence":  {"version: 1\ncontrols: [{framework: X, clause: '1', about: y}]", "names no evidence"},
		"of nothing":   {"version: 1\ncontrols: [{framework: X, clause: '1', about: y, evidence: [{supports: z}]}]", "needs of and supports"},
		"no source":    {"version: 1\ncontrols: [{framework: X, clause: '1', about: y, checked: true, evidence: [{of: [drill], supports: z}]}]", "checked goes with the source"},
		"source alone": {"version: 1\ncontrols: [{framework: X, clause: '1', about: y, source: s, evidence: [{of: [drill], supports: z}]}]", "checked goes with the source"},
		"twice":        {"version: 1\ncontrols: [{framework: X, clause: '1', about: y, evidence: [{of: [drill], supports: z}]}, {framework: X, clause: '1', about: y, evidence: [{of: [drill], supports: z}]}]", "stands there twice"},
	} {
		if _, err := ParseControls("own.yaml", []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzControls: a file of controls is read or refused, and what was read is whole.
func FuzzControls(f *testing.F) {
	f.Add([]byte(builtInControls))
	f.Add([]byte("version: 1\ncontrols:\n  - {framework: A, clause: b, about: c, evidence: [{of: [drill], supports: d}]}\n"))
	f.Add([]byte("version: 1\ncontrols: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := ParseControls("f", data)
		if err != nil {
			return
		}
		for _, s := range Support(all, Default(), Evaluate(Default(), nil, time.Unix(0, 0))) {
			if s.Supported || s.Clause == "" {
				t.Errorf("%+v", s)
			}
		}
	})
}
