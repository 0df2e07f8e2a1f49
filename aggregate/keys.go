package aggregate

import (
	"slices"
	"strings"
	"sync/atomic"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/snapshots"
)

// remember counts a commit, notes its key and the keys that it closed, and forgets the keys that leave the window.
func (e *entry[S]) remember(c *eventstore.Commit, closed []string, window uint64) {
	e.commits++
	e.last, e.position = c.ID, c.Position
	for len(e.keys) > 0 && e.keys[0].Commit+window <= e.commits {
		e.keys = e.keys[1:]
	}
	if c.Key != "" {
		e.note(keyOf(c, e.commits))
	}
	for _, key := range closed {
		e.note(closedKey(key, c, e.commits))
	}
}

// note adds a key. The entry that this one was made from may still be in use, and has the same memory. So of all
// entries that it was copied to, only the first one that adds a key does so in that memory, behind what the others see.
func (e *entry[S]) note(key snapshots.Key) {
	free := int64(cap(e.keys) - len(e.keys))
	if free == 0 || e.free == nil || !e.free.CompareAndSwap(free, free-1) {
		e.keys = append(make([]snapshots.Key, 0, len(e.keys)+len(e.keys)/2+2), e.keys...)
		e.free = new(atomic.Int64)
		e.free.Store(int64(cap(e.keys)-len(e.keys)) - 1)
	}
	e.keys = append(e.keys, key)
}

// keyOf returns the key of a commit, which has that number in its stream.
func keyOf(c *eventstore.Commit, number uint64) snapshots.Key {
	return snapshots.Key{
		Key: c.Key, Hash: slices.Clone(c.KeyHash), Commit: number, Version: c.First, Position: c.Position,
	}
}

// closedKey returns a key that a commit closed.
func closedKey(key string, c *eventstore.Commit, number uint64) snapshots.Key {
	return snapshots.Key{Key: key, Closed: true, Commit: number, Version: c.First, Position: c.Position}
}

// find returns the newest use of a key, or its closing. It finds nothing for the empty key.
func (e *entry[S]) find(key string) (snapshots.Key, bool) {
	if key == "" {
		return snapshots.Key{}, false
	}
	for _, k := range slices.Backward(e.keys) {
		if k.Key == key || k.Closed && below(key, k.Key) {
			return k, true
		}
	}
	return snapshots.Key{}, false
}

// below reports whether a key is below a closed one, and so closed too.
func below(key, closed string) bool { return strings.HasPrefix(key, closed+"/") }

// remembers reports whether the keys of all commits after a position are remembered.
func (e *entry[S]) remembers(after eventstore.Position, window uint64) bool {
	return e.commits <= window || e.position <= after || len(e.keys) > 0 && e.keys[0].Position <= after
}

// closedBy returns the keys that a commit closed.
func closedBy(c *eventstore.Commit) (keys []string, err error) {
	for recorded := range c.Events() {
		if recorded.Type() != (eventstore.KeyClosed{}).EventType() {
			continue
		}
		decoded, err := recorded.Decode()
		if err != nil {
			return nil, err
		}
		for _, event := range decoded {
			keys = append(keys, event.(eventstore.KeyClosed).Key)
		}
	}
	return keys, nil
}
