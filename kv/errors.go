package kv

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of Open.
var (
	// ErrInvalidName says that a bucket's or a cell's name is not allowed.
	ErrInvalidName = errors.New("invalid name")
	// ErrReconnectBuffer says that the connection keeps what is written while it is disconnected, and sends it later:
	// a write that was reported as failed would be stored after all. Connect with nats.ReconnectBufSize(-1).
	ErrReconnectBuffer = errors.New("the connection has a reconnect buffer; connect with nats.ReconnectBufSize(-1)")
	// ErrSettings says that a bucket exists whose settings do not allow what this package promises.
	ErrSettings = errors.New("the bucket's settings do not fit")
)

// Errors of reads and writes.
var (
	// ErrInvalidKey says that a key or a pattern is not allowed.
	ErrInvalidKey = errors.New("invalid key")
	// ErrNotFound says that there is no document under the key.
	ErrNotFound = errors.New("no such document")
	// ErrDecode says that the stored bytes are not a document of the bucket's type. A *DecodeError has them.
	ErrDecode = errors.New("the stored value cannot be decoded")
	// ErrEncode says that the codec refused a document. Nothing was sent.
	ErrEncode = errors.New("the value cannot be encoded")
	// ErrUnavailable says that the servers could not be reached or had no leader for the whole time. A write that ends
	// with it was not stored.
	ErrUnavailable = errors.New("the bucket is not available")
	// ErrNoBucket says that the bucket does not exist: it was deleted, and perhaps made anew, since it was opened, or never
	// created. Open it again, which creates it unless Config.Existing is set. Such an error also matches
	// jetstream.ErrStreamNotFound.
	ErrNoBucket = errors.New("the bucket does not exist: open it again")
	// ErrRefused says that the server refused for a reason that stays, such as a missing permission.
	ErrRefused = errors.New("refused by the server")
)

// Errors of writes.
var (
	// ErrConflict says that the document is not at the expected revision. A *ConflictError has both.
	ErrConflict = errors.New("the document is at another revision")
	// ErrExists says that there is a document where none was expected. Such an error also matches ErrConflict.
	ErrExists = errors.New("the document exists")
	// ErrTooLarge says that a value is larger than the servers take. A *TooLargeError has the limit.
	ErrTooLarge = errors.New("the value is too large")
	// ErrFull says that the bucket, the account or the server has no room. Nothing was stored.
	ErrFull = errors.New("no room in the bucket")
	// ErrUnknownOutcome says that the write may or may not be stored, now or later. A *UnknownOutcomeError has it.
	ErrUnknownOutcome = errors.New("it is not known whether the write is stored")
)

// Errors of batches.
var (
	// ErrBatchTooLarge says that a batch has more writes than MaxBatch, or than this server takes, which Bucket.MaxBatch asks
	// it. Nothing was stored.
	ErrBatchTooLarge = errors.New("the batch has more writes than the server takes; write fewer, or raise max_batch_size")
	// ErrRepeatedKey says that a batch writes a key and then states a revision for it, which cannot be known. Nothing
	// was sent.
	ErrRepeatedKey = errors.New("the batch has written the key before")
	// ErrEmptyBatch says that a batch without a write was committed, which has no revision.
	ErrEmptyBatch = errors.New("the batch is empty")
)

var (
	errOtherBucket = errors.New("the batch belongs to another bucket")
	errTooMuch     = errors.New("the documents are larger than one answer may be")
)

// Error says which operation failed on what. It matches Reason, one of the package's Err variables or nil, and Err, the
// cause where there is one.
type Error struct {
	Op     string // "get", "put", "commit", ...
	Bucket string
	Key    string // empty where no single key is concerned; a cell's is "=" and its name
	Reason error
	Err    error
}

