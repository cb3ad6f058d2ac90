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
	version Version
	modules []Module
}

// composer builds the configuration of one process.
type composer struct {
	socket   string          // of the binding server
	present  map[string]bool // scripts that run in this process
	services []workerd.Service
	known    map[string]bool // names in services
}

// compose returns the configuration that runs programs side by side, so that
// they can call each other.
func compose(socket string, programs []program) (workerd.Config, error) {
	c := &composer{socket: socket, present: map[string]bool{}, known: map[string]bool{}}
	for _, p := range programs {
		c.present[p.version.Script] = true
	}
	for _, p := range programs {
		w, err := c.program(p)
		if err != nil {
			return workerd.Config{}, err
		}
		c.add(workerd.Service{Name: p.version.Script, Worker: w})
	}
	return workerd.Config{Services: c.services}, nil
}

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

// oldestDate is the compatibility date of a Worker that names none.
const oldestDate = "2021-11-02"

// program translates one version.
func (c *composer) program(p program) (*workerd.Worker, error) {
	v := p.version
	w := &workerd.Worker{CompatibilityDate: v.CompatibilityDate, CompatibilityFlags: v.CompatibilityFlags}
	if w.CompatibilityDate == "" {
		w.CompatibilityDate = oldestDate
	}
	known := kinds()
	for _, b := range v.Bindings {
		k, ok := known[b.Type]
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

// targets lists the scripts that a version's service bindings lead to.
func (v Version) targets() []string {
	var list []string
	for _, b := range v.Bindings {
		if b.Type == typeService && !slices.Contains(list, b.Service) {
			list = append(list, b.Service)
		}
	}
	return list
}

// processKey names what a process runs: the same key, the same behaviour.
func processKey(programs []Version, present map[string]bool) string {
	var parts []string
	for _, v := range programs {
		parts = append(parts, v.Script+"="+v.ID)
		for _, t := range v.targets() {
			if !present[t] {
				parts = append(parts, "missing:"+t)
			}
		}
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), "+")
}
