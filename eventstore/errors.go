package eventstore

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// Errors of [Open]. Appends and reads of an open store also end with ErrLogRewound, and with ErrSettings if another
// JetStream stream stores what is published for the store, or answers its reads, or if the settings of the store's
// stream were changed.
var (
	// ErrInvalidEvents means that a prototype cannot be used, or that the codec would lose a part of an event. The text
	// names the field.
	ErrInvalidEvents = errors.New("invalid events")
	// ErrSettings means that a field of a Config is impossible, or that the guarantees do not hold as things are set
	// up. That may be a setting of the connection or of a JetStream stream, the version of the server, or another
	// stream on the subjects. The text says what to change.
	ErrSettings = errors.New("settings do not fit")
	// ErrLogRewound means that the log lost its end, or was replaced: it lacks a commit that was acknowledged or read
	// before. See [LogRewoundError].
	ErrLogRewound = errors.New("log went backwards")
)

// ErrDisk means that the disk of a server in this process failed to take a write. Appends end with it, and so do reads
// of commits that are not known to be on disk. Commits that were on disk before can still be read. The outcome of an
// append that was under way is unknown. Package natsrun says what to do.
var ErrDisk = errors.New("disk failed")

// Errors of appends. Nothing was stored, unless the error is ErrUnknownOutcome.
var (
	// ErrConflict means that the stream was not at the version that the append expected. See [ConflictError].
	ErrConflict = errors.New("conflict")
	// ErrUnknownOutcome means that it could not be found out whether the commit was stored. See [AppendError].
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrTooLarge means that the commit is larger than the server accepts.
	ErrTooLarge = errors.New("too large")
	// ErrFull means that the store, the account or the disk is full.
	ErrFull = errors.New("store full")
	// ErrNoPermission means that the server does not let this connection write, or read, the subject.
	ErrNoPermission = errors.New("no permission")
	// ErrUnavailable means that the stream had no leader that could store the commit in all of the time. Try again.
	// Open also returns it if there is no connection, or while the store is being imported.
	ErrUnavailable = errors.New("store unavailable")
	// ErrClosed means that the stream was closed. Begin a new stream.
	ErrClosed = errors.New("stream closed")
	// ErrRefused means that the server refused for another reason. The error's cause names it. Reads also end with it.
	ErrRefused = errors.New("refused")
	// ErrInvalidID means that the category or the id cannot name a stream.
	ErrInvalidID = errors.New("invalid stream id")
)

// Errors of reads.
var (
	// ErrUnknownType means that the store was not opened with the type of an event. See [ReadError].
	ErrUnknownType = errors.New("unknown event type")
	// ErrErased means that the stream, or the commit at the position, was erased. Appends also end with it. See
	// [ReadError].
	ErrErased = errors.New("erased")
	// ErrUndecodable means that an event's data does not decode into its type, or that its upcaster fails. See
	// [ReadError].
	ErrUndecodable = errors.New("undecodable event")
	// ErrCorrupt means that the log is damaged: a checksum, a version or a position does not hold. See [ReadError].
	ErrCorrupt = errors.New("log corrupt")
	// ErrPositionAhead means that a read was to begin after a position which the log does not have.
	ErrPositionAhead = errors.New("position beyond the log's end")
	// ErrForeign means that another program published the message at a position. Only [Store.At] returns it, because
	// all other reads pass over such a message.
	ErrForeign = errors.New("not of this store")
)

// Errors of [Import].
var (
	// ErrArchive means that a file is not an archive, is damaged, or was cut off. The text names the byte.
	ErrArchive = errors.New("archive damaged")
	// ErrTarget means that an import needs a name under which something else is. The text names the JetStream stream.
	ErrTarget = errors.New("something else is there")
)

// ConflictError says that a stream was not where an append expected it. It matches ErrConflict. Load the stream again,
// decide again, append again.
type ConflictError struct {
	Stream   StreamID
	Expected Version // what the append expected
	Actual   Version // what the stream was at
}

