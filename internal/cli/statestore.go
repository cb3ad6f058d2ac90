package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"

	"firedrill"
	"firedrill/internal/action"
	"firedrill/internal/bucket"
	"firedrill/internal/cli/term"
	"firedrill/internal/journal"
	"firedrill/internal/plan"
	"firedrill/internal/runner"
	"firedrill/internal/state"
	"firedrill/internal/state/shared"
)

// stateStore gives the bucket that the plan here names, nil if there is no plan or
// it names none. What else is wrong with the plan does not matter to it.
func (a *app) stateStore() (*firedrill.StateStore, error) {
	file, data, err := a.planFile()
	if err != nil {
		if a.global.plan != "" {
			return nil, err
		}
		return nil, nil //nolint:nilerr,nilnil // most commands need no plan
	}
	return plan.State(file, data)
}

// openShared opens a bucket of runs. This machine mirrors each bucket in a folder
// of its own below the state folder.
func (a *app) openShared(ctx context.Context, dir string, in firedrill.StateStore, c catalog, cfg runner.Config) (*station, error) {
	base, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	keys := map[string]string{}
	for name, ref := range map[string]firedrill.Values{"AWS_ACCESS_KEY_ID": in.AccessKey, "AWS_SECRET_ACCESS_KEY": in.SecretKey} {
		if keys[name], err = secretValue(ctx, ref); err != nil {
			return nil, err
		}
	}
	b, err := bucket.New(bucket.Config{Address: in.Bucket, Endpoint: in.Endpoint, Region: in.Region, Getenv: func(name string) string { return keys[name] }})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(in.Endpoint + "\n" + in.Region + "\n" + in.Bucket))
	s, err := shared.Open(context.WithoutCancel(ctx), shared.Config{Bucket: b, Base: base, Mirror: filepath.Join(dir, "stores", hex.EncodeToString(sum[:8])),
		Now: a.Now, NewID: newID, Notice: func(text string) { a.err.Line(term.Warn, "state store", text) }})
	if err != nil {
		return nil, err
	}
	return a.station(c, cfg, s, s, in.Bucket, s.Close), nil
}

// isLocal tells whether a run is in the local folder.
func (a *app) isLocal(ctx context.Context, run string) (is bool, err error) {
	err = a.locally(ctx, func(s *station) error {
		_, err := s.journal.Records(ctx, run)
		if is = err == nil; firedrill.KindOf(err) == firedrill.KindUsage {
			return nil
		}
		return err
	})
	return is, err
}

// leftLocally refuses to drill environments on which a run of the local folder is
// not finished: a bucket knows nothing of it.
func (a *app) leftLocally(ctx context.Context, programs []firedrill.Program) error {
	if in, err := a.stateStore(); err != nil || in == nil {
		return err
	}
	return a.locally(ctx, func(s *station) error {
		for _, p := range programs {
			left, err := s.journal.Runs(ctx, journal.Query{Environment: p.Environment.Name, Unfinished: true})
			if err != nil {
				return err
			}
			if len(left) > 0 {
				return &firedrill.Error{Op: "run " + p.Drill, Kind: firedrill.KindBusy, Target: "environment " + p.Environment.Name,
					Detail: "run " + left[0].ID + ", in the local state folder, is not finished", Remedy: "finish it first: firedrill resume " + left[0].ID}
			}
		}
		return nil
	})
}

// locally does something with the local folder, if there is one.
func (a *app) locally(ctx context.Context, do func(*station) error) error {
	dir, err := a.homeDir()
	if err != nil || !state.Exists(dir) {
		return err
	}
	s, err := a.openLocal(ctx, nil, action.SystemSecrets(), nil)
	if err != nil {
		return err
	}
	return s.close(do(s))
}

// secretValue gives what a reference of the plan refers to.
func secretValue(ctx context.Context, ref firedrill.Values) (string, error) {
	data, err := json.Marshal(ref)
	if err != nil {
		return "", err
	}
	var secret action.Secret
	if err := json.Unmarshal(data, &secret); err != nil {
		return "", err
	}
	return action.SystemSecrets().Resolve(ctx, secret)
}
