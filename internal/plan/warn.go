package plan

import "firedrill"

// warn notes what is allowed and probably not meant.
func (b *builder) warn(at firedrill.Position, text, remedy string) {
	b.warnings = append(b.warnings, firedrill.Warning{At: at, Text: text, Remedy: remedy})
}

// warnProbes names probes that look at the status of an answer alone: a page that is
// wrong, or a proxy that answers in place of the service, is as good to them. A status
// that says no is an answer by itself.
func (b *builder) warnProbes(resource string, probes *node) {
	if probes == nil {
		return
	}
	for _, p := range probes.items {
		if p.kind != isMap {
			continue // refused elsewhere
		}
		if status := p.get("status"); status != nil {
			if n, is := status.value.(int64); is && (n < 200 || n > 299) {
				continue
			}
		}
		if !says(p.get("json")) && !says(p.get("contains")) && !says(p.get("response_headers")) {
			b.warn(p.pos, "this probe of "+resource+" takes any answer with the right status for a healthy one", "say what a healthy answer holds: json: {status: healthy}, contains: ok, or response_headers where it has no body")
		}
	}
}

// says tells whether a value is there and holds anything.
func says(n *node) bool {
	return n != nil && (len(n.pairs) > 0 || n.kind == isText && n.value != "")
}

// warnLimits names a cap on what nothing does.
func (b *builder) warnLimits(limits *node) {
	if n := limits.get("objects"); n != nil {
		b.warn(n.pos, "limits.objects caps nothing: no action of this version damages objects of buckets", "leave it out, or keep it for a later version")
	}
}
