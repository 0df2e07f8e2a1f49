package checks_test

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// chapter is the least number of lines of a library's package comment. A shorter one cannot say what the
// package stores, what it promises and what it does not.
const chapter = 10

func TestEachPackageIsExplained(t *testing.T) {
	for _, p := range packages(t) {
		least := 1
		if p.library() && p.path() != "." {
			least = chapter
		}
		if n := commentLines(t, p); n < least {
			t.Errorf("%s: the package comment has %d lines, at least %d are wanted", p.path(), n, least)
		}
	}
}

func commentLines(t *testing.T, p pkg) int {
	t.Helper()
	lines := 0
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
		require.NoError(t, err)
		lines += strings.Count(file.Doc.Text(), "\n")
	}
	return lines
}

func TestEachLibraryHasAnExampleThatRuns(t *testing.T) {
	for _, p := range packages(t) {
		if !p.library() {
			continue
		}
		if !slices.ContainsFunc(examples(t, p), func(e *doc.Example) bool { return e.Output != "" }) {
			t.Errorf("%s: an Example with an Output is wanted in a _test.go file", p.path())
		}
	}
}

func examples(t *testing.T, p pkg) []*doc.Example {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.Dir, "*_test.go"))
	require.NoError(t, err)
	var tests []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		require.NoError(t, err)
		tests = append(tests, file)
	}
	return doc.Examples(tests...)
}

// TestCodeInProseCompiles looks for each go block of the README and of docs in the tests and examples, which
// are compiled and run. A block is a run of whole lines of one of those files, without their common
// indentation.
func TestCodeInProseCompiles(t *testing.T) {
	compiled := files(t, ".go")
	for name := range compiled {
		if !strings.HasSuffix(name, "_test.go") && !isOrBelow(name, "examples") {
			delete(compiled, name)
		}
	}
	for name, text := range files(t, ".md") {
		if name != "README.md" && !isOrBelow(name, "docs") {
			continue
		}
		for line, block := range goBlocks(text) {
			if !quotes(block, compiled) {
				t.Errorf("%s:%d: this go block stands in no _test.go file and no example; copy it from one, or call it text:\n%s",
					name, line, block)
			}
		}
	}
}

func TestTheReadmeShowsTheWholeProgram(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	program, err := os.ReadFile(filepath.Join(root, "example_test.go"))
	require.NoError(t, err)
	require.Truef(t, slices.Contains(blocksOf(string(readme)), strings.TrimSpace(string(program))),
		"README.md must hold a go block with the whole of example_test.go")
}

func blocksOf(markdown string) []string {
	var blocks []string
	for _, block := range goBlocks(markdown) {
		blocks = append(blocks, block)
	}
	return blocks
}

// goBlocks returns the blocks that are fenced as go, trimmed, by the line of their fence.
func goBlocks(markdown string) map[int]string {
	blocks := map[int]string{}
	begin, fenced, isGo := 0, false, false
	lines := strings.Split(markdown, "\n")
	for i, line := range lines {
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case !fence:
		case !fenced:
			begin, fenced, isGo = i+1, true, info == "go" || strings.HasPrefix(info, "go ")
		default:
			if isGo {
				blocks[begin] = strings.TrimSpace(strings.Join(lines[begin:i], "\n"))
			}
			fenced = false
		}
	}
	return blocks
}

// deepest is the deepest indentation, in tabs, of a region that a block may quote.
const deepest = 4

func quotes(block string, compiled map[string]string) bool {
	for depth := range deepest + 1 {
		indented := "\n" + indent(block, depth) + "\n"
		for _, text := range compiled {
			if strings.Contains("\n"+text, indented) {
				return true
			}
		}
	}
	return false
}

func indent(block string, depth int) string {
	lines := strings.Split(block, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = strings.Repeat("\t", depth) + line
		}
	}
	return strings.Join(lines, "\n")
}

func TestQuotedRegionsAreFound(t *testing.T) {
	compiled := map[string]string{"example_test.go": "package x\n\nfunc F() {\n\tif a {\n\n\t\tb()\n\t}\n}\n"}
	for block, want := range map[string]bool{
		"package x":            true,
		"func F() {\n\tif a {": true,
		"if a {\n\n\tb()\n}":   true,
		"b()":                  true,
		"if a":                 false,
		"if a {\n\n\t\tb()\n}": false,
		"if a {\n\tb()\n}":     false,
	} {
		require.Equalf(t, want, quotes(block, compiled), "%q", block)
	}
}

func TestGoBlocksAreFound(t *testing.T) {
	const fence = "```"
	markdown := fmt.Sprintf("a\n%[1]sgo\nb()\n\nc()\n%[1]s\n%[1]s\ntext\n%[1]s\n%[1]sgolang\nd()\n%[1]s\n  %[1]sgo\ne()\n  %[1]s\n", fence)
	require.Equal(t, map[int]string{2: "b()\n\nc()", 13: "e()"}, goBlocks(markdown))
}
