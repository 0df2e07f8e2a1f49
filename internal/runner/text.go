package runner

import "strings"

// maxText bounds what a document keeps of an error, because bodies of answers end up in errors.
const maxText = 2048

// Shortened returns an error's text as a document can keep it: valid UTF-8 of about 2 KiB at most.
func Shortened(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + " ..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
