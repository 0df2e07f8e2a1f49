package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/ondisk"
)

// Store is the log of one bounded context. It is safe for concurrent use.
type Store struct {
	name     string
	identity string
	cfg      *Config
	decoder  *decoder
	js       jetstream.JetStream
	api      *jsapi.Client
	reads    *jsapi.Client // for reads of the whole log; may be the same as api
	logger   *slog.Logger

	// batches bounds the transactions under way. It stays below the 50 atomic batches that the server allows for one
	// stream.
	batches chan struct{}

	// erasures remembers what was erased. It is filled when a reader meets a hole.
	erasures erasures

	// foreign remembers the messages of other programs.
	foreign foreign

	disk   *ondisk.Stream // how far the log is on disk, or nil if the server need not be asked
	seen   *seen
	log    trust   // whether the log still has what was seen of it
	marker *marker // raises the high-water mark; its goroutine ends with Close

	// confirmed is the last new stream that a leader confirmed whose expectations are strict, or nil.
	confirmed atomic.Pointer[confirmation]

	closed sync.Once

	counters struct {
		resolved, linkMisses, refetched, torn, foreign atomic.Int64
	}
}

// Counters says how often a store had to do more than usual since it was opened.
type Counters struct {
	Resolved   int64 // appends whose outcome was read back: no acknowledgement came, or a refusal was in doubt
	LinkMisses int64 // loads that had to search the log because links were missing, wrong or too few
	Refetched  int64 // positions that a reader of the whole log missed and fetched from the leader
	Torn       int64 // commits of transactions that a power cut left incomplete, each time one was skipped
	Foreign    int64 // messages that another program published to the store's subjects, each time one was passed over
}

// Open returns the store of that name on js. It creates the store's JetStream stream if there is none. The name has 1
// to 64 letters, digits or -. It has no _, because an _ ends it in the names of the store's buckets. Events are the
// prototypes of all types that this program writes or decodes, as zero values.
//
// Open compares the log with the store's high-water mark, and looks for missing positions that the server knows of. If
// the connection may not read or write the bucket of the mark, or the account has no room for it, Open logs a warning,
// and the store works without a mark.
//
// It returns an error that matches ErrInvalidEvents, ErrSettings, ErrServerVersion, ErrUnsafeConnection, ErrInvalidID,
// ErrNoPermission, ErrLogRewound, ErrOtherStream, ErrCorrupt or ErrUnfinished. It returns ErrUnavailable if there is no
// connection at the moment, and otherwise the server's error. The caller must call Close.
func Open(ctx context.Context, js jetstream.JetStream, name string, events []Event, cfg *Config) (*Store, error) {
	s, err := newStore(ctx, js, name, events, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.closeClients())
	}
	return s, nil
}

// newStore checks what can be checked without the server's JetStream.
func newStore(ctx context.Context, js jetstream.JetStream, name string, events []Event, cfg *Config) (*Store, error) {
	if err := control.CheckStore(name); err != nil {
		return nil, fmt.Errorf("eventstore: open: %w: store name: %w", ErrInvalidID, err)
	}
	if err := cfg.codec().check(); err != nil {
		return nil, err
	}
	known, err := newRegistry(cfg.codec(), events, cfg.upcasters())
	if err != nil {
		return nil, fmt.Errorf("eventstore: open %s: %w", name, err)
	}
	nc := js.Conn()
	if nc.Opts.ReconnectBufSize != -1 {
		return nil, fmt.Errorf("eventstore: open %s: %w: connect with nats.ReconnectBufSize(-1)", name, ErrUnsafeConnection)
	}
	if err := checkInbox(name, nc, cfg.reads(js).Conn()); err != nil {
		return nil, fmt.Errorf("eventstore: open: %w", err)
	}
	version := nc.ConnectedServerVersion()
	if version == "" {
		return nil, fmt.Errorf("eventstore: open %s: %w: the connection is %s: open when it is up", name, ErrUnavailable, nc.Status())
	}
	if err := checkServer(version); err != nil {
		return nil, err
	}
	s := &Store{
		name: name, cfg: cfg, seen: newSeen(),
		js: js, disk: ondisk.Of(nc, name), logger: cfg.logger(),
		batches: make(chan struct{}, 32),
	}
	s.decoder = &decoder{store: name, origin: &origin{name}, registry: known, seen: s.seen}
	s.log.verdict.done = make(chan struct{})
	if err := s.connect(ctx, js, cfg.reads(js)); err != nil {
		return nil, because("open "+name, err)
	}
	return s, nil
}

// connect makes the clients that the store asks through.
func (s *Store) connect(ctx context.Context, js, reads jetstream.JetStream) (err error) {
	if s.api, err = jsapi.New(ctx, js); err != nil || js == reads {
		s.reads = s.api
		return err
	}
	if s.reads, err = jsapi.New(ctx, reads); err != nil {
		return errors.Join(err, s.api.Close())
	}
	return nil
}

func (s *Store) closeClients() error {
	err := s.api.Close()
	if s.reads != s.api {
		err = errors.Join(err, s.reads.Close())
	}
	return err
}

// start binds the store to its log once the log was compared with the mark.
func (s *Store) start(ctx context.Context) error {
	connection := s.api.Session().Number()
	stored, err := s.mark(ctx)
	if err != nil {
		return err
	}
	if err := s.bind(ctx, stored.mark); err != nil {
		return err
	}
	if err := s.patiently(ctx, "open "+s.name, func() error { return s.checkReads(ctx) }); err != nil {
		return err
	}
	if s.cfg.salvage() {
		return nil
	}
	compare := s.compareAlone
	if s.marker.off {
		compare = s.compareOpened // a reader may not publish the question
	}
	if err := s.patiently(ctx, "open "+s.name, func() error { return compare(ctx) }); err != nil {
		return err
	}
	s.seen.compared.Store(connection)
	s.marker.keep(ctx)
	s.marker.start()
	return nil
}

