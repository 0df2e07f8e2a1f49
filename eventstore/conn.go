package eventstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/ondisk"
)

// conn is the way to a store's JetStream stream. It owns the clients through which the servers are asked, and waits
// interruptions out.
type conn struct {
	store   string // its name, and the name of the stream
	cfg     Config // with defaults
	js      jetstream.JetStream
	api     *jsapi.Client
	reads   *jsapi.Client  // for reads of the whole log; may be the same as api
	disk    *ondisk.Stream // how far the log is on disk, or nil if the server need not be asked
	opened  opened
	clock   clock
	verdict verdict // ends all that is under way, and all that is begun after it

	drifted atomic.Pointer[error] // what the last look at the settings found; nil before the first
	copies  atomic.Int64          // how many servers keep the log, as its leader said last
}

// opened says which JetStream stream Open found.
type opened struct {
	identity string
	storage  jetstream.StorageType
	imported Position  // up to which an import has stored the log, or 0
	domain   string    // of JetStream
	created  time.Time // when the stream was made
}

// newConn checks the connections, and makes the clients.
func newConn(ctx context.Context, js jetstream.JetStream, name string, cfg Config) (*conn, error) {
	nc, reads := js.Conn(), cfg.Reads
	if nc.Opts.ReconnectBufSize != -1 {
		return nil, fmt.Errorf("eventstore: open %s: %w: the connection sends publishes later that timed out while it was disconnected: "+
			"connect with nats.ReconnectBufSize(-1)",
			name, ErrSettings)
	}
	if err := checkInbox(name, nc, reads.Conn()); err != nil {
		return nil, fmt.Errorf("eventstore: open: %w", err)
	}
	version := nc.ConnectedServerVersion()
	if version == "" {
		return nil, fmt.Errorf("eventstore: open %s: %w: the connection is %s: open when it is up", name, ErrUnavailable, nc.Status())
	}
	if err := checkServer(version); err != nil {
		return nil, err
	}
	c := &conn{store: name, cfg: cfg, js: js, disk: ondisk.Of(nc, name), verdict: verdict{done: make(chan struct{})}}
	var err error
	if c.api, err = jsapi.New(ctx, js); err != nil {
		return nil, because("open "+name, err)
	}
	c.api.LeaveIfCutOff(name, c.leaves)
	if c.reads = c.api; js == reads {
		return c, nil
	}
	if c.reads, err = jsapi.New(ctx, reads); err != nil {
		return nil, because("open "+name, errors.Join(err, c.api.Close()))
	}
	c.reads.LeaveIfCutOff(name, c.leaves)
	return c, nil
}

// leaves tells that a connection leaves a server.
func (c *conn) leaves(server string) {
	c.cfg.Logger.Warn("the server does not reach the leader of the log and another does, connecting to that", "store", c.store, "server", server)
}

func (c *conn) close() error {
	err := c.api.Close()
	if c.reads != c.api {
		err = errors.Join(err, c.reads.Close())
	}
	return err
}

// patiently calls read until it succeeds, cannot succeed any more, or Config.ReadTimeout has passed.
func (c *conn) patiently(ctx context.Context, what string, read func() error) error {
	return c.insist(ctx, c.cfg.ReadTimeout, what, read)
}

// patiently is conn.patiently for a question with an answer.
func patiently[T any](ctx context.Context, c *conn, what string, read func() (T, error)) (answer T, err error) {
	err = c.patiently(ctx, what, func() (err error) {
		answer, err = read()
		return err
	})
	return answer, err
}

func (c *conn) insist(ctx context.Context, patience time.Duration, what string, read func() error) error {
	deadline := time.Now().Add(patience)
	for try := 1; ; try++ {
		err := read()
		switch {
		case err == nil, isDamage(err), errors.Is(err, ErrErased), errors.Is(err, ErrDisk), errors.Is(err, ErrPositionAhead):
			return err
		case ctx.Err() != nil:
			return fmt.Errorf("eventstore: %s: %w", what, context.Cause(ctx))
		case !jsapi.Transient(err), time.Now().After(deadline):
			return because(what, err)
		}
		if err := c.hopeless(); err != nil {
			return err
		}
		if err := c.api.Pause(ctx, retries, try); err != nil {
			return fmt.Errorf("eventstore: %s: %w", what, err)
		}
	}
}

