package checks_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A type with more methods is several things: give each its own type, with its own fields.
const mostMethods = 40

// manyMethods are the types that still have more methods, each with the most that it may have. The list may only
// shrink.
var manyMethods = map[string]int{}

func TestNoTypeHasTooManyMethods(t *testing.T) {
	counts := make(map[string]int)
	for _, p := range packages(t) {
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			countMethods(counts, p.path(), file)
		}
	}
	require.Empty(t, tooMany(counts, manyMethods))
}

// countMethods adds the methods in a file of a package to the counts of their types.
func countMethods(counts map[string]int, dir string, file *ast.File) {
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil {
			counts[dir+"."+receiverOf(f.Recv.List[0].Type)]++
		}
	}
}

// tooMany returns a line for each type that has more methods than it may have, and for each that is known in vain.
func tooMany(counts, known map[string]int) []string {
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		if most := max(mostMethods, known[name]); counts[name] > most {
			wrong = append(wrong, name+" has too many methods: divide it into types that each own their fields")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if counts[name] <= mostMethods {
			wrong = append(wrong, name+" has few methods by now: take it out of manyMethods")
		}
	}
	return wrong
}

func TestTypesOfManyMethodsAreFound(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "", "package x\n\nfunc (t *T) a() {}\n\nfunc (T) b() {}\n\nfunc (l L[E]) c() {}\n\nfunc d() {}\n", 0)
	require.NoError(t, err)
	counts := make(map[string]int)
	countMethods(counts, "x", file)
	require.Equal(t, map[string]int{"x.T": 2, "x.L": 1}, counts)

	require.Empty(t, tooMany(map[string]int{"x.T": 40, "x.V": 92}, map[string]int{"x.V": 92}))
	require.Equal(t, []string{
		"x.T has too many methods: divide it into types that each own their fields",
		"x.V has too many methods: divide it into types that each own their fields",
		"x.Z has few methods by now: take it out of manyMethods",
	}, tooMany(map[string]int{"x.T": 41, "x.V": 93, "x.Z": 40}, map[string]int{"x.V": 92, "x.Z": 50}))
}
