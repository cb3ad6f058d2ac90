package cli

import (
	"context"
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/oklog/ulid/v2"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/action/http"
	"firedrill/internal/action/quiesce"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/playbook"
	"firedrill/internal/runner"
	"firedrill/internal/state"
)

// catalog is what can be known without a plan and without touching anything.
type catalog struct {
	registry *action.Registry
	library  playbook.Library
}

// wire gathers the actions. environments are those of the plan, which guards
// protect from each other; secrets is where references to secrets lead.
func (a *app) wire(environments map[string]firedrill.Environment, home string, secrets action.Secrets) (catalog, error) {
	guard, err := a.guard(environments)
	if err != nil {
		return catalog{}, err
	}
	deps := cloudflare.Deps{Secrets: secrets, Now: a.Now, Guard: guard}
	if home != "" {
		deps.Restores = cloudflare.FileRestores{Path: filepath.Join(home, "restores")}
	}
	r, err := action.NewRegistry(cloudflare.Pack(deps), http.Pack(http.Deps{Secrets: secrets, Guard: http.GuardPlan(environments)}), quiesce.Pack())
	if err != nil {
		return catalog{}, &firedrill.Error{Op: "gather the actions", Kind: firedrill.KindInternal, Err: err}
	}
	return catalog{registry: r}, nil
}

// plain is the catalog without a plan.
func (a *app) plain() (catalog, error) { return a.wire(nil, "", action.SystemSecrets()) }

// loadPlan reads and checks the plan.
func (a *app) loadPlan() (*firedrill.Plan, catalog, error) {
	c, err := a.plain()
	if err != nil {
		return nil, c, err
	}
	file, data, err := a.planFile()
	if err != nil {
		return nil, c, err
	}
	p, err := plan.Parse(file, data, c.registry, c.library)
	return p, c, err
}

// station is an opened state store with a runner.
type station struct {
	catalog
	home    store
	journal runner.Journal
	runner  *runner.Runner
	done    func() error
	where   string // the store's name in the evidence
	workerd string // version of the sandbox that this command started; "" if it did not
}

// store is what commands need of a state store: the local folder or a bucket.
type store interface {
	runner.Home
	Dir() string
	RunPath(run string) string
	Halt(wish state.Stop) error
	Lift() (bool, error)
	Abort(run string, wish state.Stop) error
}

// open opens the state store: the bucket that the plan here names, else the local
// folder. live, where given, is shown what runs do.
func (a *app) open(ctx context.Context, environments map[string]firedrill.Environment, secrets action.Secrets, live *term.Live) (*station, error) {
	in, err := a.stateStore()
	if err != nil {
		return nil, err
	}
	if in == nil {
		return a.openLocal(ctx, environments, secrets, live)
	}
	dir, c, cfg, err := a.prepare(environments, secrets, live)
	if err != nil {
		return nil, err
	}
	return a.openShared(ctx, dir, *in, c, cfg)
}

// openLocal opens the local folder, whatever a plan says.
func (a *app) openLocal(ctx context.Context, environments map[string]firedrill.Environment, secrets action.Secrets, live *term.Live) (*station, error) {
	dir, c, cfg, err := a.prepare(environments, secrets, live)
	if err != nil {
		return nil, err
	}
	return a.openAt(ctx, dir, c, cfg)
}

func (a *app) prepare(environments map[string]firedrill.Environment, secrets action.Secrets, live *term.Live) (dir string, c catalog, cfg runner.Config, err error) {
	if dir, err = a.homeDir(); err != nil {
		return dir, c, cfg, err
	}
	c, err = a.wire(environments, dir, secrets)
	if live != nil {
		cfg.Listener, cfg.Progress = live.Record, live.Progress
		cfg.Notice = func(text string) { live.Line(term.Warn, "  waiting", text) }
	}
	cfg.Now, cfg.Patience = runner.Clock(), a.patience
	return dir, c, cfg, err
}

// openAt opens a folder with actions that are gathered already; the rest of cfg
// is filled in.
func (a *app) openAt(ctx context.Context, dir string, c catalog, cfg runner.Config) (*station, error) {
	home, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	j, err := journal.Open(context.WithoutCancel(ctx), home.Journal())
	if err != nil {
		return nil, err
	}
	return a.station(c, cfg, home, j, localStore, j.Close), nil
}

func (a *app) station(c catalog, cfg runner.Config, home store, j runner.Journal, where string, done func() error) *station {
	cfg.Journal, cfg.Home, cfg.Registry, cfg.Resolver = j, home, c.registry, plan.NewResolver(c.registry)
	cfg.NewID = newID
	cfg.Version, cfg.Executor = a.Version, a.executor()
	return &station{catalog: c, home: home, journal: j, runner: runner.New(cfg), where: where, done: done}
}

func newID() string { return ulid.Make().String() }

func (s *station) close(err error) error { return errors.Join(err, s.done()) }

// executor names who runs this: user@host.
func (a *app) executor() string {
	name := a.Getenv("USER")
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return name + "@" + host
}

// live makes the view of what runs.
func (a *app) live() *term.Live {
	return term.NewLive(a.err, func() time.Time { return a.Now() }, a.global.quiet, a.global.verbose)
}
