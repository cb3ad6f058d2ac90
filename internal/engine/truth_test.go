package engine

import (
	"fmt"
	"strings"

	"firedrill"
)

// facts are what a drill is about: whether each of them is so.
type facts struct{ damage, data, service, protection, targets, known bool }

// truth plays the same drill with every combination of facts and writes down
// what comes of each.
func (p *player) truth() error {
	fmt.Fprintln(&p.said, "damage data service protection targets known")
	for i := range 64 {
		bit := func(n int) bool { return i&(1<<n) == 0 }
		f := facts{bit(5), bit(4), bit(3), bit(2), bit(1), bit(0)}
		end, err := p.drillWith(f)
		if err != nil {
			return fmt.Errorf("%+v: %w", f, err)
		}
		row := ""
		for n, so := range []bool{f.damage, f.data, f.service, f.protection, f.targets, f.known} {
			mark := "-"
			if so {
				mark = "yes"
			}
			row += fmt.Sprintf("%-*s ", []int{6, 4, 7, 10, 7, 5}[n], mark)
		}
		fmt.Fprintf(&p.said, "%s %s %s, %s\n", row, end.Verdict, end.ReasonCode, end.Environment)
	}
	return nil
}

// drillWith plays one drill. All calls that are under way are answered, those
// that were cancelled too, so that everything a run could know comes to light.
func (p *player) drillWith(f facts) (firedrill.Finished, error) {
	q := &player{}
	err := q.drill([]string{"rto=10s"}, strings.Split(`drop inject damages undo w:db
seen detect proves:damage
restore recover changes w:db
rows verify proves:data look
page verify proves:service look
safe verify proves:protection
flag verify changes never undo w:kv
over verify needs:rows,page,safe,flag discharges:drop,flag`, "\n"))
	if err != nil {
		return firedrill.Finished{}, err
	}
	if err := q.command("start", nil); err != nil {
		return firedrill.Finished{}, err
	}
	so := map[string]bool{"seen": f.damage, "rows": f.data, "page": f.service, "safe": f.protection, "flag": f.known}
	for !q.m.Done() {
		command := "measured rto=1s"
		if !f.targets {
			command = "measured rto=20s"
		}
		if calls := q.m.InFlight(); len(calls) > 0 {
			c := calls[0]
			holds, named := so[c.Step]
			command = fmt.Sprintf("ok %s %s compared:3", c.Step, c.Role)
			switch {
			case c.Role != firedrill.RoleDo || !named || holds:
			case c.Step == "flag":
				command = "unknown flag do"
			default:
				command = fmt.Sprintf("ok %s %s differs", c.Step, c.Role)
			}
		}
		if err := q.command(command, nil); err != nil {
			return firedrill.Finished{}, err
		}
	}
	p.m, p.durable = q.m, q.durable
	end, _ := q.m.Finished()
	return end, nil
}
