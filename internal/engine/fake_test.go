package engine

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"firedrill"
)

// fakeResolver resolves steps that carry what they are in their inputs.
type fakeResolver struct{}

func (fakeResolver) When(step firedrill.Step, scope firedrill.Scope) (bool, []firedrill.Evaluation, error) {
	v, err := evaluate(step.When, scope)
	if err != nil {
		return false, nil, err
	}
	return v == "true", []firedrill.Evaluation{{Expr: step.When, Value: v}}, nil
}

func (fakeResolver) Resolve(step firedrill.Step, scope firedrill.Scope) (firedrill.Resolved, error) {
	r := firedrill.Resolved{Impact: firedrill.Reads, Replay: firedrill.Idempotent, Inputs: firedrill.Values{}}
	for _, word := range strings.Fields(text(step.With["is"])) {
		key, value, _ := strings.Cut(word, ":")
		switch key {
		case "changes":
			r.Impact = firedrill.Changes
		case "damages":
			r.Impact, r.Replay = firedrill.Damages, firedrill.Never
		case "ask", "never", "idempotent":
			r.Replay = firedrill.Replay(key)
		case "r", "w":
			r.Claims = append(r.Claims, firedrill.Claim{Resource: value, Write: key == "w"})
		case "observer":
			r.Observer = true
		case "ref":
			v, err := evaluate(value, scope)
			if err != nil {
				return r, err
			}
			r.Inputs[value] = v
		}
	}
	if step.Undo != nil {
		r.Undo = &firedrill.ResolvedUndo{Uses: step.Undo.Uses, Inputs: firedrill.Values{"of": step.ID}, Claims: r.Claims,
			Replay: firedrill.Replay(text(step.Undo.With["replay"])), Repair: "repair " + step.ID}
	}
	return r, nil
}

func (fakeResolver) Expect(step firedrill.Step, scope firedrill.Scope, outputs firedrill.Values) []firedrill.Check {
	var checks []firedrill.Check
	for _, e := range step.Expect {
		key, want, _ := strings.Cut(e, "=")
		got, ok := outputs[key]
		c := firedrill.Check{Expr: e, OK: ok && text(got) == want}
		if !ok {
			c.Detail = "no output " + key
		} else if !c.OK {
			c.Detail = key + " is " + text(got)
		}
		checks = append(checks, c)
	}
	return checks
}

// evaluate gives true and false as they are, and step.key as an output.
func evaluate(expr string, scope firedrill.Scope) (string, error) {
	if expr == "true" || expr == "false" {
		return expr, nil
	}
	i := strings.LastIndex(expr, ".")
	if i < 0 {
		return "", fmt.Errorf("%q is no expression", expr)
	}
	if scope.Skipped[expr[:i]] {
		return "", fmt.Errorf("step %s was skipped and has no outputs", expr[:i])
	}
	v, ok := scope.Outputs[expr[:i]][expr[i+1:]]
	if !ok {
		return "", fmt.Errorf("there is no %s", expr)
	}
	return text(v), nil
}

func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// parseStep reads "id phase word…".
func parseStep(line string) (firedrill.Step, error) {
	words := strings.Fields(line)
	if len(words) < 1 {
		return firedrill.Step{}, fmt.Errorf("a step needs an id")
	}
	s := firedrill.Step{ID: words[0], Uses: "act." + words[0]}
	var is []string
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, ":")
		switch key {
		case "needs":
			s.Needs = strings.Split(value, ",")
		case "proves":
			s.Proves = firedrill.Proof(value)
		case "discharges":
			s.Discharges = strings.Split(value, ",")
		case "look":
			s.Look = true
		case "retry":
			n, err := strconv.Atoi(value)
			if err != nil {
				return s, err
			}
			s.Retry = n
		case "when":
			s.When = value
		case "expect":
			s.Expect = append(s.Expect, value)
		case "timeout":
			d, err := time.ParseDuration(value)
			if err != nil {
				return s, err
			}
			s.Timeout = d
		case "undo":
			if value == "" {
				value = "idempotent"
			}
			s.Undo = &firedrill.Undo{Uses: "undo." + s.ID, With: firedrill.Values{"replay": value}}
		case "last": // after undo
			s.Undo.Last = true
		case "undone": // after undo
			s.Undo.Expect = append(s.Undo.Expect, value)
		default:
			if p := firedrill.Phase(w); p.Index() >= 0 {
				s.Phase = p
				continue
			}
			is = append(is, w)
		}
	}
	s.With = firedrill.Values{"is": strings.Join(is, " ")}
	return s, nil
}