// compareOpened compares the log with the mark.
func (s *Store) compareOpened(ctx context.Context) error {
	if err := s.checkLog(ctx, s.seen.known(s.identity)); err != nil || s.disk == nil {
		return err
	}
	// Commits that an earlier process left unsynced are synced at once, and not by each read that meets one.
	info, err := s.api.LeaderInfo(ctx, s.name, "", 0)
	if err != nil {
		return err
	}
	return s.synced(s.disk.Opened(ctx, info.Last))
}

// mark reads the high-water mark and makes the marker that raises it.
func (s *Store) mark(ctx context.Context) (marked, error) {
	var stored marked
	err := s.patiently(ctx, "open "+s.name, func() (err error) {
		stored, err = readMark(ctx, s.api, s.name)
		return err
	})
	denied := errors.Is(err, ErrNoPermission)
	if denied {
		s.logger.LogAttrs(ctx, slog.LevelWarn, "no high-water mark is kept, the bucket is not for this connection",
			slog.String("store", s.name), slog.String("bucket", control.Bucket(s.name)), slog.Any("error", err))
		err = nil
	}
	s.marker = newMarker(s, stored, denied || s.cfg.salvage())
	return stored, err
}

// Name is the name of the store and of its JetStream stream.
func (s *Store) Name() string { return s.name }

// Identity is a UUID the store was given when it was created. A store that is made anew under the same name has
// another.
func (s *Store) Identity() string { return s.identity }

// JetStream is the context on which the store was opened, for programs that keep something beside it.
func (s *Store) JetStream() jetstream.JetStream { return s.js }

// Logger is where the store reports repairs. It is never nil.
func (s *Store) Logger() *slog.Logger { return s.logger }

// Counters returns the store's counters.
func (s *Store) Counters() Counters {
	return Counters{
		Resolved:   s.counters.resolved.Load(),
		LinkMisses: s.counters.linkMisses.Load(),
		Refetched:  s.counters.refetched.Load(),
		Torn:       s.counters.torn.Load(),
		Foreign:    s.counters.foreign.Load(),
	}
}

// Close raises the high-water mark for the last time, for which it waits a second at most. It ends the store's
// goroutines and the subscription for replies. Appends and reads under way fail. The connection stays open.
func (s *Store) Close() error {
	s.closed.Do(s.marker.close)
	return s.closeClients()
}

// End returns the position of the log's newest commit, as the stream's leader knows it, or 0 for an empty log.
// Interruptions are waited out for Config.ReadTimeout. It returns an error that matches ErrNoPermission,
// ErrUnavailable, ErrRefused, ErrLogRewound or ErrOtherStream, or the cause of ctx.
func (s *Store) End(ctx context.Context) (end Position, err error) {
	err = s.patiently(ctx, "end of "+s.name, func() (err error) {
		end, err = s.endAsSeen(ctx)
		return err
	})
	return end, err
}

// endAsSeen is end that looks at the log if it ends before a commit that was seen, or is another log.
func (s *Store) endAsSeen(ctx context.Context) (Position, error) {
	if err := s.log.verdict.get(); err != nil {
		return 0, err
	}
	seen := s.seen.highest()
	info, err := s.api.LeaderInfo(ctx, s.name, "", 0)
	fell := err == nil && (Position(info.Last) < seen || info.Metadata[metaIdentity] != s.identity)
	switch {
	case fell, errors.Is(err, jetstream.ErrStreamNotFound):
		if err := s.suspect(ctx); err != nil {
			return 0, err
		}
		return s.end(ctx)
	case err != nil:
		return 0, err
	}
	return Position(info.Last), s.onDisk(ctx, Position(info.Last))
}

// end asks for the log's end once.
func (s *Store) end(ctx context.Context) (Position, error) {
	info, err := s.api.LeaderInfo(ctx, s.name, "", 0)
	if err != nil {
		return 0, err
	}
	return Position(info.Last), s.onDisk(ctx, Position(info.Last))
}

// onDisk waits until the log is on disk up to a position, if the server must be asked. Every acknowledgement, and
// everything that is read, passes through here before it leaves the store.
func (s *Store) onDisk(ctx context.Context, position Position) error {
	return s.synced(s.disk.Wait(ctx, uint64(position)))
}

// synced names the failure of a sync.
func (s *Store) synced(err error) error {
	if errors.Is(err, ondisk.ErrFailed) {
		return fmt.Errorf("eventstore: %s: %w: %w", s.name, ErrDisk, err)
	}
	return err
}

// Reaches reports whether the log goes up to a position. It asks for the log's end only if this Store has not met a
// commit as high. It fails like [Store.End].
func (s *Store) Reaches(ctx context.Context, position Position) (bool, error) {
	if position <= s.seen.highest() {
		return true, nil
	}
	end, err := s.End(ctx)
	return position <= end, err
}

// TypeOf returns the name of an event's type. It returns an error that matches ErrUnknownType if the store was not
// opened with the type, or if events of the type are upcast and so never come out of [Recorded.Decode].
func (s *Store) TypeOf(event Event) (string, error) {
	t, err := s.decoder.registry.typeOf(event)
	if err != nil {
		return "", err
	}
	return t.name, nil
}

// StoredAs returns the names under which events that decode to a type may stand in the log: its own, and the names of
// the types that are upcast to it. The list must not be changed.
func (s *Store) StoredAs(typeName string) []string { return s.decoder.registry.sources[typeName] }
