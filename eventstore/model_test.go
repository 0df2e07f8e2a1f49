package eventstore_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
)

// TestAStoreBehavesAsAListOfCommits does random things to a store and to a list, and compares all of both after each.
// The server is stopped and started among them, and acknowledgements are lost.
func TestAStoreBehavesAsAListOfCommits(t *testing.T) {
	proptest.Runs(t, 8)
	server := eventstoretest.NewServer(t, eventstoretest.Memory())
	checkStores(t, server, server.Proxy(t), nil)
}

// checkStores runs the machine on one store after the other, all on one server. The machine also has the actions that
// more returns.
func checkStores(t *testing.T, server interface{ Restart() }, proxy *eventstoretest.Proxy, more func(m *logModel, actions map[string]func(*rapid.T))) {
	t.Helper()
	js, reads := proxy.JetStream(t), proxy.JetStream(t)
	names := 0
	rapid.Check(t, func(rt *rapid.T) {
		names++
		m := &logModel{t: t, server: server, proxy: proxy, js: js, reads: reads, name: fmt.Sprintf("bank%d", names),
			heads: make(map[eventstore.StreamID][]eventstore.Head)}
		m.open(rt, eventstore.Config{})
		actions := map[string]func(*rapid.T){
			"append": m.append, "append all": m.appendAll, "race": m.race, "load": m.load, "stream": m.stream, "all": m.all,
			"at": m.at, "outcome": m.outcome, "reopen": m.reopen, "restart": m.restart, "": m.check,
		}
		if more != nil {
			more(m, actions)
		}
		rt.Repeat(actions)
		require.NoError(rt, m.store.Close())
		require.NoError(rt, js.DeleteStream(t.Context(), m.name))
		if err := js.DeleteKeyValue(t.Context(), m.name+"_control"); !errors.Is(err, jetstream.ErrBucketNotFound) {
			require.NoError(rt, err)
		}
	})
}

// fact is what is known of a commit, from its acknowledgement or from the log.
type fact struct {
	Stream      eventstore.StreamID
	Position    eventstore.Position
	First       eventstore.Version
	ID          uuid.UUID
	Time        time.Time
	Metadata    eventstore.Metadata
	Key, Hash   string
	Transaction eventstore.Transaction // zero for none
	Head        eventstore.Head
	Events      []eventstore.Event
}

func (f fact) last() eventstore.Version { return f.First + eventstore.Version(len(f.Events)) - 1 }

// factOf is what a commit says, with the events that it was given or that were decoded from it.
func factOf(c *eventstore.Commit, events []eventstore.Event) fact {
	f := fact{
		Stream: c.Stream, Position: c.Position, First: c.First, ID: c.ID, Time: c.Time, Metadata: c.Metadata,
		Key: c.Key, Hash: string(c.KeyHash), Head: c.Head(), Events: events,
	}
	if c.Transaction != nil {
		f.Transaction = *c.Transaction
	}
	return f
}

// read is what a commit from the log says.
func read(t require.TestingT, c *eventstore.Commit) fact {
	var events []eventstore.Event
	for recorded := range c.Events() {
		decoded, err := recorded.Decode()
		require.NoError(t, err)
		events = append(events, decoded...)
	}
	return factOf(c, events)
}

// logModel is a store and what must be in it.
type logModel struct {
	t         *testing.T
	server    interface{ Restart() }
	proxy     *eventstoretest.Proxy
	js, reads jetstream.JetStream
	name      string
	store     *eventstore.Store
	restarts  int

	log   []fact                                    // in the order of positions, which begin at 1
	heads map[eventstore.StreamID][]eventstore.Head // each stream was ever at, behind the zero head
}

// maxRestarts bounds how often one run of the machine restarts its server, which takes longer than all else.
const maxRestarts = 2

var (
	modelStreams = []eventstore.StreamID{
		{Category: "account", ID: "a"}, {Category: "account", ID: "b"}, {Category: "account", ID: "*.é"}, {Category: "card", ID: "a"},
	}
	someStream  = rapid.SampledFrom(modelStreams)
	someStreams = rapid.SliceOfNDistinct(someStream, 2, 3, rapid.ID)
	someEvents  = rapid.SliceOfN(rapid.OneOf(
		rapid.Custom(func(t *rapid.T) eventstore.Event { return opened{rapid.StringN(0, 8, -1).Draw(t, "owner")} }),
		rapid.Custom(func(t *rapid.T) eventstore.Event { return deposited{rapid.Int64().Draw(t, "amount")} }),
	), 1, 3)
)

