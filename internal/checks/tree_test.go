package checks_test

import (
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A longer file or function holds more than one concept.
const (
	longestFunction = 80
	longestFile     = 400
	longestTest     = 600
)

// A comment that promises work stands for work that was not done. A comment that silences a tool hides its
// findings.
var unwanted = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b|^//\s*nolint`)

// A path of one machine is useless on another.
var machinePath = regexp.MustCompile(`(^|[^\w.~})/-])/(work|root|farm|home/\w+)/`)

func TestGoFilesAreClean(t *testing.T) {
	for name, text := range files(t, ".go") {
		for _, wrong := range blemishes(t, name, text) {
			t.Error(wrong)
		}
	}
}

// blemishes returns a line for each place in a Go file that breaks a rule.
func blemishes(t *testing.T, name, text string) []string {
	t.Helper()
	var wrong []string
	if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
		wrong = append(wrong, name+": run gofmt")
	}
	longest := longestFile
	if strings.HasSuffix(name, "_test.go") {
		longest = longestTest
	}
	if n := strings.Count(text, "\n"); n > longest {
		wrong = append(wrong, name+": the file is too long: divide it by concepts")
	}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, text, parser.ParseComments)
	require.NoError(t, err)
	report := func(n ast.Node, rule string) {
		wrong = append(wrong, fset.Position(n.Pos()).String()+": "+rule)
	}
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if unwanted.MatchString(comment.Text) {
				report(comment, "do it, or leave the remark out: "+comment.Text)
			}
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if fset.Position(n.End()).Line-fset.Position(n.Pos()).Line >= longestFunction {
				report(n, n.Name.Name+" is too long: divide it")
			}
		case *ast.SelectorExpr:
			if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && n.Sel.Name == "Sleep" {
				report(n, "wait for what is waited for, a sleep only hopes for it")
			}
		}
		return true
	})
	return wrong
}

func TestBlemishesAreFound(t *testing.T) {
	const head = "package x\n\n"
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"clean":         {head + "// F reads /x/work/ and says TODOS.\nfunc F() {}\n", nil},
		"not formatted": {head + "func  F() {}\n", []string{"x.go: run gofmt"}},
		"a promise":     {head + "// TODO: more\n", []string{"x.go:3:1: do it, or leave the remark out: // TODO: more"}},
		"a tool silenced": {head + "//" + "nolint:all\n",
			[]string{"x.go:3:1: do it, or leave the remark out: //" + "nolint:all"}},
		"a sleep": {head + "import \"time\"\n\nfunc F() { time.Sleep(1) }\n",
			[]string{"x.go:5:12: wait for what is waited for, a sleep only hopes for it"}},
		"the longest function": {head + "func F() {\n" + strings.Repeat("\tF()\n", longestFunction-2) + "}\n", nil},
		"a longer function": {head + "func F() {\n" + strings.Repeat("\tF()\n", longestFunction-1) + "}\n",
			[]string{"x.go:3:1: F is too long: divide it"}},
		"the longest file": {head + strings.Repeat("// x\n", longestFile-2), nil},
		"a longer file": {head + strings.Repeat("// x\n", longestFile-1),
			[]string{"x.go: the file is too long: divide it by concepts"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, blemishes(t, "x.go", c.text))
		})
	}
}

func TestNoPathOfOneMachineIsMentioned(t *testing.T) {
	for name, text := range files(t, ".go", ".md", ".mod", ".yml", ".yaml", ".sh", ".ci/run", "Makefile", "Dockerfile", ".html", ".js") {
		for n, line := range strings.Split(text, "\n") {
			if path := machinePath.FindString(line); path != "" {
				t.Errorf("%s:%d: %s is a path of one machine", name, n+1, path)
			}
		}
	}
}

func TestPathsOfOneMachineAreFound(t *testing.T) {
	const work = "/wo" + "rk/x"
	for line, want := range map[string]bool{
		work: true, `"` + work: true, "in " + work: true, "=" + work: true,
		"https://example.com" + work: false, "." + work: false, "$(CURDIR)" + work: false, "${DIR}" + work: false, "/works/": false,
	} {
		require.Equalf(t, want, machinePath.MatchString(line), "%q", line)
	}
}
