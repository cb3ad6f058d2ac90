package archtest

// rule says which packages of ours a package may import.
type rule struct {
	// pkg is a path below the module; one that ends in /... covers the
	// packages below it too. The most specific rule counts.
	pkg string
	// may lists what it may import, in the same notation.
	may []string
	// pure packages decide and compute: no clock, no I/O, no concurrency, no chance.
	pure bool
	why  string
}

// rules is the import table of the house. Imports point inward only.
func rules() []rule {
	const vocabulary = "."
	return []rule{
		{pkg: ".", pure: false, why: "the vocabulary depends on nothing"},

		{pkg: "internal/expr", may: []string{vocabulary}, pure: true, why: "an expression means the same on every machine and at every time"},
		{pkg: "internal/engine", may: []string{vocabulary}, pure: true, why: "what a run decides follows from its records alone"},
		{pkg: "internal/fingerprint", may: []string{vocabulary}, pure: true, why: "a digest follows from its rows alone"},
		{pkg: "internal/measure", may: []string{vocabulary}, pure: true, why: "measurements follow from records alone"},
		{pkg: "internal/schedule", may: []string{vocabulary}, pure: true, why: "when a drill may run follows from the plan and the time it is given"},
		{pkg: "internal/report", may: []string{vocabulary, "internal/say"}, pure: true, why: "a report follows from records alone"},
		{pkg: "internal/say", may: []string{}, pure: true, why: "a number reads the same wherever it stands"},
		{pkg: "internal/certify", may: []string{vocabulary}, pure: true, why: "a score follows from evidence and the time it is given"},
		{pkg: "internal/plan", may: []string{vocabulary, "internal/expr", "internal/schedule", "internal/certify"}, pure: true, why: "a plan is checked without touching the world"},
		{pkg: "internal/playbook", may: []string{vocabulary}, pure: true, why: "built-in drills are data in the users' own language"},

		{pkg: "internal/backup", may: []string{vocabulary, "internal/fingerprint"}, why: "a backup knows no provider: it reads and writes through interfaces of its own"},
		{pkg: "internal/backup/placetest", may: []string{vocabulary, "internal/backup"}, why: "the conformance suite holds for every place"},
		{pkg: "internal/bucket", may: []string{vocabulary}, why: "a bucket knows nothing about what is stored in it, and has the methods of a place without importing one"},
		{pkg: "internal/hold", may: []string{}, why: "whoever holds and whoever sends need not know each other"},
		{pkg: "internal/journal", may: []string{vocabulary}, why: "the journal stores records and knows nothing about their meaning"},
		{pkg: "internal/state", may: []string{vocabulary}, why: "where things are stored, not what they mean"},
		{pkg: "internal/state/shared", may: []string{vocabulary, "internal/state", "internal/journal", "internal/bucket", "internal/hold"}, why: "a bucket that is mirrored by a folder and a journal of this machine"},
		{pkg: "internal/state/statetest", may: []string{vocabulary, "internal/state", "internal/journal"}, why: "the conformance suite holds for every state store"},
		{pkg: "internal/evidence", may: []string{vocabulary}, why: "evidence is verified with what lies there and a public key, whatever wrote it"},
		{pkg: "internal/isolation", may: []string{vocabulary}, pure: true, why: "which resource belongs to which environment follows from the configurations alone"},
		{pkg: "internal/draft", may: []string{vocabulary, "internal/isolation"}, pure: true, why: "a drafted plan follows from the configurations alone"},
		{pkg: "internal/drplan", may: []string{vocabulary, "internal/draft"}, pure: true, why: "what a document says and lacks follows from its text and the facts it is given"},
		{pkg: "internal/runbook", may: []string{vocabulary}, pure: true, why: "a runbook follows from the plan alone"},
		{pkg: "internal/salvage", may: []string{}, pure: true, why: "what becomes of a row follows from the choice alone"},
		{pkg: "internal/observe", may: []string{vocabulary}, why: "observers watch what they are given"},

		{pkg: "internal/action", may: []string{vocabulary}, why: "the registry knows no provider"},
		{pkg: "internal/action/actiontest", may: []string{vocabulary, "internal/action"}, why: "the conformance suite holds for every action"},
		{pkg: "internal/action/http/...", may: []string{vocabulary, "internal/action", "internal/observe", "internal/fingerprint", "internal/hold", "internal/action/http/..."}, why: "actions never import each other"},
		{pkg: "internal/action/cloudflare/...", may: []string{vocabulary, "internal/action", "internal/backup", "internal/observe", "internal/fingerprint", "internal/hold", "internal/salvage", "internal/action/cloudflare/..."}, why: "client and sandbox share no types, so that drift between them shows"},
		{pkg: "internal/action/quiesce", may: []string{vocabulary, "internal/action"}, why: "what stops writers is the plan's, whatever the provider"},
		{pkg: "internal/action/cloudflare/versionshim", may: []string{}, pure: true, why: "a shim follows from the modules it wraps"},

		{pkg: "internal/runner", may: []string{vocabulary, "internal/engine", "internal/journal", "internal/action", "internal/measure", "internal/schedule", "internal/state"}, why: "the runner performs what the engine decided"},

		{pkg: "internal/sandbox/...", may: []string{"internal/sandbox/..."}, why: "the sandbox is a platform of its own, not a part of what is tested against it"},

		{pkg: "internal/saboteur", may: []string{vocabulary}, why: "what tells lies knows no platform"},
		{pkg: "internal/saboteur/cloudflare", may: []string{vocabulary, "internal/saboteur"}, why: "lies share no types with the client that is to see through them, nor with the sandbox that they are told about"},

		{pkg: "examples/foundation", may: []string{}, why: "the example is files"},
		{pkg: "internal/cli/...", may: []string{"..."}, why: "the only place that wires things together"},
		{pkg: "cmd/firedrill", may: []string{"internal/cli"}, why: "main is tiny"},
		{pkg: "internal/archtest", may: []string{}, why: "tests of the house"},
		{pkg: "internal/testkit/...", may: []string{"..."}, why: "fixtures for tests of any package"},
		{pkg: "acceptance/...", may: []string{"..."}, why: "tests of the whole"},
		{pkg: "bench/...", may: []string{"..."}, why: "measurements of the whole"},
	}
}
