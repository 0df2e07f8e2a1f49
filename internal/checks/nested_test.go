package checks_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// modFile is what `go mod edit -json` says about a go.mod.
type modFile struct {
	Go      string
	Require []struct{ Path, Version string }
	Replace []struct{ Old, New struct{ Path string } }
}

func parseMod(t *testing.T, name string) (m modFile) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json", filepath.Join(root, name)).Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &m))
	return m
}

// A nested module is built against the tree that contains it, with the same versions of the same modules.
func TestNestedModulesGoWithTheTree(t *testing.T) {
	main := parseMod(t, "go.mod")
	version := make(map[string]string)
	for _, r := range main.Require {
		version[r.Path] = r.Version
	}
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	for name := range files(t, "go.mod") {
		dir := path.Dir(name)
		if dir == "." {
			continue
		}
		nested := parseMod(t, name)
		require.Equalf(t, main.Go, nested.Go, "%s names another Go version", name)
		require.Lenf(t, nested.Replace, 1, "%s must replace %s and nothing else", name, module)
		require.Equal(t, module, nested.Replace[0].Old.Path, name)
		require.Equal(t, root, path.Join(root, dir, nested.Replace[0].New.Path), name)
		for _, r := range nested.Require {
			if want := version[r.Path]; want != "" {
				require.Equalf(t, want, r.Version, "%s: %s: run go get %s@%s there", name, r.Path, r.Path, want)
			}
		}
		require.Containsf(t, nestedIn(string(makefile)), dir, "the Makefile's NESTED lacks %s, so lint passes it over", dir)
	}
}

// nestedIn returns the folders that NESTED in the Makefile names.
func nestedIn(makefile string) []string {
	_, rest, _ := strings.Cut(makefile, "\nNESTED := ")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.Fields(line)
}

func TestNestedModulesOfTheMakefileAreFound(t *testing.T) {
	require.Equal(t, []string{"a", "b/c"}, nestedIn("X := 1\nNESTED := a b/c\n\nall:\n"))
	require.Empty(t, nestedIn("all:\n"))
}
