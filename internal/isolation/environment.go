package isolation

import (
	"path"
	"slices"
	"strings"

	"firedrill"
)

// The environments of top levels that no name tells more about.
const (
	topLevel = "top level"                   // production, see [place]
	besides  = "top level beside production" // another environment is production
)

// production and other words by which people name environments.
func productionWords() []string { return []string{"production", "prod", "prd", "live"} }

func otherWords() []string {
	return append(suffixWords(), "preview", "sandbox", "ci", "local", "demo", "e2e", "integration", "nonprod")
}

// suffixWords are those that say at the end of a Worker's name where it runs. The
// others may as well say there what it does: link-preview, site-demo.
func suffixWords() []string {
	return []string{"staging", "stage", "stg", "development", "develop", "dev", "testing", "test", "tst", "preprod", "qa", "uat"}
}

// wordsOf gives the parts of a name, in lower case.
func wordsOf(name string) []string {
	return strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
}

// wordOf finds the word for an environment in a name: "eu-staging" has staging.
// A word that is not production counts before one that is: "pre-prod" and
// "production-test" are none of production.
func wordOf(name string) (word string, production bool) {
	parts := wordsOf(name)
	for i, p := range parts {
		switch {
		case slices.Contains(otherWords(), p):
			return p, false
		case !slices.Contains(productionWords(), p):
		case i > 0 && slices.Contains([]string{"pre", "non", "not", "no"}, parts[i-1]):
			return parts[i-1] + "-" + p, false
		case word == "":
			word, production = p, true
		}
	}
	return word, production
}

// Environment is where units belong together.
type Environment struct {
	Name       string `json:"name"`
	Production bool   `json:"production"`
	// Why it counts as production or not, in words.
	Why string `json:"why"`
}

// place finds the environment of each unit of a configuration: by the key in the
// file; for the top level by the file's name, the Worker's name, or a folder
// (`wrangler.staging.toml`, `api-staging`, `envs/production/wrangler.toml`).
// Classes tells what plans say of environments by name.
func place(us []unit, classes map[string]bool) []Environment {
	var envs []Environment
	named := false // a key names production, so the top level is something else
	for i := range us {
		if us[i].key == "" {
			continue
		}
		_, production := wordOf(us[i].key)
		if class, told := classes[us[i].key]; told {
			production = class
		}
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
			e = Environment{besides, false, "another environment of the file is production"}
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
	if word, production := wordOf(strings.TrimPrefix(strings.TrimSuffix(base, path.Ext(base)), "wrangler")); word != "" {
		return Environment{word, production, "by the name of the file"}
	}
	if parts := wordsOf(u.worker); len(parts) > 1 && slices.Contains(append(suffixWords(), productionWords()...), parts[len(parts)-1]) {
		word, production := wordOf(strings.Join(parts[max(0, len(parts)-2):], "-"))
		return Environment{word, production, "by the name of the Worker"}
	}
	folders := strings.Split(path.Dir(u.file), "/")
	for _, folder := range slices.Backward(folders) { // the nearest says most
		if word, production := wordOf(folder); word != "" && word == strings.ToLower(folder) {
			return Environment{word, production, "by the name of the folder"}
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
		u := unit{file: p.File, key: name, env: name, plan: true, at: firedrill.Position{File: p.File}, account: account}
		keys := make([]string, 0, len(e.Resources))
		for k := range e.Resources {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			r := e.Resources[k]
			id, _ := r.Attrs["id"].(string)
			label, _ := r.Attrs["name"].(string)
			at, byID := r.Sources["id"]
			if !byID {
				at = r.Sources["name"]
			}
			if id != "" || label != "" {
				u.refs = append(u.refs, reference{kind: r.Kind, id: id, name: label, account: account, binding: "resources." + k, at: at})
			}
			if address, _ := r.Attrs["url"].(string); address != "" {
				u.answers = append(u.answers, routeOf(address, true, r.Sources["url"]))
				u.texts = append(u.texts, text{name: "resources." + k + ".url", value: address, at: r.Sources["url"]})
			}
		}
		u.markPlaceholders()
		us = append(us, u)
		envs = append(envs, Environment{name, e.Class == firedrill.ClassProduction, "by its class in " + p.File})
	}
	return us, envs
}
