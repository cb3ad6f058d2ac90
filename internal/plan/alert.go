package plan

import (
	"firedrill"
)

// The actions that watch the user's own alert and wait for it.
const (
	alertAction      = "http.alert"
	awaitAlertAction = "http.await-alert"
)

// alert reads the alert of a drill: the inputs of the action that watches it.
func (b *builder) alert(n *node) firedrill.Values {
	spec, ok := b.catalog.Action(alertAction)
	if !ok {
		b.fail(n.pos, "alerts are not available in this version", "remove it")
		return nil
	}
	return asValues(b.typed(n, spec.In, "alert"))
}

// alertSteps are the steps that a drill with an alert has beside its own. The
// alert is watched from before the injection, and the recovery begins when it
// fired, as it would in an incident.
func alertSteps(d firedrill.Drill) []firedrill.Step {
	await := firedrill.Values{"alert": "${{ steps.alert.outputs.alert }}"}
	if within, given := d.Alert["within"]; given {
		await["within"] = within
	}
	return []firedrill.Step{
		{ID: "alert", Phase: firedrill.Baseline, Title: "the alert is watched", Uses: alertAction, With: d.Alert, Source: d.Source},
		{ID: "alerted", Phase: firedrill.Detect, Title: "the alert fires", Uses: awaitAlertAction, With: await, Source: d.Source},
	}
}
