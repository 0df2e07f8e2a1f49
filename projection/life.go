package projection

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/runner"
	"github.com/runnel-go/runnel/kv"
)

// Whether a holder lives is shown by time, beside its work: a goroutine of its own writes a sign of life each
// Config.Heartbeat, for as long as the process lives and the work goes on. A runner writes the checkpoint of the bucket
// that serves, and a build writes the document "life" in its own bucket. An instance that sees no new sign for
// Config.StandBy takes over. That only keeps two instances from the same work. The record and the checkpoints decide
// which of them may write.

// life is the sign of life of a build, and how far it is.
type life struct {
	Progress eventstore.Progress `json:"progress" msgpack:"progress"`
}

// vigil notes for how long something has given no new sign of life.
type vigil struct {
	sign   string
	silent time.Duration
	looked time.Time // when it was looked at last; zero before the first time
}

// silence returns for how long a sign has been the last one. The age is how old the sign was already, if it is the
// first one. Between two looks counts atMost. If more time than that has passed, the servers did not answer, and nobody
// could show life.
func (w *vigil) silence(sign string, age, atMost time.Duration) time.Duration {
	now := time.Now()
	switch {
	case w.looked.IsZero():
		w.silent = age
	case w.sign != sign:
		w.silent = 0
	default:
		w.silent += min(now.Sub(w.looked), atMost)
	}
	w.sign, w.looked = sign, now
	return w.silent
}

// sign returns the last sign of life in a bucket, from the document "checkpoint" or "life". It is empty if there is
// none yet, or no bucket.
func (b *buckets[V]) sign(ctx context.Context, bucket, key string) (string, error) {
	if bucket == "" {
		return "", nil
	}
	msg, err := b.client.LeaderLast(ctx, kvstream.Name(bucket), kvstream.Subject(bucket, inside.Single().Prefix()+key))
	switch {
	case errors.Is(err, jsapi.ErrNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return "", nil
	case err != nil:
		return "", runner.Unavailable(err)
	}
	return fmt.Sprint(msg.Sequence), nil
}

// lives reports whether a build has given a sign of life within Config.StandBy.
func (b *buckets[V]) lives(ctx context.Context, w *vigil, bucket string) (bool, error) {
	sign, err := b.sign(ctx, bucket, "life")
	if err != nil {
		return false, err
	}
	return w.silence(bucket+" "+sign, 0, b.cfg.Heartbeat) < b.cfg.StandBy, nil
}

// progressOf reads how far a build is.
func (b *buckets[V]) progressOf(ctx context.Context, bucket string) (eventstore.Progress, error) {
	g, err := b.open(ctx, Version{Bucket: bucket})
	if bucketGone(err) {
		return eventstore.Progress{}, nil
	}
	if err != nil {
		return eventstore.Progress{}, err
	}
	entry, err := g.life.GetLeader(ctx, lifeKey)
	if errors.Is(err, kv.ErrNotFound) {
		err = nil
	}
	return entry.Value.Progress, errors.Join(err, g.close())
}

// age returns how long ago the server that leads a bucket took a write, by its own clock.
func (b *buckets[V]) age(ctx context.Context, bucket string, written time.Time) (time.Duration, error) {
	info, err := b.client.StreamInfo(ctx, kvstream.Name(bucket))
	if err != nil {
		return 0, runner.Unavailable(err)
	}
	return max(info.TimeStamp.Sub(written), 0), nil
}
