package eventstore

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Errors of [Open].
var (
	// ErrInvalidEvents means that the prototypes cannot be used as they are, or that the codec would lose a part of one.
	ErrInvalidEvents = errors.New("invalid events")
	// ErrSettings means that the JetStream stream exists with settings under which the guarantees do not hold. See [SettingsError].
	ErrSettings = errors.New("settings differ")
	// ErrServerVersion means that the server is too old. See [ServerVersionError].
	ErrServerVersion = errors.New("server version not supported")
	// ErrLogRewound means that the log lost its end, or was replaced: it lacks what was acknowledged, or read, before.
	// Appends and reads end with it too, where that happened while the store was open. See [LogRewoundError].
	ErrLogRewound = errors.New("log went backwards")
	// ErrOtherStream means that another JetStream stream takes or gives what is the store's. Appends and reads end with
	// it too, where that is found out while the store is open. See [OtherStreamError].
	ErrOtherStream = jsapi.ErrOtherStream
	// ErrUnsafeConnection means that the connection keeps publishes while it is disconnected and sends them later.
	ErrUnsafeConnection = errors.New("connection buffers publishes while disconnected")
)

// ErrDisk means that the disk of a server in this process failed to take what was written, of appends, and of reads of what
// is not known to be on disk. What was on disk before is read as ever. An append that was under way has an unknown outcome.
// See package natsrun for what to do.
var ErrDisk = errors.New("disk failed")

// Errors of appends. After all of them but ErrUnknownOutcome, nothing was stored.
var (
	// ErrConflict means that the stream had moved. See [ConflictError].
	ErrConflict = errors.New("conflict")
	// ErrUnknownOutcome means that it could not be found out whether the commit was stored. See [UnknownOutcomeError].
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrTooLarge means that the commit is larger than the server takes.
	ErrTooLarge = errors.New("too large")
	// ErrFull means that the store, the account or the disk is full.
	ErrFull = errors.New("store full")
	// ErrNoPermission means that the server does not let this connection write, or read, the subject.
	ErrNoPermission = errors.New("no permission")
	// ErrUnavailable means that the stream had no leader that could take the commit for all of the time.
	ErrUnavailable = errors.New("store unavailable")
	// ErrClosed means that the stream was closed. What follows begins a new stream.
	ErrClosed = errors.New("stream closed")
	// ErrRefused means that the server said no for another reason, which the error's cause names. Reads end with it too.
	ErrRefused = errors.New("refused")
	// ErrInvalidID means that the category or the id cannot name a stream.
	ErrInvalidID = errors.New("invalid stream id")
)

// Errors of reads.
var (
	// ErrUnknownType means that an event's type is not among those the store was opened with. See [EventError].
	ErrUnknownType = errors.New("unknown event type")
	// ErrErased means that the stream, or what stood at the position, was erased. Appends end with it too. See [ErasedError].
	ErrErased = errors.New("erased")
	// ErrUndecodable means that an event's data does not decode into its type, or that its upcaster fails. See [EventError].
	ErrUndecodable = errors.New("undecodable event")
	// ErrCorrupt means that the log is damaged: a checksum, a version or a position does not hold. See [CorruptError].
	ErrCorrupt = errors.New("log corrupt")
	// ErrPositionAhead means that the log does not have a position that was named. See [PositionAheadError].
	ErrPositionAhead = errors.New("position beyond the log's end")
	// ErrForeign means that what stands at a position is no commit: another program published it. Only [Store.At] ends with it,
	// all other reads pass over it. See [ForeignError].
	ErrForeign = errors.New("not of this store")
)

// Errors of [Store.Export] and [Import], and of opening what Import has not finished.
var (
	// ErrArchive means that an archive is none, is damaged, or was cut off. See [ArchiveError].
	ErrArchive = errors.New("archive damaged")
	// ErrTarget means that a name which an import needs is taken. See [TargetError].
	ErrTarget = errors.New("something else is there")
	// ErrUnfinished means that the store is being imported, or that its import was cut short.
	ErrUnfinished = errors.New("import not finished")
	// ErrBucket means that a bucket cannot be exported.
	ErrBucket = errors.New("bucket cannot be exported")
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

// UnknownOutcomeError says that neither an acknowledgement nor a look at the stream settled whether a commit was stored.
// It matches ErrUnknownOutcome. Give it to [Store.Outcome] later, or append again with the same head: at most one of the
// two is ever stored.
type UnknownOutcomeError struct {
	Stream   StreamID
	Version  Version   // of the commit's first event
	CommitID uuid.UUID // what Outcome looks for
	Err      error     // why the wait ended
}

func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("eventstore: append %s at version %d: not known whether commit %s was stored: ask Store.Outcome when the server answers: %v",
		e.Stream, e.Version, e.CommitID, e.Err)
}

