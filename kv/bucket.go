package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/ondisk"
	"github.com/runnel-go/runnel/internal/token"
)

// Bucket holds documents of one type under keys. It is safe for concurrent use.
type Bucket[T any] struct {
	core *core
}

// Entry is a document as it is stored.
type Entry[T any] struct {
	Key   string
	Value T
	// Revision is the position of this write in the bucket. It is never 0, and each later write has a higher one.
	Revision uint64
	// Time is when the server stored the write, by the server's clock.
	Time time.Time
}

// Open opens the bucket of that name, and creates it if it does not exist. The caller must Close it. A nil cfg has all
// defaults. Open blocks until the server has answered, ctx ends or Config.Timeout has passed.
//
// The name has 1 to 64 letters, digits, - or _. If the bucket exists, Open allows atomic batches and stores the name
// of the codec, unless both are there already, because nats.go's CreateOrUpdateKeyValue removes them.
//
// The error matches ErrSettings if the name, cfg, the connection or a setting of the bucket does not fit. It matches
// ErrEncode if the codec would lose something of T, and ErrNoBucket if the bucket does not exist and Config.Existing is
// set. Else it matches ErrRefused or ErrUnavailable. Nothing was created then, unless the connection broke on the way.
func Open[T any](ctx context.Context, js jetstream.JetStream, bucket string, cfg *Config) (*Bucket[T], error) {
	full, err := cfg.withDefaults()
	if err != nil {
		return nil, refused(bucket, err)
	}
	docs, err := documentsOf[T](full.Codec)
	if err != nil {
		return nil, &Error{Op: "open", Bucket: bucket, Reason: ErrEncode, Err: err}
	}
	c, err := open(ctx, js, bucket, full, docs)
	if err != nil {
		return nil, err
	}
	return &Bucket[T]{core: c}, nil
}

// Name returns the bucket's name.
func (b *Bucket[T]) Name() string { return b.core.bucket }

// Close ends the subscription on which replies arrive. Later reads and writes fail, and so do those that wait for an
// answer. An iterator goes on until its context ends. The connection stays open. Close may be called more than once.
func (b *Bucket[T]) Close() error {
	if err := b.core.client.Close(); err != nil {
		return &Error{Op: "close", Bucket: b.core.bucket, Err: err}
	}
	return nil
}

// core is a bucket with the type of its documents.
type core struct {
	*shared
	documents
	place string // stands before each key in a bucket beside another one, else empty
}

// shared is what a bucket and those beside it have in common.
type shared struct {
	bucket  string
	stream  string // "KV_<bucket>"
	prefix  string // "$KV.<bucket>.", before each KV key
	client  *jsapi.Client
	disk    *ondisk.Stream // tells how much of the bucket is on disk, if its server does not say so; else nil
	log     *slog.Logger
	timeout time.Duration
	created time.Time // when the JetStream stream was created
	alone   bool      // its server belongs to no cluster, so the bucket has one replica and never more
	// maxSize is of a message in bytes, by the stream's settings when they were last read; -1 for no limit.
	maxSize atomic.Int64
	// manyBytes bounds one answer to GetMany: half of what a server lets be pending on a connection.
	manyBytes int
}

// open opens a bucket with a client of its own.
func open(ctx context.Context, js jetstream.JetStream, bucket string, cfg Config, docs documents) (*core, error) {
	if err := token.CheckName(bucket); err != nil {
		return nil, refused(bucket, err)
	}
	if js.Conn().Opts.ReconnectBufSize >= 0 {
		return nil, refused(bucket, errReconnectBuffer)
	}
	client, err := jsapi.New(ctx, js)
	if err != nil {
		return nil, &Error{Op: "open", Bucket: bucket, Reason: reasonOf(err), Err: err}
	}
	c, err := openWith(ctx, client, bucket, cfg, docs)
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return c, nil
}

// openWith opens a bucket with a client. If it fails, its caller closes the client.
func openWith(ctx context.Context, client *jsapi.Client, bucket string, cfg Config, docs documents) (*core, error) {
	info, err := ensureStream(ctx, client, bucket, cfg)
	if err != nil {
		return nil, err
	}
	settings := info.Config
	disk := ondisk.Of(client.Conn(), settings.Name)
	if err := disk.Opened(ctx, info.State.LastSeq); err != nil {
		return nil, &Error{Op: "open", Bucket: bucket, Reason: ErrUnavailable, Err: err}
	}
	client.Expect(jsapi.Source{Stream: settings.Name, Domain: info.Domain})
	c := &core{documents: docs, shared: &shared{
		bucket:    bucket,
		stream:    settings.Name,
		prefix:    kvstream.Subject(bucket, ""),
		client:    client,
		disk:      disk,
		log:       cfg.Logger.With("bucket", bucket),
		timeout:   cfg.Timeout,
		created:   info.Created,
		alone:     info.Cluster == nil || info.Cluster.Name == "",
		manyBytes: 32 << 20,
	}}
	c.maxSize.Store(int64(settings.MaxMsgSize))
	return c, c.restore(ctx, settings)
}

// subject returns the subject of a key.
func (c *core) subject(op, key string) (string, error) {
	encoded, err := token.EncodeKey(key)
	if err != nil {
		return "", &Error{Op: op, Bucket: c.bucket, Key: c.place + key, Reason: ErrInvalidKey, Err: err}
	}
	return c.prefix + c.place + encoded, nil
}

// encode encodes the document that a pointer points to.
func (c *core) encode(op, key string, pointer any) ([]byte, error) {
	data, err := c.marshal(pointer)
	if err != nil {
		return nil, &Error{Op: op, Bucket: c.bucket, Key: c.place + key, Reason: ErrEncode, Err: err}
	}
	// The limit is the server's, less what the headers take.
	if limit := int(c.client.Session().MaxPayload()) - maxOverhead; len(data) > limit {
		return nil, c.tooLarge(op, c.place+key, len(data), limit)
	}
	return data, nil
}

func (b *shared) tooLarge(op, key string, size, limit int) error {
	return &Error{Op: op, Bucket: b.bucket, Key: key, Reason: ErrTooLarge, Err: fmt.Errorf("it has %d bytes, the limit is %d", size, limit)}
}

// decode makes an entry of a message that is not a deletion.
func decode[T any](c *core, op, key string, m jsapi.Message) (Entry[T], error) {
	entry := Entry[T]{Key: key, Revision: m.Sequence, Time: m.Time}
	if err := c.unmarshal(m.Data, &entry.Value); err != nil {
		return Entry[T]{}, &Error{
			Op: op, Bucket: c.bucket, Key: c.place + key, Reason: ErrDecode, Err: fmt.Errorf("revision %d: %w", m.Sequence, err),
		}
	}
	return entry, nil
}
