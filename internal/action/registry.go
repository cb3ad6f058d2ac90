package action

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"firedrill"
)

// Pack is what one provider brings: its settings, kinds and actions.
type Pack struct {
	Providers []firedrill.ProviderSpec
	Kinds     []firedrill.KindSpec
	Actions   []firedrill.Action
}

// Registry holds the actions that plans may use. It is the catalog that plans
// are checked against.
type Registry struct {
	providers []firedrill.ProviderSpec
	kinds     []firedrill.KindSpec
	actions   map[string]firedrill.Action
}

// NewRegistry gathers packs. A name that is taken, a spec without
// documentation or an action without a replay policy is a defect of ours and
// an error.
func NewRegistry(packs ...Pack) (*Registry, error) {
	r := &Registry{actions: map[string]firedrill.Action{}}
	for _, p := range packs {
		r.providers = append(r.providers, p.Providers...)
		r.kinds = append(r.kinds, p.Kinds...)
		for _, a := range p.Actions {
			s := a.Spec()
			if _, taken := r.actions[s.Name]; taken {
				return nil, fmt.Errorf("action %q is registered twice", s.Name)
			}
			if err := check(a); err != nil {
				return nil, fmt.Errorf("action %q: %w", s.Name, err)
			}
			r.actions[s.Name] = a
		}
	}
	slices.SortFunc(r.kinds, func(a, b firedrill.KindSpec) int { return strings.Compare(a.Name, b.Name) })
	return r, nil
}

func check(a firedrill.Action) error {
	s := a.Spec()
	_, asks := a.(firedrill.Doner)
	switch {
	case s.Name == "" || s.Doc == "":
		return fmt.Errorf("needs a name and documentation")
	case s.Impact != firedrill.Reads && s.Impact != firedrill.Changes && s.Impact != firedrill.Damages:
		return fmt.Errorf("impact %q does not exist", s.Impact)
	case s.Impact == firedrill.Damages && s.Replay != firedrill.Never:
		return fmt.Errorf("an injection is never replayed")
	case s.Replay != firedrill.Idempotent && s.Replay != firedrill.Ask && s.Replay != firedrill.Never:
		return fmt.Errorf("replay policy %q does not exist", s.Replay)
	case (s.Replay == firedrill.Ask) != asks:
		return fmt.Errorf("policy ask and method Done belong together")
	case s.Impact != firedrill.Reads && s.Claims == nil:
		return fmt.Errorf("changes something and claims nothing")
	}
	return nil
}

// Lookup gives an action by name.
func (r *Registry) Lookup(name string) (firedrill.Action, bool) {
	a, ok := r.actions[name]
	return a, ok
}

// Action gives an action's spec by name.
func (r *Registry) Action(name string) (firedrill.Spec, bool) {
	a, ok := r.actions[name]
	if !ok {
		return firedrill.Spec{}, false
	}
	return a.Spec(), true
}

// Actions gives all specs, sorted by name.
func (r *Registry) Actions() []firedrill.Spec {
	var specs []firedrill.Spec
	for _, name := range slices.Sorted(maps.Keys(r.actions)) {
		specs = append(specs, r.actions[name].Spec())
	}
	return specs
}

// Providers gives the providers that environments may name.
func (r *Registry) Providers() []firedrill.ProviderSpec { return r.providers }

// Kinds gives the kinds of resource, sorted by name.
func (r *Registry) Kinds() []firedrill.KindSpec { return r.kinds }
