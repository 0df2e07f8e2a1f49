package jsapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Class is the meaning of an answer to a publish, for that one try.
type Class int

// The classes of answers. Only after Stored and Unknown the message can be in the stream.
const (
	// Unknown: no answer, or an answer that settles nothing. The message may be stored, now or later.
	Unknown Class = iota
	// Stored: a plain acknowledgement with the message's sequence.
	Stored
	// Conflict: the expectation did not hold, or another write on the subject was in flight.
	Conflict
	// Unavailable: this try was not stored; the same may succeed a moment later.
	Unavailable
	// Full: this try was not stored for want of storage or of an account's resources.
	Full
	// TooLarge: this try was not stored because the message or its header is too large.
	TooLarge
	// TooMany: this try was not stored because the batch has more messages than the server takes.
	TooMany
	// NoBatches: this try was not stored because the stream does not allow atomic batches.
	NoBatches
	// Refused: this try was not stored, for a reason that does not pass.
	Refused
)

// String names the class.
func (c Class) String() string {
	names := [...]string{"unknown", "stored", "conflict", "unavailable", "full", "too large", "too many", "no batches", "refused"}
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("class %d", int(c))
}

// Answer is a classified reply to a publish.
type Answer struct {
	Class    Class
	Sequence uint64 // of the message, when Stored
	Err      error  // what the server or the connection said, when not Stored
}

type pubAck struct {
	Stream   string              `json:"stream"`
	Domain   string              `json:"domain"`
	Sequence uint64              `json:"seq"`
	Error    *jetstream.APIError `json:"error"`
}

// Server error codes that jetstream has no constants for; see nats-server's errors.json.
const (
	codeLastSequenceNotReady  jetstream.ErrorCode = 10163
	codeDuplicateInProcess    jetstream.ErrorCode = 10158
	codeDuplicateInBatch      jetstream.ErrorCode = 10201
	codeBatchIncomplete       jetstream.ErrorCode = 10176
	codeBatchesDisabled       jetstream.ErrorCode = 10174
	codeBatchTooLarge         jetstream.ErrorCode = 10199
	codeBatchesInFlight       jetstream.ErrorCode = 10210
	codeTooManyRequests       jetstream.ErrorCode = 10167
	codeClusterNotAvailable   jetstream.ErrorCode = 10008
	codeClusterNotLeader      jetstream.ErrorCode = 10009
	codeStreamOffline         jetstream.ErrorCode = 10118
	codeStreamOfflineReason   jetstream.ErrorCode = 10194
	codeStreamNotValid        jetstream.ErrorCode = 10096 // the stream is being deleted
	codeAccountResources      jetstream.ErrorCode = 10002
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeMemoryResources       jetstream.ErrorCode = 10028
	codeStorageResources      jetstream.ErrorCode = 10047
	codeStoreFailed           jetstream.ErrorCode = 10077
	codeSequenceNotMatch      jetstream.ErrorCode = 10063
	codeHeaderTooLarge        jetstream.ErrorCode = 10097
	codeMaxBytesRequired      jetstream.ErrorCode = 10113
	codeReplicasNotSupported  jetstream.ErrorCode = 10074
	codeMaxStreamBytes        jetstream.ErrorCode = 10122
)

// Classify decides the meaning of the reply to one publish. Other files of the package ask for single codes, such as
// bound.go and limit.go. Its result holds for that one try: after a try without an answer, the caller must read the
// stream, whatever the answer to a later try is.
func Classify(msg *nats.Msg) Answer { return Source{}.classify(msg) }

// classify is Classify for publishes that this stream should answer. The answer of another stream says nothing
// about this one.
func (s Source) classify(msg *nats.Msg) Answer {
	if len(msg.Data) == 0 && msg.Header.Get("Status") == "503" {
		// No stream listens to the subject: the stream or its leader is gone.
		return Answer{Class: Unavailable, Err: nats.ErrNoResponders}
	}
	if sequence, ok := s.plainAck(msg.Data); ok {
		return Answer{Class: Stored, Sequence: sequence}
	}
	var ack pubAck
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		return Answer{Class: Unknown, Err: fmt.Errorf("unreadable acknowledgement: %w", err)}
	}
	if err := s.compare(ack); err != nil {
		return Answer{Class: Unknown, Err: err}
	}
	if ack.Error != nil {
		return Answer{Class: classOfRefusal(ack.Error), Err: ack.Error}
	}
	if ack.Sequence == 0 || ack.Stream == "" {
		return Answer{Class: Unknown, Err: errors.New("acknowledgement without stream or sequence")}
	}
	return Answer{Class: Stored, Sequence: ack.Sequence}
}

