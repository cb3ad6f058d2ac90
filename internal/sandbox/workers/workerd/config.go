package workerd

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// Config is what one workerd process runs: services that may call each other,
// and the sockets through which they are reached. It holds the part of
// workerd's own schema (workerd.capnp) that the sandbox uses.
type Config struct {
	Services   []Service
	Sockets    []Socket
	Extensions []Module // internal modules, for wrapped bindings
}

// Service is a named party inside the process. Exactly one of Worker, External
// and Disk is set.
type Service struct {
	Name     string
	Worker   *Worker
	External *External
	Disk     string // an existing folder, given writable
}

// Socket listens on Address ("unix:/path" or "127.0.0.1:0") and hands each
// request to the service named Service.
type Socket struct {
	Name    string
	Address string
	Service string
}

// External is an HTTP server outside the process. Headers are set on each
// request and replace what the caller sent under the same name, so code inside
// a Worker cannot forge them.
type External struct {
	Address string
	Headers []Header
}

// Header is one injected request header.
type Header struct{ Name, Value string }

// Worker is code with its bindings. Either Modules is filled, the first one
// being the entry point, or ServiceWorker holds a script in the older syntax.
type Worker struct {
	Modules            []Module
	ServiceWorker      []byte
	CompatibilityDate  string
	CompatibilityFlags []string
	Bindings           []Binding
	Classes            []Class
	// Storage is the disk service that keeps what the objects of Classes store;
	// empty keeps it in memory.
	Storage string
}

// Class is a Durable Object class that a Worker exports. Key binds its data:
// the name may change, the key must not.
type Class struct {
	Name   string
	Key    string
	SQLite bool
}

// ModuleKind tells workerd how to load a module.
type ModuleKind string

// The module kinds, named as in workerd.capnp.
const (
	ESModule       ModuleKind = "esModule"
	CommonJSModule ModuleKind = "commonJsModule"
	TextModule     ModuleKind = "text"
	DataModule     ModuleKind = "data"
	WasmModule     ModuleKind = "wasm"
)

// Module is one file of a Worker. Name is the path by which others import it.
type Module struct {
	Name string
	Kind ModuleKind
	Body []byte
}

// Binding is one entry of env. Exactly one of the value fields is set.
type Binding struct {
	Name    string
	Text    *string
	JSON    *string
	Service *ServiceRef
	Wrapped *Wrapped
	KV      *ServiceRef // a KV namespace behind a service
	R2      *ServiceRef // an R2 bucket behind a service
	Objects *ClassRef
}

// ClassRef names a Durable Object class of a service.
type ClassRef struct{ Service, Class string }

// ServiceRef names a service, and an exported entry point other than the
// default one when Entrypoint is not empty.
type ServiceRef struct {
	Service    string
	Entrypoint string
}

// Wrapped is a binding whose JavaScript face is a module built into workerd
// (for instance "cloudflare-internal:d1-api"), given inner bindings of its own.
type Wrapped struct {
	Module string
	Inner  []Binding
}

// Text renders the configuration in Cap'n Proto's text form, ready for
// "workerd serve". Modules are written in line: there is no second file to keep
// in step, and nothing touches a disk.
func (c Config) Text() []byte {
	w := &writer{}
	w.raw("using Workerd = import \"/workerd/workerd.capnp\";\n")
	w.raw("const config :Workerd.Config = (\n  services = [")
	for _, s := range c.Services {
		w.raw("\n    (name = ").str(s.Name)
		switch {
		case s.Worker != nil:
			w.raw(", worker = ")
			w.worker(s.Worker)
		case s.External != nil:
			w.raw(", external = ")
			w.external(s.External)
		case s.Disk != "":
			w.raw(", disk = (path = ").str(s.Disk).raw(", writable = true)")
		}
		w.raw("),")
	}
	w.raw("\n  ],\n  sockets = [")
	for _, s := range c.Sockets {
		w.raw("\n    (name = ").str(s.Name).raw(", address = ").str(s.Address)
		w.raw(", http = (forwardedProtoHeader = \"X-Forwarded-Proto\"), service = ").str(s.Service).raw("),")
	}
	w.raw("\n  ],\n")
	if len(c.Extensions) > 0 {
		w.raw("  extensions = [(modules = [")
		for _, m := range c.Extensions {
			w.raw("\n    (name = ").str(m.Name).raw(", internal = true, esModule = ").str(string(m.Body)).raw("),")
		}
		w.raw("])],\n")
	}
	w.raw(");\n")
	return []byte(w.b.String())
}

