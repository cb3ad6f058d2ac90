package api

import (
	"encoding/json"
	"strconv"

	"firedrill/internal/sandbox/workers"
)

func (a *WorkersAPI) accountSubdomain(workersCall) (workersReply, error) {
	return workersReply{result: map[string]any{"subdomain": a.m.Subdomain()}}, nil
}

func (a *WorkersAPI) emptyList(workersCall) (workersReply, error) {
	return workersReply{result: []any{}, info: page{Page: 1, PerPage: 20, TotalPages: 1}}, nil
}

func (a *WorkersAPI) listScripts(c workersCall) (workersReply, error) {
	list, err := a.m.Scripts(c.r.Context())
	if err != nil {
		return workersReply{}, err
	}
	views := []any{}
	for _, sc := range list {
		v, err := a.m.Deployed(c.r.Context(), sc.Name)
		if err != nil {
			return workersReply{}, err
		}
		views = append(views, scriptView(sc, v))
	}
	return workersReply{result: views}, nil
}

// serving is a Worker with the version that serves.
func (a *WorkersAPI) serving(c workersCall) (workers.Script, workers.Version, error) {
	sc, err := a.m.Script(c.r.Context(), c.name())
	if err != nil {
		return sc, workers.Version{}, err
	}
	v, err := a.m.Deployed(c.r.Context(), c.name())
	return sc, v, err
}

func (a *WorkersAPI) getService(c workersCall) (workersReply, error) {
	sc, v, err := a.serving(c)
	if err != nil {
		return workersReply{}, err
	}
	env := map[string]any{
		"environment": "production", "created_on": stamp(sc.Created), "modified_on": stamp(sc.Modified),
		"script": scriptView(sc, v),
	}
	return workersReply{result: map[string]any{
		"id": sc.Name, "created_on": stamp(sc.Created), "modified_on": stamp(sc.Modified),
		"usage_model": usageModel(v), "default_environment": env, "environments": []any{env},
	}}, nil
}

func (a *WorkersAPI) deleteScript(c workersCall) (workersReply, error) {
	return workersReply{}, a.m.Delete(c.r.Context(), c.name(), c.flag("force"))
}

func (a *WorkersAPI) getSettings(c workersCall) (workersReply, error) {
	sc, v, err := a.serving(c)
	if err != nil {
		return workersReply{}, err
	}
	return workersReply{result: settingsView(sc, v)}, nil
}

// patchSettings changes what is given. What is versioned makes a new version,
// which is deployed.
func (a *WorkersAPI) patchSettings(c workersCall) (workersReply, error) {
	var raw json.RawMessage
	if err := c.readSettings(&raw); err != nil {
		return workersReply{}, err
	}
	var md workers.Metadata
	var given map[string]json.RawMessage
	if err := json.Unmarshal(raw, &md); err != nil {
		return workersReply{}, badWorkersRequest("the settings are not the JSON expected: %v", err)
	}
	if err := json.Unmarshal(raw, &given); err != nil {
		return workersReply{}, badWorkersRequest("the settings are not a JSON object: %v", err)
	}
	versioned := false
	for _, key := range []string{"bindings", "compatibility_date", "compatibility_flags", "usage_model", "limits", "placement"} {
		if _, ok := given[key]; ok {
			versioned = true
		}
	}
	if versioned {
		_, replace := given["bindings"]
		if _, err := a.m.SetBindings(c.r.Context(), c.name(), md, replace, c.source()); err != nil {
			return workersReply{}, err
		}
	}
	if _, err := a.m.SetScriptSettings(c.r.Context(), c.name(), md.ScriptSettings); err != nil {
		return workersReply{}, err
	}
	return a.getSettings(c)
}

func (a *WorkersAPI) getScriptSettings(c workersCall) (workersReply, error) {
	sc, err := a.m.Script(c.r.Context(), c.name())
	return workersReply{result: scriptSettingsView(sc.Settings)}, err
}

func (a *WorkersAPI) patchScriptSettings(c workersCall) (workersReply, error) {
	var given workers.ScriptSettings
	if err := c.readSettings(&given); err != nil {
		return workersReply{}, err
	}
	sc, err := a.m.SetScriptSettings(c.r.Context(), c.name(), given)
	return workersReply{result: scriptSettingsView(sc.Settings)}, err
}

func (a *WorkersAPI) getSubdomain(c workersCall) (workersReply, error) {
	sc, err := a.m.Script(c.r.Context(), c.name())
	return workersReply{result: subdomainView(sc)}, err
}

func (a *WorkersAPI) postSubdomain(c workersCall) (workersReply, error) {
	var given struct {
		Enabled         *bool `json:"enabled"`
		PreviewsEnabled *bool `json:"previews_enabled"`
	}
	if err := c.decode(&given); err != nil {
		return workersReply{}, err
	}
	sc, err := a.m.SetSubdomain(c.r.Context(), c.name(), given.Enabled, given.PreviewsEnabled)
	return workersReply{result: subdomainView(sc)}, err
}

func (a *WorkersAPI) deleteSubdomain(c workersCall) (workersReply, error) {
	off := false
	sc, err := a.m.SetSubdomain(c.r.Context(), c.name(), &off, &off)
	return workersReply{result: subdomainView(sc)}, err
}

func subdomainView(sc workers.Script) map[string]any {
	return map[string]any{"enabled": sc.WorkersDev, "previews_enabled": sc.PreviewsEnabled}
}

func (a *WorkersAPI) references(c workersCall) (workersReply, error) {
	refs, err := a.m.References(c.r.Context(), c.name())
	if err != nil {
		return workersReply{}, err
	}
	services := func(names []string) []any {
		list := []any{}
		for _, n := range names {
			list = append(list, map[string]any{"name": n, "service": n, "environment": "production"})
		}
		return list
	}
	objects := []any{}
	for _, u := range refs.Objects {
		objects = append(objects, map[string]any{"name": u.Script, "service": u.Script, "environment": "production",
			"durable_object_namespace_id": u.Namespace.ID, "durable_object_namespace_name": u.Namespace.Name()})
	}
	return workersReply{result: map[string]any{
		"services":        map[string]any{"incoming": services(refs.Incoming), "outgoing": services(refs.Outgoing), "pages_function": false},
		"durable_objects": objects, "dispatch_outbounds": []any{},
	}}, nil
}

func (a *WorkersAPI) getSchedules(c workersCall) (workersReply, error) {
	_, err := a.m.Script(c.r.Context(), c.name())
	return workersReply{result: map[string]any{"schedules": []any{}}}, err
}

// putSchedules accepts that there are none. A schedule that nothing would ever
// run is refused, not stored.
func (a *WorkersAPI) putSchedules(c workersCall) (workersReply, error) {
	var list []json.RawMessage
	if err := c.decode(&list); err != nil {
		return workersReply{}, err
	}
	if len(list) > 0 {
		return workersReply{}, &workers.Error{Op: "set schedules of", Target: c.name(), Code: workers.CodeUnsupported,
			Message: strconv.Itoa(len(list)) + " cron triggers were sent, which this sandbox does not run yet: deploy without them"}
	}
	return a.getSchedules(c)
}

func (a *WorkersAPI) postTail(c workersCall) (workersReply, error) {
	return workersReply{}, &workers.Error{Op: "tail", Target: c.name(), Code: workers.CodeUnsupported,
		Message: "live tails are not available in this sandbox; what Workers print is in its log"}
}
