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
	deps := cloudflare.Deps{Secrets: secrets, Now: a.Now, Guard: cloudflare.GuardPlan(environments)}
	if home != "" {
		deps.Restores = cloudflare.FileRestores{Path: filepath.Join(home, "restores")}
	}
	r, err := action.NewRegistry(cloudflare.Pack(deps), http.Pack(http.Deps{Secrets: secrets}), quiesce.Pack())
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

// station is an opened state folder with a runner.
type station struct {
	catalog
	home    *state.Home
	journal *journal.Journal
	runner  *runner.Runner
}

// open opens the state folder. live, where given, is shown what runs do.
func (a *app) open(ctx context.Context, environments map[string]firedrill.Environment, secrets action.Secrets, live *term.Live) (*station, error) {
	dir, err := a.homeDir()
	if err != nil {
		return nil, err
	}
	c, err := a.wire(environments, dir, secrets)
	if err != nil {
		return nil, err
	}
	var cfg runner.Config
	if live != nil {
		cfg.Listener, cfg.Progress = live.Record, live.Progress
		cfg.Notice = func(text string) { live.Line(term.Warn, "  waiting", text) }
	}
	cfg.Now, cfg.Patience = runner.Clock(), a.patience
	return a.openAt(ctx, dir, c, cfg)
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
	cfg.Journal, cfg.Home, cfg.Registry, cfg.Resolver = j, home, c.registry, plan.NewResolver(c.registry)
	cfg.NewID = func() string { return ulid.Make().String() }
	cfg.Version, cfg.Executor = a.Version, a.executor()
	return &station{catalog: c, home: home, journal: j, runner: runner.New(cfg)}, nil
}

func (s *station) close(err error) error { return errors.Join(err, s.journal.Close()) }

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
