package isolation

import (
	"fmt"
	"regexp"
)

// isPlaceholder tells whether a resource is named by what people write until they
// have an id. A name can be any word, so only what no name is counts there.
func (r reference) isPlaceholder() bool {
	if r.id != "" {
		return regexp.MustCompile(`(?i)^([x-]+|[0-]+|\.+|[?]+|<.*>|\{+.*\}+|\$.*|\[.*\]|.*\byour\b.*|.*[-_ ](id|name)[-_ ]here|.*\b(todo|fixme|tbd|changeme|placeholder|dummy)\b.*|(replace|change|fill|insert|add|put|paste)[-_ ].*|none|null|undefined|n/a|(database|namespace|kv|preview|hyperdrive)[-_]id|xxx.*)$`).MatchString(r.id)
	}
	return r.blank || regexp.MustCompile(`^(?:(?i:x{3,}|\.+|[?]+|<.*>|\{+.*\}+|\$.*|\[.*\]|replace[-_]?me|your-[a-z0-9-]*(?:bucket|queue|index|worker|service)(?:-name)?)|TODO|FIXME|TBD|CHANGEME|PLACEHOLDER)$`).MatchString(r.name)
}

// markPlaceholders looks at each reference once.
func (u *unit) markPlaceholders() {
	for i, r := range u.refs {
		u.refs[i].placeholder = r.isPlaceholder()
	}
}

// given is what stands where the resource is named.
func (r reference) given() string {
	if r.id != "" || r.blank {
		return r.id
	}
	return r.name
}

// placeholders finds ids that are none.
func (a *audit) placeholders() {
	for _, u := range a.units {
		for _, r := range u.refs {
			if r.preview || !r.placeholder {
				continue
			}
			a.report(Finding{Rule: PlaceholderID, Level: LevelWarning, At: r.at, Environment: u.env, Worker: u.worker, Kind: r.kind, Resource: r.given(),
				Message: fmt.Sprintf("%s of %s is %q, which is a placeholder", r.binding, title(u.env), r.given())}, r.binding)
		}
	}
}
