package firedrill

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"
)

func TestIntegersStayExact(t *testing.T) {
	t.Parallel()
	var v Values
	if err := json.Unmarshal([]byte(`{"a":9007199254740993,"b":[1.5,{"c":-1}],"d":null,"e":2.0}`), &v); err != nil {
		t.Fatal(err)
	}
	want := Values{"a": int64(1)<<53 + 1, "b": []any{1.5, map[string]any{"c": int64(-1)}}, "d": nil, "e": 2.0}
	if !reflect.DeepEqual(v, want) {
		t.Errorf("%#v, want %#v", v, want)
	}
	for _, bad := range []string{`{"a":9223372036854775808}`, `{"a":1e999}`, `[1]`, `{} {}`} {
		if err := json.Unmarshal([]byte(bad), &v); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	var in struct {
		A int64 `json:"a"`
	}
	if err := (Values{"a": int64(1), "b": 2}).Into(&in); err == nil {
		t.Error("a key that the struct does not have was taken")
	}
}

func TestARecordOfANewerVersionIsNotSkipped(t *testing.T) {
	t.Parallel()
	var r Record
	if err := json.Unmarshal([]byte(`{"seq":1,"kind":"teleported","body":{}}`), &r); err == nil {
		t.Error("an unknown kind of record was taken")
	}
}

func TestMomentsCompareAcrossProcessesOfOneBoot(t *testing.T) {
	t.Parallel()
	wall := time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC)
	a := Stamp{Wall: wall, Mono: 100, Boot: "x"}
	if d, exact := (Stamp{Wall: wall.Add(-time.Hour), Mono: 350, Boot: "x"}).Since(a); d != 250 || !exact {
		t.Errorf("a wall clock that jumped counts: %v %v", d, exact)
	}
	if d, exact := (Stamp{Wall: wall.Add(time.Minute), Mono: 5, Boot: "y"}).Since(a); d != time.Minute || exact {
		t.Errorf("another boot: %v %v", d, exact)
	}
}

func TestErrorsCarryKindAndRemedy(t *testing.T) {
	t.Parallel()
	inner := &Error{Op: "d1.restore", Kind: KindLimited, Target: "database x", Detail: "too many", Remedy: "wait"}
	err := fmt.Errorf("outside: %w", &Error{Op: "run", Err: inner})
	if RemedyOf(err) != "wait" || KindOf(inner) != KindLimited || !KindLimited.Retryable() || KindUnknown.Retryable() {
		t.Errorf("%q %q", RemedyOf(err), KindOf(err))
	}
	if KindOf(errors.New("x")) != KindUnclassified || KindOf(nil) != "" || ProblemOf(nil) != nil {
		t.Error("kinds of plain errors")
	}
	if KindGuard.Exit() != ExitGuard || KindUsage.Exit() != ExitUsage || KindBusy.Exit() != ExitOperational {
		t.Error("exit statuses")
	}
}

func TestTheNearestNameIsFound(t *testing.T) {
	t.Parallel()
	names := []string{"d1-pitr", "worker-rollback", "Größe"}
	for given, want := range map[string]string{"d1-pit": "d1-pitr", "D1-PITR": "d1-pitr", "grösse": "Größe", "completely else": "", "worker-rolback": "worker-rollback"} {
		if got := Nearest(given, names); got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
}
