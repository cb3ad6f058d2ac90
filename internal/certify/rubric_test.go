package certify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"firedrill"
)

func TestTheDefaultIsTheDrillPlans(t *testing.T) {
	t.Parallel()
	r := Default()
	if r.Most() != 910 || r.Of != 1000 || r.Baseline != 800 {
		t.Errorf("%s of %s, baseline %s", r.Most(), r.Of, r.Baseline)
	}
	for score, want := range map[Points]string{0: "none", 799: "none", 800: "data-safe", 849: "data-safe", 850: "operationally-excellent", 899: "operationally-excellent", 900: "mission-critical", 910: "mission-critical"} {
		if got := r.LevelOf(score); got != want {
			t.Errorf("%s is %s, want %s", score, got, want)
		}
	}
	if same, err := RubricOf(&firedrill.Certification{Documents: []string{"DR.md"}}); err != nil || same.Most() != r.Most() || same.Grace != r.Grace {
		t.Errorf("%+v %v", same, err)
	}
}

func TestARubricCanBeOnesOwn(t *testing.T) {
	t.Parallel()
	r, err := RubricOf(&firedrill.Certification{Of: 5, Classes: []string{"ci", "staging"}, Grace: "14d",
		Baseline: firedrill.RubricBaseline{Points: 2.5, Needs: []string{"isolation"}},
		Items:    []firedrill.RubricItem{{ID: "orders", Points: 1.25, Drills: []string{"orders"}}, {ID: "users", Title: "users return", Points: 1, Use: "d1-pitr"}},
		Levels:   []firedrill.RubricLevel{{Name: "bronze", At: 2.5}, {Name: "gold", At: 4.75}}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Most() != 475 || r.Grace != 14*24*time.Hour || r.LevelOf(474) != "bronze" || r.LevelOf(475) != "gold" || r.Items[0].Title != "orders" || r.Needs[0].WhereExists {
		t.Errorf("%+v", r)
	}
}

func TestARubricThatCannotBeIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		c    firedrill.Certification
		want string
	}{
		"more than all":   {firedrill.Certification{Of: 9}, "the points add up to 9.1, and the score is out of 9.0"},
		"too fine":        {firedrill.Certification{Baseline: firedrill.RubricBaseline{Points: 7.123}}, "7.123 is no number of points"},
		"negative":        {firedrill.Certification{Items: []firedrill.RubricItem{{ID: "x", Points: -1}}}, "-1 is no number of points"},
		"worth nothing":   {firedrill.Certification{Items: []firedrill.RubricItem{{ID: "x"}}}, "item x is worth nothing"},
		"twice":           {firedrill.Certification{Items: []firedrill.RubricItem{{ID: "x", Points: 1}, {ID: "x", Points: 1}}}, "two items x"},
		"unknown need":    {firedrill.Certification{Baseline: firedrill.RubricBaseline{Needs: []string{"luck"}}}, `no prerequisite "luck"`},
		"need twice":      {firedrill.Certification{Baseline: firedrill.RubricBaseline{Needs: []string{"isolation", "isolation"}}}, "has isolation twice"},
		"no need":         {firedrill.Certification{Baseline: firedrill.RubricBaseline{Needs: []string{}}}, "given for nothing"},
		"production":      {firedrill.Certification{Classes: []string{"production"}}, `no drill runs on class "production"`},
		"no class":        {firedrill.Certification{Classes: []string{}}, "no drill could count"},
		"grace":           {firedrill.Certification{Grace: "a week"}, `"a week" is no span`},
		"negative grace":  {firedrill.Certification{Grace: "-1h"}, `"-1h" is no span`},
		"endless grace":   {firedrill.Certification{Grace: "9999d"}, "no number of days below 512"},
		"falling levels":  {firedrill.Certification{Levels: []firedrill.RubricLevel{{Name: "a", At: 2}, {Name: "b", At: 1}}}, "level b is not above a"},
		"a level of none": {firedrill.Certification{Levels: []firedrill.RubricLevel{{Name: "none", At: 2}}}, `no level can be called "none"`},
	} {
		if _, err := RubricOf(&c.c); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPointsAreExact(t *testing.T) {
	t.Parallel()
	sum := Points(0)
	for _, x := range []float64{8, 0.1, 0.1, 0.1, 0.15} {
		p, err := PointsOf(x)
		if err != nil {
			t.Fatal(err)
		}
		sum += p
	}
	data, err := json.Marshal(map[string]any{"a": sum, "b": Points(800), "c": Points(810)})
	if err != nil || string(data) != `{"a":8.45,"b":8,"c":8.1}` || sum.String() != "8.45" || Points(810).String() != "8.1" || Points(800).String() != "8.0" {
		t.Errorf("%s %s %v", data, sum, err)
	}
}
