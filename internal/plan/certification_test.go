package plan_test

import (
	"strings"
	"testing"

	"firedrill/internal/plan"
	"firedrill/internal/playbook"
)

// certified makes a plan with one drill that says how it is certified.
func certified(text string) string {
	return head + "drills: {orders: {use: d1-pitr, with: {database: primary}}}\ncertification: {" + text + "}\n"
}

func TestAPlanSaysHowItIsCertified(t *testing.T) {
	t.Parallel()
	p, err := plan.Parse("f.yaml", []byte(certified(`of: 5, classes: [staging, ci], grace: 14d, documents: [docs/DR.md], controls: own.yaml,
  baseline: {points: 3, needs: [isolation, documents]}, isolation: {folder: .., baseline: isolation.json},
  items: [{id: orders, title: orders return, points: 0.25, drills: [orders], every: monthly}, {id: chaos, points: 1}],
  levels: [{name: good, at: 3}]`)), catalog(t), playbook.Library{})
	if err != nil {
		t.Fatal(err)
	}
	c := p.Certification
	if c == nil || c.Of != 5 || c.Baseline.Points != 3 || c.Items[0].Points != 0.25 || c.Items[0].Drills[0] != "orders" || c.Documents[0] != "docs/DR.md" || c.Isolation.Folder != ".." || c.Levels[0].At != 3 {
		t.Errorf("%+v", c)
	}
	p, err = plan.Parse("f.yaml", []byte(head), catalog(t), playbook.Library{})
	if err != nil || p.Certification != nil {
		t.Errorf("%+v %v", p, err)
	}
}

// TestMistakesOfACertificationAreNamed: with their place. What the schema can know to
// be wrong it refuses, too; "|" begins what is wrong for more than a schema.
func TestMistakesOfACertificationAreNamed(t *testing.T) {
	t.Parallel()
	cat := catalog(t)
	resolved := schemaOf(t, cat)
	for text, want := range map[string]string{
		"grce: 7d":         `certification has no key "grce"`,
		"of: ten":          "certification.of must be a number",
		"items: [{id: a}]": `needs "points"`,
		"items: [{id: a, points: 1, use: d1-pit}]":                     `there is no built-in drill "d1-pit"`,
		"items: [{id: a, points: 1, every: dayly}]":                    `"dayly" is no frequency`,
		"|items: [{id: A b, points: 1}]":                               `item "A b" is no name`,
		"|items: [{id: a, points: 1, drills: [ordr]}]":                 `the plan has no drill "ordr"`,
		"|items: [{id: a, points: 1, use: d1-pitr, drills: [orders]}]": "either drills or use",
		"|of: 3":                     "the points add up to 9.1",
		"|grace: soon":               `grace: "soon" is no span`,
		"|classes: [production]":     "no drill runs on class",
		"|documents: [/etc/dr.md]":   `"/etc/dr.md" is no path relative to the plan`,
		"|controls: ''":              "is no path relative",
		"|isolation: {folder: /srv}": "is no path relative",
	} {
		beyond := strings.HasPrefix(text, "|")
		whole := certified(strings.TrimPrefix(text, "|"))
		_, err := plan.Parse("f.yaml", []byte(whole), cat, playbook.Library{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "f.yaml:15:") {
			t.Errorf("%s: %v", text, err)
		}
		if err := resolved.Validate(value(t, whole)); (err == nil) != beyond {
			t.Errorf("the schema about %s: %v", text, err)
		}
	}
}
