package eventstore

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// History is the commits of a stream, and its head.
type History struct {
	Head    Head
	Commits []*Commit // oldest first
}

// Stream yields a stream's events in the order of their versions, or [Backwards]. It yields nothing for a stream
// without events. On failure it yields one error and ends: an error that matches ErrCorrupt, ErrErased, ErrInvalidID,
// ErrNoPermission, ErrRefused or ErrUnavailable, or the cause of ctx. Interruptions are waited out for
// Config.ReadTimeout. Forwards, it holds the stream's encoded commits in memory while it runs.
func (s *Store) Stream(ctx context.Context, stream StreamID, options ...StreamOption) iter.Seq2[Recorded, error] {
	return func(yield func(Recorded, error) bool) {
		o := readOptionsOf(options)
		if o.backwards {
			s.log.eventsDown(ctx, stream, o, yield)
			return
		}
		history, err := s.log.load(ctx, stream, o)
		if err != nil {
			yield(Recorded{}, err)
			return
		}
		for _, c := range history.Commits {
			for event := range c.Events() {
				if event.Version() >= o.from && !yield(event, nil) {
					return
				}
			}
		}
	}
}

// Head returns the head of a stream, from the stream's leader. Head.Version is the version of its last event, or 0. It
// fails like [Store.Stream].
func (s *Store) Head(ctx context.Context, stream StreamID) (Head, error) {
	return s.log.head(ctx, stream)
}

func (l *log) head(ctx context.Context, stream StreamID) (Head, error) {
	history, err := l.load(ctx, stream, readOptions{from: ^Version(0), leader: true})
	return history.Head, err
}

// Load returns a stream's commits, and its head for an append on top of them. It verifies versions and checksums. If it
// reads the whole stream, it also verifies that the server counts no more messages than it returned. A stream without
// events has no commits and version 0. Load fails like [Store.Stream].
func (s *Store) Load(ctx context.Context, stream StreamID, options ...LoadOption) (History, error) {
	return s.log.load(ctx, stream, readOptionsOf(options))
}

func (l *log) load(ctx context.Context, stream StreamID, o readOptions) (History, error) {
	end := l.conn.cfg.Trace.beginLoad(ctx, stream)
	history, err := l.loadTrusted(ctx, stream, o)
	if end != nil {
		end(history, err)
	}
	return history, err
}

// loadTrusted is Load. It compares the log with what is known of it, before the read and after it.
func (l *log) loadTrusted(ctx context.Context, stream StreamID, o readOptions) (History, error) {
	trusted := func() error {
		return l.conn.patiently(ctx, "load "+stream.String(), func() error { return l.trust.trusted(ctx) })
	}
	if err := trusted(); err != nil {
		return History{}, err
	}
	history, err := l.fetcher.load(ctx, l.trust, stream, o)
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, ErrCorrupt) {
		// A setting may have deleted the missing commits.
		if looked := l.trust.suspect(ctx); looked != nil && (errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(looked, errDrifted)) {
			err = looked
		}
	}
	if err != nil {
		return history, err
	}
	// The connection may have broken meanwhile, and lead to a server that lost a part of the log.
	if err := trusted(); err != nil {
		return History{}, err
	}
	return history, l.reachesSoon(ctx, stream, o.after)
}

// reachesSoon is reaches, but waits interruptions out for Config.ReadTimeout only.
func (l *log) reachesSoon(ctx context.Context, stream StreamID, after Position) error {
	if after == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, l.conn.cfg.ReadTimeout,
		fmt.Errorf("eventstore: load %s: %w: the log's end could not be asked", stream, ErrUnavailable))
	defer cancel()
	return l.trust.reaches(ctx, after)
}

// load is one load of a log that is taken for whole. The watch looks at the log if something speaks against it.
func (f *fetcher) load(ctx context.Context, watch watch, stream StreamID, o readOptions) (history History, err error) {
	subject, err := subjectToRead(f.conn.store, stream)
	if err != nil {
		return History{}, fmt.Errorf("eventstore: load: %w", err)
	}
	l := load{fetcher: f, watch: watch, subject: subject, stream: stream, from: o.from, after: o.after}
	err = f.conn.patiently(ctx, "load "+stream.String(), func() (err error) {
		history, err = l.run(ctx, o.leader)
		return err
	})
	return history, err
}

