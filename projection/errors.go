package projection

import (
	"errors"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// Errors of Open.
var (
	// ErrInvalidRule means that a rule cannot be used as it is.
	ErrInvalidRule = errors.New("invalid rule")
	// ErrInvalidView means that the view's name, its fold version, the type of its documents or a value of its Config
	// cannot be used.
	ErrInvalidView = errors.New("invalid view")
)

// Errors of Run.
var (
	// ErrOtherStore means that the checkpoint was written for another store of the same name.
	ErrOtherStore = runner.ErrOtherStore
	// ErrLogRewound means that the log ends before the checkpoint, or holds another commit there. It is the one of
	// package eventstore. Reads end with it too, once the store has found that its log was replaced, or has lost its
	// end.
	ErrLogRewound = eventstore.ErrLogRewound
	// ErrTooManyDocuments means that the server's atomic batches do not even take one document with what parks it and
	// the checkpoint, or not all of the documents between whose keys one transaction moves documents.
	ErrTooManyDocuments = runner.ErrTooManyDocuments
	// ErrFold means that an event could not be folded into a document. See [FoldError].
	ErrFold = errors.New("fold failed")
	// ErrFoldTimeout means that a rule, or a method of an event or a document, has not returned within
	// Config.FoldTimeout.
	ErrFoldTimeout = errors.New("the fold does not return")
	// ErrRunning means that the view already runs in this View.
	ErrRunning = runner.ErrRunning
)

// Errors of reads.
var (
	// ErrNotFound means that the view has no document under the key.
	ErrNotFound = kv.ErrNotFound
	// ErrNotReady means that no version of the view has been built yet, or that it was damaged and is not built anew
	// yet: run the view.
	ErrNotReady = errors.New("not built yet")
	// ErrStale means that nobody could be asked for Config.StallAfter, or three times Config.StandBy if that is longer,
	// whether what is read still is what serves.
	ErrStale = errors.New("what is read may be stale")
	// ErrParked means that the document's key is parked, so that it stays behind the log until it is replayed or
	// discarded.
	ErrParked = errors.New("parked")
	// ErrVersionChanged ends a Watch when readers are led to another version of the view, and a List whose version was
	// deleted.
	ErrVersionChanged = errors.New("another version of the view is read now")
	// ErrPositionAhead means that the position asked for is beyond the log's end, so no view will reach it for now. It
	// is the one of package eventstore.
	ErrPositionAhead = eventstore.ErrPositionAhead
)
