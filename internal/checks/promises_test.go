package checks

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testsOf returns the source of a package's tests.
func testsOf(t *testing.T, pkg string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", pkg, "*_test.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files, pkg)
	var all strings.Builder
	for _, file := range files {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		all.Write(source)
	}
	return all.String()
}

// promises returns the rows of the page of promises: the whole row, the promise, its package and its tests.
func promises(t *testing.T) [][]string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "promises.md"))
	require.NoError(t, err)
	row := regexp.MustCompile(`(?m)^\| ([^|]+) \| ([a-z/]+) \| ([^|]+) \|$`)
	rows := row.FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, rows)
	return rows
}

// The page of promises must name tests that exist.
func TestEachPromiseNamesItsTests(t *testing.T) {
	for _, cells := range promises(t) {
		if cells[2] == "package" {
			continue
		}
		source := testsOf(t, cells[2])
		for name := range strings.SplitSeq(cells[3], ", ") {
			require.Contains(t, source, "func "+name+"(", "promise: %s", cells[1])
		}
	}
}

// Each promise of the README must have a row that begins with its words in bold.
func TestEachPromiseOfTheReadmeHasARow(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	_, list, found := strings.Cut(string(readme), "\n## What it promises\n")
	require.True(t, found)
	list, _, _ = strings.Cut(list, "\n## ")
	leads := regexp.MustCompile(`(?m)^- \*\*(.+?)[.:]?\*\*`).FindAllStringSubmatch(list, -1)
	require.NotEmpty(t, leads)
	for _, lead := range leads {
		require.True(t, slices.ContainsFunc(promises(t), func(cells []string) bool { return strings.HasPrefix(cells[1], lead[1]) }),
			"docs/promises.md has no row that begins with: %s", lead[1])
	}
}
