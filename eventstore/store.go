package eventstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
)

// Store is the log of one bounded context. It is safe for concurrent use.
//
// It consists of parts. Each uses only parts above it:
//
//	conn      the way to the servers, and the JetStream stream that Open found
//	seen      the highest commit that was acknowledged or read
//	decoder   makes commits of messages
//	fetcher   reads what the servers have: commits, streams, the log
//	trust     whether the log still has what was seen of it
//	log       reads that trust the log; its tail is what live readers share
//	writer    appends, and erases
//	marker    raises the high-water mark; its goroutine ends with Close
type Store struct {
	conn    *conn
	seen    *seen
	decoder *decoder
	fetcher *fetcher
	trust   *trust
	log     *log
	writer  *writer
	marker  *marker
	prober  prober
	closed  sync.Once
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
// It returns an error that matches ErrInvalidEvents, ErrSettings, ErrInvalidID, ErrNoPermission, ErrLogRewound or
// ErrCorrupt. It returns ErrUnavailable if there is no connection at the moment or an import of the store is not
// finished, and otherwise the server's error. The caller must call Close.
func Open(ctx context.Context, js jetstream.JetStream, name string, events []Event, cfg *Config) (*Store, error) {
	s, err := newStore(ctx, js, name, events, cfg)
	if err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.conn.close())
	}
	return s, nil
}

// newStore checks what can be checked without the server's JetStream.
func newStore(ctx context.Context, js jetstream.JetStream, name string, events []Event, config *Config) (*Store, error) {
	if err := control.CheckStore(name); err != nil {
		return nil, fmt.Errorf("eventstore: open: %w: store name: %w", ErrInvalidID, err)
	}
	cfg, err := config.withDefaults(js)
	if err != nil {
		return nil, fmt.Errorf("eventstore: open %s: %w: %w", name, ErrSettings, err)
	}
	known, err := newRegistry(cfg.Codec, events, cfg.Upcasters)
	if err != nil {
		return nil, fmt.Errorf("eventstore: open %s: %w", name, err)
	}
	conn, err := newConn(ctx, js, name, cfg)
	if err != nil {
		return nil, err
	}
	return assemble(conn, known), nil
}

// assemble makes the parts of a store, each of those before it.
func assemble(conn *conn, known *registry) *Store {
	s := &Store{conn: conn, seen: newSeen()}
	s.decoder = &decoder{store: conn.store, origin: &origin{conn.store}, registry: known, seen: s.seen, opened: &conn.opened}
	s.fetcher = &fetcher{conn: conn, decoder: s.decoder}
	s.fetcher.erasures.byPosition = make(map[Position]*Commit)
	s.fetcher.foreign.accepted = make(map[Position]foreignAccepted)
	s.trust = &trust{conn: conn, seen: s.seen, fetcher: s.fetcher}
	s.log = &log{conn: conn, seen: s.seen, fetcher: s.fetcher, trust: s.trust}
	s.log.tail.log, s.log.tail.room = s.log, tailCommits
	s.writer = &writer{
		conn: conn, decoder: s.decoder, seen: s.seen, fetcher: s.fetcher, trust: s.trust, log: s.log, batches: make(chan struct{}, 32),
		made: time.Now(),
	}
	return s
}

// start binds the store to its log once the log was compared with the mark.
func (s *Store) start(ctx context.Context) error {
	connection := s.conn.api.Session().Number()
	stored, err := s.mark(ctx)
	if err != nil {
		return err
	}
	if err := s.conn.bind(ctx, stored.mark); err != nil {
		return err
	}
	if err := s.conn.patiently(ctx, "open "+s.conn.store, func() error { return s.conn.checkReads(ctx) }); err != nil {
		return err
	}
	if s.conn.cfg.Salvage {
		return nil
	}
	compare := s.trust.compareAlone
	if s.marker.off {
		compare = s.trust.compareOpened // a reader may not publish the question
	}
	if err := s.conn.patiently(ctx, "open "+s.conn.store, func() error { return compare(ctx) }); err != nil {
		return err
	}
	s.seen.compared.Store(connection)
	if err := s.conn.patiently(ctx, "open "+s.conn.store, func() error { return s.marker.checkBucket(ctx) }); err != nil {
		return err
	}
	s.marker.keep(ctx)
	s.marker.start()
	return nil
}

// mark reads the high-water mark and makes the marker that raises it.
func (s *Store) mark(ctx context.Context) (marked, error) {
	stored, err := patiently(ctx, s.conn, "open "+s.conn.store, func() (marked, error) {
		return readMark(ctx, s.conn.api, s.conn.store)
	})
	denied := errors.Is(err, ErrNoPermission)
	if denied {
		s.conn.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "no high-water mark is kept, the bucket is not for this connection",
			slog.String("store", s.conn.store), slog.String("bucket", control.Bucket(s.conn.store)), slog.Any("error", err))
		err = nil
	}
	if stored.instead != nil && !s.conn.cfg.Salvage {
		return stored, rewound(s.conn.store, mark{}, 0, noMark(s.conn.store))
	}
	s.marker = newMarker(s, stored, denied || s.conn.cfg.Salvage)
	return stored, err
}

// Name is the name of the store and of its JetStream stream.
func (s *Store) Name() string { return s.conn.store }

// Identity is a UUID the store was given when it was created. A store that is made anew under the same name has
// another.
func (s *Store) Identity() string { return s.conn.opened.identity }

// JetStream is the context on which the store was opened, for programs that keep something beside it.
func (s *Store) JetStream() jetstream.JetStream { return s.conn.js }

// Counters returns the store's counters.
func (s *Store) Counters() Counters {
	return Counters{
		Resolved:   s.writer.resolved.Load(),
		LinkMisses: s.fetcher.counters.linkMisses.Load(),
		Refetched:  s.fetcher.counters.refetched.Load(),
		Torn:       s.fetcher.counters.torn.Load(),
		Foreign:    s.fetcher.counters.foreign.Load(),
	}
}

// Close raises the high-water mark for the last time, for which it waits a second at most. It ends the store's
// goroutines and the subscription for replies. Appends and reads under way fail. The connection stays open.
func (s *Store) Close() error {
	s.closed.Do(s.marker.close)
	err := s.conn.close()
	s.trust.looks.end()
	s.prober.probes.end()
	return err
}
