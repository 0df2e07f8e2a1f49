package checks_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	named   = regexp.MustCompile("`([\\w.-]+(?:/[\\w.-]+)+\\.(?:go|md|hex))`")
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestPagesNameWhatExists looks for the files that pages link to or name with their folder, and for the headings.
func TestPagesNameWhatExists(t *testing.T) {
	pages := files(t, ".md")
	for name, text := range pages {
		if isOrBelow(name, "internal") {
			continue
		}
		text = withoutFences(text)
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !exists(m[1]) {
				t.Errorf("%s: names the file %s, which does not exist", name, m[1])
			}
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = path.Join(path.Dir(name), file)
			}
			if !exists(target) {
				t.Errorf("%s: links to %s, which does not exist", name, m[1])
			}
			if anchor != "" && !anchors(pages[target])[anchor] {
				t.Errorf("%s: links to %s, but there is no such heading", name, m[1])
			}
		}
	}
}

func exists(name string) bool {
	_, err := os.Stat(filepath.Join(root, filepath.FromSlash(name)))
	return err == nil
}

func withoutFences(markdown string) string {
	var lines []string
	fenced := false
	for line := range strings.SplitSeq(markdown, "\n") {
		if fence.MatchString(line) {
			fenced = !fenced
		} else if !fenced {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

// anchors returns the anchors of the headings of a page.
func anchors(markdown string) map[string]bool {
	all := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(withoutFences(markdown), -1) {
		slug := noSlug.ReplaceAllString(strings.ToLower(strings.ReplaceAll(m[1], "`", "")), "")
		all[strings.ReplaceAll(slug, " ", "-")] = true
	}
	return all
}

func TestAnchorsAreFound(t *testing.T) {
	const page = "# A page\n\n```sh\n# no heading\n```\n\n## What `go` does, and why\n"
	require.Equal(t, map[string]bool{"a-page": true, "what-go-does-and-why": true}, anchors(page))
}
