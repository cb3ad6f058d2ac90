package isolation

import "firedrill"

// binding says where the configuration of a Worker names resources of one kind.
type binding struct {
	field   []string // path of the list
	kind    string
	name    string // key of the binding's own name; "" where it has none
	id      string // key of the resource's id
	label   string // key of the resource's name, where it has one beside the id
	preview string // key of what `wrangler dev` uses in its place
	// minor resources hold nothing that a drill could damage; sharing them is
	// told and is no leak.
	minor bool
}

// What a reference leads to. Those that a plan knows have its names.
const (
	kindDatabase = "d1"
	kindWorker   = "worker"
	kindRoute    = "route"
)

// bindings are the lists of a configuration that name resources. None of them is
// inherited by an environment. Read in wrangler 4.86.0 (normalizeAndValidateEnvironment).
func bindings() []binding {
	return []binding{
		{field: []string{"d1_databases"}, kind: kindDatabase, name: "binding", id: "database_id", label: "database_name", preview: "preview_database_id"},
		{field: []string{"kv_namespaces"}, kind: "kv", name: "binding", id: "id", preview: "preview_id"},
		{field: []string{"r2_buckets"}, kind: "r2", name: "binding", label: "bucket_name", preview: "preview_bucket_name"},
		{field: []string{"queues", "producers"}, kind: "queue", name: "binding", label: "queue"},
		{field: []string{"queues", "consumers"}, kind: "queue", label: "queue"},
		{field: []string{"queues", "consumers"}, kind: "queue", label: "dead_letter_queue"},
		{field: []string{"services"}, kind: kindWorker, name: "binding", label: "service"},
		{field: []string{"durable_objects", "bindings"}, kind: kindWorker, name: "name", label: "script_name"},
		{field: []string{"workflows"}, kind: kindWorker, name: "binding", label: "script_name"},
		{field: []string{"workflows"}, kind: "workflow", name: "binding", label: "name"},
		{field: []string{"tail_consumers"}, kind: kindWorker, label: "service"},
		{field: []string{"streaming_tail_consumers"}, kind: kindWorker, label: "service"},
		{field: []string{"vectorize"}, kind: "vectorize", name: "binding", label: "index_name"},
		{field: []string{"ai_search"}, kind: "search-instance", name: "binding", label: "instance_name"},
		{field: []string{"ai_search_namespaces"}, kind: "search-namespace", name: "binding", label: "namespace"},
		{field: []string{"hyperdrive"}, kind: "hyperdrive", name: "binding", id: "id"},
		{field: []string{"dispatch_namespaces"}, kind: "dispatch-namespace", name: "binding", label: "namespace"},
		{field: []string{"mtls_certificates"}, kind: "certificate", name: "binding", id: "certificate_id"},
		{field: []string{"pipelines"}, kind: "pipeline", name: "binding", label: "pipeline"},
		{field: []string{"vpc_services"}, kind: "vpc-service", name: "binding", id: "service_id"},
		{field: []string{"analytics_engine_datasets"}, kind: "dataset", name: "binding", label: "dataset", minor: true},
	}
}

// wordFor names a kind in a sentence.
func wordFor(kind string) string {
	switch kind {
	case kindDatabase:
		return "database"
	case "kv":
		return "namespace"
	case "r2":
		return "bucket"
	case kindWorker:
		return "Worker"
	case "vectorize":
		return "index"
	case "hyperdrive":
		return "Hyperdrive configuration"
	case "search-instance":
		return "AI search instance"
	case "search-namespace":
		return "AI search namespace"
	case "dispatch-namespace":
		return "dispatch namespace"
	case "vpc-service":
		return "VPC service"
	}
	return kind
}

// reference is one place at which an environment names a resource.
type reference struct {
	kind    string
	id      string // what the platform knows it by; "" where only the name is given
	name    string // as it stands; unique within an account
	scope   string // within which the name is unique, besides the account: a bucket's jurisdiction
	account string // "" where the configuration does not say
	// environment is that of a service whose environments share one name.
	environment string
	binding     string // the field and the binding's own name
	called      string // the binding's own name alone
	// held is the id that the account has for the name; "" where it was not asked.
	held    string
	worker  string // that holds the binding; "" in a plan
	minor   bool
	preview bool // what `wrangler dev` uses
	blank   bool // the id or the name stands there and is empty
	// placeholder is set where what names the resource is none.
	placeholder bool
	at          firedrill.Position
}

// is gives what the resource is called in a sentence.
func (r reference) is() string {
	switch {
	case r.name != "" && r.id != "":
		return wordFor(r.kind) + " " + r.name + " (" + r.id + ")"
	case r.name != "":
		return wordFor(r.kind) + " " + r.name
	}
	return wordFor(r.kind) + " " + r.id
}
