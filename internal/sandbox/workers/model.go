package workers

import (
	"encoding/json"
	"time"
)

// Module is one file of a Worker, as it was uploaded.
type Module struct {
	Name        string
	ContentType string
	Data        []byte
}

// Binding is one entry of a Worker's env, in the names of the upload form. Which
// fields count depends on Type; see kinds.
type Binding struct {
	Name       string          `json:"name"`
	Type       string          `json:"type"`
	Text       string          `json:"text,omitempty"`
	JSON       json.RawMessage `json:"json,omitempty"`
	DatabaseID string          `json:"database_id,omitempty"`
	// NamespaceID is the id of a KV namespace, or of the namespace of a Durable
	// Object class.
	NamespaceID string `json:"namespace_id,omitempty"`
	Service     string `json:"service,omitempty"`
	Environ     string `json:"environment,omitempty"`
	Entrypoint  string `json:"entrypoint,omitempty"`
	BucketName  string `json:"bucket_name,omitempty"`
	ClassName   string `json:"class_name,omitempty"`
	ScriptName  string `json:"script_name,omitempty"` // whose class it is; empty: the Worker's own
	// Given is all that the upload said of a binding that is stubbed.
	Given map[string]any `json:"given,omitempty"`
	// Sealed is the encrypted Text of a stored secret.
	Sealed []byte `json:"sealed,omitempty"`
}

// Metadata is the JSON part of an upload.
type Metadata struct {
	MainModule         string            `json:"main_module"`
	BodyPart           string            `json:"body_part"`
	CompatibilityDate  string            `json:"compatibility_date"`
	CompatibilityFlags []string          `json:"compatibility_flags"`
	Bindings           []UploadBinding   `json:"bindings"`
	KeepBindings       []string          `json:"keep_bindings"`
	Annotations        map[string]string `json:"annotations"`
	UsageModel         string            `json:"usage_model"`
	Limits             json.RawMessage   `json:"limits"`
	Placement          json.RawMessage   `json:"placement"`
	CacheOptions       json.RawMessage   `json:"cache_options"`
	Migrations         json.RawMessage   `json:"migrations"`
	Exports            json.RawMessage   `json:"exports"`
	Assets             json.RawMessage   `json:"assets"`
	Containers         json.RawMessage   `json:"containers"`
	ScriptSettings
}

// UploadBinding is a binding as a client sends it.
type UploadBinding struct {
	Binding
	ID        string `json:"id"`         // the older name of database_id
	OldName   string `json:"old_name"`   // inherit: the name in the other version
	VersionID string `json:"version_id"` // inherit: the other version
	// Bare marks a binding that is only named, with its type: where the version
	// before has one of both, it is to stay as it is.
	Bare bool `json:"-"`
	all  map[string]any
}

// UnmarshalJSON notes whether anything but name and type was given: a binding
// without content asks to keep what there is.
func (b *UploadBinding) UnmarshalJSON(data []byte) error {
	type plain UploadBinding
	if err := json.Unmarshal(data, (*plain)(b)); err != nil {
		return err
	}
	b.Sealed, b.Given = nil, nil // never taken from outside
	if err := json.Unmarshal(data, &b.all); err != nil {
		return err
	}
	b.Bare = b.all["text"] == nil
	for key := range b.all {
		b.Bare = b.Bare && (key == "name" || key == "type" || key == "text")
	}
	if b.DatabaseID == "" {
		b.DatabaseID = b.ID
	}
	return nil
}

// ScriptSettings are the settings of a Worker that are not versioned. A nil
// field was not given.
type ScriptSettings struct {
	Logpush       *bool           `json:"logpush,omitempty"`
	TailConsumers json.RawMessage `json:"tail_consumers,omitempty"`
	Observability json.RawMessage `json:"observability,omitempty"`
	Tags          *[]string       `json:"tags,omitempty"`
}

// Upload is a new version as a client sends it.
type Upload struct {
	Metadata Metadata
	Modules  []Module
	// Source names the client, for instance "wrangler" or "api".
	Source string
}

// Version is one immutable upload of a Worker. Secrets are in clear text here
// and encrypted in the store; they must not be shown.
type Version struct {
	ID                 string            `json:"id"`
	Script             string            `json:"script"`
	Number             int               `json:"number"`
	Created            time.Time         `json:"created"`
	Source             string            `json:"source"`
	Annotations        map[string]string `json:"annotations,omitempty"`
	MainModule         string            `json:"main_module"`
	ServiceWorker      bool              `json:"service_worker,omitempty"`
	CompatibilityDate  string            `json:"compatibility_date,omitempty"`
	CompatibilityFlags []string          `json:"compatibility_flags,omitempty"`
	Bindings           []Binding         `json:"bindings,omitempty"`
	UsageModel         string            `json:"usage_model,omitempty"`
	Limits             json.RawMessage   `json:"limits,omitempty"`
	Placement          json.RawMessage   `json:"placement,omitempty"`
	CacheOptions       json.RawMessage   `json:"cache_options,omitempty"`
	Etag               string            `json:"etag"`
	Handlers           []string          `json:"handlers"`
	NamedHandlers      []NamedHandler    `json:"named_handlers,omitempty"`
	StartupMS          int               `json:"startup_ms"`
	// MigrationTag is the Worker's tag when the version was uploaded: with
	// another one its classes may not be those that exist.
	MigrationTag string `json:"migration_tag,omitempty"`
}

// NamedHandler is an entry point other than the default export.
type NamedHandler struct {
	Name     string   `json:"name"`
	Handlers []string `json:"handlers"`
}

// Share is one version's part of a deployment; the percentages of a deployment
// add up to 100.
type Share struct {
	VersionID  string  `json:"version_id"`
	Percentage float64 `json:"percentage"`
}

// Deployment says which versions of a Worker serve.
type Deployment struct {
	ID          string            `json:"id"`
	Script      string            `json:"script"`
	Created     time.Time         `json:"created"`
	Source      string            `json:"source"`
	Shares      []Share           `json:"shares"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Script is a Worker: what its versions have in common.
type Script struct {
	Name            string         `json:"name"`
	Tag             string         `json:"tag"`
	Created         time.Time      `json:"created"`
	Modified        time.Time      `json:"modified"`
	WorkersDev      bool           `json:"workers_dev"`
	PreviewsEnabled bool           `json:"previews_enabled"`
	Settings        ScriptSettings `json:"settings"`
	NextNumber      int            `json:"next_number"`
	MigrationTag    string         `json:"migration_tag,omitempty"`
}

// Labels of what made a version or deployment, in annotations under
// AnnotationTriggeredBy.
const (
	TriggeredUpload     = "upload"
	TriggeredSecret     = "secret"
	TriggeredRollback   = "rollback"
	TriggeredDeployment = "deployment"
	TriggeredSettings   = "version_upload"
)

// Annotation keys that the platform defines.
const (
	AnnotationMessage     = "workers/message"
	AnnotationTag         = "workers/tag"
	AnnotationTriggeredBy = "workers/triggered_by"
)
