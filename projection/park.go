package projection

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// Parked says why a key of a view is not folded any more, and from where on. It is a document beside the view's own,
// under "=parked." and the key, which any NATS client reads. It is written in the batch that passes the event, so it
// and the checkpoint always agree.
type Parked struct {
	Stream   eventstore.StreamID `json:"stream"` // of the first event that could not be folded
	Version  eventstore.Version  `json:"version"`
	Position eventstore.Position `json:"position"`
	Index    int                 `json:"index"` // of the event in its commit
	Type     string              `json:"type"`
	Error    string              `json:"error"`
	Since    time.Time           `json:"since"`
	Waiting  int64               `json:"waiting"`           // events of the key that came after it
	Key      string              `json:"key,omitempty"`     // quoted; only if it cannot be stored
	Source   string              `json:"source,omitempty"`  // the parked key from which the document would have come
	Skipped  []EventRef          `json:"skipped,omitempty"` // discarded before: left out when the key is folded again
	Wish     string              `json:"wish,omitempty"`    // "replay" or "discard", until a runner has done it
}

// EventRef names one event of the log.
type EventRef struct {
	Position eventstore.Position `json:"position"`
	Index    int                 `json:"index"`
}

// The wishes.
const (
	wishReplay  = "replay"
	wishDiscard = "discard"
)

// skips reports whether an event was discarded.
func (p Parked) skips(r eventstore.Recorded) bool {
	return slices.Contains(p.Skipped, EventRef{Position: r.Position, Index: r.Index})
}

// Parked lists the keys that are parked, as of the version that is read at present. It fails like [View.Get].
func (v *View[V]) Parked(ctx context.Context) iter.Seq2[kv.Entry[Parked], error] {
	return listOf(ctx, v.reader, func(g *served[V]) iter.Seq2[kv.Entry[Parked], error] { return g.parked.List(ctx) })
}

// Replay asks the view's runner to fold parked keys again, from the start of the log with the rules of today. If no key
// is named, it asks for all parked keys. It returns once that is noted in the parked documents. The runner does it
// within a second, or as soon as one runs, and folds nothing else meanwhile. A key that fails again stays parked. It
// returns an error that matches ErrNotFound for a key that is not parked. Otherwise it fails like [View.Get].
func (v *View[V]) Replay(ctx context.Context, keys ...string) error {
	return v.operator.wish(ctx, wishReplay, keys)
}

// Discard is Replay without the event that the key is parked for. Once the key is folded again, the event is not
// remembered, so a later build of the view meets it again. It fails like [View.Replay].
func (v *View[V]) Discard(ctx context.Context, keys ...string) error {
	return v.operator.wish(ctx, wishDiscard, keys)
}

// wish notes a wish in parked documents, and then in the record, which wakes the runner. If readers were led to another
// build meanwhile, it does so there again.
func (o *operator[V]) wish(ctx context.Context, wish string, keys []string) error {
	for first := true; ; first = false {
		g, err := o.guide.acquire()
		if err != nil {
			return err
		}
		serves, revision, err := o.wishOn(ctx, g, wish, keys, first)
		o.guide.release(g)
		if serves || err != nil {
			return o.failed(err)
		}
		if err := o.guide.serving.await(ctx, revision); err != nil {
			return o.failed(err)
		}
	}
}

// wishOn notes a wish on one generation, and reports whether that serves still. A key that is not parked is an error
// the first time only: a build may have folded it again.
func (o *operator[V]) wishOn(ctx context.Context, g *served[V], wish string, keys []string, first bool) (serves bool, revision uint64, err error) {
	if len(keys) == 0 {
		for entry, err := range g.parked.List(ctx) {
			if err != nil {
				return false, 0, err
			}
			keys = append(keys, entry.Key)
		}
	}
	for _, key := range keys {
		if err := g.wish(ctx, wish, standIn(key)); err != nil && (first || !errors.Is(err, kv.ErrNotFound)) {
			return false, 0, fmt.Errorf("parked key %s: %w", shownKey(key), err)
		}
	}
	r, revision, err := o.records.change(ctx, func(r record) (record, bool) {
		r.Attend++
		return r, true
	})
	return r.slot(g.version.FoldVersion).Serving == g.version.Bucket, revision, err
}

// wish notes the wish in one parked document, against a runner that counts its events up at the same time. A wish that
// is noted already stays as it is, since a runner that is about to fulfil it would have to begin again.
func (g *generation[V]) wish(ctx context.Context, wish, key string) error {
	return runner.Restarts.Retry(ctx, runner.Conflicts, func() error {
		entry, err := g.parked.GetLeader(ctx, key)
		if err != nil || entry.Value.Wish == wish {
			return err
		}
		entry.Value.Wish = wish
		_, err = g.parked.Update(ctx, key, entry.Value, entry.Revision)
		return err
	})
}

// Pause stops the view's runners, wherever they run and whatever their fold version, until Resume. Once it has
// returned, none folds any more. Readers go on, and so does a build, which serves once it is done, but is not kept up
// to date. Pause returns an error that matches ErrOtherStore if the view's record belongs to another store. After any
// other error, which is the error of asking the servers, call it again.
func (v *View[V]) Pause(ctx context.Context) error {
	r, err := v.operator.pause(ctx, true)
	for foldVersion := range r.Folds {
		if err == nil {
			err = v.operator.halt(ctx, foldVersion)
		}
	}
	return v.spec.failed(err)
}

// Resume takes Pause back. It fails like [View.Pause].
func (v *View[V]) Resume(ctx context.Context) error {
	_, err := v.operator.pause(ctx, false)
	return v.spec.failed(err)
}

func (o *operator[V]) pause(ctx context.Context, paused bool) (record, error) {
	r, _, err := o.records.change(ctx, func(r record) (record, bool) {
		changed := r.Paused != paused
		r.Paused = paused
		return r, changed
	})
	return r, err
}

// halt makes the next write of a fold version's runner fail, once the record says that the view is paused. A build that
// serves from now on needs none, since no runner claims it.
func (o *operator[V]) halt(ctx context.Context, foldVersion int) error {
	return runner.Restarts.Retry(ctx, runner.Conflicts, func() error {
		r, _, err := o.records.read(ctx)
		if err != nil {
			return err
		}
		serving, ok := r.version(foldVersion)
		if !ok || !r.Paused {
			return nil
		}
		_, err = o.buckets.touch(ctx, serving, func(*checkpoint) {})
		return err
	})
}