// unsent is the answer to a publish that could not be sent.
func unsent(err error) Answer {
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return Answer{Class: TooLarge, Err: err}
	case NotSent(err):
		return Answer{Class: Unavailable, Err: err}
	}
	return Answer{Class: Unknown, Err: err}
}

// plainAck reads the usual acknowledgement, {"stream":"bank","seq":42}, or in a domain
// {"stream":"bank","seq":42,"domain":"hub"}, and nothing else. That saves a tenth of the cost of an append
// here.
func (s Source) plainAck(data []byte) (sequence uint64, ok bool) {
	rest, ok := bytes.CutPrefix(data, []byte(`{"stream":"`))
	if !ok {
		return 0, false
	}
	stream, rest, ok := bytes.Cut(rest, []byte(`","seq":`))
	if !ok || s.Stream != "" && s.Stream != string(stream) || s.Stream == "" && !isPlain(stream) {
		return 0, false
	}
	digits, ok := bytes.CutSuffix(rest, []byte("}"))
	if s.Domain != "" && ok {
		digits, ok = bytes.CutSuffix(digits, []byte(`"`))
		digits, ok = cutSuffix(digits, s.Domain, ok)
		digits, ok = cutSuffix(digits, `,"domain":"`, ok)
	}
	if !ok || bytes.HasPrefix(digits, []byte("0")) {
		return 0, false
	}
	sequence, err := strconv.ParseUint(string(digits), 10, 64)
	return sequence, err == nil && sequence > 0
}

// cutSuffix is bytes.CutSuffix of text. It also returns false if ok is false.
func cutSuffix(data []byte, suffix string, ok bool) ([]byte, bool) {
	if n := len(data) - len(suffix); ok && n >= 0 && string(data[n:]) == suffix {
		return data[:n], true
	}
	return data, false
}

// isPlain reports whether a name needs no escape in JSON.
func isPlain(name []byte) bool {
	return len(name) > 0 && !bytes.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' })
}

// isLimit reports whether a server could not store a message because of a limit, at which its peers refuse the message
// too. The texts are the same in versions 2.12 to 2.15.
func isLimit(description string) bool {
	switch description {
	case "maximum messages exceeded", "maximum bytes exceeded", "maximum messages per subject exceeded", "message too large":
		return true
	}
	return false
}

// classOfRefusal is classOf for a refusal with its text. A leader that is ending, or whose disk failed, cannot store a
// message that its peers may have agreed to store. Servers before 2.14 answer with the text of the disk's error.
func classOfRefusal(refusal *jetstream.APIError) Class {
	if refusal.ErrorCode == codeStoreFailed && !isLimit(refusal.Description) {
		return Unknown
	}
	return classOf(refusal.ErrorCode)
}

func classOf(code jetstream.ErrorCode) Class {
	switch code {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant, codeLastSequenceNotReady,
		codeDuplicateInProcess, codeDuplicateInBatch:
		return Conflict
	case codeBatchIncomplete, codeBatchesInFlight, codeTooManyRequests,
		codeClusterNotAvailable, codeClusterNotLeader, codeStreamOffline, codeStreamOfflineReason, codeStreamNotValid:
		return Unavailable
	case codeAccountResources, codeInsufficientResources, codeMemoryResources, codeStorageResources, codeStoreFailed:
		return Full
	case jetstream.JSErrCodeStreamMessageExceedsMaximum, codeHeaderTooLarge:
		return TooLarge
	case codeBatchTooLarge:
		return TooMany
	case codeBatchesDisabled:
		return NoBatches
	case codeSequenceNotMatch:
		return Unknown // the leader could not apply what its peers may have applied
	default:
		return Refused
	}
}
