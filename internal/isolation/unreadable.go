package isolation

import (
	"errors"
	"fmt"
	"strings"

	"firedrill"
)

func (a *audit) unreadable(at firedrill.Position, detail, where string) {
	a.report(Finding{Rule: UnreadableConfig, Level: LevelError, At: at, Message: "cannot be read: " + detail}, where)
}

// unreadablePlan reports each mistake of a plan at its place.
func (a *audit) unreadablePlan(p Plan) {
	mistakes := []error{p.Err}
	if all, several := p.Err.(interface{ Unwrap() []error }); several {
		mistakes = all.Unwrap()
	}
	for _, m := range mistakes {
		at, detail := firedrill.Position{File: p.Path, Line: 1, Column: 1}, m.Error()
		var e *firedrill.Error
		if errors.As(m, &e) {
			if place, is := strings.CutPrefix(e.Target, p.Path+":"); is {
				line, column := 0, 0
				if n, _ := fmt.Sscanf(place, "%d:%d", &line, &column); n == 2 { // no place is the first line
					at.Line, at.Column, detail = line, column, e.Detail
				}
			}
		}
		a.unreadable(at, detail, detail)
	}
}
