package kv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/internal/backoff"
)

// modifyTries bounds how many conflicts Modify meets before it gives up. Because of the waits between them, that
// many mean that the key is written all the time, which the caller should know.
const modifyTries = 20

var modifyWait = backoff.Policy{Base: 4 * time.Millisecond, Max: 250 * time.Millisecond}

// Modify reads the document under key, calls change with it and stores what change returns. If another writer wrote
// the key meanwhile, Modify waits a short random time and does all of it again, up to 20 times.
//
// Modify returns the stored value and its revision. The value is what a read would return: it shares no memory with
// what change returned, and lacks what the codec does not keep.
//
// If there is no document, change is called with the zero value and false. Modify may call it several times, so it
// must have no side effects. If change returns an error for the document that the leader has, nothing is stored, and
// Modify returns that error as it is. Otherwise it fails like [Bucket.GetLeader] and [Bucket.Update], but never with
// ErrNotFound.
func (b *Bucket[T]) Modify(ctx context.Context, key string, change func(current T, found bool) (T, error)) (T, uint64, error) {
	var zero T
	get, newest := b.Get, false // a stale read costs a conflict or another read, but never loses an update
	for try := 1; ; {
		current, err := get(ctx, key)
		found := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return zero, 0, err
		}
		changed, err := change(current.Value, found)
		if err != nil && newest {
			return zero, 0, err
		}
		get, newest = b.GetLeader, true
		if err != nil {
			continue
		}
		stored, revision, err := storeAnew(ctx, b.core, key, changed, current.Revision)
		if err == nil {
			return stored, revision, nil
		}
		if !errors.Is(err, ErrConflict) || try == modifyTries {
			return zero, 0, err
		}
		if ended := modifyWait.Wait(ctx, try); ended != nil {
			return zero, 0, &Error{Op: "modify", Bucket: b.core.bucket, Key: key, Reason: err, Err: ended}
		}
		try++
	}
}

// storeAnew stores a value if the document is at a revision, and returns it as a read would.
func storeAnew[T any](ctx context.Context, c *core, key string, value T, at uint64) (stored T, revision uint64, err error) {
	w, err := c.newWrite("modify", key, &value, expect(at))
	if err != nil {
		return stored, 0, err
	}
	if err := c.unmarshal(w.data, &stored); err != nil {
		var zero T
		return zero, 0, &Error{Op: "modify", Bucket: c.bucket, Key: w.key, Reason: ErrEncode, Err: fmt.Errorf("what it is encoded to cannot be decoded: %w", err)}
	}
	revision, err = c.commit(ctx, "modify", []write{w})
	return stored, revision, err
}
