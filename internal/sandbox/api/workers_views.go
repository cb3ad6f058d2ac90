package api

import (
	"encoding/json"
	"time"

	"firedrill/internal/sandbox/workers"
)

// sandboxAuthor stands where the platform names the account member who did it.
const (
	sandboxAuthor   = "sandbox@localhost"
	sandboxAuthorID = "00000000000000000000000000000000"
)

// stamp writes a time so that the order of the texts is the order of times.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// orEmpty keeps a list from being null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orJSON(raw json.RawMessage, otherwise string) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage(otherwise)
	}
	return raw
}

func usageModel(v workers.Version) string {
	if v.UsageModel == "" {
		return "standard"
	}
	return v.UsageModel
}

func showBindings(v workers.Version) []map[string]any {
	list := make([]map[string]any, 0, len(v.Bindings))
	for _, b := range v.Bindings {
		list = append(list, b.Show())
	}
	return list
}

// versionView is a version as lists show it.
func versionView(v workers.Version) map[string]any {
	return map[string]any{
		"id": v.ID, "number": v.Number, "annotations": v.Annotations,
		"metadata": map[string]any{
			"author_id": sandboxAuthorID, "author_email": sandboxAuthor, "source": v.Source,
			"created_on": stamp(v.Created), "modified_on": stamp(v.Created),
			"has_preview": false, "hasPreview": false,
		},
	}
}

// versionDetails is a version with all that is in it, save the secrets' text.
func versionDetails(v workers.Version) map[string]any {
	view := versionView(v)
	runtime := map[string]any{
		"compatibility_date": v.CompatibilityDate, "compatibility_flags": orEmpty(v.CompatibilityFlags),
		"usage_model": usageModel(v), "limits": orJSON(v.Limits, "{}"),
	}
	script := map[string]any{
		"etag": v.Etag, "handlers": orEmpty(v.Handlers), "named_handlers": orEmpty(v.NamedHandlers),
		"last_deployed_from": v.Source,
	}
	if len(v.Placement) > 0 {
		script["placement"] = v.Placement
	}
	if len(v.CacheOptions) > 0 {
		runtime["cache_options"] = v.CacheOptions
	}
	if v.MigrationTag != "" {
		runtime["migration_tag"] = v.MigrationTag
	}
	view["resources"] = map[string]any{"bindings": showBindings(v), "script": script, "script_runtime": runtime}
	view["startup_time_ms"] = v.StartupMS
	return view
}

func deploymentView(d workers.Deployment) map[string]any {
	return map[string]any{
		"id": d.ID, "source": d.Source, "strategy": "percentage",
		"author_email": sandboxAuthor, "author_id": sandboxAuthorID,
		"created_on": stamp(d.Created), "versions": d.Shares, "annotations": d.Annotations,
	}
}

// scriptView is a Worker as lists show it, with its serving version.
func scriptView(sc workers.Script, v workers.Version) map[string]any {
	view := map[string]any{
		"id": sc.Name, "tag": sc.Tag, "created_on": stamp(sc.Created), "modified_on": stamp(sc.Modified),
		"etag": v.Etag, "handlers": orEmpty(v.Handlers), "named_handlers": orEmpty(v.NamedHandlers),
		"usage_model": usageModel(v), "compatibility_date": v.CompatibilityDate,
		"compatibility_flags": orEmpty(v.CompatibilityFlags), "deployment_id": v.ID,
		"has_assets": false, "has_modules": !v.ServiceWorker,
		// Any other word makes wrangler ask whether to overwrite foreign work.
		"last_deployed_from": "wrangler",
	}
	for key, value := range scriptSettingsView(sc.Settings) {
		view[key] = value
	}
	if sc.MigrationTag != "" {
		view["migration_tag"] = sc.MigrationTag
	}
	return view
}

func scriptSettingsView(s workers.ScriptSettings) map[string]any {
	tags := []string{}
	if s.Tags != nil {
		tags = orEmpty(*s.Tags)
	}
	return map[string]any{
		"logpush": s.Logpush != nil && *s.Logpush, "tail_consumers": orJSON(s.TailConsumers, "[]"),
		"observability": orJSON(s.Observability, `{"enabled":false}`), "tags": tags,
	}
}

// settingsView is what is versioned, and what is not, of the serving version.
func settingsView(sc workers.Script, v workers.Version) map[string]any {
	view := scriptSettingsView(sc.Settings)
	view["bindings"] = showBindings(v)
	view["compatibility_date"] = v.CompatibilityDate
	view["compatibility_flags"] = orEmpty(v.CompatibilityFlags)
	view["usage_model"] = usageModel(v)
	if len(v.Placement) > 0 { // an empty one breaks the platform's SDK for Go
		view["placement"] = v.Placement
	}
	view["limits"] = orJSON(v.Limits, "{}")
	if len(v.CacheOptions) > 0 {
		view["cache_options"] = v.CacheOptions
	}
	return view
}
