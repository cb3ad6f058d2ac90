package isolation

import (
	"regexp"
	"strings"
)

// IsConfig tells whether a file of this name is a configuration of wrangler:
// wrangler.toml, wrangler.json and wrangler.jsonc, also with a word between, as in
// wrangler.staging.toml, which people give to `wrangler --config`.
func IsConfig(name string) bool {
	return regexp.MustCompile(`^wrangler([.-].+)?\.(json|jsonc|toml)$`).MatchString(name)
}

// Skips tells whether a folder of this name holds what is not deployed from it:
// installed packages, and hidden folders, such as the one that wrangler writes to.
func Skips(folder string) bool {
	return folder == "node_modules" || strings.HasPrefix(folder, ".") && strings.Trim(folder, ".") != ""
}

// generated tells whether a tool made a configuration of another one, which is
// what people edit.
func generated(root *node) bool { return root.get("definedEnvironments") != nil }
