package checks_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	module = "github.com/runnel-go/runnel"
	root   = "../.." // of the repository, seen from this package
)

// pkg is what `go list` says about a package of this module, built without tests.
type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	Imports    []string
}

// path is the package's path within the module; the root's is ".".
func (p pkg) path() string { return inModule(p.ImportPath) }

// library reports whether users import the package.
func (p pkg) library() bool {
	internal := strings.Contains("/"+p.path()+"/", "/internal/")
	return p.Name != "main" && !internal && !isOrBelow(p.path(), "examples")
}

// inModule returns an import path relative to the module. It returns "." for the root and "" for a package of
// another module.
func inModule(importPath string) string {
	if importPath == module {
		return "."
	}
	path, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return ""
	}
	return path
}

func isOrBelow(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// packages lists the packages of the module.
func packages(t *testing.T) []pkg {
	t.Helper()
	out := golist(t, "-json=ImportPath,Name,Dir,GoFiles,Imports", "./...")
	var all []pkg
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		all = append(all, p)
	}
	require.NotEmpty(t, all)
	return all
}

// golist runs `go list` for a fixed platform, so that its answer is the same on every machine.
func golist(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0", "GOFLAGS=-mod=readonly")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoErrorf(t, err, "go list %s: %s", strings.Join(args, " "), &stderr)
	return out
}

// notOurs are folders that are written by programs and by make.
var notOurs = []string{".git", "bin", "data"}

// files returns the texts of the repository's files that have one of the suffixes, by their slash-separated
// paths.
func files(t *testing.T, suffixes ...string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if slices.Contains(notOurs, name) {
				return filepath.SkipDir
			}
			return nil
		}
		if !slices.ContainsFunc(suffixes, func(s string) bool { return strings.HasSuffix(name, s) }) {
			return nil
		}
		text, err := os.ReadFile(path)
		texts[name] = string(text)
		return err
	})
	require.NoError(t, err)
	require.NotEmpty(t, texts)
	return texts
}