// Error gives operation, bucket, key and reason.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(where(e.Op, e.Bucket, e.Key))
	for _, err := range e.Unwrap() {
		b.WriteString(": ")
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap gives the reason and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Reason, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// ConflictError says that a conditional write was not stored. It matches ErrConflict, and ErrExists where no document
// was expected.
type ConflictError struct {
	Op       string
	Bucket   string
	Key      string
	Expected uint64 // 0 where no document was expected
	Actual   uint64 // 0 where there is no document
}

// Error says what to do: read the document and decide anew.
func (e *ConflictError) Error() string {
	at := where(e.Op, e.Bucket, e.Key)
	if e.Expected == 0 {
		return fmt.Sprintf("%s: the document exists, at revision %d: read it and update that revision", at, e.Actual)
	}
	if e.Actual == 0 {
		return fmt.Sprintf("%s: expected revision %d, but there is no document: create it", at, e.Expected)
	}
	return fmt.Sprintf("%s: expected revision %d, but it is at %d: read it again and decide anew", at, e.Expected, e.Actual)
}

// Is reports whether target is ErrConflict, or ErrExists where no document was expected.
func (e *ConflictError) Is(target error) bool {
	return target == ErrConflict || target == ErrExists && e.Expected == 0
}

// TooLargeError says how large a value is and may be. It matches ErrTooLarge. Nothing was stored.
type TooLargeError struct {
	Op     string
	Bucket string
	Key    string // empty where the server refused a batch without saying for which key
	Size   int    // of the encoded value in bytes
	Limit  int    // in bytes
	Err    error  // what the server said, nil where nothing was sent
}

// Error gives size and limit.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s: the value has %d bytes, the limit is %d: split it, or raise the limit, which is the server's max_payload or the bucket's max_msg_size",
		where(e.Op, e.Bucket, e.Key), e.Size, e.Limit)
}

// Is reports whether target is ErrTooLarge.
func (e *TooLargeError) Is(target error) bool { return target == ErrTooLarge }

// Unwrap gives what the server said.
func (e *TooLargeError) Unwrap() error { return e.Err }

// UnknownOutcomeError says that a write may or may not be stored, now or later. It matches ErrUnknownOutcome and its cause.
type UnknownOutcomeError struct {
	Op     string
	Bucket string
	Key    string // of the first write, for a batch
	Err    error
}

// Error says what to do: read, and write again where it is missing.
func (e *UnknownOutcomeError) Error() string {
	return fmt.Sprintf("%s: it is not known whether the write is stored: read before you write again: %v",
		where(e.Op, e.Bucket, e.Key), e.Err)
}

// Is reports whether target is ErrUnknownOutcome.
func (e *UnknownOutcomeError) Is(target error) bool { return target == ErrUnknownOutcome }

// Unwrap gives why no answer came.
func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// DecodeError has a stored value that is not a document of the bucket's type. It matches ErrDecode and its cause.
type DecodeError struct {
	Op       string
	Bucket   string
	Key      string
	Revision uint64
	Err      error
}

// Error says where the value is.
func (e *DecodeError) Error() string {
	return fmt.Sprintf("%s: revision %d is not a document of this type: put a new value or read it with the type it was written with: %v",
		where(e.Op, e.Bucket, e.Key), e.Revision, e.Err)
}

// Is reports whether target is ErrDecode.
func (e *DecodeError) Is(target error) bool { return target == ErrDecode }

// Unwrap gives what the codec said.
func (e *DecodeError) Unwrap() error { return e.Err }

// SettingsError says which setting of a bucket does not fit. It matches ErrSettings.
type SettingsError struct {
	Bucket string
	Reason string // which setting, and what it has to be
	Err    error  // what the server said, nil where the settings were only read
}

// Error gives the setting.
func (e *SettingsError) Error() string {
	text := fmt.Sprintf("kv: open %s: %s", e.Bucket, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Is reports whether target is ErrSettings.
func (e *SettingsError) Is(target error) bool { return target == ErrSettings }

// Unwrap gives what the server said.
func (e *SettingsError) Unwrap() error { return e.Err }

// where begins each text. A hostile key is quoted and cut.
func where(op, bucket, key string) string {
	const shown = 64
	if len(key) > shown {
		key = key[:shown] + "..."
	}
	if key == "" {
		return fmt.Sprintf("kv: %s %s", op, bucket)
	}
	return fmt.Sprintf("kv: %s %s/%+q", op, bucket, key)
}
