package checks_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// libraryModules are the modules that a program compiles in if it uses Runnel's libraries. Check the licence,
// the upkeep and the size of a module before you add it.
var libraryModules = []string{
	"github.com/google/uuid",
	"github.com/klauspost/compress", // also nats.go's
	"github.com/nats-io/nats.go",
	"github.com/nats-io/nkeys", // nats.go's
	"github.com/nats-io/nuid",  // nats.go's
	"github.com/vmihailenco/msgpack/v5",
	"github.com/vmihailenco/tagparser/v2", // msgpack's
	"golang.org/x/crypto",                 // nkeys'
	"golang.org/x/sys",                    // crypto's
}

// serverModules are the further modules of the embedded server.
var serverModules = []string{
	"github.com/antithesishq/antithesis-sdk-go",
	"github.com/minio/highwayhash",
	"github.com/nats-io/jwt/v2",
	"github.com/nats-io/nats-server/v2",
	"golang.org/x/time",
}

// kitModules are the further modules of tests that use the test kits.
var kitModules = []string{
	"pgregory.net/rapid",
}

// kits are the library packages that only tests import.
var kits = []string{"aggregatetest", "projectiontest", "sagatest"}

// withServer are the library packages that embed a server.
var withServer = []string{"natsrun", "eventstoretest"}

func TestLibrariesDependOnTheseModulesOnly(t *testing.T) {
	var libraries []string
	for _, p := range packages(t) {
		if p.library() && !slices.Contains(withServer, p.path()) && !slices.Contains(kits, p.path()) {
			libraries = append(libraries, p.ImportPath)
		}
	}
	require.Equal(t, libraryModules, compiledIn(t, libraries...))
}

func TestAllPackagesDependOnTheseModulesOnly(t *testing.T) {
	all := slices.Sorted(slices.Values(slices.Concat(libraryModules, serverModules, kitModules)))
	require.Equal(t, all, compiledIn(t, "./..."))
}

// compiledIn returns the modules, sorted, that a build of the packages uses.
func compiledIn(t *testing.T, packages ...string) []string {
	t.Helper()
	args := append([]string{"-deps", "-f", "{{with .Module}}{{.Path}}{{end}}"}, packages...)
	modules := strings.Fields(string(golist(t, args...)))
	slices.Sort(modules)
	return slices.DeleteFunc(slices.Compact(modules), func(path string) bool { return path == module })
}
