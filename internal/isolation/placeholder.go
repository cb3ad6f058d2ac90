package isolation

import (
	"cmp"
	"fmt"
	"regexp"
)

// placeholder tells whether an id is what people write until they have one.
func placeholder(id string) bool {
	return regexp.MustCompile(`(?i)^(|[x-]+|[0-]+|\.+|[?]+|<.*>|\{+.*\}+|\$.*|\[.*\]|.*\byour\b.*|your[-_ ].*|.*[-_ ](id|name)[-_ ]here|.*\b(todo|fixme|tbd|changeme|placeholder|dummy)\b.*|(replace|change|fill|insert|add|put|paste)[-_ ].*|none|null|undefined|n/a|database[-_]id|namespace[-_]id|kv[-_]id|xxx.*)$`).MatchString(id)
}

// placeholders finds ids that are none.
func (a *audit) placeholders() {
	for _, u := range a.units {
		for _, r := range u.refs {
			if r.preview || !r.blank && !placeholder(cmp.Or(r.id, r.name)) {
				continue
			}
			id := cmp.Or(r.id, r.name)
			if r.blank {
				id = ""
			}
			a.report(Finding{Rule: PlaceholderID, Level: LevelWarning, At: r.at, Environment: u.env, Worker: u.worker, Kind: r.kind, Resource: id,
				Message: fmt.Sprintf("%s of %s has the id %q, which is a placeholder", r.binding, a.title(u.env), id)}, r.binding)
		}
	}
}
