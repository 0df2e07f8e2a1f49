package runner

import (
	"errors"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/kv"
)

// Errors that the packages above offer under names of their own.
var (
	// ErrOtherStore means that a checkpoint was written for another store of the same name.
	ErrOtherStore = errors.New("checkpoint of another store")
	// ErrRunning means that the value's Run has not returned yet.
	ErrRunning = errors.New("already running")
	// ErrTooManyDocuments means that an atomic batch of the server is too small for one document, its parking
	// record and the checkpoint.
	ErrTooManyDocuments = errors.New("too many documents for an atomic batch")
)

// Passing reports whether an error passes by itself: the servers could not be asked for a while, or a server takes
// smaller batches than the one before it. The caller waits and tries again.
func Passing(err error) bool {
	if OfTheLog(err) || ofTheUser(err) || ofTheOwner(err) {
		return false
	}
	return errors.Is(err, eventstore.ErrUnavailable) || errors.Is(err, kv.ErrBatchTooLarge) || errors.Is(err, kv.ErrUnavailable) || jsapi.Transient(err)
}

// Conflicts reports whether somebody else has written the document meanwhile, so that it has to be read again.
func Conflicts(err error) bool { return errors.Is(err, kv.ErrConflict) }

// Unsettled reports whether a document has to be read again because somebody else has written it, or because it is not
// known whether the write was stored.
func Unsettled(err error) bool { return Conflicts(err) || errors.Is(err, kv.ErrUnknownOutcome) }

// ofTheUser reports whether code of the user has failed. That does not pass by itself, whatever the error of the user
// matches: a decoder may have returned an error of its own connection.
func ofTheUser(err error) bool {
	if _, stopped := errors.AsType[*guard.Error](err); stopped {
		return true
	}
	return errors.Is(err, eventstore.ErrUndecodable) || errors.Is(err, kv.ErrEncode) || errors.Is(err, kv.ErrDecode)
}

// ofTheOwner reports whether the owner of a connection, a store or a bucket has closed it. It does not come back.
func ofTheOwner(err error) bool {
	return errors.Is(err, nats.ErrConnectionClosed) || errors.Is(err, jsapi.ErrClosed)
}

// OfTheLog reports whether an error is about the state of the log. Such an error stays, however often the log
// is read.
func OfTheLog(err error) bool {
	return errors.Is(err, eventstore.ErrCorrupt) || errors.Is(err, eventstore.ErrLogRewound) || errors.Is(err, eventstore.ErrSettings)
}

// Unavailable marks an error of asking the log as passing, unless the log answered or the server refused.
func Unavailable(err error) error {
	if OfTheLog(err) || errors.Is(err, eventstore.ErrNoPermission) || errors.Is(err, eventstore.ErrRefused) {
		return err
	}
	return errors.Join(kv.ErrUnavailable, err)
}
