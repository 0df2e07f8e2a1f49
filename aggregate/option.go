package aggregate

import (
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/ownkey"
)

// Option is an option of one command, for [Repository.Do] and [Repository.On]. Of two options that set the same thing,
// the last counts.
type Option func(*options)

type options struct {
	key       string
	issuedAt  *eventstore.Position
	issuedIn  string        // the identity of the store that issuedAt is a position of; "" for the repository's own
	own       [2]ownkey.Key // that OwnKey has set, and the one that is closed with it
	closing   *eventstore.StreamClosed
	closeKey  string
	ifVersion *eventstore.Version
	given     []given
	badKey    error // the first key that is not allowed
}

// Key sets the idempotency key of a command: a command that is sent again under its key is not done again, as the
// package documentation says. A key is 1 to 256 bytes and does not begin with "runnel.", which the toolkit's own keys
// begin with. With any other key, the command is refused with an error that matches ErrInvalidCommand.
func Key(key string) Option {
	return func(o *options) { o.key = o.checked(key) }
}

// KeyIssuedAt is [Key] with an exact search, however many commits came since the command was first issued, and however
// long ago that was. The position must have been in the log before that, such as the position of the commit that led
// to the command. The stream is searched back to it: the commits that are not remembered are read from the log.
//
// A position that the log does not have is refused with an error that matches eventstore.ErrPositionAhead.
func KeyIssuedAt(key string, position eventstore.Position) Option {
	return func(o *options) { o.key, o.issuedAt = o.checked(key), &position }
}

// OwnKey is for the toolkit's own packages. It is KeyIssuedAt, and closes another key unless that is zero. The position
// is of the store with that identity. In another store it means nothing, so there the whole stream is searched.
func OwnKey(key, closes ownkey.Key, store string, issued eventstore.Position) Option {
	return func(o *options) {
		o.key, o.closeKey, o.issuedAt, o.issuedIn = key.String(), closes.String(), &issued, store
		o.own = [2]ownkey.Key{key, closes}
	}
}

// within says that the command is for the store with that identity. Keys of sagas of another store name that store.
func (o *options) within(store string) {
	if o.issuedIn == "" || o.issuedIn == store {
		return
	}
	for i, key := range []*string{&o.key, &o.closeKey} {
		if *key == o.own[i].String() {
			*key = o.own[i].From(o.issuedIn)
		}
	}
}

// CloseKey closes an idempotency key in the aggregate's stream, together with the events of the command, if it decides
// any. A later command under that key is refused with an error that matches ErrKeyClosed, and so is a command under a
// key below it ("a/1" is below "a"). Which keys are allowed is as for [Key].
//
// CloseKey keeps a command from being done after it was undone, even if the command is still under way in a process
// that is frozen or seems dead. Closing moves the stream, so the late append conflicts, and its next decision finds the
// key closed. Events that were stored under the key before stay; the command that closes sees them in the state and
// decides how to undo them. A closed key is remembered as long as any key: see [KeyIssuedAt].
func CloseKey(key string) Option {
	return func(o *options) { o.closeKey = o.checked(key) }
}

// IfVersion makes a command fail with an error that matches eventstore.ErrConflict unless the aggregate is at that
// version.
func IfVersion(version eventstore.Version) Option {
	return func(o *options) { o.ifVersion = &version }
}

// CloseStream ends the aggregate's stream, together with the events of the command, if it decides any. From then on,
// commands that would append to the stream are refused with an error that matches eventstore.ErrClosed.
func CloseStream(reason string) Option {
	return func(o *options) { o.closing = &eventstore.StreamClosed{Reason: reason} }
}

const maxKey = 256

// checked returns a key of the user, or notes why it is not allowed.
func (o *options) checked(key string) string {
	var reason string
	switch {
	case key == "":
		reason = "the idempotency key is empty: give one, or leave the option out"
	case len(key) > maxKey:
		reason = fmt.Sprintf("the idempotency key has %d bytes, at most %d are allowed", len(key), maxKey)
	case ownkey.Reserved(key):
		reason = fmt.Sprintf("the idempotency key %q begins like the toolkit's own keys: put a prefix of yours before it", key)
	default:
		return key
	}
	if o.badKey == nil {
		o.badKey = fmt.Errorf("%w: %s", ErrInvalidCommand, reason)
	}
	return ""
}
