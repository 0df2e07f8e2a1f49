package checks_test

import (
	"bytes"
	"flag"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the exported surface anew")

// surfaceFile holds the exported surface of all packages that a user can import, one declaration a line.
const surfaceFile = "testdata/surface.txt"

// A name that is exported stays for ever, so no change of the surface happens by accident.
func TestTheSurfaceIsAsRecorded(t *testing.T) {
	got := surface(t)
	if *update {
		require.NoError(t, os.WriteFile(surfaceFile, []byte(got), 0o644))
	}
	want, err := os.ReadFile(surfaceFile)
	require.NoError(t, err)
	require.Equal(t, string(want), got, "the exported surface has changed. If that is meant, say so in CHANGELOG.md, and run "+
		"go test ./internal/checks -run TestTheSurfaceIsAsRecorded -update")
}

// surface returns the exported surface of the module as text.
func surface(t *testing.T) string {
	t.Helper()
	var lines []string
	for _, p := range packages(t) {
		if !p.library() {
			continue
		}
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			require.NoError(t, err)
			lines = append(lines, exportedIn(t, p.path(), string(text))...)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}

// exportedIn returns a line for each exported declaration in a file of a package.
func exportedIn(t *testing.T, dir, text string) []string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", text, parser.SkipObjectResolution)
	require.NoError(t, err)
	ast.FileExports(file)
	var lines []string
	line := func(keyword string, node ast.Node) {
		var b bytes.Buffer
		require.NoError(t, format.Node(&b, fset, node))
		text := strings.ReplaceAll(b.String(), "// contains filtered or unexported fields", "")
		lines = append(lines, dir+": "+keyword+strings.Join(strings.Fields(text), " "))
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil || ast.IsExported(receiverOf(d.Recv.List[0].Type)) {
				d.Body = nil
				line("", d)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				if v, ok := spec.(*ast.ValueSpec); ok {
					v.Values = nil
				}
				line(d.Tok.String()+" ", spec)
			}
		}
	}
	return lines
}

// receiverOf returns the name of the type that a method belongs to.
func receiverOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiverOf(e.X)
	case *ast.IndexExpr:
		return receiverOf(e.X)
	case *ast.IndexListExpr:
		return receiverOf(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

func TestExportedDeclarationsAreFound(t *testing.T) {
	require.Equal(t, []string{
		"x: const A",
		"x: var ErrX",
		"x: type T struct { F int }",
		"x: func (t *T) M(a int) error",
	}, exportedIn(t, "x", `package x

import "errors"

const A, b = 1, 2

var ErrX = errors.New("x")

// T is a type.
type T struct {
	F int // a field
	g int
}

func (t *T) M(a int) error { return nil }

func (t *T) m() {}

type u int

func (u) M() {}
`))
}
