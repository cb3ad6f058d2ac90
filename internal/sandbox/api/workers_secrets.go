package api

import (
	"slices"

	"firedrill/internal/sandbox/workers"
)

// secretView is all that can ever be read of a secret.
func secretView(name string) map[string]any {
	return map[string]any{"name": name, "type": "secret_text"}
}

func (a *WorkersAPI) listSecrets(c workersCall) (workersReply, error) {
	names, err := a.m.Secrets(c.r.Context(), c.name())
	if err != nil {
		return workersReply{}, err
	}
	views := []any{}
	for _, n := range names {
		views = append(views, secretView(n))
	}
	return workersReply{result: views}, nil
}

func (a *WorkersAPI) getSecret(c workersCall) (workersReply, error) {
	names, err := a.m.Secrets(c.r.Context(), c.name())
	if err != nil {
		return workersReply{}, err
	}
	if !slices.Contains(names, c.path[3]) {
		return workersReply{}, &workers.Error{Op: "get secret of", Target: c.name(), Code: workers.CodeNoSecret, Message: "Secret '" + c.path[3] + "' not found."}
	}
	return workersReply{result: secretView(c.path[3])}, nil
}

type secretBody struct {
	Name string  `json:"name"`
	Text *string `json:"text"`
	Type string  `json:"type"`
}

func (s secretBody) check() error {
	if s.Type != "" && s.Type != "secret_text" {
		return badWorkersRequest("a secret of type %q is not available in this sandbox", s.Type)
	}
	if s.Name == "" || s.Text == nil {
		return badWorkersRequest("a secret has a name and a text")
	}
	return nil
}

func (a *WorkersAPI) putSecret(c workersCall) (workersReply, error) {
	var given secretBody
	if err := c.decode(&given); err != nil {
		return workersReply{}, err
	}
	if err := given.check(); err != nil {
		return workersReply{}, err
	}
	if _, err := a.m.EditSecrets(c.r.Context(), c.name(), map[string]*string{given.Name: given.Text}, c.source()); err != nil {
		return workersReply{}, err
	}
	return workersReply{result: secretView(given.Name)}, nil
}

func (a *WorkersAPI) deleteSecret(c workersCall) (workersReply, error) {
	_, err := a.m.EditSecrets(c.r.Context(), c.name(), map[string]*string{c.path[3]: nil}, c.source())
	return workersReply{}, err
}

// patchSecrets sets and deletes several secrets with one new version: null
// deletes, absence keeps.
func (a *WorkersAPI) patchSecrets(c workersCall) (workersReply, error) {
	var given struct {
		Secrets map[string]*secretBody `json:"secrets"`
	}
	if err := c.decode(&given); err != nil {
		return workersReply{}, err
	}
	if len(given.Secrets) == 0 || len(given.Secrets) > 100 {
		return workersReply{}, badWorkersRequest("between 1 and 100 secrets are changed at a time, not %d", len(given.Secrets))
	}
	edits := map[string]*string{}
	for name, s := range given.Secrets {
		if s == nil {
			edits[name] = nil
			continue
		}
		s.Name = name
		if err := s.check(); err != nil {
			return workersReply{}, err
		}
		edits[name] = s.Text
	}
	if _, err := a.m.EditSecrets(c.r.Context(), c.name(), edits, c.source()); err != nil {
		return workersReply{}, err
	}
	return a.listSecrets(c)
}
