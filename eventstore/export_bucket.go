package eventstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/token"
)

const (
	headerMarkerReason = "Nats-Marker-Reason" // of a deletion that the server made

	// tornAfter is how long a bucket may rest inside an atomic batch. The server stores a batch at once, so a longer
	// rest means that a power cut tore it.
	tornAfter = time.Second
	// bucketWait is how long a fetch waits for a pending message. A message that is damaged on disk is pending and
	// never comes.
	bucketWait = 500 * time.Millisecond
)

// bucketReader writes one bucket into an archive.
type bucketReader struct {
	conn   *conn
	bucket string
	write  func(frame) error

	last    uint64    // sequence up to which the bucket is read
	inside  bool      // the message there is part of a batch and not its end
	moved   time.Time // when last rose last
	read    int       // messages
	written int       // messages, without those that are true of this server only
}

// run reads the messages in their order, those that come meanwhile included, until the leader says that the last one
// read is the bucket's last. Then the archive has what the bucket held at that moment. If a message was overwritten
// before it was read, the newer message was read. The archive may hold both, and the later counts.
func (b *bucketReader) run(ctx context.Context) error {
	if err := token.CheckName(b.bucket); err != nil {
		return fmt.Errorf("%w: name: %w", ErrSettings, err)
	}
	info, err := b.info(ctx)
	if err != nil {
		return err
	}
	if reason := unfitBucket(info.Config, b.bucket); reason != "" {
		return fmt.Errorf("%w: %s: %s", ErrSettings, b.bucket, reason)
	}
	if err := b.write(bucketFrameOf(b.bucket, info.Config)); err != nil {
		return err
	}
	b.moved = time.Now()
	for try := 0; ; {
		before := b.last
		err := b.pass(ctx, info.State.LastSeq)
		if err != nil && !b.transient(err) {
			return because("bucket "+b.bucket, err)
		}
		if b.last != before {
			try, b.moved = 0, time.Now()
		}
		if info, err = b.info(ctx); err != nil {
			return err
		}
		switch {
		case info.State.LastSeq == b.last && !b.inside:
			return b.complete(info.State.Msgs)
		case b.inside && time.Since(b.moved) > tornAfter:
			return fmt.Errorf("%w: %s: its last message is part of an atomic batch without its end, which a power cut tore: leave it out, or build it anew",
				ErrSettings, b.bucket)
		}
		if b.last == before {
			try++
			if err := b.conn.reads.Pause(ctx, rescans, try); err != nil {
				return fmt.Errorf("bucket %s, read up to revision %d of %d: %w", b.bucket, b.last, info.State.LastSeq, err)
			}
		}
	}
}

// complete compares the count of what was read with what the leader counts, because a server passes over a damaged
// message silently. If messages were overwritten after they were read, more were read than the leader counts, which
// hides such damage.
func (b *bucketReader) complete(messages uint64) error {
	if uint64(b.read) < messages {
		return &ReadError{Store: b.conn.store, Reason: ErrCorrupt,
			Err: fmt.Errorf("bucket %s holds %d messages, of which %d can be read", b.bucket, messages, b.read)}
	}
	return nil
}

// info asks the bucket's leader, and waits for one.
func (b *bucketReader) info(ctx context.Context) (jetstream.StreamInfo, error) {
	info, err := b.conn.leaderInfo(ctx, kvstream.Name(b.bucket))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return info, fmt.Errorf("%w: there is no bucket %s", ErrSettings, b.bucket)
	}
	if err != nil {
		return info, fmt.Errorf("bucket %s: %w", b.bucket, err)
	}
	return info, nil
}

// transient reports whether reading may go on after an error of the server or the connection.
func (b *bucketReader) transient(err error) bool {
	return errors.Is(err, errAgain) && !b.conn.reads.Session().Closed() && !jsapi.IsRefusal(err)
}

// errAgain is returned by a pass that is not over.
var errAgain = errors.New("read on")

