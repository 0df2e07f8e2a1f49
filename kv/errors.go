package kv

import (
	"errors"
	"fmt"
	"strings"
)

// Errors of Open.
var (
	// ErrSettings says that Open cannot work with a setting of Config, of the connection, or of a bucket that
	// exists. The text names the setting and what it must be.
	ErrSettings = errors.New("a setting does not fit")
	// ErrNoBucket says that the bucket does not exist: it was never created, or somebody deleted it after it was
	// opened, and perhaps created another one under its name. Open it again, which creates it unless Config.Existing
	// is set. The error also matches jetstream.ErrStreamNotFound.
	ErrNoBucket = errors.New("the bucket does not exist: open it again")
)

// Errors of reads and writes.
var (
	// ErrInvalidKey says that a key or a pattern is not allowed.
	ErrInvalidKey = errors.New("invalid key")
	// ErrNotFound says that there is no document under the key.
	ErrNotFound = errors.New("no such document")
	// ErrDecode says that the stored bytes are not a document of the bucket's type. Put a new value, or open the bucket
	// with the type and the codec that it was written with.
	ErrDecode = errors.New("the stored value is not a document of this type: put a new value or read it with the type it was written with")
	// ErrUnavailable says that the servers could not be reached, or had no leader, for the whole of Config.Timeout.
	// A write that ends with it was not stored. Try again later.
	ErrUnavailable = errors.New("the bucket is not available")
	// ErrRefused says that the server refuses for a reason that stays, such as a missing permission.
	ErrRefused = errors.New("refused by the server")
)

// Errors of writes.
var (
	// ErrConflict says that the document is not at the expected revision. Read it again and decide anew. Most such
	// errors are a *ConflictError, which has both revisions.
	ErrConflict = errors.New("the document is at another revision: read it again and decide anew")
	// ErrEncode says that the codec cannot encode a document, or would lose a part of it. Nothing was sent.
	ErrEncode = errors.New("the value cannot be encoded")
	// ErrTooLarge says that a value is larger than the server or the bucket takes. Nothing was stored.
	ErrTooLarge = errors.New("the value is too large: split it, or raise the server's max_payload or the bucket's max_msg_size")
	// ErrBatchTooLarge says that a batch has more writes than the server takes. See Bucket.MaxBatch. Nothing was
	// stored.
	ErrBatchTooLarge = errors.New("the batch has more writes than the server takes: write fewer, or raise max_batch_size")
	// ErrFull says that the bucket, the account or the server has no room. Nothing was stored. Delete documents, or
	// raise the limit.
	ErrFull = errors.New("no room in the bucket, the account or the server: delete documents or raise the limit")
	// ErrUnknownOutcome says that a write, or a whole batch, may be stored or not, now or later. Read before you
	// write again.
	ErrUnknownOutcome = errors.New("it is not known whether the write is stored: read before you write again")
)

var (
	errReconnectBuffer = errors.New("the connection has a reconnect buffer, so a write that failed may be sent later: " +
		"connect with nats.ReconnectBufSize(-1)")
	errRepeatedKey  = errors.New("the batch has written the key before, so its revision is not known")
	errZeroRevision = errors.New("revision 0 means that there is no document, so there is nothing to delete")
	errEmptyBatch   = errors.New("the batch is empty, so it has no revision")
	errOtherBucket  = errors.New("the batch belongs to another bucket")
	errTooMuch      = errors.New("the documents are larger than one answer may be")
)

// Error says which operation failed on what. It matches Reason and Err.
type Error struct {
	Op     string // "get", "put", "commit", ...
	Bucket string
	Key    string // empty if the error is not about a single key
	Reason error  // one of the Err variables of this package, or nil
	Err    error  // the cause, or nil
}

// Error returns the operation, the bucket, the key, the reason and the cause.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(about(e.Op, e.Bucket, e.Key))
	for _, err := range e.Unwrap() {
		b.WriteString(": ")
		b.WriteString(err.Error())
	}
	return b.String()
}

// Unwrap returns the reason and the cause.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Reason, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// ConflictError says that a conditional write, or the batch it belongs to, was not stored. It matches ErrConflict.
type ConflictError struct {
	Op       string
	Bucket   string
	Key      string
	Expected uint64 // the revision, or 0 if no document was expected
	Actual   uint64 // the revision, or 0 if there is no document
}

// Error returns both revisions and what to do.
func (e *ConflictError) Error() string {
	at := about(e.Op, e.Bucket, e.Key)
	if e.Expected == 0 {
		return fmt.Sprintf("%s: the document exists, at revision %d: read it and update that revision", at, e.Actual)
	}
	if e.Actual == 0 {
		return fmt.Sprintf("%s: expected revision %d, but there is no document: create it", at, e.Expected)
	}
	return fmt.Sprintf("%s: expected revision %d, but it is at %d: read it again and decide anew", at, e.Expected, e.Actual)
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// about returns what begins each text. It quotes and cuts the key, which may be hostile.
func about(op, bucket, key string) string {
	const shown = 64
	if len(key) > shown {
		key = key[:shown] + "..."
	}
	if key == "" {
		return fmt.Sprintf("kv: %s %s", op, bucket)
	}
	return fmt.Sprintf("kv: %s %s/%+q", op, bucket, key)
}