func (e *ConflictError) Error() string {
	if e.Actual == e.Expected {
		return fmt.Sprintf("eventstore: append %s: another write came between while the stream is at version %d: load it and decide again",
			e.Stream, e.Actual)
	}
	return fmt.Sprintf("eventstore: append %s: expected version %d, the stream is at %d: load it and decide again",
		e.Stream, e.Expected, e.Actual)
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// AppendError says that a commit was refused and is not in the log. If its reason is ErrUnknownOutcome, it could not be
// found out whether the commit is in the log: ask [Store.Outcome] later, or append again with the same head, because at
// most one of the two commits is ever stored. The error matches its Reason.
type AppendError struct {
	Stream   StreamID
	Version  Version   // of the commit's first event
	CommitID uuid.UUID // what Store.Outcome looks for; zero unless the outcome is unknown
	Reason   error     // one of the errors of appends, or ErrUnknownType, ErrErased or ErrDisk
	Advice   string    // what to do next
	Err      error     // what the server, the connection or the codec said, or why the wait ended; may be nil
}

func (e *AppendError) Error() string {
	outcome := "nothing was stored"
	if e.CommitID != uuid.Nil {
		outcome = "commit " + e.CommitID.String()
	}
	text := fmt.Sprintf("eventstore: append %s at version %d: %v, %s", e.Stream, e.Version, e.Reason, outcome)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the reason and the cause.
func (e *AppendError) Unwrap() []error { return []error{e.Reason, e.Err} }

// ReadError says what could not be read, and where. It matches its Reason. No event is skipped: the reader stops there,
// unless it asks for other types only.
//
// ErrCorrupt stays until the position is restored from a replica or a backup. If another program published a message
// with headers that only commits have, give its position to [Store.AcceptForeign].
type ReadError struct {
	Store    string
	Stream   StreamID // zero if the error is not about one stream, or if the stream is not known
	Version  Version  // of the event; 0 if the error is not about one event
	Position Position // of the commit, or of the record of an erasure; 0 if the error is not about one position
	Type     string   // of the event; "" if the error is not about one event
	CommitID string   // of the erased commit; "" if the error is not about one
	Reason   error    // ErrCorrupt, ErrErased, ErrUnknownType or ErrUndecodable
	Err      error    // what does not hold, what the codec said, or what Store.Erase was told; may be nil

	there bool // the message at the position is not a commit
}

func (e *ReadError) Error() string {
	where := "store " + e.Store
	if e.Stream != (StreamID{}) {
		where = e.Stream.String()
	}
	if e.Version != 0 {
		where += fmt.Sprintf(" version %d", e.Version)
	}
	if e.Position != 0 {
		where += fmt.Sprintf(" at position %d", e.Position)
	}
	text := fmt.Sprintf("eventstore: %s: %v", where, e.Reason)
	if what := cmp.Or(e.Type, e.CommitID); what != "" {
		text += fmt.Sprintf(" %q", what)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text + e.advice()
}

func (e *ReadError) advice() string {
	switch {
	case errors.Is(e.Reason, ErrUnknownType):
		return ": add its prototype to the events the store is opened with, or deploy the release that knows it"
	case !errors.Is(e.Reason, ErrCorrupt):
		return ""
	case e.there:
		return ": restore it from a replica or a backup, or, if another program published it, accept it with Store.AcceptForeign"
	default:
		return ": restore it from a replica or a backup"
	}
}

// Unwrap returns the reason and the cause.
func (e *ReadError) Unwrap() []error { return []error{e.Reason, e.Err} }

// LogRewoundError says that the log lacks a commit that it had: it ends before a position that was acknowledged or
// read, or it has another commit there. It matches ErrLogRewound. The store writes nothing to such a log, because the
// server would use positions a second time. Restore the log from a replica or a backup, and open the store again. If
// the loss must be accepted, give the error that [Open] returns to [AcceptRewind], and open the store again.
// [Config].Salvage opens the store to read the rest.
//
// If another program has written over the high-water mark, nobody knows whether the log had more commits. [Open] takes
// that for a loss, too.
//
// If a server acknowledges an append at a position that the store has seen before, the append ends with this error and
// with ErrUnknownOutcome, because the commit is in the log that the server has now.
type LogRewoundError struct {
	Store    string
	End      Position // where the log ends now
	Position Position // the high-water mark: the highest position that was acknowledged or read; 0 if it is not known
	CommitID string   // of the commit that was there; "" if it is not known
	Reason   string   // what does not fit
}

func (e *LogRewoundError) Error() string {
	seen := ""
	if e.CommitID != "" {
		seen = fmt.Sprintf("it had commit %s at position %d, and ", e.CommitID, e.Position)
	}
	return fmt.Sprintf("eventstore: store %s: %v: %s%s (it ends at position %d): "+
		"restore it from a replica or a backup, or accept the loss with AcceptRewind",
		e.Store, ErrLogRewound, seen, e.Reason, e.End)
}

// Is reports whether target is ErrLogRewound.
func (e *LogRewoundError) Is(target error) bool { return target == ErrLogRewound }

// positionAhead is the error of a read that was to begin after a position which the log does not have. The reader's
// checkpoint belongs to another store, or to a log that has lost its end since.
func positionAhead(store string, after, end Position) error {
	return fmt.Errorf("eventstore: read %s after position %d: %w, which is at %d: restore the log, or begin after a position that it has",
		store, after, ErrPositionAhead, end)
}

// otherStream is the error of a store beside which, or instead of which, another JetStream stream takes what is
// published or answers reads. The cause names the other stream. Commits that were appended since may be in both.
func otherStream(store string, cause error) error {
	return fmt.Errorf("eventstore: store %s: %w: %w: give one of the two another name, or keep their subjects apart, and open the store again",
		store, ErrSettings, cause)
}

// errDrifted says that the settings of a store's JetStream stream were changed under the open store. It ends once they
// are put back.
var errDrifted = errors.New("the settings of its JetStream stream were changed")

func settingsDrifted(store string, differences []string) error {
	return fmt.Errorf("eventstore: store %s: %w: %w: %s: put them back (nats stream edit %s)",
		store, ErrSettings, errDrifted, strings.Join(differences, "; "), store)
}

// settingsDiffer is the error of a JetStream stream whose settings are not as the store needs them.
func settingsDiffer(store string, differences []string) error {
	return fmt.Errorf("eventstore: open %s: %w: %s: put them back (nats stream edit %s) or open with the configuration it was made with",
		store, ErrSettings, strings.Join(differences, "; "), store)
}
