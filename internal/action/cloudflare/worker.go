package cloudflare

import "firedrill"

// workerActions are the actions on Workers.
func (p *pack) workerActions() []firedrill.Action { return nil }