// pass reads up to a sequence with a consumer of its own.
func (b *bucketReader) pass(ctx context.Context, upTo uint64) error {
	if b.last >= upTo {
		return nil
	}
	stream, cfg := kvstream.Name(b.bucket), consumerFrom(b.last+1)
	defer b.conn.reads.DropConsumer(stream, cfg.Name)
	consumer, err := b.conn.reads.CreateConsumer(ctx, stream, cfg)
	if err != nil {
		return errors.Join(errAgain, err)
	}
	if consumer.NumPending == 0 {
		return b.rest(ctx, upTo)
	}
	pull, err := b.conn.reads.NewPull(stream, consumer, aheadOf(b.conn.reads))
	if err != nil {
		return errors.Join(errAgain, err)
	}
	defer pull.Close()
	for delivered := uint64(1); b.last < upTo; delivered++ {
		msg, err := pull.Next(ctx, bucketWait)
		switch {
		case err != nil && ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil || msg == nil:
			return errors.Join(errAgain, err)
		}
		meta, err := msg.Metadata()
		switch {
		case err != nil:
			return err
		case meta.Sequence.Consumer != delivered:
			return errAgain // a message was lost on the way
		}
		if err := b.message(msg, meta.Sequence.Stream); err != nil {
			return err
		}
		if meta.NumPending == 0 && b.last < upTo {
			return b.rest(ctx, upTo)
		}
	}
	return nil
}

// rest decides what it means that the consumer has nothing left though the bucket goes on: no message is left, as the
// leader must confirm.
func (b *bucketReader) rest(ctx context.Context, upTo uint64) error {
	_, err := b.conn.api.LeaderNext(ctx, kvstream.Name(b.bucket), kvstream.Subject(b.bucket, ">"), b.last+1)
	if errors.Is(err, jsapi.ErrNotFound) {
		b.last = upTo
		return nil
	}
	return errors.Join(errAgain, err)
}

func (b *bucketReader) message(msg *nats.Msg, sequence uint64) error {
	key, ok := strings.CutPrefix(msg.Subject, kvstream.Subject(b.bucket, ""))
	if !ok || !validKey(key) {
		return fmt.Errorf("%w: %s: subject %q is not one of a NATS KV key", ErrSettings, b.bucket, msg.Subject)
	}
	header := msg.Header
	b.last = sequence
	b.inside = jsapi.InsideBatch(header)
	b.read++
	if b.ofTheServer(key) {
		return nil
	}
	b.written++
	return b.write(messageFrame{Key: key, Header: keptHeader(header), Data: msg.Data})
}

// ofTheServer reports whether a document says something about this server's log that is not true of a copy of the log.
func (b *bucketReader) ofTheServer(key string) bool {
	return b.bucket == control.Bucket(b.conn.store) && (key == markKey || key == acceptedKey)
}

// keptHeader returns the part of a header that belongs to the document and not to its publish.
func keptHeader(header nats.Header) []string {
	var kept []string
	for _, name := range slices.Sorted(maps.Keys(header)) {
		if !ownHeader(name) {
			continue
		}
		for _, value := range header[name] {
			kept = append(kept, name, value)
		}
	}
	return kept
}

// ownHeader reports whether a header belongs to the document. The headers of NATS have one prefix, and only the mark of
// a deletion is kept of them.
func ownHeader(name string) bool {
	const natsOwn = "Nats-"
	return name == headerMarkerReason || len(name) < len(natsOwn) || !strings.EqualFold(name[:len(natsOwn)], natsOwn)
}

// validKey reports whether key is one that NATS KV allows (ADR-8 of NATS).
func validKey(key string) bool {
	if key == "" || len(key) > 1024 || strings.HasPrefix(key, ".") || strings.HasSuffix(key, ".") || strings.Contains(key, "..") {
		return false
	}
	return strings.IndexFunc(key, func(c rune) bool {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		return !letter && !strings.ContainsRune("-/_=.", c)
	}) < 0
}

// unfitBucket says why a bucket cannot be restored as it is, or returns "".
func unfitBucket(have jetstream.StreamConfig, bucket string) string {
	switch {
	case !slices.Contains(have.Subjects, kvstream.Subject(bucket, ">")):
		return "its JetStream stream does not take the subjects " + kvstream.Subject(bucket, ">")
	case have.MaxAge > 0 || have.AllowMsgTTL:
		return "its documents expire, which a restored one would do too late: leave it out"
	}
	return ""
}

func bucketFrameOf(bucket string, have jetstream.StreamConfig) bucketFrame {
	f := bucketFrame{
		Name: bucket, Description: have.Description, History: have.MaxMsgsPerSubject, MaxBytes: have.MaxBytes,
		MaxSize: int64(have.MaxMsgSize), Compressed: have.Compression != jetstream.NoCompression,
	}
	for key, value := range have.Metadata {
		if strings.HasPrefix(key, "_nats.") || key == metaImport {
			continue // the server's, and ours
		}
		if f.Metadata == nil {
			f.Metadata = make(map[string]string)
		}
		f.Metadata[key] = value
	}
	return f
}
