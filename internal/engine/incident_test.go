package engine

import (
	"fmt"
	"strings"

	"firedrill"
)

// incidents plays the recovery of an incident with every combination of how its
// restore ended and of what was seen afterwards, and writes down what comes of each.
func (p *player) incidents() error {
	fmt.Fprintln(&p.said, "restore  data     service  targets")
	for _, restore := range []string{"ok", "failed", "unknown"} {
		for _, data := range []string{"equal", "part", "differs", "nothing"} {
			for _, service := range []string{"green", "red", "nothing"} {
				for _, targets := range []string{"met", "missed"} {
					end, err := p.incidentWith(restore, data, service, targets)
					if err != nil {
						return fmt.Errorf("%s %s %s %s: %w", restore, data, service, targets, err)
					}
					fmt.Fprintf(&p.said, "%-8s %-8s %-8s %-8s %s %s, %s\n", restore, data, service, targets, end.Verdict, end.ReasonCode, end.Environment)
				}
			}
		}
	}
	return nil
}

// incidentWith plays one recovery. "nothing" is what nobody can look at.
func (p *player) incidentWith(restore, data, service, targets string) (firedrill.Finished, error) {
	q := &player{}
	when := func(what string) string {
		if what == "nothing" {
			return " when:false"
		}
		return ""
	}
	err := q.drill([]string{"incident", "rto=10s"}, strings.Split(`found baseline
restore recover changes w:db
rows verify proves:data`+when(data)+`
page verify proves:service`+when(service), "\n"))
	if err == nil {
		err = q.command("start", nil)
	}
	answers := map[string]string{"equal": "compared:3", "green": "compared:3", "part": "part:3", "differs": "differs", "red": "differs"}
	seen := map[string]string{"rows": data, "page": service}
	for err == nil && !q.m.Done() {
		command := map[string]string{"met": "measured rto=1s", "missed": "measured rto=20s"}[targets]
		if calls := q.m.InFlight(); len(calls) > 0 {
			step := calls[0].Step
			command = strings.TrimSpace("ok " + step + " do " + answers[seen[step]])
			switch {
			case step != "restore":
			case restore == "failed":
				command = "fail restore do unavailable"
			case restore == "unknown":
				command = "unknown restore do"
			}
		}
		err = q.command(command, nil)
	}
	if err != nil {
		return firedrill.Finished{}, err
	}
	p.m, p.durable = q.m, q.durable
	end, _ := q.m.Finished()
	return end, nil
}
