package kv

import (
	"context"
	"errors"
	"time"

	"github.com/runnel-go/runnel/internal/backoff"
)

// modifyTries bounds how often Modify runs its function. With the waits in between, that many conflicts in a row mean
// that the key is written all the time, and the caller should know.
const modifyTries = 20

var modifyWait = backoff.Policy{Base: 4 * time.Millisecond, Max: 250 * time.Millisecond}

// Modify reads the document under key, runs change on it and stores what it gives, where nobody wrote the key meanwhile;
// otherwise it does so again, after a short random wait, up to 20 times. It gives the value stored and its revision.
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
		revision, err := b.core.writeKey(ctx, "modify", key, &changed, expect(current.Revision))
		if err == nil {
			return changed, revision, nil
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
