package table

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
)

// ErrNoPostgres means that no Postgres was found to start.
var ErrNoPostgres = errors.New("no Postgres found: apt-get install postgresql, or name a server: " +
	EnvURL + "=postgres://user:password@host/database")

// folders are where packages put the programs of Postgres, one folder a version.
var folders = []string{
	"/usr/lib/postgresql/*/bin",          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                   // Red Hat
	"/opt/homebrew/opt/postgresql@*/bin", // macOS
	"/usr/local/opt/postgresql@*/bin",
}

// binaries returns the folder that holds initdb and postgres: the one in PATH, or else the folder of the newest
// version.
func binaries() (string, error) {
	if found, err := exec.LookPath("postgres"); err == nil {
		if found, err = filepath.EvalSymlinks(found); err == nil && complete(filepath.Dir(found)) {
			return filepath.Dir(found), nil
		}
	}
	return newest(folders)
}

// newest returns the folder of the newest version among the folders that match a pattern.
func newest(patterns []string) (string, error) {
	var found []string
	for _, pattern := range patterns {
		some, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("%s: %w", pattern, err)
		}
		found = append(found, some...)
	}
	found = slices.DeleteFunc(found, func(dir string) bool { return !complete(dir) })
	if len(found) == 0 {
		return "", ErrNoPostgres
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(version(a), version(b)) }), nil
}

func complete(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if _, err := os.Stat(filepath.Join(dir, program)); err != nil {
			return false
		}
	}
	return true
}

var digits = regexp.MustCompile(`[0-9]+`)

// version returns the last number in a folder's path, or 0 if it has none.
func version(dir string) int {
	found := digits.FindAllString(dir, -1)
	if len(found) == 0 {
		return 0
	}
	n, err := strconv.Atoi(found[len(found)-1])
	if err != nil {
		return 0
	}
	return n
}
