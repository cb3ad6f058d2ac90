package workers

import (
	"fmt"
	"slices"
	"strings"

	"firedrill/internal/sandbox/workers/binding"
	"firedrill/internal/sandbox/workers/workerd"
)

// program is a version with its files: what a process runs.
type program struct {
	member
	modules []Module
}

// member is a version with its Worker's Durable Object classes.
type member struct {
	version    Version
	namespaces []Namespace
}

// composer builds the configuration of one process.
type composer struct {
	socket     string          // of the binding server
	objects    string          // folder of the objects' storage; empty: in memory
	present    map[string]bool // scripts that run in this process
	namespaces []Namespace     // classes that run in this process
	services   []workerd.Service
	extensions []workerd.Module
	known      map[string]bool // names in services
}

// compose returns the configuration that runs programs side by side, so that
// they can call each other. What Durable Objects store goes into the folder
// objects, or stays in memory when that is empty.
func compose(socket, objects string, programs []program) (workerd.Config, error) {
	c := &composer{socket: socket, objects: objects, present: map[string]bool{}, known: map[string]bool{}}
	for _, p := range programs {
		c.present[p.version.Script] = true
		c.namespaces = append(c.namespaces, p.namespaces...)
	}
	if objects != "" && len(c.namespaces) > 0 {
		c.add(workerd.Service{Name: diskService, Disk: objects})
	}
	for _, p := range programs {
		w, err := c.program(p)
		if err != nil {
			return workerd.Config{}, err
		}
		c.add(workerd.Service{Name: p.version.Script, Worker: w})
	}
	return workerd.Config{Services: c.services, Extensions: c.extensions}, nil
}

// diskService is the service that stores what Durable Objects store. No Worker
// can have a name with a colon.
const diskService = "disk:objects"

func (c *composer) add(s workerd.Service) {
	if !c.known[s.Name] {
		c.known[s.Name] = true
		c.services = append(c.services, s)
	}
}

// external names the service that leads to a resource behind the binding
// server.
func (c *composer) external(kind, id string) string {
	name := kind + ":" + id
	c.add(workerd.Service{Name: name, External: &workerd.External{
		Address: "unix:" + c.socket,
		Headers: []workerd.Header{{Name: binding.HeaderKind, Value: kind}, {Name: binding.HeaderID, Value: id}},
	}})
	return name
}

// worker names the service that runs another script. One that does not exist
// (any more) is replaced by a Worker that says so.
func (c *composer) worker(script, entrypoint string) workerd.ServiceRef {
	if c.present[script] {
		return workerd.ServiceRef{Service: script, Entrypoint: entrypoint}
	}
	name := "missing:" + script
	text := fmt.Sprintf("The Worker %q, to which this service binding leads, does not exist.", script)
	c.add(workerd.Service{Name: name, Worker: &workerd.Worker{
		Modules: []workerd.Module{{Name: "missing.js", Kind: workerd.ESModule,
			Body: []byte("export default { fetch() { throw new Error(" + jsString(text) + "); } };")}},
		CompatibilityDate: oldestDate,
	}})
	return workerd.ServiceRef{Service: name}
}

// class names the class behind a binding to Durable Objects. The id counts: the
// class may have another name or be with another Worker by now. One that is not
// in this process is replaced by a class that says so.
func (c *composer) class(b Binding) workerd.ClassRef {
	if n, ok := byID(c.namespaces, b.NamespaceID); ok {
		return workerd.ClassRef{Service: n.Script, Class: n.Class}
	}
	name := "missing-class:" + b.NamespaceID
	text := fmt.Sprintf("The Durable Object class %q, to which the binding %s leads, does not exist.", b.ClassName, b.Name)
	c.add(workerd.Service{Name: name, Worker: &workerd.Worker{
		Modules: []workerd.Module{{Name: "missing.js", Kind: workerd.ESModule,
			Body: []byte("export class Missing { fetch() { throw new Error(" + jsString(text) + "); } }\nexport default {};")}},
		CompatibilityDate: oldestDate,
		Classes:           []workerd.Class{{Name: "Missing", Key: b.NamespaceID}},
	}})
	return workerd.ClassRef{Service: name, Class: "Missing"}
}

// oldestDate is the compatibility date of a Worker that names none.
const oldestDate = "2021-11-02"

// program translates one version.
func (c *composer) program(p program) (*workerd.Worker, error) {
	v := p.version
	w := &workerd.Worker{CompatibilityDate: v.CompatibilityDate, CompatibilityFlags: v.CompatibilityFlags}
	if w.CompatibilityDate == "" {
		w.CompatibilityDate = oldestDate
	}
	for _, n := range p.namespaces {
		w.Classes = append(w.Classes, workerd.Class{Name: n.Class, Key: n.ID, SQLite: n.SQLite})
	}
	if c.objects != "" {
		w.Storage = diskService
	}
	for _, b := range v.Bindings {
		k, ok := kindOf(b)
		if !ok {
			return nil, fmt.Errorf("version %s of Worker %s has a binding of type %q, which this sandbox cannot run", v.ID, v.Script, b.Type)
		}
		w.Bindings = append(w.Bindings, k.config(c, v, b))
	}
	if v.ServiceWorker {
		for _, m := range p.modules {
			if m.Name == v.MainModule {
				w.ServiceWorker = slices.Concat([]byte{}, m.Data)
			}
		}
		return w, nil
	}
	for _, m := range p.modules {
		kind, load := moduleKind(m.ContentType)
		if !load {
			continue
		}
		mod := workerd.Module{Name: m.Name, Kind: kind, Body: m.Data}
		if m.Name == v.MainModule {
			w.Modules = slices.Insert(w.Modules, 0, mod) // the first one is the entry point
		} else {
			w.Modules = append(w.Modules, mod)
		}
	}
	return w, nil
}

// sourceMap is the one content type that is kept but not loaded.
const sourceMap = "application/source-map"

// contentESModule is the content type of an ECMAScript module.
const contentESModule = "application/javascript+module"

// moduleKind translates a part's content type; load is false for what workerd
// must not see.
func moduleKind(contentType string) (kind workerd.ModuleKind, load bool) {
	switch contentType {
	case contentESModule:
		return workerd.ESModule, true
	case "application/javascript", "text/javascript":
		return workerd.CommonJSModule, true
	case "application/wasm":
		return workerd.WasmModule, true
	case "application/octet-stream":
		return workerd.DataModule, true
	case "text/plain":
		return workerd.TextModule, true
	}
	return "", false
}

// processKey names what a process runs: the same key, the same behaviour.
func processKey(members []member, present map[string]bool, owner map[string]string) string {
	var parts []string
	for _, m := range members {
		parts = append(parts, m.version.Script+"="+m.version.ID+classKey(m.namespaces))
		for _, t := range m.version.targets(owner) {
			if !present[t] {
				parts = append(parts, "missing:"+t)
			}
		}
		for _, b := range m.version.Bindings {
			if b.Type == typeObjects && owner[b.NamespaceID] == "" {
				parts = append(parts, "missing-class:"+b.NamespaceID)
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), "+")
}
