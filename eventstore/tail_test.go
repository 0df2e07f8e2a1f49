package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
)

// consumersOf returns how many consumers a store's JetStream stream has.
func consumersOf(t *testing.T, store *eventstore.Store) int {
	t.Helper()
	stream, err := store.JetStream().Stream(t.Context(), store.Name())
	require.NoError(t, err)
	return stream.CachedInfo().State.Consumers
}

func TestLiveReadersOfAStoreShareAConsumer(t *testing.T) {
	store := open(t, nil)
	const readers, commits = 6, 50
	var head eventstore.Head
	next := func() {
		c, err := store.Append(t.Context(), account("1"), head, deposited{1})
		require.NoError(t, err)
		head = c.Head()
	}
	next()
	var following []puller
	for range readers {
		following = append(following, pull(t.Context(), store, 0))
	}
	for position := range commits {
		for _, reader := range following {
			require.Equal(t, eventstore.Position(position+1), reader.next(t))
		}
		next()
	}
	require.Equal(t, 1, consumersOf(t, store))
	for _, reader := range following {
		reader.stop()
	}
	require.Eventually(t, func() bool { return consumersOf(t, store) == 0 }, 10*time.Second, time.Millisecond)
	again := pull(t.Context(), store, commits)
	defer again.stop()
	require.EqualValues(t, commits+1, again.next(t))
}

// puller is a live reader that reads on only when it is asked.
type puller struct {
	pull func() (*eventstore.Commit, error, bool)
	stop func()
}

func pull(ctx context.Context, store *eventstore.Store, after eventstore.Position) puller {
	next, stop := iter.Pull2(store.Log(ctx, eventstore.After(after), eventstore.Live()))
	return puller{next, stop}
}

func (p puller) next(t require.TestingT) eventstore.Position {
	c, err, ok := p.pull()
	require.True(t, ok)
	require.NoError(t, err)
	return c.Position
}

// Readers begin anywhere, read as much as they like and leave, while the log grows. Few commits are kept for them, so
// those that fall behind must read by themselves. Each gets each commit behind its start once, in order.
func TestALiveReaderMissesNothingHoweverSlowItIs(t *testing.T) {
	proptest.Runs(t, 20)
	server := eventstoretest.NewServer(t)
	stores := 0
	rapid.Check(t, func(rt *rapid.T) {
		stores++
		js := server.JetStream(t)
		store, err := eventstore.Open(t.Context(), js, fmt.Sprint("tail-", stores), events, nil)
		require.NoError(rt, err)
		defer func() { require.NoError(rt, store.Close()) }()
		store.KeepForReaders(rapid.IntRange(1, 5).Draw(rt, "kept"))
		m := &tailModel{store: store, js: js}
		defer m.leaveAll()
		rt.Repeat(map[string]func(*rapid.T){
			"append": m.append, "transaction": m.transaction, "foreign": m.foreign, "begin": m.begin, "read": m.read, "leave": m.leave,
		})
		for len(m.readers) > 0 {
			m.readOn(rt, 0, 1000)
			m.leave(rt)
		}
	})
}

type tailModel struct {
	store   *eventstore.Store
	js      jetstream.JetStream
	end     eventstore.Position
	visible []eventstore.Position // of commits that readers get
	heads   [3]eventstore.Head
	readers []*tailReader
}

type tailReader struct {
	puller
	at int // the next of visible
}

func (m *tailModel) write(stream int) eventstore.Write {
	return eventstore.Write{Stream: account(fmt.Sprint(stream)), Expected: m.heads[stream], Events: []eventstore.Event{deposited{1}}}
}

func (m *tailModel) append(t *rapid.T) {
	for range rapid.IntRange(1, 8).Draw(t, "commits") {
		stream := rapid.IntRange(0, len(m.heads)-1).Draw(t, "stream")
		w := m.write(stream)
		c, err := m.store.Append(context.Background(), w.Stream, w.Expected, w.Events...)
		require.NoError(t, err)
		m.heads[stream], m.end = c.Head(), c.Position
		m.visible = append(m.visible, c.Position)
	}
}

func (m *tailModel) transaction(t *rapid.T) {
	commits, err := m.store.AppendAll(context.Background(), m.write(0), m.write(1), m.write(2))
	require.NoError(t, err)
	for i, c := range commits {
		m.heads[i], m.end = c.Head(), c.Position
		m.visible = append(m.visible, c.Position)
	}
}

// foreign stores a message of another program, which readers pass over.
func (m *tailModel) foreign(t *rapid.T) {
	ack, err := m.js.Publish(context.Background(), m.store.Name()+".other.x", []byte("hello"))
	require.NoError(t, err)
	m.end = eventstore.Position(ack.Sequence)
}

