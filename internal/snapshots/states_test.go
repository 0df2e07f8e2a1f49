package snapshots

import (
	"bytes"
	"context"
	"log/slog"
	"maps"
	"math/big"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/plain"
)

type event interface {
	eventstore.Event
	account()
}

type deposited struct{ Amount int64 }

func (deposited) EventType() string { return "account.deposited" }
func (deposited) account()          {}

type withdrawn struct{ Amount int64 }

func (withdrawn) EventType() string { return "account.withdrawn" }
func (withdrawn) account()          {}

// closed is not an event of accounts.
type closed struct{ Why string }

func (closed) EventType() string { return "branch.closed" }

type balance struct{ Amount int64 }

func (b balance) Evolve(e event) balance {
	switch e := e.(type) {
	case deposited:
		b.Amount += e.Amount
	case withdrawn:
		b.Amount -= e.Amount
	}
	return b
}

func itself[S any](s S) S { return s }

func openStore(t testing.TB, js jetstream.JetStream, cfg *eventstore.Config, events ...eventstore.Event) *eventstore.Store {
	t.Helper()
	if len(events) == 0 {
		events = []eventstore.Event{deposited{}, withdrawn{}, closed{}}
	}
	store, err := eventstore.Open(t.Context(), js, "bank", events, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// openCache opens the snapshots of accounts, with settings that are changed by the functions given.
func openCache(t testing.TB, store *eventstore.Store, changes ...func(cfg *Config)) *Cache {
	t.Helper()
	cfg := Config{FoldVersion: 1, Every: 50, Queue: 1000, Replicas: 1, Logger: eventstore.Inside(inside.Pass{}, store).Logger()}
	for _, change := range changes {
		change(&cfg)
	}
	c, err := Open(t.Context(), store, "account", cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// fill appends commits to a stream and returns the snapshot after the last but two.
func fill(t *testing.T, store *eventstore.Store, id string, commits int) Snapshot[balance] {
	t.Helper()
	var snapshot Snapshot[balance]
	var head eventstore.Head
	for i := range commits {
		c, err := store.Append(t.Context(), eventstore.StreamID{Category: "account", ID: id}, head, deposited{1}, deposited{1})
		require.NoError(t, err)
		head = c.Head()
		if i == commits-3 {
			snapshot = Snapshot[balance]{
				State: balance{2 * int64(i+1)}, Version: c.Last(), Position: c.Position, Commit: c.ID, Commits: uint64(i + 1),
				Keys: []Key{{Key: "k", Hash: []byte{1}, Commit: uint64(i + 1), Version: c.First, Position: c.Position}},
			}
		}
	}
	return snapshot
}

func statesOf(t testing.TB, c *Cache) *States[balance] {
	t.Helper()
	states, err := For[balance, event](c, balance{}, itself[balance], 4, time.Hour)
	require.NoError(t, err)
	return states
}

func TestASnapshotIsRestoredWithWhatCameSince(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	saved := fill(t, store, "1", 10)
	c := openCache(t, store)
	statesOf(t, c).Save("1", saved)
	require.NoError(t, c.Close())
	require.Equal(t, Counters{Saved: 1}, c.Counters())

	c = openCache(t, store)
	found, history, err := statesOf(t, c).Restore(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, &saved, found)
	require.Len(t, history.Commits, 2, "without the snapshot's own")
	require.Equal(t, eventstore.Version(20), history.Head.Version)

	found, _, err = statesOf(t, c).Restore(t.Context(), "2")
	require.NoError(t, err)
	require.Nil(t, found)
	require.Equal(t, Counters{Restored: 1, Missing: 1}, c.Counters())
	require.NoError(t, c.Delete(t.Context(), "1"))
	found, _, err = statesOf(t, c).Restore(t.Context(), "1")
	require.NoError(t, err)
	require.Nil(t, found)
}

// The bucket may hold anything. Nothing but a snapshot of this log may be taken for the state.
func TestWhatDoesNotFitTheLogIsIgnored(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	saved := fill(t, store, "1", 10)
	fill(t, store, "2", 10)
	c := openCache(t, store)
	states := statesOf(t, c)
	good, err := states.encode(t.Context(), "1", saved)
	require.NoError(t, err)
	restored := func(name string, data []byte) bool {
		before := c.Counters().Ignored
		_, err := c.bucket.Put(t.Context(), "1", data)
		require.NoError(t, err)
		found, _, err := states.Restore(t.Context(), "1")
		require.NoError(t, err, name)
		require.Equal(t, found == nil, c.Counters().Ignored == before+1, name)
		return found != nil
	}
	require.True(t, restored("as it was saved", good))
	for name, change := range map[string]func(d *document){
		"of another store":                       func(d *document) { d.Store = uuid.NewString() },
		"of another stream":                      func(d *document) { d.Stream = "account/2" },
		"of another category":                    func(d *document) { d.Stream = "savings/1" },
		"of another fold version":                func(d *document) { d.FoldVersion++ },
		"of another fingerprint":                 func(d *document) { d.Fingerprint[0]++ },
		"with fewer keys than are looked for":    func(d *document) { d.Window = 3 },
		"of a commit that the log does not have": func(d *document) { d.Commit[15]++ },
		"of another version":                     func(d *document) { d.Version++ },
		"of a version before":                    func(d *document) { d.Version-- },
		"at another position":                    func(d *document) { d.Position++ },
		"at a position before":                   func(d *document) { d.Position-- },
		"at another stream's position":           func(d *document) { d.Position = 15 },
		"ahead of the stream":                    func(d *document) { d.Position, d.Version = 19, 99 },
		"ahead of the log":                       func(d *document) { d.Position, d.Version = 1<<60, 1<<60 },
		"with a state of another type":           func(d *document) { d.State = []byte{0xa1, 'x'} },
		"with a state that is cut off":           func(d *document) { d.State = d.State[:len(d.State)-1] },
	} {
		d, err := decodeDocument(good)
		require.NoError(t, err)
		change(d)
		data, err := d.encode()
		require.NoError(t, err)
		require.False(t, restored(name, data), name)
	}
	for i := range good {
		damaged := bytes.Clone(good)
		damaged[i] ^= 0x10
		require.False(t, restored("damaged", damaged), "byte %d", i)
	}
	require.False(t, restored("empty", nil))
	require.False(t, restored("of another program", []byte(`{"amount":1}`)))

	d, err := decodeDocument(good)
	require.NoError(t, err)
	d.Window = 100
	data, err := d.encode()
	require.NoError(t, err)
	require.True(t, restored("with more keys than are looked for", data))
}

// untagged has a field that its author keeps from the codec.
type untagged struct {
	Amount int64
	Secret string `msgpack:"-"`
}

func (u untagged) Evolve(event) untagged { return u }

// cached has a field that is not exported, which its author keeps from the codec.
type cached struct {
	Amount int64
	sum    any `msgpack:"-"`
}

func (c cached) Evolve(event) cached { return c }

type base struct{ By string }

// worth has numbers that encode themselves by methods of their pointers, and an embedded struct that is not exported.
type worth struct {
	base
	Price *big.Int
	Rate  big.Rat
	Link  *url.URL
	_     struct{}
}

func (w worth) Evolve(event) worth { return w }

func TestAStateOfNumbersThatEncodeThemselvesIsRestored(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	saved := fill(t, store, "1", 5)
	c := openCache(t, store)
	states, err := For[worth, event](c, worth{}, itself[worth], 4, time.Hour)
	require.NoError(t, err)
	price, ok := new(big.Int).SetString("-123456789012345678901234567890", 10)
	require.True(t, ok)
	want := worth{base: base{"anna"}, Price: price, Rate: *big.NewRat(1, 3), Link: &url.URL{Scheme: "https", Host: "a", User: url.User("b")}}
	states.Save("1", Snapshot[worth]{State: want, Version: saved.Version, Position: saved.Position, Commit: saved.Commit, Commits: saved.Commits})
	require.NoError(t, c.Close())
	require.Equal(t, int64(1), c.Counters().Saved)

	c = openCache(t, store)
	states, err = For[worth, event](c, worth{}, itself[worth], 4, time.Hour)
	require.NoError(t, err)
	found, _, err := states.Restore(t.Context(), "1")
	require.NoError(t, err)
	require.NotNil(t, found)
	require.True(t, plain.Equal(want, found.State), "%+v", found.State)
}

// emptied has a map that comes back as none, into which nothing can be written.
type emptied struct {
	Items map[string]int `msgpack:",omitempty"`
}

func (e emptied) Evolve(event) emptied { return e }

// ring holds itself.
type ring struct{ Next *ring }

func (r ring) Evolve(event) ring { return r }

// timed has times, which are in UTC when they are decoded.
type timed struct{ At map[string]time.Time }

func (s timed) Evolve(event) timed { return s }

// moody may panic when it is encoded.
type moody struct{ Mood mood }
type mood string

func (m mood) MarshalText() ([]byte, error) {
	if m == "bad" {
		panic("not now")
	}
	return []byte(m), nil
}
func (m *mood) UnmarshalText(text []byte) error { *m = mood(text); return nil }
func (m moody) Evolve(event) moody              { return m }

func TestAStateThatDoesNotSurviveSwitchesSnapshotsOff(t *testing.T) {
	self := new(ring)
	self.Next = self
	t.Run("a field kept back", func(t *testing.T) { switchesOff(t, untagged{}, untagged{Secret: "s"}, "snapshots.untagged.Secret") })
	t.Run("a field that only the package sees", func(t *testing.T) { switchesOff(t, cached{}, cached{sum: 1}, "snapshots.cached.sum is not exported") })
	t.Run("a map that vanishes", func(t *testing.T) {
		switchesOff(t, emptied{}, emptied{Items: map[string]int{}}, "snapshots.emptied.Items")
	})
	t.Run("a state that holds itself", func(t *testing.T) { switchesOff(t, ring{}, ring{self}, "nested too deep") })
	t.Run("a time in a zone", func(t *testing.T) {
		switchesOff(t, timed{}, timed{At: map[string]time.Time{"a": time.Unix(1, 0).In(time.FixedZone("x", 3600))}}, "snapshots.timed.At[] is a time in another zone than UTC")
	})
	t.Run("a type that panics", func(t *testing.T) { switchesOff(t, moody{"good"}, moody{"bad"}, "not now") })
}

func switchesOff[S interface{ Evolve(e event) S }](t *testing.T, initial, state S, reason string) {
	t.Helper()
	store := openStore(t, eventstoretest.JetStream(t), nil)
	var log safeBuffer
	c := openCache(t, store, func(cfg *Config) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	states, err := For[S, event](c, initial, itself[S], 4, time.Hour)
	require.NoError(t, err)
	require.True(t, states.Due(50, 0))
	for _, id := range []string{"1", "2", "3"} {
		states.Save(id, Snapshot[S]{State: state, Version: 1, Position: 1, Commits: 1})
	}
	require.NoError(t, c.Close())
	require.Equal(t, Counters{Dropped: 3}, c.Counters())
	require.False(t, states.Due(1000, 0))
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "level=ERROR")
	require.Contains(t, log.String(), reason)
}

// safeBuffer is a buffer that a logger may write from any goroutine.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestNobodyWaitsForASave(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	saved := fill(t, store, "1", 5)
	c := openCache(t, store, func(cfg *Config) { cfg.Queue = 2 })
	states := statesOf(t, c)
	began, release := make(chan struct{}), make(chan struct{})
	c.queue.put("stuck", func(context.Context) ([]byte, error) {
		close(began)
		<-release
		return nil, errOff
	})
	<-began
	for _, id := range []string{"1", "2", "3", "4", "5"} {
		states.Save(id, saved)
	}
	require.Equal(t, int64(3), c.Counters().Dropped)
	close(release)
	require.NoError(t, c.Close())
	require.Equal(t, Counters{Dropped: 4, Saved: 2}, c.Counters())
}

func TestABucketThatIsGoneIsNoFault(t *testing.T) {
	eventstoretest.Bubble(t, bucketGone) // the save is tried for some seconds
}

func bucketGone(t *testing.T) {
	t.Helper()
	js := eventstoretest.JetStream(t)
	store := openStore(t, js, nil)
	saved := fill(t, store, "1", 5)
	c := openCache(t, store)
	states := statesOf(t, c)
	require.NoError(t, js.DeleteKeyValue(t.Context(), c.bucket.Name()))
	found, _, err := states.Restore(t.Context(), "1")
	require.NoError(t, err)
	require.Nil(t, found)
	require.Equal(t, int64(1), c.Counters().Unanswered)
	states.Save("1", saved)
	require.NoError(t, c.Close())
	require.Equal(t, int64(1), c.Counters().Failed)
	states.Save("1", saved)
	require.Equal(t, int64(1), c.Counters().Dropped, "after Close")
}

// basket holds a map, and changes it where it stands.
type basket struct{ Items map[string]int }

func (b basket) Clone() basket { b.Items = maps.Clone(b.Items); return b }

func (b basket) Evolve(e event) basket {
	if d, ok := e.(deposited); ok {
		b.Items["x"] += int(d.Amount)
	}
	return b
}

func TestASnapshotSharesNothingWithItsCaller(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	at := fill(t, store, "1", 3)
	c := openCache(t, store)
	states, err := For[basket, event](c, basket{Items: map[string]int{}}, basket.Clone, 4, time.Hour)
	require.NoError(t, err)
	state := basket{Items: map[string]int{"x": 1}}
	for range 50 {
		states.Save("1", Snapshot[basket]{State: state, Version: at.Version, Position: at.Position, Commit: at.Commit, Commits: 1})
		state.Items["x"]++ // while it may be being saved
	}
	require.NoError(t, c.Close())
	c = openCache(t, store)
	states, err = For[basket, event](c, basket{Items: map[string]int{}}, basket.Clone, 4, time.Hour)
	require.NoError(t, err)
	found, _, err := states.Restore(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, 50, found.State.Items["x"])
}
