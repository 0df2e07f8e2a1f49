// Package token turns ids into NATS subject tokens and keys into NATS KV keys, injectively.
//
// A subject token may not hold blanks, dots, the wildcards * and > or control characters, and the byte DEL inside a
// token makes the server lose track of the subject's last sequence. So an id is encoded before it meets the server:
//
//	id                      token
//	42                      42                  letters, digits, - and _ stay as they are
//	anna@example.com        anna=40example=2Ecom   every other byte is = and two upper-case hex digits
//	256 bytes of Chinese    ==5Lit5paH...       where that is longer, == and the unpadded URL base64 of the whole
//
// The encoding is injective: two ids never share a token. It is also canonical, because Decode accepts only
// tokens that Encode returns. Ids are bytes: the same letters composed and decomposed are two ids. Every token
// is legal in a KV key.
package token

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

const (
	// MaxID is the longest id, in bytes, before encoding.
	MaxID = 256
	// maxToken is the length of the longest token: == and 256 bytes in base64 (342 characters). The escaped form is
	// used up to this length only, so a subject of store, category and id stays under 512 bytes.
	maxToken = 2 + 342
	// maxName is the longest store or category name in bytes.
	maxName = 64

	upperHex = "0123456789ABCDEF"
)

// ErrInvalid is matched by every error of this package.
var ErrInvalid = errors.New("not a valid id")

// Error names the id that was refused, and says why. It matches ErrInvalid.
type Error struct {
	ID     string // the refused id
	Reason string // why, and what is allowed
}

// Error quotes at most the first 64 bytes of the id, because the id may be hostile.
func (e *Error) Error() string {
	shown := e.ID
	if len(shown) > 64 {
		shown = shown[:64] + "..."
	}
	return fmt.Sprintf("id %q: %s", shown, e.Reason)
}

// Is reports whether target is ErrInvalid.
func (e *Error) Is(target error) bool { return target == ErrInvalid }

// Encode returns the token of an id of 1 to MaxID bytes of UTF-8.
func Encode(id string) (string, error) {
	switch {
	case id == "":
		return "", &Error{ID: id, Reason: "is empty; an id has 1 to 256 bytes"}
	case len(id) > MaxID:
		return "", &Error{ID: id, Reason: fmt.Sprintf("has %d bytes; an id has 1 to 256", len(id))}
	case allPlain(id):
		return id, nil
	case !utf8.ValidString(id):
		return "", &Error{ID: id, Reason: "is not valid UTF-8"}
	}
	return encode(id), nil
}

func allPlain(s string) bool {
	for i := range len(s) {
		if !plain(s[i]) {
			return false
		}
	}
	return true
}

func encode(id string) string {
	escapes := 0
	for i := range len(id) {
		if !plain(id[i]) {
			escapes++
		}
	}
	if escapes == 0 {
		return id
	}
	if len(id)+2*escapes > maxToken {
		return "==" + base64.RawURLEncoding.EncodeToString([]byte(id))
	}
	var b strings.Builder
	b.Grow(len(id) + 2*escapes)
	for i := range len(id) {
		if c := id[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(upperHex[c>>4])
			b.WriteByte(upperHex[c&15])
		}
	}
	return b.String()
}

// Decode returns the id of a token, and an error for a token that Encode never returns.
func Decode(token string) (string, error) {
	if token != "" && len(token) <= MaxID && allPlain(token) {
		return token, nil
	}
	id, err := decode(token)
	if err != nil {
		return "", err
	}
	// A second spelling of an id ("=41" for "A") would make two streams of one id.
	if canonical, err := Encode(id); err != nil || canonical != token {
		return "", &Error{ID: token, Reason: "is not an encoded id in its canonical form"}
	}
	return id, nil
}

func decode(token string) (string, error) {
	malformed := &Error{ID: token, Reason: "is not an encoded id"}
	if long, ok := strings.CutPrefix(token, "=="); ok {
		id, err := base64.RawURLEncoding.Strict().DecodeString(long)
		if err != nil {
			return "", malformed
		}
		return string(id), nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		c := token[i]
		if c != '=' {
			b.WriteByte(c)
			continue
		}
		if i+2 >= len(token) {
			return "", malformed
		}
		high := strings.IndexByte(upperHex, token[i+1])
		low := strings.IndexByte(upperHex, token[i+2])
		if high < 0 || low < 0 {
			return "", malformed
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), nil
}

// EncodeKey returns the KV key of a key: its levels, which dots separate, are encoded one by one, so that a watch for
// "42.*" sees all keys below 42. An empty level becomes a single =. Keys have 1 to MaxID bytes of UTF-8.
func EncodeKey(key string) (string, error) {
	if _, err := Encode(key); err != nil {
		return "", err
	}
	if !strings.Contains(key, ".") {
		return encode(key), nil
	}
	levels := strings.Split(key, ".")
	for i, level := range levels {
		if level == "" {
			levels[i] = "="
		} else {
			levels[i] = encode(level)
		}
	}
	return strings.Join(levels, "."), nil
}

// DecodeKey is the inverse of EncodeKey, and as strict as Decode.
func DecodeKey(encoded string) (string, error) {
	levels := strings.Split(encoded, ".")
	for i, level := range levels {
		if level == "=" {
			levels[i] = ""
			continue
		}
		id, err := Decode(level)
		if err != nil {
			return "", err
		}
		levels[i] = id
	}
	key := strings.Join(levels, ".")
	if again, err := EncodeKey(key); err != nil || again != encoded {
		return "", &Error{ID: encoded, Reason: "is not an encoded key in its canonical form"}
	}
	return key, nil
}

// CheckName returns an error unless name can be the name of a store, category, view or bucket: 1 to 64 of the
// plain characters, which need no escape in subjects, stream and bucket names.
func CheckName(name string) error {
	switch {
	case name == "":
		return &Error{ID: name, Reason: "is empty; a name has 1 to 64 letters, digits, - or _"}
	case len(name) > maxName:
		return &Error{ID: name, Reason: fmt.Sprintf("has %d bytes; a name has 1 to 64 letters, digits, - or _", len(name))}
	}
	for i := range len(name) {
		if !plain(name[i]) {
			return &Error{ID: name, Reason: fmt.Sprintf("holds %q; a name has 1 to 64 letters, digits, - or _", name[i])}
		}
	}
	return nil
}

func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