func (m *tailModel) begin(t *rapid.T) {
	after := eventstore.Position(rapid.Uint64Range(0, uint64(m.end)).Draw(t, "after"))
	at := 0
	for at < len(m.visible) && m.visible[at] <= after {
		at++
	}
	m.readers = append(m.readers, &tailReader{puller: pull(context.Background(), m.store, after), at: at})
}

func (m *tailModel) read(t *rapid.T) {
	if len(m.readers) == 0 {
		t.Skip("nobody reads")
	}
	m.readOn(t, rapid.IntRange(0, len(m.readers)-1).Draw(t, "reader"), rapid.IntRange(1, 10).Draw(t, "commits"))
}

func (m *tailModel) readOn(t *rapid.T, reader, commits int) {
	r := m.readers[reader]
	for ; commits > 0 && r.at < len(m.visible); commits-- {
		require.Equal(t, m.visible[r.at], r.next(t))
		r.at++
	}
}

func (m *tailModel) leave(t *rapid.T) {
	if len(m.readers) == 0 {
		t.Skip("nobody reads")
	}
	m.readers[0].stop()
	m.readers = m.readers[1:]
}

func (m *tailModel) leaveAll() {
	for _, r := range m.readers {
		r.stop()
	}
}

func TestEachLiveReaderGetsTheErrorWithWhichTheLogEnds(t *testing.T) {
	store := open(t, nil)
	_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	var readers []puller
	for range 3 {
		reader := pull(t.Context(), store, 0)
		require.EqualValues(t, 1, reader.next(t))
		readers = append(readers, reader)
	}
	require.NoError(t, store.JetStream().DeleteStream(t.Context(), store.Name()))
	for _, reader := range readers {
		_, err, ok := reader.pull()
		require.True(t, ok)
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
		reader.stop()
	}
	late := pull(t.Context(), store, 1)
	defer late.stop()
	_, err, _ = late.pull()
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
}

func TestAReaderJoinsNoScanThatHasEnded(t *testing.T) {
	store := open(t, nil)
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	first := pull(t.Context(), store, 0)
	defer first.stop()
	require.EqualValues(t, 1, first.next(t))
	refused := errors.New("refused")
	store.EndForReaders(refused)
	second := pull(t.Context(), store, 0)
	defer second.stop()
	require.EqualValues(t, 1, second.next(t))
	_, err = store.Append(t.Context(), account("1"), c.Head(), deposited{1})
	require.NoError(t, err)
	require.EqualValues(t, 2, second.next(t))
	for err == nil { // its scan goes on, because only a test can end one so
		_, err, _ = first.pull()
	}
	require.ErrorIs(t, err, refused)
}

// Nothing that was appended before a reader begins comes through the line. So the scan that others share stays behind.
func TestAReaderWaitsForNoScanThatIsFarBehind(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Reads: proxy.JetStream(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	store.KeepForReaders(5)
	proxy.DropReplies(func(_ string, payload []byte) bool { return bytes.Contains(payload, []byte("slow")) })
	first := follow(t, store)
	require.Eventually(t, func() bool { return consumersOf(t, store) == 1 }, 10*time.Second, time.Millisecond)
	const before = 20
	var head eventstore.Head
	add := func(name string) {
		c, err := store.Append(t.Context(), account("1"), head, opened{name})
		require.NoError(t, err)
		head = c.Head()
	}
	for range before {
		add("slow")
	}
	second := make(chan eventstore.Position, 1)
	go func() {
		reader := pull(t.Context(), store, before)
		defer reader.stop()
		if c, err, _ := reader.pull(); err == nil {
			second <- c.Position
		}
	}()
	require.Eventually(t, func() bool { return consumersOf(t, store) == 2 }, 10*time.Second, time.Millisecond)
	add("fast")
	require.EqualValues(t, before+1, <-second)
	for position := range eventstore.Position(before + 1) {
		require.Equal(t, position+1, <-first)
	}
}

func TestALiveReaderEndsWithItsContextThoughMoreIsThere(t *testing.T) {
	store := open(t, nil)
	const commits = 200
	var head eventstore.Head
	for range commits {
		c, err := store.Append(t.Context(), account("1"), head, deposited{1})
		require.NoError(t, err)
		head = c.Head()
	}
	other := pull(t.Context(), store, 0)
	defer other.stop()
	for position := range eventstore.Position(commits) {
		require.Equal(t, position+1, other.next(t)) // so that all of them are kept
	}
	ctx, cancel := context.WithCancel(t.Context())
	reader := pull(ctx, store, 0)
	defer reader.stop()
	require.EqualValues(t, 1, reader.next(t))
	cancel()
	for read := 1; ; read++ {
		if _, err, _ := reader.pull(); err != nil {
			require.ErrorIs(t, err, context.Canceled)
			return
		}
		require.Less(t, read, commits-1)
	}
}
