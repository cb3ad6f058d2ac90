package isolation

import (
	"path"
	"regexp"
	"slices"
	"strings"

	"firedrill"
)

// topLevel is the environment of a configuration's top level that no name tells
// more about.
const topLevel = "top level"

// production and other words by which people name environments.
func productionWords() []string { return []string{"production", "prod", "prd", "live"} }

func otherWords() []string {
	return []string{"staging", "stage", "stg", "development", "develop", "dev", "testing", "test", "tst", "preview", "preprod", "qa", "uat",
		"ci", "sandbox", "local", "demo", "e2e", "integration", "nonprod", "canary"}
}

// wordOf finds the word for an environment in a name: "api-staging" has staging,
// "pre-prod" is none of production.
func wordOf(name string) (word string, production bool) {
	parts := regexp.MustCompile(`[^a-z0-9]+`).Split(strings.ToLower(name), -1)
	for i, p := range parts {
		switch {
		case slices.Contains(otherWords(), p):
			return p, false
		case slices.Contains(productionWords(), p):
			if i > 0 && slices.Contains([]string{"pre", "non", "not", "no"}, parts[i-1]) {
				return parts[i-1] + "-" + p, false
			}
			return p, true
		}
	}
	return "", false
}

// Environment is where units belong together.
type Environment struct {
	Name       string `json:"name"`
	Production bool   `json:"production"`
	// Why it counts as production or not, in words.
	Why string `json:"why"`
}

// place finds the environment of each unit of a configuration: by the key in the
// file; for the top level by the file's name, its folder, or the Worker's name
// (`wrangler.staging.toml`, `envs/production/wrangler.toml`, `api-staging`).
func place(us []unit) []Environment {
	var envs []Environment
	named := false // a key names production, so the top level is something else
	for i := range us {
		if us[i].key == "" {
			continue
		}
		_, production := wordOf(us[i].key)
		named = named || production
		us[i].env = us[i].key
		envs = append(envs, Environment{us[i].key, production, "by its name"})
	}
	for i := range us {
		if us[i].key != "" {
			continue
		}
		e := topOf(us[i])
		switch {
		case e.Why != "":
		case named:
			e = Environment{topLevel, false, "another environment is production by its name"}
		default:
			e = Environment{topLevel, true, "it is what `wrangler deploy` deploys when no environment is named"}
		}
		us[i].env = e.Name
		envs = append(envs, e)
	}
	return envs
}

// topOf reads the environment of a top level from names around it.
func topOf(u unit) Environment {
	base := path.Base(u.file)
	middle := strings.TrimPrefix(strings.TrimSuffix(base, path.Ext(base)), "wrangler")
	for _, hint := range []struct{ text, why string }{{middle, "by the name of the file"}, {u.worker, "by the name of the Worker"}, {path.Base(path.Dir(u.file)), "by the name of the folder"}} {
		if word, production := wordOf(hint.text); word != "" {
			return Environment{word, production, hint.why}
		}
	}
	return Environment{}
}

// planUnits are the environments of a plan as units. What a plan calls an
// environment's class counts, whatever its name.
func planUnits(p firedrill.Plan) ([]unit, []Environment) {
	var us []unit
	var envs []Environment
	names := make([]string, 0, len(p.Environments))
	for name := range p.Environments {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		e := p.Environments[name]
		account, _ := e.Settings["account"].(string)
		u := unit{file: p.File, key: name, env: name, at: firedrill.Position{File: p.File}, account: account}
		keys := make([]string, 0, len(e.Resources))
		for k := range e.Resources {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			r := e.Resources[k]
			id, _ := r.Attrs["id"].(string)
			label, _ := r.Attrs["name"].(string)
			if id != "" || label != "" {
				u.refs = append(u.refs, reference{kind: r.Kind, id: id, name: label, account: account, binding: "resources." + k, at: r.Source})
			}
		}
		us = append(us, u)
		envs = append(envs, Environment{name, e.Class == firedrill.ClassProduction, "by its class in " + p.File})
	}
	return us, envs
}
