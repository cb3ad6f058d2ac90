package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "firedrill"

// source is one parsed file of the product; tests are left out.
type source struct {
	pkg  string // folder below the module, "." for the root
	name string
	file *ast.File
	set  *token.FileSet
}

func sources(t *testing.T) []source {
	t.Helper()
	root := filepath.Join("..", "..")
	var found []source
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || ownModule(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return nil
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		found = append(found, source{filepath.ToSlash(filepath.Dir(rel)), rel, f, set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 5 {
		t.Fatalf("only %d files found: the walk is broken", len(found))
	}
	return found
}

// ownModule tells whether a folder holds a module of its own, which is not
// part of the product.
func ownModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil && filepath.Clean(dir) != filepath.Join("..", "..")
}

func ruleFor(pkg string) (rule, bool) {
	best, found := rule{}, false
	for _, r := range rules() {
		if matches(r.pkg, pkg) && (!found || len(r.pkg) > len(best.pkg)) {
			best, found = r, true
		}
	}
	return best, found
}

func matches(pattern, pkg string) bool {
	if pattern == "..." {
		return true
	}
	if base, ok := strings.CutSuffix(pattern, "/..."); ok {
		return pkg == base || strings.HasPrefix(pkg, base+"/")
	}
	return pattern == pkg
}

func TestImportsPointInward(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		r, ok := ruleFor(s.pkg)
		if !ok {
			t.Errorf("%s: package %s has no rule in rules.go", s.name, s.pkg)
			continue
		}
		for _, imp := range s.file.Imports {
			ours, ok := ourImport(imp)
			if ok && !slices.ContainsFunc(r.may, func(p string) bool { return matches(p, ours) }) {
				t.Errorf("%s imports %s, but may not: %s", s.set.Position(imp.Pos()), ours, r.why)
			}
		}
	}
}

func ourImport(imp *ast.ImportSpec) (string, bool) {
	p, err := strconv.Unquote(imp.Path.Value)
	if err != nil {
		return "", false
	}
	if p == module {
		return ".", true
	}
	return strings.CutPrefix(p, module+"/")
}

func TestVocabularyUsesTheStandardLibraryAlone(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.pkg != "." {
			continue
		}
		for _, imp := range s.file.Imports {
			if p, _ := strconv.Unquote(imp.Path.Value); strings.Contains(strings.Split(p, "/")[0], ".") {
				t.Errorf("%s imports %s", s.name, p)
			}
		}
	}
}

// TestPurePackagesStayPure bans what would make a decision depend on anything
// but its inputs.
func TestPurePackagesStayPure(t *testing.T) {
	t.Parallel()
	banned := []string{"os", "net", "context", "math/rand", "math/rand/v2", "crypto/rand", "os/exec", "syscall", "sync", "io/ioutil"}
	for _, s := range sources(t) {
		if r, ok := ruleFor(s.pkg); !ok || !r.pure {
			continue
		}
		for _, imp := range s.file.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			if slices.Contains(banned, p) || strings.HasPrefix(p, "net/") && p != "net/url" {
				t.Errorf("%s: a pure package imports %s", s.set.Position(imp.Pos()), p)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if what := impurity(n); what != "" {
				t.Errorf("%s: a pure package uses %s", s.set.Position(n.Pos()), what)
			}
			return true
		})
	}
}

func impurity(n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "a goroutine"
	case *ast.ChanType:
		return "a channel"
	case *ast.SelectorExpr:
		if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "Tick", "NewTimer", "NewTicker", "AfterFunc"}, n.Sel.Name) {
			return "time." + n.Sel.Name
		}
	}
	return ""
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	docs := map[string]string{}
	for _, s := range sources(t) {
		docs[s.pkg] += s.file.Doc.Text()
	}
	for pkg, doc := range docs {
		if len(strings.Fields(doc)) < 8 {
			t.Errorf("package %s has no doc comment worth reading", pkg)
		}
	}
}

// TestNoHiddenState bans init functions and package-level variables that can
// change: they stop tests from running in parallel and hide who decides.
func TestNoHiddenState(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					t.Errorf("%s: func init", s.set.Position(d.Pos()))
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					for _, v := range mutable(d) {
						t.Errorf("%s: package-level variable %s", s.set.Position(d.Pos()), v)
					}
				}
			}
		}
	}
}

// mutable names the variables of a declaration that are not one of the kinds
// that never change: errors, compiled patterns, embedded files, interface
// checks (var _ I = T{}).
func mutable(d *ast.GenDecl) []string {
	if d.Doc != nil && strings.Contains(d.Doc.Text(), "go:embed") {
		return nil
	}
	var names []string
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec)
		if embedded(d, v) || constantCall(v) {
			continue
		}
		for _, n := range v.Names {
			if n.Name != "_" {
				names = append(names, n.Name)
			}
		}
	}
	return names
}

func embedded(d *ast.GenDecl, v *ast.ValueSpec) bool {
	for _, g := range []*ast.CommentGroup{d.Doc, v.Doc} {
		if g == nil {
			continue
		}
		for _, c := range g.List {
			if strings.HasPrefix(c.Text, "//go:embed") {
				return true
			}
		}
	}
	return false
}

func constantCall(v *ast.ValueSpec) bool {
	if len(v.Values) == 0 {
		return false
	}
	for _, x := range v.Values {
		call, ok := x.(*ast.CallExpr)
		if !ok {
			return false
		}
		switch fmt.Sprint(callee(call)) {
		case "errors.New", "regexp.MustCompile", "crc32.MakeTable", "strings.NewReplacer":
		default:
			return false
		}
	}
	return true
}

func callee(c *ast.CallExpr) string {
	if s, ok := c.Fun.(*ast.SelectorExpr); ok {
		if x, ok := s.X.(*ast.Ident); ok {
			return path.Join(x.Name) + "." + s.Sel.Name
		}
	}
	return ""
}

// TestRulesBite shows that the checks above can fail.
func TestRulesBite(t *testing.T) {
	t.Parallel()
	src := `package p
import "time"
var counter int
func init() {}
func f() { go f(); _ = time.Now; var c chan int; _ = c }`
	f, err := parser.ParseFile(token.NewFileSet(), "p.go", src, 0)
	if err != nil {
		t.Fatal(err)
	}
	var seen []string
	ast.Inspect(f, func(n ast.Node) bool {
		if w := impurity(n); w != "" {
			seen = append(seen, w)
		}
		return true
	})
	if !slices.Equal(seen, []string{"a goroutine", "time.Now", "a channel"}) {
		t.Errorf("impurities found: %q", seen)
	}
	if got := mutable(f.Decls[1].(*ast.GenDecl)); !slices.Equal(got, []string{"counter"}) {
		t.Errorf("mutable variables found: %q", got)
	}
	r, _ := ruleFor("internal/engine")
	if matches(r.may[0], "internal/runner") || !matches("internal/sandbox/...", "internal/sandbox/d1") {
		t.Error("patterns do not match as they should")
	}
}