type writer struct{ b strings.Builder }

func (w *writer) raw(s string) *writer {
	w.b.WriteString(s)
	return w
}

func (w *writer) str(s string) *writer {
	quote(&w.b, s)
	return w
}

func (w *writer) worker(k *Worker) {
	w.raw("(")
	if k.ServiceWorker != nil {
		w.raw("serviceWorkerScript = ").str(string(k.ServiceWorker))
	} else {
		w.raw("modules = [")
		for _, m := range k.Modules {
			w.raw("\n      (name = ").str(m.Name).raw(", ").raw(string(m.Kind)).raw(" = ")
			switch {
			case (m.Kind == DataModule || m.Kind == WasmModule) && len(m.Body) > 0: // 0x"" is not in the grammar
				w.raw("0x\"").raw(hex.EncodeToString(m.Body)).raw("\"")
			default:
				w.str(string(m.Body))
			}
			w.raw("),")
		}
		w.raw("]")
	}
	w.raw(",\n      compatibilityDate = ").str(k.CompatibilityDate)
	w.raw(", compatibilityFlags = [")
	for _, f := range k.CompatibilityFlags {
		w.str(f).raw(", ")
	}
	w.raw("],\n      bindings = ")
	w.bindings(k.Bindings)
	if len(k.Classes) > 0 {
		w.raw(",\n      durableObjectNamespaces = [")
		for _, c := range k.Classes {
			w.raw("(className = ").str(c.Name).raw(", uniqueKey = ").str(c.Key).raw(", enableSql = ").raw(strconv.FormatBool(c.SQLite)).raw("), ")
		}
		if k.Storage == "" {
			w.raw("], durableObjectStorage = (inMemory = void)")
		} else {
			w.raw("], durableObjectStorage = (localDisk = ").str(k.Storage).raw(")")
		}
	}
	w.raw(")")
}

func (w *writer) external(x *External) {
	w.raw("(address = ").str(x.Address).raw(", http = (injectRequestHeaders = [")
	for _, h := range x.Headers {
		w.raw("(name = ").str(h.Name).raw(", value = ").str(h.Value).raw("), ")
	}
	w.raw("]))")
}

func (w *writer) bindings(list []Binding) {
	w.raw("[")
	for _, b := range list {
		w.raw("\n        (name = ").str(b.Name)
		switch {
		case b.Text != nil:
			w.raw(", text = ").str(*b.Text)
		case b.JSON != nil:
			w.raw(", json = ").str(*b.JSON)
		case b.Service != nil:
			w.raw(", service = (name = ").str(b.Service.Service)
			if b.Service.Entrypoint != "" {
				w.raw(", entrypoint = ").str(b.Service.Entrypoint)
			}
			w.raw(")")
		case b.KV != nil:
			w.raw(", kvNamespace = ").str(b.KV.Service)
		case b.R2 != nil:
			w.raw(", r2Bucket = ").str(b.R2.Service)
		case b.Objects != nil:
			w.raw(", durableObjectNamespace = (className = ").str(b.Objects.Class).raw(", serviceName = ").str(b.Objects.Service).raw(")")
		case b.Wrapped != nil:
			w.raw(", wrapped = (moduleName = ").str(b.Wrapped.Module).raw(", innerBindings = ")
			w.bindings(b.Wrapped.Inner)
			w.raw(")")
		}
		w.raw("),")
	}
	w.raw("]")
}

// quote writes s as a Cap'n Proto string literal. Bytes from 0x80 up go through
// as they are (the format is UTF-8 and does not interpret them); everything
// that could end the literal or is not printable becomes an escape.
func quote(b *strings.Builder, s string) {
	const hexDigits = "0123456789abcdef"
	b.Grow(len(s) + len(s)/8 + 2)
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\t':
			b.WriteString(`\t`)
		case c < 0x20 || c == 0x7f:
			b.WriteString(`\x`)
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
}

// SocketName is the name that a configuration gives to its i-th socket.
func SocketName(i int) string { return "s" + strconv.Itoa(i) }
