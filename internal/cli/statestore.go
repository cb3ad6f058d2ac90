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
	return a.station(c, cfg, s, s, s.Close), nil
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
