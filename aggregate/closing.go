package aggregate

import (
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
)

// CloseKey closes an idempotency key in the aggregate's stream, with the events of the command or with nothing but the
// end of the key where the command decides none: a command that comes later under that key is refused with an error that
// matches ErrKeyClosed, and so is one under a key below it ("a/1" is below "a"). Keys are as for [Key].
//
// It is how a command that may still be under way, in a process that is frozen or that only seems to be dead, is kept from
// being done after it was undone: closing moves the stream, so the late append conflicts, and when it decides again the
// key is closed. What was done under the key before stays done; the command that closes sees it in the state and decides
// what undoes it. How long a closed key is remembered is the same as for keys: see [IssuedAt].
func CloseKey(key string) Option {
	return func(o *options) { o.closeKey = o.checked(key) }
}

// KeyClosedError says that the command's key was closed by a [CloseKey]. It matches ErrKeyClosed. Nothing was stored.
type KeyClosedError struct {
	Stream  eventstore.StreamID
	Key     string
	Version eventstore.Version // of the first event of the commit that closed it
}

func (e *KeyClosedError) Error() string {
	return fmt.Sprintf("aggregate: %s: %v: %q, at version %d: what the command was part of was given up: do not send it again",
		e.Stream, ErrKeyClosed, e.Key, e.Version)
}

// Is reports whether target is ErrKeyClosed.
func (e *KeyClosedError) Is(target error) bool { return target == ErrKeyClosed }

// closedBy gives the keys that a commit closed.
func closedBy(c *eventstore.Commit) (keys []string, err error) {
	for recorded := range c.Events() {
		if recorded.Type() != (eventstore.KeyClosed{}).EventType() {
			continue
		}
		decoded, err := recorded.Decode()
		if err != nil {
			return nil, err
		}
		for _, event := range decoded {
			keys = append(keys, event.(eventstore.KeyClosed).Key)
		}
	}
	return keys, nil
}
