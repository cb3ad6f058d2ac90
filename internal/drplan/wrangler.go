package drplan

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Wrangler is the version whose commands are known.
const Wrangler = "4.86.0"

// wranglerCommands are the commands about databases, namespaces and versions, with
// their arguments and options as --help of this version tells them. A test compares
// them with the program.
//
//go:embed wrangler.txt
var wranglerCommands string

// wranglerCommand is a command of wrangler with what it takes.
type wranglerCommand struct {
	path    []string
	least   int             // arguments
	most    int             // -1: any number
	options map[string]bool // by name, with dashes; true: it takes a value
}

// WranglerCommands gives the known commands as they stand in the list: path, arguments
// and options.
func WranglerCommands() []string { return strings.Split(strings.TrimSpace(wranglerCommands), "\n") }

func parseWrangler() []wranglerCommand {
	var all []wranglerCommand
	for _, line := range WranglerCommands() {
		c := wranglerCommand{options: map[string]bool{}}
		for _, w := range strings.Fields(line) {
			switch {
			case strings.HasPrefix(w, "-"):
				name, takes := strings.CutSuffix(w, "=")
				for n := range strings.SplitSeq(name, "|") {
					c.options[n] = takes
				}
			case strings.HasSuffix(w, "..]"):
				c.most = -1
			case strings.HasPrefix(w, "<"):
				c.least, c.most = c.least+1, c.most+1
			case strings.HasPrefix(w, "["):
				c.most++
			default:
				c.path = append(c.path, w)
			}
		}
		all = append(all, c)
	}
	return all
}

// otherWrangler are the commands of wrangler that are not looked into.
func otherWrangler() []string {
	return []string{"docs", "complete", "email", "auth", "login", "logout", "whoami", "ai", "ai-search", "browser", "containers", "delete", "deploy", "dev",
		"dispatch-namespace", "init", "pages", "preview", "queues", "secret", "setup", "tail", "triggers", "types", "vpc", "workflows", "hyperdrive", "pipelines",
		"r2", "secrets-store", "vectorize", "cert", "mtls-certificate", "tunnel", "build", "telemetry", "cloudchamber", "check", "hello-world", "help"}
}

// globalOptions are those of every command.
func globalOptions() map[string]bool {
	return map[string]bool{"-c": true, "--config": true, "--cwd": true, "-e": true, "--env": true, "--env-file": true, "-h": false, "--help": false, "-v": false, "--version": false}
}

// wrangler gives the arguments of a call of wrangler.
func (c command) wrangler() ([]string, bool) {
	w := c.words
	for len(w) > 0 && slices.Contains([]string{"npx", "pnpm", "pnpx", "bunx", "yarn", "exec", "dlx", "--yes", "-y", "sudo", "time"}, w[0]) {
		w = w[1:]
	}
	if len(w) == 0 || w[0] != "wrangler" && !strings.HasPrefix(w[0], "wrangler@") {
		return nil, false
	}
	return w[1:], true
}

// is tells whether a call is one of wrangler's commands.
func (c command) is(path ...string) bool {
	args, ok := c.wrangler()
	return ok && len(args) >= len(path) && slices.Equal(args[:len(path)], path)
}

// option gives the value of an option, and whether it is there.
func (c command) option(names ...string) (string, bool) {
	for i, w := range c.words {
		for _, n := range names {
			if v, has := strings.CutPrefix(w, n+"="); has {
				return v, true
			}
			if w == n {
				if i+1 < len(c.words) && !strings.HasPrefix(c.words[i+1], "--") {
					return c.words[i+1], true
				}
				return "", true
			}
		}
	}
	return "", false
}

// arguments gives what a call of a known command has that is neither path nor option.
func (c command) arguments() []string {
	args, ok := c.wrangler()
	if !ok {
		return nil
	}
	k, ok := commandOf(args)
	if !ok {
		return nil
	}
	words, _ := k.read(args[len(k.path):])
	return words
}

// commandOf finds the known command of some arguments.
func commandOf(args []string) (wranglerCommand, bool) {
	for _, k := range parseWrangler() {
		if len(args) >= len(k.path) && slices.Equal(args[:len(k.path)], k.path) {
			return k, true
		}
	}
	return wranglerCommand{}, false
}

// read tells arguments from options, and gives the options that do not exist.
func (k wranglerCommand) read(args []string) (words, unknown []string) {
	global := globalOptions()
	for i := 0; i < len(args); i++ {
		w := args[i]
		if !strings.HasPrefix(w, "-") || w == "-" {
			words = append(words, w)
			continue
		}
		if w == "--" {
			return append(words, args[i+1:]...), unknown
		}
		name, _, valued := strings.Cut(w, "=")
		if strings.HasPrefix(name, "--") {
			name = kebab(name)
		}
		takes, known := k.options[name]
		if !known {
			takes, known = global[name]
		}
		if !known {
			_, known = k.options["--"+strings.TrimPrefix(name, "--no-")]
		}
		if name == "--version" && valued { // wrangler's own, without a value: the id would be lost
			known = false
		}
		if !known && !strings.HasPrefix(name, "--experimental-") && !strings.HasPrefix(name, "--x-") {
			unknown = append(unknown, name)
			takes = !valued && i+1 < len(args) && !strings.HasPrefix(args[i+1], "-") // what follows is its value, whatever it is
		}
		if takes && !valued {
			i++
		}
	}
	return words, unknown
}

var hump = regexp.MustCompile(`([a-z])([A-Z])`)

// kebab writes an option as wrangler's help does: it also takes --namespaceId.
func kebab(name string) string { return strings.ToLower(hump.ReplaceAllString(name, "$1-$2")) }

// exists tells what is wrong with a call: that there is no such command, or that it
// takes no such arguments. Both are "" where nothing is.
func (c command) exists() (missing, refused string) {
	args, ok := c.wrangler()
	if !ok || len(args) == 0 || strings.HasPrefix(args[0], "-") || strings.ContainsAny(args[0], "$_") {
		return "", ""
	}
	k, ok := commandOf(args)
	if !ok {
		group := false
		for _, o := range parseWrangler() {
			group = group || o.path[0] == args[0]
		}
		if !group && slices.Contains(otherWrangler(), args[0]) {
			return "", ""
		}
		path := args[:1]
		for _, w := range args[1:] {
			if len(path) == 3 || !group || strings.HasPrefix(w, "-") || strings.ContainsAny(w, "$_./") {
				break
			}
			path = append(path, w)
			if !slices.ContainsFunc(parseWrangler(), func(o wranglerCommand) bool { return len(o.path) > len(path) && slices.Equal(o.path[:len(path)], path) }) {
				break
			}
		}
		if group && slices.ContainsFunc(parseWrangler(), func(o wranglerCommand) bool { return slices.Equal(o.path[:min(len(o.path), len(path))], path) }) {
			return "", "" // a group alone, as one speaks of it
		}
		return "wrangler " + strings.Join(path, " "), ""
	}
	words, unknown := k.read(args[len(k.path):])
	name := "wrangler " + strings.Join(k.path, " ")
	elided := c.inline && slices.ContainsFunc(args, func(w string) bool { return strings.Contains(w, "...") || strings.Contains(w, "…") })
	switch {
	case len(unknown) > 0:
		return "", fmt.Sprintf("%s has no option %s", name, strings.Join(unknown, " "))
	case k.most >= 0 && len(words) > k.most:
		return "", fmt.Sprintf("%s takes no argument %s", name, words[k.most])
	case len(words) < k.least && !elided && !c.inline:
		return "", fmt.Sprintf("%s needs %d arguments, and has %d", name, k.least, len(words))
	}
	return "", ""
}
