// Package playbook holds the built-in drills as they are shipped: YAML in the
// language that users write, parsed by the same code. `firedrill drill show`
// prints the text, comments included, as documentation and as a start.
//
// Beside each drill stands the playbook of a real incident, under the same name:
// what is left of the drill where nobody damages anything and there is no baseline.
package playbook

import (
	"embed"
	"slices"
	"strings"
)

//go:embed drills/*.yaml
var drills embed.FS

//go:embed recover/*.yaml
var recoveries embed.FS

//go:embed salvage/*.yaml
var salvages embed.FS

// Library gives the built-in drills.
type Library struct{}

// Names lists the built-in drills, sorted.
func (Library) Names() []string { return names(drills, "drills") }

// Source gives the text of a drill, and the name it has in errors.
func (Library) Source(name string) (file string, data []byte, ok bool) {
	return source(drills, "drills", "built-in:", name)
}

// Recoveries gives the playbooks of real incidents, by the names of the drills.
type Recoveries struct{}

// Names lists the drills that have one, sorted.
func (Recoveries) Names() []string { return names(recoveries, "recover") }

// Source gives the text of a playbook, and the name it has in errors.
func (Recoveries) Source(name string) (file string, data []byte, ok bool) {
	return source(recoveries, "recover", "built-in:recover/", name)
}

// Salvages gives the playbooks that bring chosen rows back and keep the others, by the
// names of the drills.
type Salvages struct{}

// Names lists the drills that have one, sorted.
func (Salvages) Names() []string { return names(salvages, "salvage") }

// Source gives the text of a playbook, and the name it has in errors.
func (Salvages) Source(name string) (file string, data []byte, ok bool) {
	return source(salvages, "salvage", "built-in:salvage/", name)
}

func names(files embed.FS, folder string) []string {
	entries, err := files.ReadDir(folder)
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

func source(files embed.FS, folder, prefix, name string) (file string, data []byte, ok bool) {
	if strings.ContainsAny(name, "/\\") {
		return "", nil, false
	}
	data, err := files.ReadFile(folder + "/" + name + ".yaml")
	return prefix + name + ".yaml", data, err == nil
}
