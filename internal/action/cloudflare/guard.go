package cloudflare

import (
	"reflect"
	"strings"

	"firedrill"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// GuardPlan gives the guard of each environment of a plan. A guarded client
// sends nothing that changes an environment of class production, and nothing
// that changes, or refers to while changing something, a resource that
// another environment of the plan names: by id or by name, in the path or in
// the body. What only reads may pass, and in production what a client does to a
// scratch resource that it made itself. The one exemption is an environment that is
// opened for the recovery of an incident, and it opens no other environment.
//
// An environment that names no account protects its names in every account.
func GuardPlan(environments map[string]firedrill.Environment) func(firedrill.Environment) func(Request) error {
	return func(env firedrill.Environment) func(Request) error {
		own := account(env)
		protected := map[ID]string{}
		for name, other := range environments {
			if name == env.Name {
				continue
			}
			if acc := account(other); acc != "" && own != "" && acc != own {
				// Names may repeat in another account; ids may not, and stay protected.
				addIDs(protected, other, false)
				continue
			}
			addIDs(protected, other, true)
		}
		return func(req Request) error {
			if !req.Writes() {
				return nil
			}
			refuse := func(detail string) error {
				return &firedrill.Error{Op: req.Op, Kind: firedrill.KindGuard, Target: req.Target, Detail: detail,
					Remedy: "drill another environment; nothing was sent"}
			}
			for _, id := range req.Ids {
				if owner, is := protected[ID{id.Kind, strings.ToLower(id.Value)}]; is {
					return refuse(id.Kind + " " + id.Value + " belongs to environment " + owner)
				}
			}
			if env.Class == firedrill.ClassProduction && !env.Incident {
				return inProduction{refuse("environment " + env.Name + " is production: nothing is changed there")}
			}
			return nil
		}
	}
}

func account(env firedrill.Environment) string {
	acc, _ := env.Settings["account"].(string)
	return strings.ToLower(acc)
}

// inProduction is the refusal of a change because of the environment's class
// alone. See [Client.mayScratch] for the one exception.
type inProduction struct{ error }

func (e inProduction) Unwrap() error { return e.error }

// addIDs adds what a resource of an environment is known by.
func addIDs(protected map[ID]string, env firedrill.Environment, names bool) {
	for _, r := range env.Resources {
		if id, _ := r.Attrs["id"].(string); id != "" {
			protected[ID{r.Kind, strings.ToLower(id)}] = env.Name
		}
		if name, _ := r.Attrs["name"].(string); name != "" && names {
			protected[ID{r.Kind, strings.ToLower(name)}] = env.Name
		}
	}
}
