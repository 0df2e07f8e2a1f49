package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/guard"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

// FoldError says which event could not be folded into which document, and why. It matches ErrFold and Err, so that
// errors.Is tells a document that is too large (kv.ErrTooLarge) or cannot be encoded (kv.ErrEncode), a key that cannot
// be stored (kv.ErrInvalidKey), and a rule that has not returned (ErrFoldTimeout). The view stands before the event's
// batch: mend the rule and run again, or set [Config.Park], so that the key waits and the others go on.
type FoldError struct {
	View     string
	Stream   eventstore.StreamID
	Version  eventstore.Version
	Position eventstore.Position
	Type     string
	Key      string // of the document, "" if it failed before that was known
	Panic    any    // what a rule, or a method of the event or the document, panicked with, or nil
	Err      error  // why
}

// Error says what to do, too. It calls no code of the user.
func (e *FoldError) Error() string {
	document, advice := "", `mend the rule and run again: an event for which its key function returns "" is left out`
	if e.Key != "" {
		document = ", document " + shownKey(e.Key)
		advice = "mend the rule and run again, or set Config.Park, so that the key waits and the others go on"
	}
	if errors.Is(e.Err, ErrTooManyDocuments) {
		advice = "then run again"
	}
	return fmt.Sprintf("projection: view %s: %v at %s version %d, position %d%s: %s: %s",
		e.View, ErrFold, e.Stream, e.Version, e.Position, document, e.reason(), advice)
}

// reason says what went wrong, without saying where.
func (e *FoldError) reason() string {
	rule := fmt.Sprintf("rule for %q", e.Type)
	if user, ok := errors.AsType[*guard.Error](e.Err); ok {
		return rule + " " + user.Error()
	}
	if e.Err != nil {
		return rule + ": " + e.Err.Error()
	}
	return fmt.Sprintf("%s panicked: %v", rule, e.Panic)
}

// Is reports whether target is ErrFold.
func (e *FoldError) Is(target error) bool { return target == ErrFold }

// Unwrap returns Err.
func (e *FoldError) Unwrap() error { return e.Err }

// blame returns the FoldError of an event and a key.
func (s *spec[V]) blame(r eventstore.Recorded, key string, err error) error {
	failed := &FoldError{
		View: s.name, Stream: r.Stream, Version: r.Version(), Position: r.Position, Type: r.Type(), Key: key, Err: err,
	}
	if user, ok := errors.AsType[*guard.Error](err); ok {
		failed.Panic = user.Panic
		if user.Lasted > 0 {
			failed.Err = fmt.Errorf("%w: %w", ErrFoldTimeout, err)
		}
	}
	return failed
}

// blamed returns the FoldError for an error that says of which key the document could not be written, or the error
// itself. The document names the event that changed it last.
func (s *spec[V]) blamed(ctx context.Context, err error, changed func(key string) (document[V], bool)) error {
	key := keyOf(err)
	if key == "" {
		return err
	}
	d, ok := changed(key)
	if !ok || d.at == 0 {
		return err
	}
	c, readErr := s.store.At(ctx, d.at)
	if readErr != nil || c == nil {
		return err
	}
	return s.blame(eventstore.Recorded{Commit: c, Index: int(d.index)}, key, err)
}

// store sends a document to the bucket of a build. A codec of the user is tried first, since it may hang, and the
// server may be slow.
func (b *build[V]) store(ctx context.Context, key string, d document[V]) error {
	if d.opaque {
		return b.storeEncoded(ctx, key, d.encoded)
	}
	var err error
	if b.spec.shape == nil {
		err = b.tried(key, b.spec.cfg.FoldTimeout, func() error { _, err := within(b.sink).Encode(key, d.value); return err })
	}
	if err == nil {
		err = b.tried(key, b.spec.cfg.FoldTimeout+serverTime, func() error { return b.bulk.Put(ctx, key, d.value) })
	}
	return b.spec.blamed(ctx, err, func(of string) (document[V], bool) {
		if of == key {
			return d, true
		}
		other, ok := b.docs.Get(of) // it was sent before
		return other.document, ok
	})
}

// storeEncoded stores a document that does not decode, after what was sent before.
func (b *build[V]) storeEncoded(ctx context.Context, key string, encoded []byte) error {
	if err := b.bulk.Flush(ctx); err != nil {
		return err
	}
	batch := b.sink.Batch()
	kv.PutEncoded(inside.Pass{}, batch, key, encoded)
	_, err := batch.Commit(ctx)
	return err
}

// tried runs what encodes a document. It returns an error that matches kv.ErrEncode if that does not return.
func (b *build[V]) tried(key string, limit time.Duration, encode func() error) error {
	var err error
	if failed := guard.CallWithin(limit, func() { err = encode() }); failed != nil {
		return &kv.Error{Op: "put", Bucket: b.sink.Name(), Key: key, Reason: kv.ErrEncode, Err: failed}
	}
	return err
}

// guardedReport returns a report of progress that cannot harm the build. A report that fails is told to the logger, and
// not made again.
func (s *spec[V]) guardedReport(report func(eventstore.Progress)) func(eventstore.Progress) {
	failed := false
	return func(p eventstore.Progress) {
		if failed {
			return
		}
		if err := guard.CallWithin(s.cfg.FoldTimeout, func() { report(p) }); err != nil {
			failed = true
			s.logger.Error("projection: the function for a build's progress is not called again", "error", err)
		}
	}
}

// keyOf returns the key of a document that its bucket refused for good, or "".
func keyOf(err error) string {
	failed, ok := errors.AsType[*kv.Error](err)
	if ok && (errors.Is(err, kv.ErrEncode) || errors.Is(err, kv.ErrInvalidKey) || errors.Is(err, kv.ErrTooLarge)) {
		return failed.Key
	}
	return ""
}

// unmarshal decodes an encoded document into a zero document.
func (s *spec[V]) unmarshal(data []byte, value *V) error {
	if s.shape != nil {
		return s.shape.Unmarshal(data, value)
	}
	return s.cfg.Codec.Unmarshal(data, value)
}