// load is one load of one stream.
type load struct {
	fetcher *fetcher
	watch   watch
	subject string
	stream  StreamID
	from    Version
	after   Position

	gets *jsapi.Gets // of the last message, and perhaps of the first

	asked bool    // for the first message, and for how many there are, because the whole stream is read
	told  bool    // the answer was waited for
	first *Commit // nil if it was not found
	count uint64  // as that server counts

	torn int // messages skipped because their transaction is not whole
}

// run begins with the newest commit and follows the links back:
//
//	last message of the subject -> torn, by a power cut in its transaction -> the one before
//	    -> its links, all at once -> the links of the oldest -> ... at most maxHops
//	    -> a link that is missing, leads elsewhere or does not reach: read the subject filtered
//	    -> the first message, asked for at the same time as the last, says how many there are: all found
//
// It follows the links before it has the first message, unless there are more commits than one commit links.
func (l *load) run(ctx context.Context, leader bool) (History, error) {
	l.torn, l.told = 0, false
	l.gets = l.fetcher.conn.api.Gets(l.fetcher.conn.store)
	defer l.gets.Release()
	if l.asked = l.from <= 1 && l.after == 0; l.asked {
		l.gets.AskFirst(l.subject)
	}
	tail, moved, err := l.last(ctx, leader)
	switch {
	case err != nil:
		return History{}, err
	case moved:
		return l.run(ctx, true)
	case tail == nil:
		return History{Head: l.fetcher.decoder.origin.give(l.stream, Head{checked: time.Now()})}, nil
	}
	newest, err := l.newestWhole(ctx, tail)
	if err != nil {
		return History{}, err
	}
	head := Head{}
	if newest != nil {
		head = newest.Head()
	}
	head.Position = tail.Position
	if head.end == streamErased {
		return History{}, l.erased(newest)
	}
	commits, err := l.upTo(ctx, newest)
	if err != nil {
		return History{}, err
	}
	// If no commit of a stream counts, that is a claim about all of its messages as well.
	if l.asked || newest == nil {
		again, err := l.confirmCount(ctx, tail, commits, leader)
		if err != nil {
			return History{}, err
		}
		if again {
			return l.run(ctx, true)
		}
	}
	slices.Reverse(commits)
	return History{Head: l.fetcher.decoder.origin.give(l.stream, head), Commits: commits}, nil
}

// upTo returns the wanted commits up to and with newest, newest first. It returns none if newest is nil.
func (l *load) upTo(ctx context.Context, newest *Commit) ([]*Commit, error) {
	if newest == nil {
		return nil, nil
	}
	commits, ok, err := l.byLinks(ctx, newest)
	if err != nil || ok {
		return commits, err
	}
	l.missed(ctx, newest)
	return l.filtered(ctx, newest)
}

// last returns the last message of the subject once it is on disk, or nil if the stream is empty. It reports moved if
// the leader must be asked.
func (l *load) last(ctx context.Context, leader bool) (tail *Commit, moved bool, err error) {
	tail, err = l.tail(ctx, leader)
	switch {
	case errors.Is(err, jsapi.ErrNotFound):
		moved, err = l.confirmEmpty(ctx)
		return nil, moved, err
	case ofReplica(err) && !leader:
		return nil, true, nil
	case err != nil:
		return nil, false, err
	}
	return tail, false, l.fetcher.conn.onDisk(ctx, tail.Position)
}

// missed notes that links do not lead to the commits before a commit.
func (l *load) missed(ctx context.Context, c *Commit) {
	l.fetcher.counters.linkMisses.Add(1)
	l.fetcher.conn.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "links do not reach, reading the subject filtered",
		slog.String("stream", l.stream.String()), slog.Uint64("position", uint64(c.Position)))
}

// erased returns the error for a stream whose newest commit records that it was erased.
func (l *load) erased(newest *Commit) error {
	e := &ReadError{Store: l.fetcher.conn.store, Stream: l.stream, Position: newest.Position, Reason: ErrErased}
	for recorded := range newest.Events() {
		decoded, err := recorded.Decode()
		if err != nil {
			return err
		}
		if record, ok := decoded[0].(StreamErased); ok && record.Reason != "" {
			e.Err = errors.New(record.Reason)
		}
	}
	return e
}

