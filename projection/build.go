package projection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

const (
	// leaseCheck is after how many commits a build looks whether its lease and its reports are due.
	leaseCheck = 256
	// reportEvery is how far reports of progress are apart.
	reportEvery = 250 * time.Millisecond
)

// errTaken says that another instance builds in this one's place.
var errTaken = errors.New("another instance builds the view")

// Rebuild folds the view at its fold version anew, in a bucket of its own, and leads readers there once it has caught up. What
// serves now goes on serving until then, and its runner, if there is one, goes on with the new one after. It blocks until
// readers of this View read what was built; those of others hear of it a moment later. A build that is under way elsewhere is
// waited for, and then another one is made. The report, which may be nil, is told how it goes on, a few times a second. It fails
// like [View.Run].
func (v *View[V]) Rebuild(ctx context.Context, report func(eventstore.Progress)) error {
	if report == nil {
		report = func(eventstore.Progress) {}
	}
	for {
		flipped, err := v.build(ctx, report)
		switch {
		case err == nil:
			return v.failed(v.serving.await(ctx, flipped))
		case !errors.Is(err, errTaken):
			return err
		}
	}
}

// build makes a new generation and leads readers to it, and gives the revision of the catalog that does:
//
//	lease free?  no: wait until it is left or not renewed, next turn
//	yes -> fold the log into memory -> write documents, checkpoint -> catch up in batches
//	    -> stop the runner of what served before -> catch up with where it stopped -> flip -> leave the lease
func (v *View[V]) build(ctx context.Context, report func(eventstore.Progress)) (flipped uint64, err error) {
	b := &build[V]{folder: newFolder(v), id: newBuild(), begun: time.Now(), tell: report}
	if err := b.lease(ctx); err != nil {
		return 0, err
	}
	g, err := b.run(ctx)
	v.progress.end(b.id)
	if err != nil {
		return 0, errors.Join(b.unlessTaken(ctx, err), b.abandon(ctx))
	}
	v.logger.InfoContext(ctx, "projection: view built", "bucket", g.version.Bucket, "events", b.progress.Events, "took", time.Since(b.begun).String())
	return b.flipped, errors.Join(g.close(), v.catalog.building.Delete(ctx, versionKey(v.foldVersion)))
}

// build is one build. Its bucket is written by nobody else and read by nobody until the flip.
type build[V any] struct {
	*folder[V]
	id       string
	begun    time.Time
	tell     func(eventstore.Progress)
	revision uint64 // of the lease
	beat     uint64
	leased   time.Time // when the lease was written last
	reported time.Time
	flipped  uint64 // the revision of the catalog at which readers are led to the build

	generation *generation[V]
	bulk       *kv.Bulk[V]
	docs       *lru.Cache[string, built[V]]
	evicted    map[string]struct{} // keys whose document is in the bucket and not in docs
	progress   eventstore.Progress
	last       *eventstore.Commit
}

// built is a document in the memory of a build.
type built[V any] struct {
	document[V]
	dirty bool // not in the bucket as it is
}

// buckets lists the buckets of the view that a function picks.
func (v *View[V]) buckets(ctx context.Context, pick func(bucket string) bool) (picked []string, err error) {
	err = v.ask(ctx, func(client *jsapi.Client) error {
		streams, err := client.StreamNames(ctx, "$KV.*.>")
		for _, stream := range streams {
			name, ok := strings.CutPrefix(stream, "KV_")
			if ok && v.catalog.isBucket(name) && pick(name) {
				picked = append(picked, name)
			}
		}
		return err
	})
	return picked, err
}

// deleteBuckets deletes buckets of the view. That one is not there any more is no error.
func (v *View[V]) deleteBuckets(ctx context.Context, buckets []string) error {
	if len(buckets) == 0 {
		return nil
	}
	return v.ask(ctx, func(client *jsapi.Client) error {
		for _, name := range buckets {
			if err := client.DeleteStream(ctx, "KV_"+name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return err
			}
			v.logger.InfoContext(ctx, "projection: bucket deleted", "bucket", name)
		}
		return nil
	})
}

// ask asks the server through a client of its own.
func (v *View[V]) ask(ctx context.Context, ask func(*jsapi.Client) error) error {
	client, err := jsapi.New(ctx, v.store.JetStream())
	if err != nil {
		return err
	}
	return errors.Join(ask(client), client.Close())
}

func (b *build[V]) run(ctx context.Context) (*generation[V], error) {
	v, reconnects := b.view, b.view.reconnects()
	version := Version{FoldVersion: v.foldVersion, Bucket: v.catalog.bucketOf(v.foldVersion, b.id), Build: b.id}
	g, err := openGeneration(ctx, v, version)
	if err != nil {
		return nil, err
	}
	b.generation, b.bulk = g, g.documents.Bulk()
	b.docs, b.evicted = lru.New[string, built[V]](v.cfg.buildCacheSize()), make(map[string]struct{})
	if err := b.fill(ctx); err != nil {
		return nil, err
	}
	s := newSession(v, g)
	s.reconnects = reconnects
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	return g, b.takeOver(ctx, s)
}

