package cli

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"firedrill/internal/draft"
	"firedrill/internal/isolation"
)

// mostSources bounds how many files of a Worker are read for its health route.
const mostSources = 500

// healthRoutes looks for the health routes of Workers in their code, by the path of
// the first module. dir is the folder below which the paths are.
func healthRoutes(dir string, all []isolation.Deployment) map[string]draft.Route {
	found := map[string]draft.Route{}
	for _, d := range all {
		if _, seen := found[d.Main]; seen || d.Main == "" || strings.HasPrefix(d.Main, "../") {
			continue
		}
		found[d.Main] = healthRoute(dir, d.Main)
	}
	return found
}

// healthRoute reads the first module, then the others below its folder, and takes
// the route whose name says most. It reads code as text: what is a route and what
// only looks like one, a person has to say.
func healthRoute(dir, main string) draft.Route {
	files := []string{main}
	root := filepath.Join(dir, filepath.FromSlash(path.Dir(main)))
	_ = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error { // what cannot be read has no route to show
		switch {
		case err != nil:
			return nil //nolint:nilerr // as above
		case d.IsDir() && p != root && isolation.Skips(d.Name()):
			return fs.SkipDir
		case len(files) >= mostSources:
			return fs.SkipAll
		}
		if shown, err := filepath.Rel(dir, p); err == nil && slices.Contains([]string{".js", ".mjs", ".ts", ".mts", ".jsx", ".tsx"}, filepath.Ext(p)) && filepath.ToSlash(shown) != main {
			files = append(files, filepath.ToSlash(shown))
		}
		return nil
	})
	best, rank := draft.Route{}, 0
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(file))) //nolint:gosec // the walk found it
		if err != nil {
			continue
		}
		for i, line := range strings.Split(string(data), "\n") {
			for _, route := range routesIn(line) {
				if r := healthRank(route); best.Path == "" || r < rank {
					best, rank = draft.Route{Path: route, At: fmt.Sprintf("%s:%d", file, i+1)}, r
				}
			}
		}
	}
	return best
}

// routesIn finds texts and patterns in a line of code that look like a health
// route: "/health", '/api/healthz', /^\/health$/.
func routesIn(line string) []string {
	if strings.HasPrefix(strings.TrimSpace(line), "//") {
		return nil
	}
	const names = `(?:_?health(?:z|check|-check)?|status|livez?|readyz?|ping)`
	var out []string
	for _, m := range regexp.MustCompile("[\"'`]((?:/[a-z0-9_-]+){0,2}/"+names+")/?[\"'`]").FindAllStringSubmatch(line, -1) {
		out = append(out, m[1])
	}
	for _, m := range regexp.MustCompile(`/\^((?:\\/[a-z0-9_-]+){0,2}\\/`+names+`)(?:\\/\?)?\$/`).FindAllStringSubmatch(line, -1) {
		out = append(out, strings.ReplaceAll(m[1], `\/`, "/"))
	}
	return out
}

// healthRank orders routes: those that speak of health before others, short ones
// before long ones.
func healthRank(route string) int {
	rank := len(route)
	if !strings.Contains(route, "health") {
		rank += 1000
	}
	return rank
}