func (m *logModel) open(rt *rapid.T, cfg eventstore.Config) {
	cfg.AckTimeout = 20 * time.Millisecond
	require.Eventually(rt, m.js.Conn().IsConnected, 10*time.Second, time.Millisecond)
	store, err := eventstore.Open(m.t.Context(), m.js, m.name, events, &cfg)
	require.NoError(rt, err)
	m.store = store
}

// head returns where a stream stands.
func (m *logModel) head(stream eventstore.StreamID) eventstore.Head {
	if known := m.heads[stream]; len(known) > 0 {
		return known[len(known)-1]
	}
	return eventstore.Head{}
}

// sameHead compares where a stream stands with what was read. The head of an empty stream also says when it was read.
func (m *logModel) sameHead(rt *rapid.T, stream eventstore.StreamID, read eventstore.Head) {
	if want := m.head(stream); want.Version > 0 {
		require.Equal(rt, want, read)
		return
	}
	require.Zero(rt, read.Version)
	require.Zero(rt, read.Position)
}

// expectation draws what an append to the stream expects, and says whether the stream is there.
func (m *logModel) expectation(rt *rapid.T, stream eventstore.StreamID) (expected eventstore.Head, right bool) {
	now := m.head(stream)
	known := append([]eventstore.Head{{}}, m.heads[stream]...)
	switch rapid.SampledFrom([]string{"now", "now", "now", "loaded", "before", "by hand", "ahead", "elsewhere"}).Draw(rt, "expects") {
	case "loaded":
		history, err := m.store.Load(m.t.Context(), stream)
		require.NoError(rt, err)
		expected = history.Head
	case "before":
		expected = rapid.SampledFrom(known).Draw(rt, "head")
	case "by hand":
		expected = eventstore.Head{Version: eventstore.Version(rapid.Uint64Range(0, uint64(now.Version)+2).Draw(rt, "version"))}
		return expected, expected.Version == now.Version
	case "ahead":
		expected = eventstore.Head{Version: now.Version + 1, Position: now.Position + 1}
	case "elsewhere":
		expected = m.head(someStream.Draw(rt, "other stream"))
	default:
		expected = now
	}
	return expected, expected.Position == now.Position
}

// writes draws a transaction, and returns the conflicts of which it must end in one, if there are any.
func (m *logModel) writes(rt *rapid.T, streams ...eventstore.StreamID) (writes []eventstore.Write, conflicts []*eventstore.ConflictError) {
	for _, stream := range streams {
		expected, right := m.expectation(rt, stream)
		if !right {
			conflicts = append(conflicts, &eventstore.ConflictError{
				Stream: stream, Expected: expected.Version, Actual: m.head(stream).Version})
		}
		writes = append(writes, eventstore.Write{
			Stream: stream, Expected: expected, Events: someEvents.Draw(rt, "events"),
			Key: rapid.SampledFrom([]string{"", "k"}).Draw(rt, "key"), KeyHash: []byte("h"),
		})
	}
	return writes, conflicts
}

func (m *logModel) append(rt *rapid.T) { m.write(rt, someStream.Draw(rt, "stream")) }

func (m *logModel) appendAll(rt *rapid.T) { m.write(rt, someStreams.Draw(rt, "streams")...) }

func (m *logModel) write(rt *rapid.T, streams ...eventstore.StreamID) {
	writes, conflicts := m.writes(rt, streams...)
	defer m.loseAcknowledgements(rt)()
	ctx := eventstore.WithMetadata(m.t.Context(), eventstore.Metadata{Actor: rapid.SampledFrom([]string{"", "anna"}).Draw(rt, "actor")})
	commits, err := m.store.AppendAll(ctx, writes...)
	if len(conflicts) > 0 {
		var conflict *eventstore.ConflictError
		require.ErrorAs(rt, err, &conflict)
		require.Contains(rt, conflicts, conflict)
		return
	}
	require.NoError(rt, err)
	m.stored(writes, commits)
}

