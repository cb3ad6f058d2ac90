package isolation

import (
	"path"
	"regexp"
	"strings"
)

// IsEnvFile tells whether a file of this name holds variables for `wrangler dev`:
// .dev.vars and .env, also with a word behind them, as .dev.vars.staging.
func IsEnvFile(name string) bool {
	base, word := envFile(name)
	return base != "" && word != "example" && word != "sample" && word != "template"
}

// envFile takes the name of a file of variables apart.
func envFile(name string) (base, word string) {
	for _, base := range []string{".dev.vars", ".env"} {
		if name == base {
			return base, ""
		}
		if word, is := strings.CutPrefix(name, base+"."); is {
			return base, strings.TrimSuffix(word, ".local")
		}
	}
	return "", ""
}

// development is the environment of variables that belong to no environment: what
// a developer's machine runs.
const development = "wrangler dev"

// envUnit reads a file of variables. Its values may be secrets: no finding shows
// them, nor anything of them.
func envUnit(f File) (unit, Environment) {
	_, word := envFile(path.Base(f.Path))
	u := unit{file: f.Path, key: word, env: word, hidden: true}
	e := Environment{word, false, "by the name of " + f.Path}
	switch _, e.Production = wordOf(word); word {
	case "", "local":
		u.env, e = development, Environment{development, false, "it reads " + f.Path}
	}
	at := newLines(f.Path, f.Data)
	u.at = at.at(0)
	for _, m := range assignment().FindAllSubmatchIndex(f.Data, -1) {
		if m[4] < 0 {
			continue
		}
		value := strings.TrimSpace(string(f.Data[m[4]:m[5]]))
		if n := len(value); n > 1 && strings.ContainsRune("'\"`", rune(value[0])) && value[n-1] == value[0] {
			value = value[1 : n-1]
		}
		u.texts = append(u.texts, text{name: string(f.Data[m[2]:m[3]]), value: value, at: at.at(m[2])})
	}
	return u, e
}

// assignment finds NAME=value as the library does with which wrangler reads such
// files: with or without `export`, the value bare or in quotes of three sorts, in
// which it may go over several lines.
func assignment() *regexp.Regexp {
	return regexp.MustCompile("(?m)^[ \t]*(?:export[ \t]+)?([\\w.-]+)(?:[ \t]*=[ \t]*|:[ \t]+)('(?:\\\\'|[^'])*'|\"(?:\\\\\"|[^\"])*\"|`(?:\\\\`|[^`])*`|[^#\r\n]+)?")
}

// beside tells whether a configuration of wrangler lies in the folder of a file of
// variables: others are no affair of wrangler.
func beside(files []File, f File) bool {
	for _, o := range files {
		if IsConfig(path.Base(o.Path)) && path.Dir(o.Path) == path.Dir(f.Path) {
			return true
		}
	}
	return false
}
