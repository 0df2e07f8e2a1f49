package eventstore

import (
	"context"
	"iter"
	"sync"
)

const (
	// tailCommits is how many of the log's newest commits are kept for live readers.
	tailCommits = 2000
	// tailBytes bounds the same by size. At least one commit is kept.
	tailBytes = 8 << 20
	// tailAtOnce is how many commits a live reader takes at once.
	tailAtOnce = 32
)

// tail lets the live readers of a store share one scan of the log's end, so that each new commit is sent and decoded
// once in a process, however many views, reactors and sagas read it. There is a scan as long as there are readers.
//
// A reader that is further behind than what is kept reads by itself up to there.
type tail struct {
	log    *log
	room   Position   // how many commits are kept: tailCommits, unless a test wants fewer
	mu     sync.Mutex // guards shared
	shared *sharedScan
}

// follow yields the commits after a position as scan does, until ctx ends.
func (t *tail) follow(ctx context.Context, after Position) iter.Seq2[*Commit, error] {
	return func(yield func(*Commit, error) bool) {
		shared, wake := t.join(ctx, after)
		defer t.leave(shared, wake)
		position := after
		pass := func(c *Commit, err error) bool {
			if err == nil {
				position = c.Position
			}
			return yield(c, err)
		}
		room := make([]*Commit, 0, tailAtOnce)
		for ctx.Err() == nil {
			commits, first, err := shared.behind(position, room)
			switch {
			case position+1 < first:
				if !passAll(t.log.scan(ctx, scanOptions{after: position, upTo: first - 1, sure: first - 1}), pass) {
					return
				}
				continue
			case len(commits) > 0:
				for _, c := range commits {
					if !pass(c, nil) {
						return
					}
				}
				continue
			case err != nil:
				yield(nil, err)
				return
			}
			select {
			case <-wake:
			case <-ctx.Done():
			}
		}
		yield(nil, context.Cause(ctx))
	}
}

// passAll passes all commits on. It reports false if that ended with an error, or was ended.
func passAll(commits iter.Seq2[*Commit, error], pass func(*Commit, error) bool) bool {
	for c, err := range commits {
		if !pass(c, err) || err != nil {
			return false
		}
	}
	return true
}

// join returns the scan that live readers share, and a channel that says that it has gone on. If there is no scan, or
// it is far behind this reader, join begins one at the log's end, as far as that was seen, or where this reader stands,
// if that is near. The reader must leave it.
func (t *tail) join(ctx context.Context, after Position) (*sharedScan, chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shared == nil || !t.shared.serves(after) {
		if end := t.log.seen.highest(); after+t.room < end {
			after = end
		}
		scanning, cancel := context.WithCancel(context.WithoutCancel(ctx))
		t.shared = &sharedScan{
			cancel: cancel, done: make(chan struct{}), readers: make(map[chan struct{}]struct{}),
			kept: make([]*Commit, t.room), first: after + 1, next: after + 1,
		}
		go t.shared.run(t.log.scan(scanning, scanOptions{after: after}))
	}
	wake := make(chan struct{}, 1)
	t.shared.enter(wake)
	return t.shared, wake
}

// leave ends the scan with its last reader.
func (t *tail) leave(shared *sharedScan, wake chan struct{}) {
	t.mu.Lock()
	last := shared.leave(wake)
	if last && t.shared == shared {
		t.shared = nil
	}
	t.mu.Unlock()
	if last {
		shared.cancel()
		<-shared.done
	}
}

// sharedScan is a scan whose newest commits are kept for several readers.
type sharedScan struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when the scan has ended

	mu      sync.Mutex // guards what follows
	kept    []*Commit  // the commit at a position is at the remainder of a division
	first   Position   // of the oldest commit that is kept
	next    Position   // of the commit that the scan yields next
	bytes   int        // of the commits that are kept
	err     error      // with which the scan has ended
	readers map[chan struct{}]struct{}
}

func (s *sharedScan) run(commits iter.Seq2[*Commit, error]) {
	defer close(s.done)
	for c, err := range commits {
		s.take(c, err)
	}
}

// take keeps a commit, or the error with which the scan ends, and wakes the readers.
func (s *sharedScan) take(c *Commit, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.err = err
	} else {
		s.bytes += len(c.payload)
		for s.next-s.first == Position(len(s.kept)) || s.bytes > tailBytes && s.first < s.next {
			s.bytes -= len((*s.at(s.first)).payload)
			*s.at(s.first) = nil
			s.first++
		}
		*s.at(c.Position) = c
		s.next = c.Position + 1
	}
	for wake := range s.readers {
		select {
		case wake <- struct{}{}:
		default: // it has not looked since it was woken before
		}
	}
}

// at returns the place of a commit that is kept.
func (s *sharedScan) at(position Position) **Commit { return &s.kept[position%Position(len(s.kept))] }

// behind appends the next commits after a position to room. It returns no commits if they are not kept any more, which
// first says, if the scan has not come to them yet, or if it has ended before them, with the error.
func (s *sharedScan) behind(position Position, room []*Commit) (commits []*Commit, first Position, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if position+1 < s.first {
		return nil, s.first, nil
	}
	for p := position + 1; p < s.next && len(room) < cap(room); p++ {
		room = append(room, *s.at(p))
	}
	return room, s.first, s.err
}

// serves reports whether the scan goes on, and is not far behind a position.
func (s *sharedScan) serves(position Position) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err == nil && position < s.next+Position(len(s.kept))
}

func (s *sharedScan) enter(wake chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readers[wake] = struct{}{}
}

// leave reports whether no reader is left.
func (s *sharedScan) leave(wake chan struct{}) (last bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.readers, wake)
	return len(s.readers) == 0
}
