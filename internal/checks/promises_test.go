package checks

import (
	"os"
	"path/filepath"
	"regexp"
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

// The page of promises must name tests that exist.
func TestEachPromiseNamesItsTests(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "promises.md"))
	require.NoError(t, err)
	row := regexp.MustCompile(`(?m)^\| ([^|]+) \| ([a-z/]+) \| ([^|]+) \|$`)
	rows := row.FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, rows)
	for _, cells := range rows {
		if cells[2] == "package" {
			continue
		}
		source := testsOf(t, cells[2])
		for name := range strings.SplitSeq(cells[3], ", ") {
			require.Contains(t, source, "func "+name+"(", "promise: %s", cells[1])
		}
	}
}
