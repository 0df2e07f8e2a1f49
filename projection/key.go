package projection

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/runnel-go/runnel/internal/token"
	"github.com/runnel-go/runnel/kv"
)

// standInMark begins the name under which a key is parked that cannot be stored. No document has a key that begins with
// it, so the two are never taken for each other. It is what programs write for text that they could not read.
const standInMark = "\uFFFD"

// checkKey returns an error that matches kv.ErrInvalidKey for a key that no document can have.
func checkKey(key string) error {
	switch {
	case len(key) > token.MaxID:
		return fmt.Errorf("%w: it has %d bytes, and %d at most are allowed", kv.ErrInvalidKey, len(key), token.MaxID)
	case !utf8.ValidString(key):
		return fmt.Errorf("%w: it is not valid UTF-8", kv.ErrInvalidKey)
	case strings.HasPrefix(key, standInMark):
		return fmt.Errorf("%w: it begins with U+FFFD, which stands for text that could not be read", kv.ErrInvalidKey)
	}
	return nil
}

// standIn returns the name under which a key is parked: the key, unless that cannot be stored.
func standIn(key string) string {
	if checkKey(key) == nil || isStandIn(key) {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return standInMark + base64.RawURLEncoding.EncodeToString(sum[:])
}

// isStandIn reports whether a name looks like what standIn makes. A key of the user that does so is parked under
// itself.
func isStandIn(name string) bool {
	sum, ok := strings.CutPrefix(name, standInMark)
	if !ok {
		return false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sum)
	return err == nil && len(raw) == sha256.Size
}

// shownKey quotes a key, of which it shows a part if the key is long.
func shownKey(key string) string {
	if len(key) > token.MaxID {
		return strconv.QuoteToASCII(key[:token.MaxID]) + fmt.Sprintf("... (%d bytes)", len(key))
	}
	return strconv.QuoteToASCII(key)
}

// errNotMoved says that the document which an event moves to a key cannot be had.
var errNotMoved = errors.New("the document would come from a key that is parked")

func notMoved(from string) error {
	return fmt.Errorf("%w: %s: replay or discard that one, and this one goes along", errNotMoved, shownKey(from))
}
