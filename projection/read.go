package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/internal/token"
	"github.com/runnel-go/runnel/kv"
)

// GetOption is an option of one Get.
type GetOption func(*getOptions)

type getOptions struct{ at eventstore.Position }

// At makes Get wait until the view has folded the log up to a position, such as the position in a command's result, so
// that a client reads its own writes. It waits for this fold version: what an older one has folded does not count.
func At(position eventstore.Position) GetOption { return func(o *getOptions) { o.at = position } }

// Get returns the document under a key. It returns an error that matches ErrNotFound if there is none, and ErrNotReady
// while no version of the view is built. With [At] it returns an error that matches ErrPositionAhead if the log does
// not have the position, or ErrParked if the key is parked and so will not come there. With At it blocks until the view
// is there or ctx ends. Once the store has ended, as with ErrLogRewound, all reads end with its error.
func (v *View[V]) Get(ctx context.Context, key string, options ...GetOption) (V, error) {
	var o getOptions
	for _, option := range options {
		option(&o)
	}
	if o.at > 0 {
		return v.reader.getAt(ctx, key, o.at)
	}
	var document inside.Found[V]
	err := v.reader.onCurrent(ctx, func(g *served[V]) (err error) {
		document, _, err = v.reader.readSince(ctx, g, key, 0)
		return err
	})
	return document.Value, err
}

// reader reads from the generation to which a guide leads.
type reader[V any] struct {
	*spec[V]
	buckets  *buckets[V]
	tracker  *tracker
	guide    *guide[V]
	progress *progress // of the runner of this process
	seen     highest
}

// onCurrent reads from the present generation, and again if readers were led to another meanwhile.
func (r *reader[V]) onCurrent(ctx context.Context, read func(*served[V]) error) error {
	for {
		g, err := r.guide.acquire()
		if err != nil {
			return err
		}
		err = read(g)
		again, err := r.judge(ctx, g, err)
		if r.guide.release(g); !again {
			return r.failed(err)
		}
	}
}

// judge reports whether what was read on a generation must be read again: readers were led to another meanwhile, so
// that it may be older than what another reader has read there, or the bucket is gone.
func (r *reader[V]) judge(ctx context.Context, g *served[V], err error) (again bool, _ error) {
	switch {
	case ctx.Err() != nil:
		return false, err
	case !r.guide.serving.good(g):
		return true, nil
	case errors.Is(err, errGone), bucketGone(err), errors.Is(err, kv.ErrUnavailable) && r.buckets.gone(ctx, g.generation):
		err := r.awaitOther(ctx, g)
		return err == nil, err
	}
	return false, err
}

// errGone says that the bucket of a generation was deleted while it was read.
var errGone = errors.New("the bucket was deleted")

