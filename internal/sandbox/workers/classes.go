package workers

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Namespace is a Durable Object class of a Worker with all objects of it. Its
// ID stays while the class is renamed or moves to another Worker, and binds the
// data: it names the folder of the objects.
type Namespace struct {
	ID      string    `json:"id"` // 32 hexadecimal digits
	Script  string    `json:"script"`
	Class   string    `json:"class"`
	SQLite  bool      `json:"sqlite"` // else the older storage of keys only
	Created time.Time `json:"created"`
}

// Name is how the platform names a namespace.
func (n Namespace) Name() string { return n.Script + "_" + n.Class }

// ofScript gives the namespaces of one Worker.
func ofScript(all []Namespace, script string) []Namespace {
	var own []Namespace
	for _, n := range all {
		if n.Script == script {
			own = append(own, n)
		}
	}
	return own
}

// byClass finds the namespace of a class; ok is false when there is none.
func byClass(all []Namespace, script, class string) (n Namespace, ok bool) {
	for _, n := range all {
		if n.Script == script && n.Class == class {
			return n, true
		}
	}
	return Namespace{}, false
}

func byID(all []Namespace, id string) (n Namespace, ok bool) {
	for _, n := range all {
		if n.ID == id {
			return n, true
		}
	}
	return Namespace{}, false
}

// Migrations are the changes of classes that an upload carries. They are
// applied in order, all or none, when the Worker's tag is OldTag.
type Migrations struct {
	OldTag string          `json:"old_tag"`
	NewTag string          `json:"new_tag"`
	Steps  []MigrationStep `json:"steps"`
	MigrationStep
}

// MigrationStep is one change of classes.
type MigrationStep struct {
	NewClasses         []string   `json:"new_classes"`
	NewSQLiteClasses   []string   `json:"new_sqlite_classes"`
	RenamedClasses     []renaming `json:"renamed_classes"`
	TransferredClasses []renaming `json:"transferred_classes"`
	DeletedClasses     []string   `json:"deleted_classes"`
}

type renaming struct {
	From       string `json:"from"`
	To         string `json:"to"`
	FromScript string `json:"from_script"` // of a transfer
}

// migrated is the outcome of migrations: all namespaces as they are to be, and
// the Worker's new tag.
type migrated struct {
	namespaces []Namespace
	tag        string
	changed    bool
}

// migrate works out what an upload's migrations make of the namespaces. Nothing
// is changed by it.
func (m *Manager) migrate(op string, sc Script, raw json.RawMessage, have []Namespace) (migrated, error) {
	out := migrated{namespaces: have, tag: sc.MigrationTag}
	if !present(raw) {
		return out, nil
	}
	var given Migrations
	if err := json.Unmarshal(raw, &given); err != nil {
		return out, refuse(op, sc.Name, CodeBadRequest, "the migrations are not the JSON expected: %v", err)
	}
	if given.OldTag != sc.MigrationTag {
		current := "current tag is " + sc.MigrationTag
		if sc.MigrationTag == "" {
			current = "the Worker has no tag yet"
		}
		return out, refuse(op, sc.Name, CodeMigrationTag, "Migration tag precondition failed; %s", current)
	}
	steps := given.Steps
	if len(steps) == 0 {
		steps = []MigrationStep{given.MigrationStep}
	}
	next := slices.Clone(have)
	for _, step := range steps {
		var err error
		if next, err = m.step(op, sc.Name, step, next); err != nil {
			return out, err
		}
	}
	return migrated{namespaces: next, tag: given.NewTag, changed: true}, nil
}

