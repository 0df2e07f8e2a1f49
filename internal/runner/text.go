package runner

import "strings"

// maxText bounds the error text in a document, because bodies of answers end up in errors.
const maxText = 2048

// Shortened returns an error's text for a document: valid UTF-8 of about 2 KiB at most.
func Shortened(text string) string {
	if len(text) > maxText {
		text = text[:maxText] + " ..."
	}
	return strings.ToValidUTF8(text, "\uFFFD")
}