// awaitOther waits until readers are led away from a generation whose bucket is gone.
func (r *reader[V]) awaitOther(ctx context.Context, g *served[V]) error {
	if _, err := r.tracker.ask(ctx); err != nil {
		return err
	}
	if r.tracker.now().slot(g.version.FoldVersion).Serving == g.version.Bucket {
		return fmt.Errorf("%w: bucket %s was deleted, run the view to have it built anew", ErrNotReady, g.version.Bucket)
	}
	select {
	case <-g.until:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *reader[V]) getAt(ctx context.Context, key string, position eventstore.Position) (value V, err error) {
	for {
		g, err := r.await(ctx, position)
		if err != nil {
			return value, err
		}
		document, parked, err := r.readSince(ctx, g, key, position)
		if (err == nil || errors.Is(err, kv.ErrNotFound)) && parked.Revision != 0 {
			err = fmt.Errorf("key %s: %w since position %d: %s", shownKey(key), ErrParked, parked.Value.Position, parked.Value.Error)
		}
		again, err := r.judge(ctx, g, err)
		if r.guide.release(g); !again {
			return document.Value, r.failed(err)
		}
	}
}

// readSince reads a document, and whether its key is parked, as of one point in time that is not before a position, nor
// before what this View has read already. A replica may be behind, and so may a leader that was elected a moment ago,
// so the checkpoint is read with the document, and if it is behind, both are read again. A replay, and a part of a
// write, change documents at an unchanged position, so revisions are compared as well. A key that no document can have
// may be parked, so it is looked up under the name under which it is parked then.
func (r *reader[V]) readSince(
	ctx context.Context, g *served[V], key string, position eventstore.Position,
) (document inside.Found[V], parked inside.Found[Parked], err error) {
	bucket, name := within(g.documents), standIn(key)
	for try := 1; ; try++ {
		known := g.last()
		var at inside.Found[checkpoint]
		document, parked = inside.Found[V]{}, inside.Found[Parked]{}
		err = bucket.Read(ctx, bucket.Into(name, &document), within(g.checkpoint).Into(checkpointKey, &at), within(g.parked).Into(name, &parked))
		if err != nil {
			return document, parked, unreadable(err)
		}
		if document.Revision == 0 {
			err = &kv.Error{Op: "get", Bucket: g.documents.Name(), Key: key, Reason: kv.ErrNotFound, Err: checkKey(key)}
		}
		// A server that deletes the bucket says at first that nothing is there, so a missing checkpoint proves nothing.
		seen := r.seen.Load()
		if at.Revision >= max(known.revision, 1) && at.Value.Position >= max(position, seen.Position) {
			g.know(stand{checkpoint: at.Value, revision: at.Revision})
			r.seen.raise(at.Value)
			sure := position == 0 || !at.Value.Parked || parked.Revision != 0 || r.buckets.unparked(ctx, g.generation, name, at.Revision)
			if sure && (err == nil || g.absent(ctx, name)) {
				return document, parked, err
			}
		}
		if !r.guide.serving.good(g) {
			return document, parked, errMoved // read on another generation
		}
		if at.Revision == 0 && r.buckets.gone(ctx, g.generation) {
			return document, parked, errGone
		}
		if err := runner.Restarts.Wait(ctx, try); err != nil {
			return document, parked, err
		}
		if try >= laggingTries && at.Value.Position < seen.Position {
			r.forget(ctx, g, seen)
		}
		if try >= 2*laggingTries && at.Revision < known.revision {
			g.rewind(ctx, known)
		}
	}
}

// laggingTries is how often a document is read again before the log is asked whether it still has what was read.
const laggingTries = 4

// forget takes back that a checkpoint was read if the log has lost the commit there. Then readers begin where the
// bucket is now.
func (r *reader[V]) forget(ctx context.Context, g *served[V], seen *checkpoint) {
	if !errors.Is(verify(ctx, r.store, r.name, *seen), ErrLogRewound) {
		return
	}
	if at, err := g.stand(ctx); err == nil && r.seen.CompareAndSwap(seen, &at.checkpoint) {
		r.logger.WarnContext(ctx, "projection: the log has lost what readers have seen", "position", uint64(seen.Position), "now", uint64(at.Position))
	}
}

// GetMany returns the documents under several keys, as they were at one point in time; those that are not there are
// absent. That point is not before anything that this View has read, or that [View.WaitFor] has waited for. See
// [kv.Bucket.GetMany]. It fails like [View.Get].
func (v *View[V]) GetMany(ctx context.Context, keys ...string) (map[string]kv.Entry[V], error) {
	var entries map[string]kv.Entry[V]
	// No document can have the other keys.
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return checkKey(key) != nil })
	err := v.reader.onCurrent(ctx, func(g *served[V]) error {
		since, err := v.reader.since(ctx, g)
		if err != nil {
			return err
		}
		found, err := within(g.documents).GetMany(ctx, since, keys...)
		if err == nil && len(found) < len(keys) {
			err = g.still(ctx)
		}
		entries = make(map[string]kv.Entry[V], len(found))
		for key, one := range found {
			entries[key] = kv.Entry[V]{Key: key, Value: one.Value, Revision: one.Revision, Time: one.Time}
		}
		return err
	})
	return entries, err
}

// since returns a revision of a bucket from which on it has all that this View has read, or waited for.
func (r *reader[V]) since(ctx context.Context, g *served[V]) (revision uint64, err error) {
	for try := 1; ; try++ {
		seen := r.seen.Load().Position
		if known := g.known.Load(); known != nil && known.Position >= seen {
			return known.revision, nil
		}
		at, err := g.stand(ctx)
		switch {
		case err != nil:
			return 0, err
		case at.revision != 0 && at.Position >= seen:
			g.know(at)
			return at.revision, nil
		case !r.guide.serving.good(g):
			return 0, errMoved
		case at.revision == 0 && r.buckets.gone(ctx, g.generation):
			return 0, errGone
		}
		if err := runner.Restarts.Wait(ctx, try); err != nil {
			return 0, err
		}
	}
}

// List returns the documents whose keys match one of the patterns, or all, least recently changed first. A pattern is a
// key in which a level may be *, and the last one >. All are of the version that was read when it began. See
// [kv.Bucket.List] for what is guaranteed while the view changes. It fails like [View.Get], and with an error that
// matches ErrVersionChanged if Prune has deleted the version meanwhile: list again.
func (v *View[V]) List(ctx context.Context, patterns ...string) iter.Seq2[kv.Entry[V], error] {
	return listOf(ctx, v.reader, func(g *served[V]) iter.Seq2[kv.Entry[V], error] { return g.documents.List(ctx, patterns...) })
}

