package aggregate

import (
	"sync"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/lru"
)

// entry is what a repository knows of one aggregate. Entries are values: an entry never changes, except for memory that
// a state without Clone points to.
type entry[S any] struct {
	state S
	head  eventstore.Head
	last  uuid.UUID // the id of the newest folded commit

	commits  uint64              // how many commits the stream has
	position eventstore.Position // of the newest folded commit; the head may be a torn commit after it
	keys     *keyring            // of the last commits

	snapshot uint64 // how many commits the stream had at its last known snapshot
}

// cache keeps the entries that were used last. It is safe for concurrent use.
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