// Is reports whether target is ErrUnknownOutcome.
func (e *UnknownOutcomeError) Is(target error) bool { return target == ErrUnknownOutcome }

// Unwrap gives the cause.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// AppendError says that a commit was refused and is not in the log. It matches its Reason.
type AppendError struct {
	Stream  StreamID
	Version Version // of the commit's first event
	Reason  error   // ErrTooLarge, ErrFull, ErrNoPermission, ErrUnavailable, ErrUnknownType, ErrInvalidID, ErrClosed, ErrErased, ErrDisk or ErrRefused
	Advice  string  // what to do next
	Err     error   // what the server, the connection or the codec said; may be nil
}

func (e *AppendError) Error() string {
	text := fmt.Sprintf("eventstore: append %s at version %d: %v, nothing was stored", e.Stream, e.Version, e.Reason)
	if e.Advice != "" {
		text += ": " + e.Advice
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the reason and the cause.
func (e *AppendError) Unwrap() []error { return []error{e.Reason, e.Err} }

// EventError says that one event could not be decoded. It matches its Reason. Nothing is skipped for it: the reader
// stops, or asks for other types only.
type EventError struct {
	Stream   StreamID
	Version  Version
	Position Position
	Type     string
	Reason   error // ErrUnknownType or ErrUndecodable
	Err      error // what the codec said; may be nil
}

func (e *EventError) Error() string {
	text := fmt.Sprintf("eventstore: %s version %d at position %d: %v %q", e.Stream, e.Version, e.Position, e.Reason, e.Type)
	if errors.Is(e.Reason, ErrUnknownType) {
		text += ": add its prototype to the events the store is opened with, or deploy the release that knows it"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the reason and the cause.
func (e *EventError) Unwrap() []error { return []error{e.Reason, e.Err} }

// ReplayError says at which event the function of a [Store.Replay] failed. It matches what the function returned. A replay
// with After(e.Position-1) goes on with the first event of the same commit.
type ReplayError struct {
	Stream   StreamID
	Version  Version
	Position Position
	Type     string
	Err      error // what the function returned
}

func (e *ReplayError) Error() string {
	return fmt.Sprintf("eventstore: replay: %s version %d at position %d: %q: %v: go on after position %d",
		e.Stream, e.Version, e.Position, e.Type, e.Err, e.Position-1)
}

// Unwrap gives the cause.
func (e *ReplayError) Unwrap() error { return e.Err }

// CorruptError says what about the log does not hold, and where. It matches ErrCorrupt. Restore the position from a
// replica or a backup; until then the reader stops there. Where a message stands that is no commit, and that another program
// published in a way that only commits are, give the error to [Store.AcceptForeign].
type CorruptError struct {
	Store    string
	Stream   StreamID // zero where the damage is not one stream's
	Position Position // 0 where it is not one position's
	Err      error    // what does not hold

	there bool // a message stands at the position and is no commit
}

func (e *CorruptError) Error() string {
	where := "store " + e.Store
	if e.Stream != (StreamID{}) {
		where = e.Stream.String()
	}
	if e.Position != 0 {
		where += fmt.Sprintf(" at position %d", e.Position)
	}
	text := fmt.Sprintf("eventstore: %s: %v: %v: restore it from a replica or a backup", where, ErrCorrupt, e.Err)
	if e.there {
		text += ", or, if another program published it, accept it with Store.AcceptForeign"
	}
	return text
}

// Is reports whether target is ErrCorrupt.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// Unwrap gives the cause.
func (e *CorruptError) Unwrap() error { return e.Err }

// ErasedError says that a stream's events, or the commit at one position, were erased by [Store.Erase]. It matches
// ErrErased.
type ErasedError struct {
	Stream   StreamID // zero where a position was asked for: what stood there is not kept
	Position Position // of the record of the erasure, or the one that was asked for
	CommitID string   // of the commit that was at the position; "" where a stream was asked for
	Reason   string   // as Store.Erase was given it; "" where a position was asked for
}

func (e *ErasedError) Error() string {
	if e.CommitID != "" {
		return fmt.Sprintf("eventstore: commit %s at position %d: %v", e.CommitID, e.Position, ErrErased)
	}
	return fmt.Sprintf("eventstore: %s: %v: %s (recorded at position %d)", e.Stream, ErrErased, e.Reason, e.Position)
}

// Is reports whether target is ErrErased.
func (e *ErasedError) Is(target error) bool { return target == ErrErased }

// LogRewoundError says that the log lacks what it had: it ends before a position that was acknowledged or read, or has
// another commit there. It matches ErrLogRewound. Nothing is written to such a log, since positions would be given out
// again. Restore it from a replica or a backup, and open the store again. Where the loss has to be accepted, give the
// error that [Open] returns to [AcceptRewind] and open the store again; [Config].Salvage opens it to read what is left.
//
// An append that a server acknowledged at a position which the store had seen before ends with it and with
// ErrUnknownOutcome: the commit is in the log that the server has now.
type LogRewoundError struct {
	Store    string
	End      Position // where the log ends now
	Position Position // the high-water mark: the highest position that was acknowledged or read
	CommitID string   // of the commit that was there
	Reason   string   // what about the log does not fit
}

func (e *LogRewoundError) Error() string {
	return fmt.Sprintf("eventstore: store %s: %v: it had commit %s at position %d, and %s (it ends at position %d): "+
		"restore it from a replica or a backup, or accept the loss with AcceptRewind",
		e.Store, ErrLogRewound, e.CommitID, e.Position, e.Reason, e.End)
}

// Is reports whether target is ErrLogRewound.
func (e *LogRewoundError) Is(target error) bool { return target == ErrLogRewound }

// PositionAheadError says that a read was to begin behind a position that the log does not have. It matches
// ErrPositionAhead. The reader's checkpoint is of a log that lost its end since, or of another store: restore the log,
// or begin again behind a position that it has.
type PositionAheadError struct {
	Store    string
	Position Position // behind which the read was to begin
	End      Position // where the log ends
}

func (e *PositionAheadError) Error() string {
	return fmt.Sprintf("eventstore: read %s behind position %d: %v, which is at %d: restore the log, or begin behind a position that it has",
		e.Store, e.Position, ErrPositionAhead, e.End)
}

// Is reports whether target is ErrPositionAhead.
func (e *PositionAheadError) Is(target error) bool { return target == ErrPositionAhead }

// OtherStreamError says which JetStream stream takes what is published for the store, or answers its reads, instead of
// the store's own or beside it. It matches ErrOtherStream. What was appended since may be in both: give one of the two
// another name, or keep its subjects apart, and open the store again.
type OtherStreamError struct {
	Store string
	Err   error // names the other
}

func (e *OtherStreamError) Error() string {
	return fmt.Sprintf("eventstore: store %s: %v: give one of the two another name, or keep their subjects apart, and open the store again",
		e.Store, e.Err)
}

// Is reports whether target is ErrOtherStream.
func (e *OtherStreamError) Is(target error) bool { return target == ErrOtherStream }

// Unwrap gives the cause.
func (e *OtherStreamError) Unwrap() error { return e.Err }

// SettingsError lists how the settings of a store's JetStream stream differ from what the store needs. It matches
// ErrSettings.
type SettingsError struct {
	Store       string
	Differences []string // "deny delete: is false, must be true"
}

func (e *SettingsError) Error() string {
	return fmt.Sprintf("eventstore: open %s: %v: %s: put them back (nats stream edit %s) or open with the configuration it was made with",
		e.Store, ErrSettings, strings.Join(e.Differences, "; "), e.Store)
}

// Is reports whether target is ErrSettings.
func (e *SettingsError) Is(target error) bool { return target == ErrSettings }

// ServerVersionError says that the connected server cannot be trusted with a store. It matches ErrServerVersion.
type ServerVersionError struct {
	Version string // as the server gives it
}

func (e *ServerVersionError) Error() string {
	return fmt.Sprintf("eventstore: %v: server %q: needs 2.12.15 or later in 2.12, or 2.14.4 or later: upgrade the server",
		ErrServerVersion, e.Version)
}

// Is reports whether target is ErrServerVersion.
func (e *ServerVersionError) Is(target error) bool { return target == ErrServerVersion }