// loseAcknowledgements may let the next acknowledgement be lost, until it is called off.
func (m *logModel) loseAcknowledgements(rt *rapid.T) (callOff func()) {
	if rapid.IntRange(0, 7).Draw(rt, "lost") == 7 {
		m.proxy.DropAcks(1)
	}
	return func() { m.proxy.DropAcks(0) }
}

// stored keeps what was acknowledged.
func (m *logModel) stored(writes []eventstore.Write, commits []*eventstore.Commit) {
	for i, c := range commits {
		m.log = append(m.log, factOf(c, writes[i].Events))
		m.heads[c.Stream] = append(m.heads[c.Stream], c.Head())
	}
}

// race lets several writers append to the same streams on top of the same heads. One wins.
func (m *logModel) race(rt *rapid.T) {
	streams := rapid.SliceOfNDistinct(someStream, 1, 3, rapid.ID).Draw(rt, "streams")
	writers := rapid.IntRange(2, 4).Draw(rt, "writers")
	defer m.loseAcknowledgements(rt)()
	writes := make([][]eventstore.Write, writers)
	commits := make([][]*eventstore.Commit, writers)
	errs := make([]error, writers)
	var all sync.WaitGroup
	for w := range writers {
		for _, stream := range streams {
			writes[w] = append(writes[w], eventstore.Write{
				Stream: stream, Expected: m.head(stream), Events: []eventstore.Event{deposited{int64(w)}}})
		}
		all.Go(func() { commits[w], errs[w] = m.store.AppendAll(m.t.Context(), writes[w]...) })
	}
	all.Wait()
	before := make(map[eventstore.StreamID]eventstore.Version)
	for _, stream := range streams {
		before[stream] = m.head(stream).Version
	}
	winners := 0
	for w, err := range errs {
		if err == nil {
			winners++
			m.stored(writes[w], commits[w])
			continue
		}
		var conflict *eventstore.ConflictError
		require.ErrorAs(rt, err, &conflict)
		require.Contains(rt, streams, conflict.Stream)
		require.Equal(rt, conflict.Expected, before[conflict.Stream])
		require.Equal(rt, before[conflict.Stream]+1, conflict.Actual)
	}
	require.Equal(rt, 1, winners)
}

func (m *logModel) load(rt *rapid.T) {
	stream := someStream.Draw(rt, "stream")
	from := m.someVersion(rt, stream)
	options := []eventstore.LoadOption{eventstore.From(from)}
	if rapid.Bool().Draw(rt, "leader") {
		options = append(options, eventstore.Leader())
	}
	history, err := m.store.Load(m.t.Context(), stream, options...)
	require.NoError(rt, err)
	m.sameHead(rt, stream, history.Head)
	var got []fact
	for _, c := range history.Commits {
		got = append(got, read(rt, c))
	}
	require.Equal(rt, m.facts(func(f fact) bool { return f.Stream == stream && f.last() >= from }), got)
}

func (m *logModel) someVersion(rt *rapid.T, stream eventstore.StreamID) eventstore.Version {
	return eventstore.Version(rapid.Uint64Range(0, uint64(m.head(stream).Version)+2).Draw(rt, "version"))
}

// facts picks from the log.
func (m *logModel) facts(pick func(fact) bool) []fact {
	var picked []fact
	for _, f := range m.log {
		if pick(f) {
			picked = append(picked, f)
		}
	}
	return picked
}

func (m *logModel) stream(rt *rapid.T) {
	stream := someStream.Draw(rt, "stream")
	from := max(m.someVersion(rt, stream), 1)
	var want []eventstore.Event
	for _, f := range m.facts(func(f fact) bool { return f.Stream == stream }) {
		want = append(want, f.Events...)
	}
	want = want[min(int(from)-1, len(want)):]
	next := from
	for recorded, err := range m.store.Stream(m.t.Context(), stream, eventstore.From(from)) {
		require.NoError(rt, err)
		require.Equal(rt, next, recorded.Version())
		decoded, err := recorded.Decode()
		require.NoError(rt, err)
		require.Equal(rt, want[:1], decoded)
		want, next = want[1:], next+1
	}
	require.Empty(rt, want)
}

