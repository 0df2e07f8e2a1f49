package kv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/runnel-go/runnel/internal/backoff"
)

// modifyTries bounds how often Modify runs its function. With the waits in between, that many conflicts in a row mean
// that the key is written all the time, and the caller should know.
const modifyTries = 20

var modifyWait = backoff.Policy{Base: 4 * time.Millisecond, Max: 250 * time.Millisecond}

// Modify reads the document under key, runs change on it and stores what it gives, where nobody wrote the key meanwhile;
// otherwise it does so again, after a short random wait, up to 20 times. It returns the value as a read would, and its revision: the
// value shares no memory with what change returned, and lacks what the codec does not keep.
//
// change is given the zero value and false where there is no document. It may run several times, so it must not have
// effects of its own. An error of change ends Modify as it is, and nothing is stored, if change said so of the document
// that the leader has. Modify ends as Get and Update do, but never with ErrNotFound.
func (b *Bucket[T]) Modify(ctx context.Context, key string, change func(current T, found bool) (T, error)) (T, uint64, error) {
	var zero T
	get, newest := b.Get, false // may be stale, which costs a conflict or another read, and never an update
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

// storeAnew stores a value where the document is at a revision, and returns it as a read would.
func storeAnew[T any](ctx context.Context, c *core, key string, value T, at uint64) (stored T, revision uint64, err error) {
	w, err := c.newWrite("modify", key, &value, expect(at))
	if err != nil {
		return stored, 0, err
	}
	if err := c.unmarshal(w.data, &stored); err != nil {
		var zero T
		return zero, 0, &Error{Op: "modify", Bucket: c.bucket, Key: w.key, Reason: ErrEncode, Err: fmt.Errorf("it could not be read again: %w", err)}
	}
	revision, err = c.commit(ctx, "modify", []write{w})
	return stored, revision, err
}
