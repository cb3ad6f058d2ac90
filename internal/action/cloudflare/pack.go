package cloudflare

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"firedrill"
	"firedrill/internal/action"
)

// Settings is the provider section of an environment.
type Settings struct {
	API     string        `json:"api,omitempty" doc:"base address of the API; the real platform if left out. A sandbox or a proxy works too"`
	Account string        `json:"account,omitempty" doc:"account id, 32 hexadecimal digits"`
	Token   action.Secret `json:"token,omitzero" doc:"where the API token stands: {env: NAME}, {file: PATH} or {command: [PROGRAM, ARG]}; never the token itself"`
	Pace    float64       `json:"pace,omitempty" doc:"share of the API quota that may be used, above 0 and at most 1; half of it if left out, and no limit on a loopback address"`
}

// D1Attrs describes a database in a plan.
type D1Attrs struct {
	Name   string   `json:"name,omitempty" doc:"name of the database"`
	ID     string   `json:"id,omitempty" doc:"id of the database; without it the database is found by its name"`
	Redact []string `json:"redact,omitempty" doc:"columns whose values are shown nowhere, as table.column; * stands for any letters: users.email, *.password, sessions.*"`
}

// KVAttrs describes a KV namespace in a plan.
type KVAttrs struct {
	Name   string   `json:"name,omitempty" doc:"title of the namespace"`
	ID     string   `json:"id,omitempty" doc:"id of the namespace; without it the namespace is found by its title"`
	Redact []string `json:"redact,omitempty" doc:"keys that are shown nowhere, nor their values; * stands for any letters: session/*"`
}

// WorkerAttrs describes a Worker in a plan.
type WorkerAttrs struct {
	Name    string          `json:"name" doc:"name of the Worker script"`
	URL     string          `json:"url,omitempty" doc:"address under which it is reached"`
	Probes  []action.Probe  `json:"probes,omitempty" doc:"requests and the answers that count as healthy"`
	Exports []action.Export `json:"exports,omitempty" doc:"routes that give all records of a database, a namespace or a Durable Object, to compare them as the application reads them"`
	// Sentinel is nil where the application has no routes for one.
	Sentinel *action.Sentinel `json:"sentinel,omitempty" doc:"routes by which numbered writes go through the application, to measure what is lost"`
}

// Deps is what the pack needs from whoever wires the program.
type Deps struct {
	Secrets action.Secrets
	// Guard gives the guard of an environment; nil: nothing is refused.
	Guard func(firedrill.Environment) *Guard
	HTTP  *http.Client // nil: one for each environment
	Now   func() time.Time
	Sleep func(ctx context.Context, d time.Duration) error
	Trace func(Exchange)
	// Restores counts the restores of databases; the platform does not tell.
	// nil: they are counted for the life of the pack only.
	Restores RestoreLog
}

// pack makes a client for each environment, once.
type pack struct {
	deps     Deps
	restores RestoreLog

	mu      sync.Mutex
	clients map[string]*Client
}

// Pack gives the provider "cloudflare" with its kinds of resource and its actions.
func Pack(deps Deps) action.Pack {
	p := &pack{deps: deps, restores: deps.Restores, clients: map[string]*Client{}}
	if p.restores == nil {
		p.restores = &memoryRestores{}
	}
	return action.Pack{
		Providers: Providers(),
		Kinds:     Kinds(),
		Actions:   slices.Concat(p.d1Actions(), p.workerActions(), p.kvActions()),
	}
}

// Providers describes the provider section of an environment.
func Providers() []firedrill.ProviderSpec {
	return []firedrill.ProviderSpec{{Name: "cloudflare", Doc: "A Cloudflare account, or anything that speaks the v4 API.", Settings: typeOf[Settings]()}}
}

// Kinds describes the kinds of resource.
func Kinds() []firedrill.KindSpec {
	return []firedrill.KindSpec{
		{Name: "d1", Provider: "cloudflare", Doc: "A D1 database, by name or id.", Attrs: typeOf[D1Attrs]()},
		{Name: "kv", Provider: "cloudflare", Doc: "A KV namespace, by title or id.", Attrs: typeOf[KVAttrs]()},
		{Name: "worker", Provider: "cloudflare", Doc: "A Worker script, where it is reached, and how a healthy one answers.", Attrs: typeOf[WorkerAttrs]()},
	}
}

// client gives the client of a call's environment.
func (p *pack) client(call firedrill.Call) (*Client, error) {
	var s Settings
	if err := call.Environment.Settings.Into(&s); err != nil {
		return nil, unreadableSettings(call.Environment, err)
	}
	key := fmt.Sprintf("%s\x00%s\x00%s\x00%t", call.Environment.Name, s.API, s.Account, call.Environment.Incident)
	p.mu.Lock()
	defer p.mu.Unlock()
	if c, ok := p.clients[key]; ok {
		if call.Impact == firedrill.Damages {
			c.lookAgain()
		}
		return c, nil
	}
	c, err := NewFor(call.Environment, p.deps)
	if err == nil {
		p.clients[key] = c
	}
	return c, err
}

// NewFor makes the client of an environment, with its guard.
func NewFor(env firedrill.Environment, deps Deps) (*Client, error) {
	var s Settings
	if err := env.Settings.Into(&s); err != nil {
		return nil, unreadableSettings(env, err)
	}
	cfg := Config{API: s.API, Account: s.Account, Pace: s.Pace, HTTP: deps.HTTP, Now: deps.Now, Sleep: deps.Sleep, Trace: deps.Trace,
		Token: func(ctx context.Context) (string, error) { return deps.Secrets.Resolve(ctx, s.Token) }}
	if deps.Guard != nil {
		cfg.Guard = deps.Guard(env)
	}
	return New(cfg)
}

func unreadableSettings(env firedrill.Environment, err error) error {
	return &firedrill.Error{Op: "cloudflare", Kind: firedrill.KindUsage, Target: "environment " + env.Name,
		Detail: "its settings cannot be read", Remedy: "see: firedrill schema", Err: err}
}

// notify lets a request say why it waits.
func notify(call firedrill.Call) func(string) {
	return func(text string) { call.Progress(firedrill.Progress{Text: text}) }
}