func (m *logModel) all(rt *rapid.T) {
	after := eventstore.Position(rapid.IntRange(0, len(m.log)+1).Draw(rt, "after"))
	categories := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"account", "card", "none"}), rapid.ID).Draw(rt, "categories")
	types := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"account.opened", "account.deposited"}), rapid.ID).Draw(rt, "types")
	var want []eventstore.Event
	for _, f := range m.facts(func(f fact) bool { return f.Position > after }) {
		for _, event := range f.Events {
			if (len(categories) == 0 || slices.Contains(categories, f.Stream.Category)) &&
				(len(types) == 0 || slices.Contains(types, event.EventType())) {
				want = append(want, event)
			}
		}
	}
	var got []eventstore.Event
	for recorded, err := range m.store.All(m.t.Context(), eventstore.After(after), eventstore.Categories(categories...), eventstore.Types(types...)) {
		if int(after) > len(m.log) {
			require.ErrorIs(rt, err, eventstore.ErrPositionAhead)
			return
		}
		require.NoError(rt, err)
		decoded, err := recorded.Decode()
		require.NoError(rt, err)
		got = append(got, decoded...)
	}
	require.Equal(rt, want, got)
}

func (m *logModel) at(rt *rapid.T) {
	position := eventstore.Position(rapid.IntRange(1, len(m.log)+2).Draw(rt, "position"))
	c, err := m.store.At(m.t.Context(), position)
	require.NoError(rt, err)
	if int(position) > len(m.log) {
		require.Nil(rt, c)
		return
	}
	want, got := m.log[position-1], read(rt, c)
	if !c.Whole() {
		// The transaction may be torn, so an append looks up the head of a commit that was read alone.
		want.Head, got.Head = plainHead(want.Head), plainHead(got.Head)
	}
	require.Equal(rt, want, got)
}

// plainHead is what a program can see of a head.
func plainHead(head eventstore.Head) eventstore.Head {
	return eventstore.Head{Version: head.Version, Position: head.Position}
}

func (m *logModel) outcome(rt *rapid.T) {
	stream, id := someStream.Draw(rt, "stream"), uuid.UUID{}
	version := max(m.someVersion(rt, stream), 1)
	holds := m.facts(func(f fact) bool { return f.Stream == stream && f.First == version })
	ours := len(holds) > 0 && rapid.Bool().Draw(rt, "ours")
	if ours {
		id = holds[0].ID
	}
	c, err := m.store.Outcome(m.t.Context(), stream, version, id)
	switch {
	case ours:
		require.NoError(rt, err)
		require.Equal(rt, holds[0], read(rt, c))
	case len(holds) == 0: // nothing there yet, or the version of no append
		require.ErrorIs(rt, err, eventstore.ErrUnknownOutcome)
	default:
		require.ErrorIs(rt, err, eventstore.ErrConflict)
	}
}

// reopen closes the store and opens it again, with another configuration.
func (m *logModel) reopen(rt *rapid.T) {
	require.NoError(rt, m.store.Close())
	var cfg eventstore.Config
	if rapid.Bool().Draw(rt, "reads apart") {
		cfg.Reads = m.reads
	}
	if rapid.Bool().Draw(rt, "said again") {
		cfg.Codec, cfg.Replicas = eventstore.Msgpack, 1
	}
	m.open(rt, cfg)
}

// restart stops the server in good order and starts it again.
func (m *logModel) restart(rt *rapid.T) {
	if m.restarts == maxRestarts {
		rt.Skip("often enough")
	}
	m.restarts++
	m.server.Restart()
}

// check compares everything: what was acknowledged is there, in its order, and nothing else is.
func (m *logModel) check(rt *rapid.T) {
	var got []fact
	for c, err := range m.store.Log(m.t.Context()) {
		require.NoError(rt, err)
		got = append(got, read(rt, c))
	}
	require.Equal(rt, m.log, got)
	for i, f := range got {
		require.Equal(rt, eventstore.Position(i+1), f.Position)
	}
	end, err := m.store.End(m.t.Context())
	require.NoError(rt, err)
	require.Equal(rt, eventstore.Position(len(m.log)), end)
	for _, stream := range modelStreams {
		head, err := m.store.Head(m.t.Context(), stream)
		require.NoError(rt, err)
		m.sameHead(rt, stream, head)
	}
	require.Zero(rt, m.store.Counters().Torn)
}
