package runner

import "strings"

// MaxText bounds the error text in a document, in bytes, because bodies of answers end up in errors.
const MaxText = 2048

// Shortened returns a text that every store and every document can hold: valid UTF-8 of most bytes at most. A text that
// it has returned before stays as it is.
func Shortened(text string, most int) string {
	const more = "..."
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-len(more)], "") + more // without the half of a letter
}
