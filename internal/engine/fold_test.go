package engine

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"

	"firedrill"
)

// foldsEqually checks that folding the durable records, through their encoded
// form, gives the state of the live machine.
func (p *player) foldsEqually(t *testing.T) {
	t.Helper()
	if p.m == nil || len(p.durable) == 0 {
		return
	}
	loaded, err := Load(fakeResolver{}, recode(t, p.durable))
	if err != nil {
		t.Fatalf("the records do not fold: %v", err)
	}
	if live, folded := portrait(p.m.state), portrait(loaded.state); live != folded {
		t.Fatalf("live and folded state differ:\n%s\n---\n%s", live, folded)
	}
}

func recode(t interface {
	Helper()
	Fatal(...any)
}, records []firedrill.Record) []firedrill.Record {
	t.Helper()
	data, err := json.Marshal(records)
	if err != nil {
		t.Fatal(err)
	}
	var out []firedrill.Record
	if err := json.Unmarshal(data, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// portrait writes down all of a state that follows from records.
func portrait(s *state) string {
	var b strings.Builder
	s.plan.forward()
	fmt.Fprintf(&b, "seq %d busy %d rearms %d undos %d phase %d left %v changed %v damaged %v turned %s in %s\n",
		s.seq, s.busy, s.rearms, s.undos, s.plan.phase, s.plan.left, s.changed, s.damaged, encode(s.turned), s.turnedIn)
	fmt.Fprintf(&b, "began %s verified %s measured %s finished %s\n", encode(s.began), encode(s.verified), encode(s.measured), encode(s.finished))
	for _, st := range s.order {
		resolved := ""
		if st.intended > 0 {
			resolved = encode(st.resolved)
		}
		fmt.Fprintf(&b, "%s status %d needs %d unsettled %d intended %d %d %d discharged %v rearm %v undo %v look %v reason %q resolved %s ended %s seen %s problem %s\n",
			st.def.ID, st.status, st.needs, st.unsettled, st.intended, st.began, st.over, st.discharged, st.rearm, st.undo, st.look, st.reason, resolved, encode(st.ended), encode(st.seen), encode(st.problem))
	}
	for _, c := range s.openInOrder() {
		fmt.Fprintf(&b, "open %s %s %d\n", c.Op, c.Role, c.Attempt)
	}
	for _, st := range s.intents {
		fmt.Fprintf(&b, "intent %s\n", st.def.ID)
	}
	fmt.Fprintf(&b, "outputs %s skips %s stopped %s\n", encode(s.outputs), encode(s.skips), encode(s.stopped))
	var held []string
	for r, h := range s.plan.held {
		held = append(held, fmt.Sprintf("%s %v", r, *h))
	}
	sort.Strings(held)
	fmt.Fprintf(&b, "held %v\n", held)
	return b.String()
}

func encode(x any) string {
	data, err := json.Marshal(x)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
