package checks_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// part is a package. If its path ends with "/...", it is a folder of packages that may import each other.
type part struct {
	path string
	uses []string // the parts that its build without tests may import
}

// layers is the architecture, from the top down. A part imports only the parts in its list, and the list names
// only parts of lower layers. No library lists natsrun, which serves programs and tests, or a test kit. An
// example lists nothing internal, because a user cannot import it.
var layers = [][]part{
	{
		{path: "examples/bank/...", uses: []string{"saga", "aggregate", "projection", "reactor", "snapshot", "eventstore", "kv", "natsrun"}},
		{path: "examples/boundaries", uses: nil},
		{path: "model", uses: []string{"internal/..."}},
		{path: ".", uses: nil},
	},
	{
		{path: "aggregatetest", uses: []string{"aggregate", "snapshot", "eventstore", "eventstoretest/...", "internal/..."}},
		{path: "projectiontest", uses: []string{"projection", "eventstore", "eventstoretest/...", "internal/..."}},
	},
	{
		{path: "sagatest", uses: []string{"saga", "eventstore", "eventstoretest/...", "internal/..."}},
	},
	{
		{path: "saga", uses: []string{
			"aggregate", "projection", "reactor", "eventstore", "kv", "internal/runner", "internal/sagaevent", "internal/...",
		}},
	},
	{
		{path: "aggregate", uses: []string{"snapshot", "internal/snapshots", "eventstore", "internal/..."}},
		{path: "projection", uses: []string{"eventstore", "kv", "internal/runner", "internal/..."}},
		{path: "reactor", uses: []string{"eventstore", "kv", "internal/runner", "internal/..."}},
	},
	{
		{path: "internal/runner", uses: []string{"eventstore", "kv", "internal/..."}},
		{path: "internal/sagaevent", uses: []string{"eventstore"}},
	},
	{
		{path: "snapshot", uses: []string{"internal/snapshots", "eventstore", "internal/..."}},
	},
	{
		{path: "internal/snapshots", uses: []string{"eventstore", "kv", "internal/..."}},
	},
	{
		{path: "eventstore", uses: []string{"internal/..."}},
	},
	{
		{path: "kv", uses: []string{"internal/..."}},
		{path: "natsrun", uses: []string{"internal/..."}},
		{path: "eventstoretest/...", uses: []string{"internal/..."}},
	},
	{
		{path: "internal/...", uses: nil},
	},
}

func (p part) holds(path string) bool {
	if dir, folder := strings.CutSuffix(p.path, "/..."); folder {
		return isOrBelow(path, dir)
	}
	return path == p.path
}

// partOf returns the part that holds a package, and its layer.
func partOf(path string) (p part, layer int, found bool) {
	for layer, parts := range layers {
		for _, p := range parts {
			if p.holds(path) {
				return p, layer, true
			}
		}
	}
	return part{}, 0, false
}

// misplaced returns a line for each import that the layers do not allow, and for each package that is in no
// layer.
func misplaced(packages []pkg) []string {
	var wrong []string
	for _, p := range packages {
		from, _, found := partOf(p.path())
		if !found {
			wrong = append(wrong, p.path()+" stands in no layer: place it in the table of layers_test.go")
			continue
		}
		for _, imported := range p.Imports {
			path := inModule(imported)
			if path == "" || from.holds(path) {
				continue
			}
			if to, _, _ := partOf(path); !slices.Contains(from.uses, to.path) {
				wrong = append(wrong, fmt.Sprintf("%s must not import %s: it may use %v of this module", p.path(), path, from.uses))
			}
		}
	}
	return wrong
}

func TestImportsPointDown(t *testing.T) {
	require.Empty(t, misplaced(packages(t)))
}

func TestTheTableOfLayersPointsDown(t *testing.T) {
	for layer, parts := range layers {
		for _, p := range parts {
			for _, used := range p.uses {
				_, below, found := partOf(strings.TrimSuffix(used, "/..."))
				require.Truef(t, found, "%s uses %s, which is not in the table", p.path, used)
				require.Greaterf(t, below, layer, "%s uses %s, which is not in a layer below", p.path, used)
			}
		}
	}
}

func TestEachPartOfTheTableExists(t *testing.T) {
	all := packages(t)
	for _, parts := range layers {
		for _, p := range parts {
			require.Truef(t, slices.ContainsFunc(all, func(pkg pkg) bool { return p.holds(pkg.path()) }),
				"there is no package for %s: take it out of the table", p.path)
		}
	}
}

func TestMisplacedImportsAreFound(t *testing.T) {
	for _, c := range []struct {
		name, from, to, wrong string
	}{
		{"down", "aggregate", "eventstore", ""},
		{"down past a layer", "examples/bank", "kv", ""},
		{"to elsewhere", "kv", "", ""},
		{"within a folder", "internal/jsapi", "internal/backoff", ""},
		{"within a program", "examples/bank", "examples/bank/money", ""},
		{"up", "eventstore", "projection", "eventstore must not import projection"},
		{"up from internal", "internal/token", "kv", "internal/token must not import kv"},
		{"snapshots to aggregates", "snapshot", "aggregate", "snapshot must not import aggregate"},
		{"a runner's rules to what runs", "internal/runner", "reactor", "internal/runner must not import reactor"},
		{"to a sibling", "projection", "aggregate", "projection must not import aggregate"},
		{"eventstore to kv", "eventstore", "kv", "eventstore must not import kv"},
		{"a library to natsrun", "aggregate", "natsrun", "aggregate must not import natsrun"},
		{"a kit to what it tests", "aggregatetest", "aggregate", ""},
		{"a library to the kit that tests it", "aggregate", "aggregatetest", "aggregate must not import aggregatetest"},
		{"a kit to the folder's other package", "eventstoretest", "eventstoretest/internal/x", ""},
		{"a library to a test kit", "kv", "eventstoretest", "kv must not import eventstoretest"},
		{"a program to a test kit", "examples/bank", "eventstoretest", "examples/bank must not import eventstoretest"},
		{"an example to internal", "examples/bank", "internal/token", "examples/bank must not import internal/token"},
		{"a library to a program", "kv", "examples/bank/money", "kv must not import examples/bank/money"},
		{"the root to a library", ".", "kv", ". must not import kv"},
		{"a package without a place", "helpers", "kv", "helpers stands in no layer"},
		{"a folder that only begins alike", "internals", "", "internals stands in no layer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pkg{ImportPath: strings.TrimSuffix(module+"/"+c.from, "/."), Imports: []string{"fmt", module + "x/kv"}}
			if c.to != "" {
				p.Imports = append(p.Imports, module+"/"+c.to)
			}
			wrong := misplaced([]pkg{p})
			if c.wrong == "" {
				require.Empty(t, wrong)
				return
			}
			require.Len(t, wrong, 1)
			require.Contains(t, wrong[0], c.wrong)
		})
	}
}
