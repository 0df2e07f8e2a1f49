package checks_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A package variable must be a constant that Go cannot declare as one: an error, a table, a policy. State
// belongs to a value that the caller owns, because two users of a package would share it otherwise.
func TestPackageVariablesAreConstant(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		var parsed []*ast.File
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			parsed = append(parsed, file)
		}
		for _, place := range mutations(fset, parsed) {
			t.Errorf("%s: a package variable is changed or made to be: give the state to a value that the caller owns", place)
		}
	}
}

// withoutImports lets the type checker run on a package alone, which is enough to know the package's own
// variables.
type withoutImports struct{}

func (withoutImports) Import(string) (*types.Package, error) { return nil, errors.New("not imported") }

// mutations returns the places where the files of a package assign to a package variable or to a part of it. It
// also returns the declarations of variables whose type exists to be changed. A sync.Pool is allowed, because
// its content may vanish at any time.
func mutations(fset *token.FileSet, parsed []*ast.File) []string {
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: withoutImports{}, Error: func(error) {}} // the imports are missing, nothing else
	checked, err := config.Check("", fset, parsed, info)
	if checked == nil {
		return []string{err.Error()}
	}
	var places []string
	note := func(n ast.Node) { places = append(places, fset.Position(n.Pos()).String()) }
	for _, file := range parsed {
		for _, decl := range file.Decls {
			if stateful(decl) {
				note(decl)
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			for _, target := range assigned(n) {
				id := variable(target)
				if id != nil && info.Uses[id] != nil && info.Uses[id].Parent() == checked.Scope() {
					note(target)
				}
			}
			return true
		})
	}
	return places
}

// assigned returns the expressions that a statement or call changes.
func assigned(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "delete" || f.Name == "clear") {
			return n.Args[:1]
		}
	}
	return nil
}

// variable returns the identifier at the start of an expression, or nil.
func variable(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// stateful reports whether a declaration declares a lock, a concurrent map or an atomic value.
func stateful(decl ast.Decl) bool {
	group, ok := decl.(*ast.GenDecl)
	return ok && group.Tok == token.VAR && slices.ContainsFunc(group.Specs, func(spec ast.Spec) bool {
		value, ok := spec.(*ast.ValueSpec)
		if !ok {
			return false
		}
		id := (*ast.Ident)(nil)
		selector, ok := value.Type.(*ast.SelectorExpr)
		if ok {
			id = variable(selector.X)
		}
		return id != nil && (id.Name == "atomic" || id.Name == "sync" && selector.Sel.Name != "Pool")
	})
}

func TestChangesOfPackageVariablesAreFound(t *testing.T) {
	const text = `package x

import "sync"

var (
	n    int
	list []int
	at   map[string]struct{ n int }
	p    = new(int)
)

var lock sync.Mutex

var pool sync.Pool

func f(list []int) {
	n := 1
	n++
	list[0] = n
	x := lock
	_ = x
}

func g(s struct{ n int }) {
	n++
	list = append(list, 1)
	list[0] += 2
	delete(at, "")
	*p = 3
	for n = range list {
	}
	s.n = 4
}
`
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "x.go", text, parser.SkipObjectResolution)
	require.NoError(t, err)
	require.Equal(t,
		[]string{"x.go:12:1", "x.go:25:2", "x.go:26:2", "x.go:27:2", "x.go:28:9", "x.go:29:2", "x.go:30:6"},
		mutations(fset, []*ast.File{file}))
}