// fill folds the log as it is now into memory, and writes what became of it.
func (b *build[V]) fill(ctx context.Context) error {
	var err error
	if b.progress.End, err = b.view.store.End(ctx); err != nil {
		return runner.Unavailable(err)
	}
	var group []*eventstore.Commit
	for c, err := range b.view.store.Log(ctx) {
		if err != nil {
			return err
		}
		if group = append(group, c); !c.Whole() {
			continue
		}
		changes, err := b.changes(group)
		if err != nil {
			return err
		}
		for _, one := range changes {
			if err := b.apply(ctx, b, one); err != nil {
				return err
			}
		}
		for _, c := range group {
			if err := b.count(ctx, c); err != nil {
				return err
			}
		}
		group = group[:0]
	}
	return b.write(ctx)
}

// count notes that a commit is folded, renews the lease and reports, when they are due.
func (b *build[V]) count(ctx context.Context, c *eventstore.Commit) error {
	b.last = c
	b.progress.Position = c.Position
	b.progress.Commits++
	b.progress.Events += int64(c.Len())
	if b.progress.Commits%leaseCheck != 0 {
		return nil
	}
	return b.report(ctx)
}

func (b *build[V]) report(ctx context.Context) error {
	now := time.Now()
	b.progress.Elapsed = now.Sub(b.begun)
	if now.Sub(b.reported) >= reportEvery {
		b.reported = now
		b.tell(b.progress)
	}
	if now.Sub(b.leased) >= b.view.cfg.heartbeat() {
		return b.renew(ctx)
	}
	return nil
}

// get gives a document from memory, or from the bucket where it was put when memory was full.
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
	entry, err := b.generation.documents.GetLeader(ctx, key)
	if errors.Is(err, kv.ErrNotFound) {
		return document[V]{deleted: true}, nil
	}
	return document[V]{value: entry.Value}, err
}

func (b *build[V]) set(ctx context.Context, key string, d document[V]) error {
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
	return b.bulk.Put(ctx, key, d.value)
}

// write puts all documents that are in memory, and then the checkpoint with what is parked.
func (b *build[V]) write(ctx context.Context) error {
	n := 0
	for key, d := range b.docs.All() {
		if n++; n%leaseCheck == 0 {
			if err := b.report(ctx); err != nil {
				return err
			}
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
	for key, p := range b.parked {
		if _, err := b.generation.parked.Update(ctx, key, p, 0); err != nil {
			return err
		}
	}
	at := checkpoint{Store: b.view.store.Identity(), Runner: b.view.runner, Write: uuid.NewString()}
	if b.last != nil {
		at.Position, at.Commit = b.last.Position, b.last.ID.String()
	}
	if _, err := b.generation.checkpoint.Update(ctx, at, 0); err != nil {
		return err
	}
	b.docs, b.evicted = nil, nil
	b.progress.Elapsed = time.Since(b.begun)
	b.tell(b.progress)
	return b.renew(ctx)
}

// takeOver catches up with the log and leads readers to the new generation.
func (b *build[V]) takeOver(ctx context.Context, s *session[V]) error {
	v, key := b.view, versionKey(b.view.foldVersion)
	for {
		before := s.at.Position
		if err := s.catchUp(ctx); err != nil {
			return err
		}
		if err := b.renew(ctx); err != nil {
			return err
		}
		if s.at.Position-before < nearEnd {
			break
		}
	}
	old, revision, err := v.catalog.version(ctx, key)
	if err != nil {
		return err
	}
	if revision != 0 {
		if err := b.retire(ctx, old); err != nil {
			return err
		}
		if err := s.catchUp(ctx); err != nil {
			return err
		}
	}
	if err := b.renew(ctx); err != nil {
		return err
	}
	to := s.generation.version
	to.Since, to.Position = time.Now().UTC(), s.at.Position
	if b.flipped, err = v.catalog.flip(ctx, to, revision); err != nil {
		return fmt.Errorf("lead readers to build %s: %w", to.Build, err)
	}
	s.generation.version = to
	return nil
}

// nearEnd is how many positions a build may have come on in one catching up to be near enough to the log's end.
const nearEnd = 1000

// retire stops the runner of the generation that is about to be replaced. What it has written until then is in the log, so
// that catching up once more leads readers no step back.
func (b *build[V]) retire(ctx context.Context, old Version) error {
	return b.view.fence(ctx, old, func(at *checkpoint) { at.Retired = b.id })
}

// fence moves the checkpoint of a version without anything else, so that the next write of its runner fails.
func (v *View[V]) fence(ctx context.Context, version Version, change func(*checkpoint)) error {
	g, err := openGeneration(ctx, v, version)
	if err != nil {
		return err
	}
	for try := 1; ; try++ {
		at, err := g.stand(ctx)
		if err == nil {
			change(&at.checkpoint)
			at.Write = uuid.NewString()
			_, err = g.checkpoint.Update(ctx, at.checkpoint, at.revision)
		}
		if err == nil || !errors.Is(err, kv.ErrConflict) {
			return errors.Join(err, g.close())
		}
		if err := runner.Restarts.Wait(ctx, try); err != nil {
			return errors.Join(err, g.close())
		}
	}
}