// listOf lists what the present generation has. If its bucket is gone before the first entry, it lists the next one.
func listOf[V, E any](ctx context.Context, r *reader[V], list func(*served[V]) iter.Seq2[E, error]) iter.Seq2[E, error] {
	return func(yield func(E, error) bool) {
		for again := true; again; {
			g, err := r.guide.acquire()
			if err != nil {
				yield(*new(E), err)
				return
			}
			again = listOn(ctx, r, g, list(g), yield)
			r.guide.release(g)
		}
	}
}

// listOn lists one generation, and reports whether another one must be listed instead.
func listOn[V, E any](ctx context.Context, r *reader[V], g *served[V], entries iter.Seq2[E, error], yield func(E, error) bool) (again bool) {
	yielded := false
	fail := func(err error) (again bool) {
		gone, reason := r.judge(ctx, g, err)
		switch {
		case gone && !yielded:
			return true
		case gone:
			reason = fmt.Errorf("%w: %w", ErrVersionChanged, err)
		}
		yield(*new(E), r.failed(reason))
		return false
	}
	for entry, err := range entries {
		if err != nil {
			return fail(err)
		}
		if yielded = true; !yield(entry, nil) {
			return false
		}
	}
	if err := g.still(ctx); err != nil {
		return fail(err)
	}
	return false
}

// Watch returns the documents as List does, then a change that is Synced, and then every change until ctx ends. When
// readers are led to another version, it ends with an error that matches ErrVersionChanged: watch again to see the new
// one from its start. See [kv.Bucket.Watch].
func (v *View[V]) Watch(ctx context.Context, patterns ...string) iter.Seq2[kv.Change[V], error] {
	return func(yield func(kv.Change[V], error) bool) {
		g, err := v.guide.acquire()
		if err != nil {
			yield(kv.Change[V]{}, err)
			return
		}
		defer v.guide.release(g)
		ctx, end := g.whileServed(ctx)
		defer end()
		for change, err := range g.documents.Watch(ctx, patterns...) {
			if !yield(change, v.spec.failed(err)) {
				return
			}
		}
	}
}

// still returns errGone unless the bucket is there. Then the answers before that were true. A server that deletes a
// bucket answers at first as if it were empty.
func (g *generation[V]) still(ctx context.Context) error {
	at, err := g.stand(ctx)
	if err == nil && at.revision == 0 {
		return errGone
	}
	return err
}

// absent reports whether the bucket's leader has no document under a key. A replica that catches up deletes what was
// replaced before it gets what replaces it.
func (g *generation[V]) absent(ctx context.Context, key string) bool {
	_, err := g.documents.GetLeader(ctx, key)
	return errors.Is(err, kv.ErrNotFound)
}

// gone reports whether the bucket of a generation does not exist any more. Direct gets of such a bucket have no answer.
func (b *buckets[V]) gone(ctx context.Context, g *generation[V]) bool {
	_, err := b.client.StreamInfo(ctx, kvstream.Name(g.version.Bucket))
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

// unparked reports whether a key was not parked at a revision, as a replica has said. A replica that catches up deletes
// what says that the key is parked before it gets what replaces that, so the leader is asked. Its answer counts if it
// says that the key was not parked by then, and if the leader has come that far: one that was elected a moment ago may
// not have.
func (b *buckets[V]) unparked(ctx context.Context, g *generation[V], key string, revision uint64) bool {
	encoded, err := token.EncodeKey(key)
	if err != nil {
		return true // no document has such a key
	}
	bucket := g.version.Bucket
	msg, err := b.client.LeaderLast(ctx, kvstream.Name(bucket), kvstream.Subject(bucket, inside.Named("parked").Prefix()+encoded))
	if errors.Is(err, jsapi.ErrNotFound) {
		at, err := g.stand(ctx)
		return err == nil && at.revision >= revision
	}
	return err == nil && msg.Sequence <= revision && msg.Header.Get("KV-Operation") != ""
}

// highest is the highest checkpoint that was read.
type highest struct{ atomic.Pointer[checkpoint] }

func (h *highest) raise(to checkpoint) {
	for now := h.Load(); now.Position < to.Position; now = h.Load() {
		next := to
		if h.CompareAndSwap(now, &next) {
			return
		}
	}
}