func (l *load) tail(ctx context.Context, leader bool) (*Commit, error) {
	if leader {
		msg, err := l.fetcher.conn.api.LeaderLast(ctx, l.fetcher.conn.store, l.subject)
		return l.fetcher.orForeign(l.fetcher.judge(ctx, msg, err))
	}
	l.gets.AskLast(l.subject)
	return l.fetcher.decoder.parse(l.gets.Last(ctx))
}

// newestWhole returns the newest commit that is not a remainder of a torn transaction, or nil if there is none.
func (l *load) newestWhole(ctx context.Context, c *Commit) (*Commit, error) {
	if c.foreign != nil {
		var err error
		if c, err = l.belowForeign(ctx, c); err != nil || c == nil {
			return nil, err
		}
	}
	for {
		whole, err := l.fetcher.whole(ctx, c)
		if err != nil || whole {
			return c, err
		}
		l.fetcher.skipTorn(ctx, c)
		l.torn++
		if len(c.links) == 0 {
			return nil, nil
		}
		if c, err = l.fetcher.atBefore(ctx, c.links[0]); err != nil {
			return nil, err
		}
	}
}

// belowForeign returns the commit on the subject before its last message, which is foreign, or nil if there is none. A
// foreign message has no links. So the subject is read from its start, unless that was done before.
func (l *load) belowForeign(ctx context.Context, tail *Commit) (newest *Commit, err error) {
	l.fetcher.passForeign(ctx, tail.foreign)
	if commit, known := l.fetcher.foreign.below(l.subject, tail.Position); known {
		if commit == 0 {
			return nil, nil
		}
		return l.fetcher.atBefore(ctx, commit)
	}
	for c, err := range l.fetcher.scan(ctx, scanOptions{watch: l.watch, subject: l.subject, upTo: tail.Position, patience: l.fetcher.conn.cfg.ReadTimeout}) {
		if err != nil {
			return nil, err
		}
		if !c.absent() {
			newest = c
		}
	}
	var commit Position
	if newest != nil {
		commit = newest.Position
	}
	l.fetcher.foreign.standsOn(l.subject, tail.Position, commit)
	return newest, nil
}

// filtered reads the subject from its start, or from beyond position after, up to and with newest, and verifies that
// versions have no gaps. It returns the commits newest first.
func (l *load) filtered(ctx context.Context, newest *Commit) ([]*Commit, error) {
	after, before, err := l.begin(ctx)
	if err != nil {
		return nil, err
	}
	var all []*Commit
	between := scanOptions{
		watch: l.watch, subject: l.subject, after: after, upTo: newest.Position, patience: l.fetcher.conn.cfg.ReadTimeout,
	}
	for c, err := range l.fetcher.scan(ctx, between) {
		if err != nil {
			return nil, err
		}
		if c.foreign != nil {
			continue
		}
		if len(all) > 0 && c.First == all[len(all)-1].First {
			// The same version stands here again, so the commit before must be the remainder of a torn transaction.
			whole, err := l.fetcher.whole(ctx, all[len(all)-1])
			if err != nil {
				return nil, err
			}
			if !whole {
				all = all[:len(all)-1]
			}
		}
		next := before + 1
		if len(all) > 0 {
			next = all[len(all)-1].Last() + 1
		}
		if c.First != next {
			return nil, &ReadError{Store: l.fetcher.conn.store, Reason: ErrCorrupt, Stream: l.stream, Position: c.Position,
				Err: fmt.Errorf("version %d stands where version %d should", c.First, next)}
		}
		all = append(all, c)
	}
	if len(all) == 0 || all[len(all)-1].Position != newest.Position {
		return nil, &ReadError{Store: l.fetcher.conn.store, Reason: ErrCorrupt, Stream: l.stream, Position: newest.Position,
			Err: errors.New("the newest commit is not found again when the stream is read from its start")}
	}
	slices.Reverse(all)
	return l.trim(all), nil
}
