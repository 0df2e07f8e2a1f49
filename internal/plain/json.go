package plain

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// jsonCursor goes through JSON that encoding/json has accepted, one value after the other.
type jsonCursor []byte

// Opens goes into an object or an array, if the next value begins with that bracket.
func (j *jsonCursor) Opens(bracket byte) bool {
	if j.first() != bracket {
		return false
	}
	*j = (*j)[1:]
	return true
}

// More reports whether another element follows in the object or array that is open. If none does, it goes out of it.
func (j *jsonCursor) More() bool {
	switch j.first() {
	case ',':
		*j = (*j)[1:]
		return true
	case ']', '}':
		*j = (*j)[1:]
		return false
	case 0:
		return false // unreachable in JSON that was accepted
	}
	return true
}

// Key passes over the name of a member of an object, and returns it as encoding/json reads it.
func (j *jsonCursor) Key() []byte {
	quoted := j.Skip()
	if j.first() == ':' {
		*j = (*j)[1:]
	}
	if !bytes.ContainsRune(quoted, '\\') && utf8.Valid(quoted) {
		return bytes.Trim(quoted, `"`)
	}
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		return nil // unreachable likewise
	}
	return []byte(name)
}

// Skip passes over a value, and returns it.
func (j *jsonCursor) Skip() []byte {
	j.first()
	value := *j
	for depth := 0; ; {
		switch c := j.first(); c {
		case '{', '[':
			depth++
			*j = (*j)[1:]
		case '}', ']':
			depth--
			*j = (*j)[1:]
		case ',', ':':
			*j = (*j)[1:]
		case '"':
			j.skipText()
		case 0:
			return value
		default:
			j.skipLiteral()
		}
		if depth == 0 {
			return value[:len(value)-len(*j)]
		}
	}
}

// skipText passes over a text in quotes.
func (j *jsonCursor) skipText() {
	for i := 1; i < len(*j); i++ {
		switch (*j)[i] {
		case '\\':
			i++
		case '"':
			*j = (*j)[i+1:]
			return
		}
	}
	*j = nil // unreachable likewise
}

// skipLiteral passes over a number, true, false or null.
func (j *jsonCursor) skipLiteral() {
	end := bytes.IndexAny(*j, ",:]} \t\r\n")
	if end < 0 {
		end = len(*j)
	}
	*j = (*j)[end:]
}

// first passes over space, and returns the next byte, or 0 at the end.
func (j *jsonCursor) first() byte {
	for i, c := range *j {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			*j = (*j)[i:]
			return c
		}
	}
	*j = nil
	return 0
}
