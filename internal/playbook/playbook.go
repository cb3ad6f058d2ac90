// Package playbook holds the built-in drills as they are shipped: YAML in the
// language that users write, parsed by the same code. `firedrill drill show`
// prints the text, comments included, as documentation and as a start.
package playbook

import (
	"embed"
	"slices"
	"strings"
)

//go:embed drills/*.yaml
var drills embed.FS

// Library gives the built-in drills.
type Library struct{}

// Names lists the built-in drills, sorted.
func (Library) Names() []string {
	entries, err := drills.ReadDir("drills")
	if err != nil {
		panic("playbook: " + err.Error()) // embedded, so a broken build
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

// Source gives the text of a drill, and the name it has in errors.
func (Library) Source(name string) (file string, data []byte, ok bool) {
	if strings.ContainsAny(name, "/\\") {
		return "", nil, false
	}
	data, err := drills.ReadFile("drills/" + name + ".yaml")
	return "built-in:" + name + ".yaml", data, err == nil
}
