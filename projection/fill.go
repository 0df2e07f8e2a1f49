package projection

import (
	"context"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/internal/runner"
)

// fill folds the log as it is now into memory.
func (b *build[V]) fill(ctx context.Context) error {
	b.sink, b.bulk = b.generation.documents, within(b.generation.documents).Bulk()
	b.docs, b.evicted = lru.New[string, built[V]](b.spec.cfg.BuildCacheSize), make(map[string]struct{})
	var err error
	if b.progress.End, err = b.spec.store.End(ctx); err != nil {
		return runner.Unavailable(err)
	}
	for groups, err := range batches(b.spec.store.Log(ctx), 0) {
		if err != nil {
			return err
		}
		units, err := b.plan(groups)
		if err != nil {
			return err
		}
		if err := b.fold(ctx, b, units, nil, nil); err != nil {
			return err
		}
		for _, group := range groups {
			for _, c := range group {
				b.count(c)
			}
		}
	}
	return nil
}

// count notes that a commit is folded, and reports if that is due.
func (b *build[V]) count(c *eventstore.Commit) {
	b.last = c
	b.progress.Position = c.Position
	b.progress.Commits++
	b.progress.Events += int64(c.Len())
	if b.progress.Commits%reportCheck == 0 {
		b.report()
	}
}

func (b *build[V]) report() {
	now := time.Now()
	b.progress.Elapsed = now.Sub(b.begun)
	if now.Sub(b.reported) < reportEvery {
		return
	}
	b.reported = now
	b.tellAll()
}

// tellAll tells the caller and the sign of life how far the build is.
func (b *build[V]) tellAll() {
	progress := b.progress
	b.told.Store(&progress)
	b.tell(progress)
}

// get returns a document from memory, or from the bucket if it was put there when memory was full.
func (b *build[V]) get(ctx context.Context, key string) (document[V], error) {
	if d, ok := b.docs.Get(key); ok {
		return d.document, nil
	}
	if _, ok := b.evicted[key]; !ok {
		return document[V]{deleted: true}, nil
	}
	if err := b.bulk.Flush(ctx); err != nil {
		return document[V]{}, err
	}
	return b.stored(ctx, b.sink, key)
}

func (b *build[V]) set(ctx context.Context, key string, d document[V]) error {
	if !d.opaque {
		d.encoded = nil // a build keeps so many documents that this would take too much memory
	}
	old, dropped, ok := b.docs.Push(key, built[V]{document: d, dirty: true})
	if !ok || !dropped.dirty {
		return nil
	}
	return b.put(ctx, old, dropped.document)
}

// put writes a document that memory has no room for, or at the end.
func (b *build[V]) put(ctx context.Context, key string, d document[V]) error {
	if d.deleted {
		if _, there := b.evicted[key]; !there {
			return nil
		}
		return b.generation.documents.Delete(ctx, key)
	}
	b.evicted[key] = struct{}{}
	return b.store(ctx, key, d)
}

// write puts all documents that are in memory, and then the checkpoint with what is parked.
func (b *build[V]) write(ctx context.Context) error {
	n := 0
	for key, d := range b.docs.All() {
		if n++; n%reportCheck == 0 {
			b.report()
		}
		if !d.dirty {
			continue
		}
		if err := b.put(ctx, key, d.document); err != nil {
			return err
		}
	}
	if err := b.bulk.Flush(ctx); err != nil {
		return err
	}
	if err := b.writeParked(ctx); err != nil {
		return err
	}
	at := checkpoint{Store: b.spec.store.Identity(), Runner: b.runner, Write: b.id, Parked: len(b.parked) > 0}
	if b.last != nil {
		at.Position, at.Commit = b.last.Position, b.last.ID.String()
	}
	if _, err := b.generation.checkpoint.Put(ctx, checkpointKey, at); err != nil {
		return err
	}
	b.docs, b.evicted = nil, nil
	b.progress.Elapsed = time.Since(b.begun)
	b.tellAll()
	return nil
}

// writeParked writes what is parked, in as few batches as the server takes.
func (b *build[V]) writeParked(ctx context.Context) error {
	if len(b.parked) == 0 {
		return nil
	}
	room, err := runner.RoomIn(ctx, b.generation.documents)
	if err != nil {
		return err
	}
	batch := b.generation.documents.Batch()
	for key, p := range b.parked {
		if joined(batch, b.generation.parked).Put(key, p); batch.Len() < room {
			continue
		}
		if _, err := batch.Commit(ctx); err != nil {
			return err
		}
		batch = b.generation.documents.Batch()
	}
	if batch.Len() > 0 {
		_, err = batch.Commit(ctx)
	}
	return err
}

// writeAll is write, again if the servers were away for a while. That is possible as long as memory had room for
// all documents.
func (b *build[V]) writeAll(ctx context.Context) error {
	if spilled := len(b.evicted) > 0; spilled {
		return b.write(ctx)
	}
	return runner.Restarts.Retry(ctx, b.passing, func() error {
		b.bulk = within(b.generation.documents).Bulk()
		return b.write(ctx)
	})
}
