package cli

import (
	"fmt"
	"path/filepath"

	"firedrill"
	"firedrill/internal/action/cloudflare"
	"firedrill/internal/isolation"
)

// guard makes the guards of a plan's environments: each protects what the others
// name, and what the configurations of wrangler in the plan's folder and below it
// give to others.
func (a *app) guard(environments map[string]firedrill.Environment) (func(firedrill.Environment) *cloudflare.Guard, error) {
	if a.planned == "" || len(environments) == 0 {
		return cloudflare.GuardPlan(environments), nil
	}
	dir := filepath.Dir(a.planned)
	var files []isolation.File
	err := walkConfigs(dir, func(shown, name string, data []byte) {
		if isolation.IsConfig(name) {
			files = append(files, isolation.File{Path: shown, Data: data})
		}
	})
	if err != nil {
		return nil, &firedrill.Error{Op: "protect other environments", Kind: firedrill.KindGuard, Target: dir, Err: err,
			Detail: "it cannot be seen which configurations of wrangler lie here", Remedy: "put the plan into a folder that can be read"}
	}
	owned, err := isolation.Resources(files, firedrill.Plan{File: a.planned, Environments: environments})
	if err != nil {
		return nil, err
	}
	var configured []cloudflare.Protected
	for _, o := range owned {
		configured = append(configured, cloudflare.Protected{Kind: o.Kind, ID: o.ID, Name: o.Name, Account: o.Account, Environment: o.Plan,
			Owner: fmt.Sprintf("%s (%s)", o.Environment, o.At)})
	}
	return cloudflare.GuardPlan(environments, configured...), nil
}
