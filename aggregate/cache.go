package aggregate

import (
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/lru"
	"github.com/runnel-go/runnel/snapshot"
)

// entry is what is known of one aggregate. Entries are values: one that was handed out never changes, but for what a
// state without Clone points to.
type entry[S any] struct {
	state S
	head  eventstore.Head
	last  uuid.UUID // the id of the newest commit folded

	commits  uint64              // how many commits the stream has
	position eventstore.Position // of the newest; the head's may be that of a torn one
	keys     []snapshot.Key      // those among the last commits that carry a key, oldest first

	snapshot uint64 // how many commits the stream had at the last snapshot that is known
}

// remember counts a commit, notes its key and those it closed, and forgets the keys that fall out of the window.
func (e *entry[S]) remember(c *eventstore.Commit, closed []string, window uint64) {
	e.commits++
	e.last, e.position = c.ID, c.Position
	keep := e.keys
	for len(keep) > 0 && keep[0].Commit+window <= e.commits {
		keep = keep[1:]
	}
	if c.Key != "" || len(closed) > 0 {
		// A copy, since the entry this one was made from may still be in use.
		keep = append(make([]snapshot.Key, 0, len(keep)+1+len(closed)), keep...)
	}
	if c.Key != "" {
		keep = append(keep, keyOf(c, e.commits))
	}
	for _, key := range closed {
		keep = append(keep, closedKey(key, c, e.commits))
	}
	e.keys = keep
}

// keyOf gives what is remembered of a commit under a key, whose number in its stream is given.
func keyOf(c *eventstore.Commit, number uint64) snapshot.Key {
	return snapshot.Key{Key: c.Key, Hash: slices.Clone(c.KeyHash), Commit: number, Version: c.First, Position: c.Position}
}

// closedKey gives what is remembered of a key that a commit closed.
func closedKey(key string, c *eventstore.Commit, number uint64) snapshot.Key {
	return snapshot.Key{Key: key, Closed: true, Commit: number, Version: c.First, Position: c.Position}
}

// find gives the newest commit under a key, or that closed it. The empty key finds nothing.
func (e *entry[S]) find(key string) (snapshot.Key, bool) {
	if key == "" {
		return snapshot.Key{}, false
	}
	for _, k := range slices.Backward(e.keys) {
		if k.Key == key || k.Closed && below(key, k.Key) {
			return k, true
		}
	}
	return snapshot.Key{}, false
}

// below reports whether closing a key closes another.
func below(key, closed string) bool { return strings.HasPrefix(key, closed+"/") }

// remembers reports whether the keys of all commits behind a position are among those remembered.
func (e *entry[S]) remembers(after eventstore.Position, window uint64) bool {
	return e.commits <= window || e.position <= after || len(e.keys) > 0 && e.keys[0].Position <= after
}

// cache keeps the entries used last. It is safe for concurrent use.
type cache[S any] struct {
	mu      sync.Mutex // guards entries
	entries *lru.Cache[string, entry[S]]
}

func newCache[S any](size int) *cache[S] {
	return &cache[S]{entries: lru.New[string, entry[S]](size)}
}

func (c *cache[S]) get(id string) (entry[S], bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.entries.Get(id)
}

func (c *cache[S]) put(id string, e entry[S]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entries.Put(id, e)
}
