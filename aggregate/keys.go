package aggregate

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/snapshots"
)

// keyring holds the idempotency keys of a stream's last commits, as many as window, and of all commits that are not
// older than age. A command costs the same however many keys there are. All entries of one aggregate that follow from
// one reading of the stream share it. It may know newer commits than an entry does, which are in the log as well.
type keyring struct {
	window uint64
	age    int64 // nanoseconds

	mu        sync.Mutex // guards the fields below
	commits   uint64     // of the stream, those that it knows
	keys      []snapshots.Key
	index     map[string]int // of the newest use of each key, counted with those that were forgotten
	forgotten int
	lost      eventstore.Position // the newest position of which a key may have been forgotten
	forgot    int64               // the newest time of a key that was forgotten; 0 for none
}

// newKeyring returns the keys of a stream of so many commits. The keys up to position lost and time forgot may be
// forgotten.
func (r *Repository[S, E]) newKeyring(commits uint64, keys []snapshots.Key, lost eventstore.Position, forgot int64) *keyring {
	k := &keyring{window: r.window, age: int64(r.cfg.KeyAge), commits: commits, lost: lost, forgot: forgot}
	for _, key := range keys {
		k.putLocked(key)
	}
	return k
}

// restoreKeys returns the keys of a stream that has a snapshot. The snapshot of a stream that is written often has not
// all keys that are still to be remembered, so the commits of the others are read.
func (r *Repository[S, E]) restoreKeys(ctx context.Context, id string, s *snapshots.Snapshot[S]) (*keyring, error) {
	first := s.Left.First
	if first.Commit == 0 || time.Now().UnixNano()-s.Left.Until > int64(r.cfg.KeyAge) {
		return r.newKeyring(s.Commits, s.Keys, s.Left.Last, max(s.Left.Until, s.Left.Forgot)), nil
	}
	since, err := r.store.Load(ctx, r.stream(id), eventstore.From(first.Version), eventstore.After(first.Position-1), eventstore.Leader())
	if err != nil {
		return nil, err
	}
	keys := r.newKeyring(first.Commit-1, nil, first.Position-1, s.Left.Forgot)
	for _, c := range since.Commits {
		closed, err := closedBy(c)
		if err != nil {
			return nil, err
		}
		keys.add(c, closed, keys.commits+1)
	}
	return keys, nil
}

// add takes over the key of a commit, which has that number in its stream, and the keys that it closed. It forgets the
// keys that are old enough.
func (k *keyring) add(c *eventstore.Commit, closed []string, number uint64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if number <= k.commits {
		return // another entry has met it before
	}
	k.commits = number
	for len(k.keys) > 0 && k.keys[0].Commit+k.window <= number && c.Time.UnixNano()-k.keys[0].Time > k.age {
		k.forgetLocked()
	}
	if c.Key != "" {
		k.putLocked(keyOf(c, number))
	}
	for _, key := range closed {
		k.putLocked(closedKey(key, c, number))
	}
}

func (k *keyring) putLocked(key snapshots.Key) {
	if k.index == nil {
		k.index = make(map[string]int)
	}
	k.index[key.Key] = k.forgotten + len(k.keys)
	k.keys = append(k.keys, key)
}

func (k *keyring) forgetLocked() {
	oldest := k.keys[0]
	if k.index[oldest.Key] == k.forgotten {
		delete(k.index, oldest.Key)
	}
	k.keys[0] = snapshots.Key{}
	k.keys = k.keys[1:]
	k.forgotten++
	k.lost, k.forgot = oldest.Position, max(k.forgot, oldest.Time)
}

// find returns the newest use of a key, or its closing. It finds nothing for the empty key.
func (k *keyring) find(key string) (found snapshots.Key, ok bool) {
	if key == "" {
		return found, false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	newest, ok := k.index[key]
	for at := range len(key) {
		if key[at] != '/' {
			continue
		}
		if i, known := k.index[key[:at]]; known && k.keys[i-k.forgotten].Closed && (!ok || i > newest) {
			newest, ok = i, true
		}
	}
	if ok {
		found = k.keys[newest-k.forgotten]
	}
	return found, ok
}

// remembers reports whether the keys of all commits after a position are remembered.
func (k *keyring) remembers(after eventstore.Position) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost <= after
}

// saved returns what a snapshot after so many commits keeps of the keys: the keys of the window.
func (k *keyring) saved(commits uint64) (keys []snapshots.Key, left snapshots.Left) {
	k.mu.Lock()
	defer k.mu.Unlock()
	left.Last, left.Forgot = k.lost, k.forgot
	for _, key := range k.keys {
		switch {
		case key.Commit > commits:
			return keys, left
		case key.Commit+k.window > commits:
			keys = append(keys, key)
		default:
			if left.First.Commit == 0 {
				left.First = key
			}
			left.Last, left.Until = key.Position, key.Time
		}
	}
	return keys, left
}

// remember counts a commit, and notes its key and the keys that it closed.
func (e *entry[S]) remember(c *eventstore.Commit, closed []string) {
	e.commits++
	e.last, e.position = c.ID, c.Position
	e.keys.add(c, closed, e.commits)
}

// keyOf returns the key of a commit, which has that number in its stream.
func keyOf(c *eventstore.Commit, number uint64) snapshots.Key {
	return snapshots.Key{
		Key: c.Key, Hash: slices.Clone(c.KeyHash), Commit: number, Version: c.First, Position: c.Position, Time: c.Time.UnixNano(),
	}
}

// closedKey returns a key that a commit closed.
func closedKey(key string, c *eventstore.Commit, number uint64) snapshots.Key {
	return snapshots.Key{Key: key, Closed: true, Commit: number, Version: c.First, Position: c.Position, Time: c.Time.UnixNano()}
}

// below reports whether a key is below a closed one, and so closed too.
func below(key, closed string) bool { return strings.HasPrefix(key, closed+"/") }

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
