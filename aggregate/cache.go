package aggregate

import (
	"slices"
	"sync"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/lru"
)

// entry is what is known of one aggregate. Entries are values: one that was handed out never changes, but for what a
// state without Clone points to.
type entry[S any] struct {
	state S
	head  eventstore.Head

	commits uint64     // how many commits the stream has
	keys    []keyEntry // those among the last commits that carry a key, oldest first
}

// keyEntry remembers under which key a commit was stored.
type keyEntry struct {
	key      string
	hash     []byte
	commit   uint64 // its number in the stream, from 1
	version  eventstore.Version
	position eventstore.Position
}

// remember counts a commit, notes its key and forgets the keys that fall out of the window.
func (e *entry[S]) remember(c *eventstore.Commit, window uint64) {
	e.commits++
	keep := e.keys
	for len(keep) > 0 && keep[0].commit+window <= e.commits {
		keep = keep[1:]
	}
	if c.Key != "" {
		// Clipped, since the entry this one was made from may still be in use.
		keep = append(slices.Clip(keep), keyEntry{
			key: c.Key, hash: slices.Clone(c.KeyHash), commit: e.commits, version: c.First, position: c.Position,
		})
	}
	e.keys = keep
}

// find gives the newest commit under a key. The empty key finds nothing.
func (e *entry[S]) find(key string) (keyEntry, bool) {
	if key == "" {
		return keyEntry{}, false
	}
	for _, k := range slices.Backward(e.keys) {
		if k.key == key {
			return k, true
		}
	}
	return keyEntry{}, false
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
