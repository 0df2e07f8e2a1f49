package checks_test

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// notYetPlain are the files and folders whose prose is not held to the rules yet. A folder stands for everything below
// it. The list only shrinks: a test fails if an entry would pass.
var notYetPlain = []string{}

const (
	widestComment   = 120 // columns, with a tab counted as four
	longestSentence = 40  // words
)

// finding is one place where prose breaks a rule.
type finding struct {
	file string
	line int
	rule string // what is wrong, and what to write instead
}

func (f finding) String() string { return fmt.Sprintf("%s:%d: %s", f.file, f.line, f.rule) }

func TestProseIsPlain(t *testing.T) {
	texts := files(t, ".go", ".md")
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if slices.ContainsFunc(notYetPlain, func(entry string) bool { return isOrBelow(name, entry) }) {
			continue
		}
		for _, f := range proseFindings(t, name, texts[name]) {
			t.Error(f)
		}
	}
}

func TestProseThatIsPlainIsHeldToTheRules(t *testing.T) {
	require.True(t, slices.IsSorted(notYetPlain), "sort notYetPlain")
	found := make(map[string]int)
	for name, text := range files(t, ".go", ".md") {
		for _, entry := range notYetPlain {
			if isOrBelow(name, entry) {
				found[entry] += len(proseFindings(t, name, text))
			}
		}
	}
	for _, entry := range notYetPlain {
		t.Logf("%s: %d findings left", entry, found[entry])
		if found[entry] == 0 {
			t.Errorf("the prose of %s is plain: take it out of notYetPlain", entry)
		}
	}
}

// proseFindings returns what is wrong in the comments and texts of a Go file, or in a Markdown page, in the order of
// lines. The texts of tests are not read, because they quote others.
func proseFindings(t *testing.T, name, text string) []finding {
	t.Helper()
	var found []finding
	var all []passage
	if strings.HasSuffix(name, ".go") {
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		comments := goComments(fset, file)
		all = passagesOfGo(comments)
		if !strings.HasSuffix(name, "_test.go") {
			all = append(all, passagesOfTexts(fset, file)...)
		}
		found = wideLines(name, text, comments)
	} else {
		all = passagesOfMarkdown(text)
	}
	for _, p := range all {
		found = append(found, p.findings(name)...)
	}
	slices.SortStableFunc(found, func(a, b finding) int { return cmp.Compare(a.line, b.line) })
	return found
}

// wideLines returns the lines that a comment makes too wide. A line that cannot be broken, such as an address, may be.
func wideLines(name, text string, comments []commentLine) []finding {
	lines := strings.Split(text, "\n")
	var found []finding
	for _, c := range comments {
		line := lines[c.line-1]
		width := len([]rune(strings.ReplaceAll(line, "\t", "    ")))
		if width > widestComment && !c.directive && !strings.Contains(c.text, "://") {
			rule := fmt.Sprintf("the line has %d columns: break the comment at %d", width, widestComment)
			found = append(found, finding{name, c.line, rule})
		}
	}
	return found
}

// findings returns what is wrong in the sentences of a passage.
func (p passage) findings(name string) []finding {
	var found []finding
	for _, s := range p.sentences() {
		for _, d := range dialect {
			if at := d.find(s.text); at >= 0 {
				found = append(found, finding{name, p.line(s.offset + at), d.name + ": " + d.instead})
			}
		}
		if n := words(s.text); n > longestSentence {
			rule := fmt.Sprintf("the sentence has %d words: make it sentences of at most %d", n, longestSentence)
			found = append(found, finding{name, p.line(s.offset), rule})
		}
	}
	return found
}

func TestProseFindingsNamePlaceAndRemedy(t *testing.T) {
	long := "Word " + strings.Repeat("word ", longestSentence-1)
	const goFile, page = "x.go", "x.md"
	for name, c := range map[string]struct {
		file, text string
		want       []string
	}{
		"a comment of several lines": {goFile, "package x\n\n// F is good. Whoever\n// calls it, gives it a name.\nfunc F() {}\n",
			[]string{"x.go:3: headless who", "x.go:4: gives"}},
		"a comment beside code":    {goFile, "package x\n\nvar n int // gives how many\n", []string{"x.go:3: gives"}},
		"code in a comment":        {goFile, "package x\n\n// F is used so:\n//\n//\tx := gives\nfunc F() {}\n", nil},
		"a list in a comment":      {goFile, "package x\n\n// F:\n//   - gives a\n//     b\nfunc F() {}\n", []string{"x.go:4: gives"}},
		"the output of an example": {goFile, "package x\n\nfunc ExampleF() {\n\t// Output:\n\t// " + strings.Repeat("gives ", widestComment) + "\n}\n", nil},
		"a text":                   {goFile, "package x\n\nvar s = `a\nit gives no %d event\n`\n", []string{"x.go:4: gives"}},
		"a word":                   {goFile, "package x\n\nvar s = \"gives\"\n", nil},
		"a text of a test":         {"x_test.go", "package x\n\nvar s = \"it gives no %d event\"\n", nil},
		"a wide comment": {goFile, "package x\n\nfunc f() {\n\t// " + strings.Repeat("x", widestComment-6) + "\n}\n",
			[]string{"x.go:4: the line has 121 columns"}},
		"the widest comment": {goFile, "package x\n\nfunc f() {\n\t// " + strings.Repeat("x", widestComment-7) + "\n}\n", nil},
		"wide code":          {goFile, "package x\n\nvar s = `" + strings.Repeat("x", widestComment) + "`\n", nil},
		"wide code that a comment makes wider": {goFile, "package x\n\nvar s = `" + strings.Repeat("x", widestComment) + "` // x\n",
			[]string{"x.go:3: the line has 135 columns"}},
		"a wide address":   {goFile, "package x\n\n// https://" + strings.Repeat("x", widestComment) + "\n", nil},
		"a wide directive": {goFile, "package x\n\n//go:generate " + strings.Repeat("x", widestComment) + "\n", nil},

		"a long sentence":            {page, "# A\n\n" + long + "word.\n", []string{"x.md:3: the sentence has 41 words"}},
		"the longest sentence":       {page, long + ".\n", nil},
		"two sentences":              {page, long + ". " + long + ".\n", nil},
		"two items":                  {page, "- " + long + "\n- " + long + "\n", nil},
		"two paragraphs":             {page, long + "\n\n" + long + "\n", nil},
		"two cells":                  {page, "| " + long + " | " + long + " |\n", nil},
		"a cell":                     {page, "| a | b |\n| --- | --- |\n| a | gives b |\n", []string{"x.md:3: gives"}},
		"a heading":                  {page, "## What gives\n", nil},
		"code in a page":             {page, "`gives` is\n\n```go\ngives\n```\n\n    gives\n", nil},
		"a link":                     {page, "[a\nb](gives.md)\n", nil},
		"a paragraph over two lines": {page, "A that\nof B.\n\nGiven is one.\nAnd it gives.\n", []string{"x.md:1: that of", "x.md:5: gives"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := proseFindings(t, c.file, c.text)
			require.Len(t, found, len(c.want), "%v", found)
			for i, f := range found {
				require.True(t, strings.HasPrefix(f.String(), c.want[i]), "%s does not begin with %s", f, c.want[i])
			}
		})
	}
}
