package checks_test

import (
	"go/ast"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// passage is text that is read as one: a paragraph, an item of a list, a cell of a table.
type passage struct {
	text   string
	starts []lineStart // in order
}

// lineStart says at which byte of a passage a line of the file begins.
type lineStart struct{ offset, line int }

// add puts a line at the end of a passage.
func (p *passage) add(text string, line int) {
	if p.text != "" {
		p.text += " "
	}
	p.starts = append(p.starts, lineStart{len(p.text), line})
	p.text += text
}

// line returns the line of the file that holds a byte of the passage.
func (p *passage) line(offset int) int {
	line := 0
	for _, s := range p.starts {
		if s.offset <= offset {
			line = s.line
		}
	}
	return line
}

// sentence is a sentence of a passage, and where it begins there.
type sentence struct {
	text   string
	offset int
}

var (
	// sentenceEnd matches the end of one sentence and the start of the next.
	sentenceEnd = regexp.MustCompile("[.!?][\"')\\]*_]*\\s+[\"'(\\[*_`]*[\\p{Lu}0-9`]")

	// abbreviation matches text that ends with a point and with no sentence.
	abbreviation = regexp.MustCompile(`\b(e\.g|i\.e|vs|cf|approx|No)\.$`)
)

func (p *passage) sentences() []sentence {
	var all []sentence
	begin := 0
	for from := 0; ; {
		at := sentenceEnd.FindStringIndex(p.text[from:])
		if at == nil {
			return append(all, sentence{p.text[begin:], begin})
		}
		end := from + at[0] + 1
		from += at[1] - 1
		if abbreviation.MatchString(p.text[begin:end]) {
			continue
		}
		space := end + strings.IndexFunc(p.text[end:], unicode.IsSpace)
		all = append(all, sentence{p.text[begin:space], begin})
		begin = space + 1
	}
}

// words counts what has a letter or a digit in it.
func words(text string) int {
	n := 0
	for word := range strings.FieldsSeq(text) {
		if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
			n++
		}
	}
	return n
}

// commentLine is one line of a comment.
type commentLine struct {
	text      string // without the slashes and one space
	line      int
	group     int  // lines of one comment have one number
	directive bool // it speaks to a tool
}

// goComments returns the comments of a file, without the outputs of examples.
func goComments(fset *token.FileSet, file *ast.File) []commentLine {
	var all []commentLine
	for group, comments := range file.Comments {
		for _, c := range comments.List {
			if exampleOutput.MatchString(c.Text) {
				break // the rest is the output of an example, to the byte
			}
			all = append(all, linesOf(c, fset.Position(c.Pos()).Line, group)...)
		}
	}
	return all
}

// exampleOutput matches the line from which on a comment is the output of an example.
var exampleOutput = regexp.MustCompile(`(?i)^//\s*(unordered )?output:`)

func linesOf(c *ast.Comment, line, group int) []commentLine {
	if text, ok := strings.CutPrefix(c.Text, "//"); ok {
		directive := text != "" && text[0] != ' ' && text[0] != '\t'
		return []commentLine{{strings.TrimPrefix(text, " "), line, group, directive}}
	}
	var all []commentLine
	for i, text := range strings.Split(strings.TrimSuffix(strings.TrimPrefix(c.Text, "/*"), "*/"), "\n") {
		all = append(all, commentLine{strings.TrimPrefix(text, " "), line + i, group, false})
	}
	return all
}

var (
	item     = regexp.MustCompile(`^\s*([-*+]|\d+[.)])\s+`)
	indented = regexp.MustCompile(`^(\t| {2,})`)
	fence    = regexp.MustCompile("^\\s*```")
)

// passagesOfGo returns the prose of comments. A line that is indented is code or a drawing, if it belongs to no list.
func passagesOfGo(comments []commentLine) []passage {
	var b passages
	group := -1
	for _, c := range comments {
		if c.group != group {
			b.end()
			group = c.group
		}
		switch {
		case c.directive:
		case strings.TrimSpace(c.text) == "", strings.HasPrefix(c.text, "# "):
			b.end()
		case item.MatchString(c.text):
			b.item(c.text, c.line)
		case indented.MatchString(c.text) && !b.inItem:
			b.end()
		default:
			b.line(c.text, c.line)
		}
	}
	b.end()
	return b.all
}

// wordy is the least number of words of a text in code that counts as prose, such as the text of an error.
const wordy = 4

// passagesOfTexts returns the texts in code that people may read, with one passage for each of their lines.
func passagesOfTexts(fset *token.FileSet, file *ast.File) []passage {
	var b passages
	ast.Inspect(file, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		if err != nil || words(text) < wordy {
			return true
		}
		line := fset.Position(lit.Pos()).Line
		for i, text := range strings.Split(text, "\n") {
			b.line(text, line)
			b.end()
			if lit.Value[0] == '`' {
				line = fset.Position(lit.Pos()).Line + i + 1
			}
		}
		return true
	})
	return b.all
}

// passagesOfMarkdown returns the prose of a page.
func passagesOfMarkdown(text string) []passage {
	var b passages
	fenced := false
	for i, text := range strings.Split(withoutMarkup(text), "\n") {
		line := i + 1
		if fence.MatchString(text) {
			b.end()
			fenced = !fenced
			continue
		}
		switch {
		case fenced:
		case strings.TrimSpace(text) == "", strings.HasPrefix(text, "#"), strings.HasPrefix(text, "<"):
			b.end()
		case strings.HasPrefix(text, "|"):
			b.cells(text, line)
		case item.MatchString(text):
			b.item(text, line)
		case strings.HasPrefix(text, "    ") && !b.open():
		default:
			b.line(text, line)
		}
	}
	b.end()
	return b.all
}

var (
	inlineCode = regexp.MustCompile("`[^`\n]+`")
	target     = regexp.MustCompile(`\]\([^)\s]*\)`)
)

// withoutMarkup puts as many characters in the place of code in a line and of the targets of links.
func withoutMarkup(text string) string {
	text = inlineCode.ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("X", len(s)) })
	return target.ReplaceAllStringFunc(text, func(s string) string { return "]" + strings.Repeat("_", len(s)-1) })
}

// passages collects passages line by line.
type passages struct {
	all    []passage
	now    passage
	inItem bool
}

func (b *passages) open() bool { return b.now.text != "" }

func (b *passages) line(text string, line int) { b.now.add(strings.TrimSpace(text), line) }

func (b *passages) item(text string, line int) {
	b.end()
	b.inItem = true
	b.line(item.ReplaceAllString(text, ""), line)
}

func (b *passages) cells(text string, line int) {
	for cell := range strings.SplitSeq(strings.Trim(text, "|"), "|") {
		b.end()
		b.line(cell, line)
	}
	b.end()
}

func (b *passages) end() {
	if b.open() {
		b.all = append(b.all, b.now)
	}
	b.now, b.inItem = passage{}, false
}

func TestSentencesAreFound(t *testing.T) {
	for text, want := range map[string][]string{
		"One. Two.":                  {"One.", "Two."},
		"One (see x.go). `Two` too!": {"One (see x.go).", "`Two` too!"},
		"Is it? \"Yes.\" No.":        {"Is it?", "\"Yes.\"", "No."},
		"Names, e.g. Load. Two.":     {"Names, e.g. Load.", "Two."},
		"Version 2.15.3 does: it":    {"Version 2.15.3 does: it"},
	} {
		p := passage{text: text}
		var got []string
		for _, s := range p.sentences() {
			require.Equal(t, s.text, text[s.offset:s.offset+len(s.text)])
			got = append(got, s.text)
		}
		require.Equal(t, want, got)
	}
}