func (m *Manager) step(op, script string, step MigrationStep, all []Namespace) ([]Namespace, error) {
	create := func(class string, sqlite bool) error {
		if _, ok := byClass(all, script, class); ok || class == "" {
			return refuse(op, script, CodeClassExists, "Cannot apply new-class migration to class '%s' that is already depended on by existing Durable Objects", class)
		}
		id := make([]byte, 16)
		if _, err := io.ReadFull(m.opt.Random, id); err != nil {
			return fmt.Errorf("%s %s: %w", op, script, err)
		}
		all = append(all, Namespace{ID: hex.EncodeToString(id), Script: script, Class: class, SQLite: sqlite, Created: m.now()})
		return nil
	}
	for _, class := range step.NewSQLiteClasses {
		if err := create(class, true); err != nil {
			return nil, err
		}
	}
	for _, class := range step.NewClasses {
		if err := create(class, false); err != nil {
			return nil, err
		}
	}
	for _, r := range step.RenamedClasses {
		if err := move(op, script, "rename", script, r, all); err != nil {
			return nil, err
		}
	}
	for _, r := range step.TransferredClasses {
		if err := move(op, script, "transfer", r.FromScript, r, all); err != nil {
			return nil, err
		}
	}
	for _, class := range step.DeletedClasses {
		n, ok := byClass(all, script, class)
		if !ok {
			return nil, refuse(op, script, CodeMigrationClass, "Cannot apply delete-class migration to class '%s' that is not a Durable Object class of this Worker", class)
		}
		all = slices.DeleteFunc(slices.Clone(all), func(o Namespace) bool { return o.ID == n.ID })
	}
	return all, nil
}

// move gives a namespace another name, and in a transfer another Worker.
func move(op, script, what, from string, r renaming, all []Namespace) error {
	i := slices.IndexFunc(all, func(n Namespace) bool { return n.Script == from && n.Class == r.From })
	if i < 0 {
		return refuse(op, script, CodeMigrationClass, "Cannot apply %s-class migration from class '%s' of '%s': there is no such Durable Object class", what, r.From, from)
	}
	if _, ok := byClass(all, script, r.To); ok || r.To == "" {
		return refuse(op, script, CodeClassExists, "Cannot apply %s-class migration to class '%s' that is already depended on by existing Durable Objects", what, r.To)
	}
	all[i].Script, all[i].Class = script, r.To
	return nil
}

// checkExports refuses code that lacks a class on which objects depend.
func checkExports(op string, before []Namespace, own []Namespace, v Version) error {
	for _, n := range own {
		if v.exports(n.Class) {
			continue
		}
		if _, old := byID(before, n.ID); !old {
			return refuse(op, v.Script, CodeClassNotExported, "Cannot apply new-class migration to class '%s' that is not exported by script", n.Class)
		}
		return refuse(op, v.Script, CodeStillReferenced,
			"New version of script does not export class '%s' which is depended on by existing Durable Objects. If you want to delete the Durable Objects and their data, use a deleted_classes migration.", n.Class)
	}
	return nil
}

func (v Version) exports(class string) bool {
	return slices.ContainsFunc(v.NamedHandlers, func(h NamedHandler) bool { return h.Name == class })
}

// owners tells which Worker has a namespace, by its id.
func owners(all map[string]*live) map[string]string {
	out := map[string]string{}
	for name, l := range all {
		for _, n := range l.namespaces {
			out[n.ID] = name
		}
	}
	return out
}

// targets lists the other scripts that a version reaches through bindings to
// services and to Durable Objects.
func (v Version) targets(owner map[string]string) []string {
	var list []string
	for _, b := range v.Bindings {
		to := ""
		switch b.Type {
		case typeService:
			to = b.Service
		case typeObjects:
			if to = owner[b.NamespaceID]; to == "" {
				to = b.ScriptName
			}
		}
		if to != "" && to != v.Script && !slices.Contains(list, to) {
			list = append(list, to)
		}
	}
	return list
}

// replaceNamespaces puts the namespaces of an upload's outcome into what is to
// be live: a transfer changes two Workers.
func replaceNamespaces(next map[string]*live, namespaces []Namespace) {
	for name, l := range next {
		own := ofScript(namespaces, name)
		if slices.Equal(own, l.namespaces) {
			continue
		}
		changed := *l
		changed.namespaces = own
		next[name] = &changed
	}
}

// classKey names what a process needs to know of a Worker's classes.
func classKey(own []Namespace) string {
	if len(own) == 0 {
		return ""
	}
	var parts []string
	for _, n := range own {
		parts = append(parts, n.ID+":"+n.Class)
	}
	slices.Sort(parts)
	return "{" + strings.Join(parts, ",") + "}"
}