// hopeless returns why no further try can succeed, or nil: the verdict, or settings that were changed.
func (c *conn) hopeless() error {
	if err := c.verdict.get(); err != nil {
		return err
	}
	if drifted := c.drifted.Load(); drifted != nil {
		return *drifted
	}
	return nil
}

// because returns the error of this package for a failure to ask the server. An error of this package is returned as it
// is.
func because(what string, err error) error {
	reason := ErrUnavailable
	switch {
	case err == nil, errors.Is(err, ErrNoPermission), errors.Is(err, ErrUnavailable), errors.Is(err, ErrRefused):
		return err
	case errors.Is(err, nats.ErrPermissionViolation):
		reason = ErrNoPermission
	case jsapi.IsRefusal(err):
		reason = ErrRefused
	}
	return fmt.Errorf("eventstore: %s: %w: %w", what, reason, err)
}

// end asks for the log's end once.
func (c *conn) end(ctx context.Context) (Position, error) {
	info, err := c.api.LeaderInfo(ctx, c.store, "", 0)
	if err != nil {
		return 0, err
	}
	return Position(info.Last), c.onDisk(ctx, Position(info.Last))
}

// onDisk waits until the log is on disk up to a position, if the server must be asked. Every acknowledgement, and
// everything that is read, passes through here before it leaves the store.
func (c *conn) onDisk(ctx context.Context, position Position) error {
	return c.synced(c.disk.Wait(ctx, uint64(position)))
}

// synced names the failure of a sync.
func (c *conn) synced(err error) error {
	if errors.Is(err, ondisk.ErrFailed) {
		return fmt.Errorf("eventstore: %s: %w: %w", c.store, ErrDisk, err)
	}
	return err
}

// countOf returns how many messages the leader counts on a literal subject.
func (c *conn) countOf(ctx context.Context, subject string) (uint64, error) {
	info, err := c.api.LeaderInfo(ctx, c.store, subject, 0)
	return info.Subjects[subject], err
}

// leaderInfo returns the state of a JetStream stream from its leader. It waits for a leader and for the connection.
func (c *conn) leaderInfo(ctx context.Context, name string) (jetstream.StreamInfo, error) {
	return answered(ctx, c, func() (jetstream.StreamInfo, error) { return c.api.StreamInfo(ctx, name) })
}

// message returns a message of a JetStream stream from its leader. It waits like leaderInfo.
func (c *conn) message(ctx context.Context, stream string, sequence uint64) (jsapi.Message, error) {
	return answered(ctx, c, func() (jsapi.Message, error) { return c.api.LeaderSequence(ctx, stream, sequence) })
}

// answered asks JetStream until there is an answer or ctx ends. The question must be one that may be asked any number
// of times.
func answered[T any](ctx context.Context, c *conn, ask func() (T, error)) (T, error) {
	for try := 1; ; try++ {
		answer, err := ask()
		switch {
		case err == nil:
			return answer, nil
		case ctx.Err() != nil:
			return answer, context.Cause(ctx)
		case errors.Is(err, nats.ErrPermissionViolation):
			return answer, fmt.Errorf("%w: %w", ErrNoPermission, err)
		case !jsapi.Transient(err):
			return answer, err
		}
		if err := c.api.Pause(ctx, rescans, try); err != nil {
			return answer, err
		}
	}
}

// deletePosition overwrites a message on disk. If the message is gone already, that is not an error.
func (c *conn) deletePosition(ctx context.Context, position Position) error {
	return c.patiently(ctx, fmt.Sprintf("delete position %d of %s", position, c.store), func() error {
		err := c.api.EraseMessage(ctx, c.store, uint64(position))
		if err == nil {
			return nil
		}
		if _, gone := c.api.LeaderSequence(ctx, c.store, uint64(position)); errors.Is(gone, jsapi.ErrNotFound) {
			return nil
		}
		return err
	})
}

// consumerFrom configures a consumer that begins at a sequence and acknowledges nothing.
func consumerFrom(sequence uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name:              rand.Text(),
		DeliverPolicy:     jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:       sequence,
		AckPolicy:         jetstream.AckNonePolicy,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: consumerInactive,
	}
}

// aheadOf bounds how much of a pull the server sends before it is taken.
func aheadOf(c *jsapi.Client) jsapi.Ahead {
	return jsapi.Ahead{Messages: fetchMessages, Bytes: max(fetchBytes, 4*int(c.Session().MaxPayload())), Expires: fetchWait}
}
