package eventstore_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
)

// numbered is an event that says which attempt to append wrote it.
type numbered struct{ Attempt int64 }

func (numbered) EventType() string { return "test.numbered" }

// deployments are what the promises must hold on.
func deployments(t *testing.T, test func(t *testing.T, d deployment)) {
	t.Run("one replica", func(t *testing.T) {
		server := eventstoretest.NewServer(t)
		test(t, deployment{replicas: 1, js: server.JetStream(t), url: server.URL()})
	})
	t.Run("three replicas", func(t *testing.T) {
		cluster := eventstoretest.NewCluster(t, 3)
		test(t, deployment{replicas: 3, js: cluster.JetStream(t), url: cluster.Nodes()[0].URL()})
	})
}

type deployment struct {
	replicas int
	js       jetstream.JetStream // past any proxy
	url      string              // of a server, to put a proxy before
}

func (d deployment) open(t *testing.T, js jetstream.JetStream, cfg eventstore.Config) *eventstore.Store {
	t.Helper()
	cfg.Replicas = d.replicas
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{numbered{}}, &cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// attempts records how appends were reported to have ended, by the number in their event.
type attempts struct {
	mu     sync.Mutex
	next   int64
	stored map[int64]*eventstore.Commit
	failed map[int64]error
}

func newAttempts() *attempts {
	return &attempts{stored: make(map[int64]*eventstore.Commit), failed: make(map[int64]error)}
}

// begin returns the number of a new attempt.
func (a *attempts) begin() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	return a.next
}

func (a *attempts) end(number int64, c *eventstore.Commit, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failed[number] = err
	} else {
		a.stored[number] = c
	}
}

// verify compares what was reported with the log.
func (a *attempts) verify(t *testing.T, store *eventstore.Store) {
	t.Helper()
	versions := make(map[eventstore.StreamID]eventstore.Version)
	inLog := make(map[int64]eventstore.Position)
	for recorded, err := range store.All(t.Context()) {
		require.NoError(t, err)
		versions[recorded.Stream]++
		require.Equal(t, versions[recorded.Stream], recorded.Version(), "versions of %s are dense", recorded.Stream)
		decoded, err := recorded.Decode()
		require.NoError(t, err)
		number := decoded[0].(numbered).Attempt
		require.NotContains(t, inLog, number, "attempt %d is stored once", number)
		inLog[number] = recorded.Position
	}
	for number, c := range a.stored {
		require.Equal(t, c.Position, inLog[number], "attempt %d was reported stored there", number)
		delete(inLog, number)
	}
	for number, position := range inLog {
		t.Errorf("attempt %d is in the log at position %d and was not reported stored: %v", number, position, a.failed[number])
	}
	for number, err := range a.failed {
		if refused, is := errors.AsType[*eventstore.AppendError](err); is && errors.Is(err, eventstore.ErrUnavailable) {
			require.Zero(t, refused.CommitID, "attempt %d is not in the log, and that is known: %v", number, err)
			continue // the servers were too slow for the question before the append
		}
		var conflict *eventstore.ConflictError
		require.ErrorAs(t, err, &conflict, "attempt %d", number)
		require.Greater(t, conflict.Actual, conflict.Expected, "attempt %d", number)
	}
}

// contend lets one writer for each of the stores append to streams that it picks, from heads that may be old, until it
// is enough, and records how each append ended.
func contend(t *testing.T, stores []*eventstore.Store, pick func(writer int) int, enough func(attempts int64) bool) *attempts {
	t.Helper()
	record := newAttempts()
	var all sync.WaitGroup
	for w, store := range stores {
		all.Go(func() {
			heads := make(map[eventstore.StreamID]eventstore.Head)
			for number := record.begin(); !enough(number); number = record.begin() {
				stream := account(fmt.Sprint(pick(w)))
				c, err := store.Append(t.Context(), stream, heads[stream], numbered{number})
				record.end(number, c, err)
				if err == nil {
					heads[stream] = c.Head()
					continue
				}
				head, err := store.Head(t.Context(), stream)
				if err != nil {
					t.Error(err)
					return
				}
				heads[stream] = head
			}
		})
	}
	all.Wait()
	return record
}

func TestOfContendedAppendsOneWinsEachVersion(t *testing.T) {
	appends := proptest.Volume(1000, 10_000)
	deployments(t, func(t *testing.T, d deployment) {
		store := d.open(t, d.js, eventstore.Config{})
		record := contend(t, slices.Repeat([]*eventstore.Store{store}, 16),
			func(int) int { return rand.IntN(4) }, func(n int64) bool { return n > int64(appends) })
		record.verify(t, store)
		require.Len(t, record.stored, appends-len(record.failed))
		require.Greater(t, len(record.failed), appends/10, "the writers did contend")
		t.Logf("%d stored, %d conflicts", len(record.stored), len(record.failed))
	})
}

func TestEveryAppendWhoseAcknowledgementWasDroppedIsSettled(t *testing.T) {
	drops := proptest.Volume(100, 1000)
	deployments(t, func(t *testing.T, d deployment) {
		proxy := eventstoretest.NewProxy(t, d.url)
		behind := d.open(t, proxy.JetStream(t), eventstore.Config{AckTimeout: 10 * time.Millisecond})
		slow := eventstoretest.NewProxy(t, d.url)
		slow.Delay(time.Millisecond)
		other := d.open(t, slow.JetStream(t), eventstore.Config{})
		dropped := 0
		proxy.DropAcksWhere(func() bool {
			if dropped == drops || rand.IntN(3) == 0 {
				return false
			}
			dropped++
			return true
		})
		// Fourteen writers lose acknowledgements, each with five streams of its own. Two more lose none, and write on
		// top of what the others do not know yet.
		stores := append(slices.Repeat([]*eventstore.Store{behind}, 14), other, other)
		record := contend(t, stores, func(w int) int {
			if w >= 14 {
				return rand.IntN(14 * 5)
			}
			return w*5 + rand.IntN(5)
		}, func(int64) bool { return proxy.Dropped() >= drops })
		proxy.DropAcksWhere(nil)
		require.Equal(t, drops, proxy.Dropped())
		record.verify(t, other)
		t.Logf("%d acknowledgements dropped: %d stored, %d conflicts, %d outcomes read back",
			proxy.Dropped(), len(record.stored), len(record.failed), behind.Counters().Resolved)
		require.Positive(t, behind.Counters().Resolved)
	})
}

func TestAFullStoreDoesNotHideThatAnAppendWasStored(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", []eventstore.Event{opened{}},
		&eventstore.Config{MaxBytes: 100_000, AckTimeout: 50 * time.Millisecond})
	require.NoError(t, err)
	defer store.Close()
	large := opened{Owner: string(make([]byte, 40_000))}
	_, err = store.Append(t.Context(), account("a"), eventstore.Head{}, large)
	require.NoError(t, err)

	proxy.DropAcks(1)
	stored, err := store.Append(t.Context(), account("b"), eventstore.Head{}, large)
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(2), stored.Position)
	require.Equal(t, 1, proxy.Dropped())

	_, err = store.Append(t.Context(), account("c"), eventstore.Head{}, large)
	require.ErrorIs(t, err, eventstore.ErrFull, "the store is full indeed")
	_, err = store.Append(t.Context(), account("b"), stored.Head(), large)
	require.ErrorIs(t, err, eventstore.ErrFull)
	require.Len(t, decodeOpened(t, store), 2)
}

func decodeOpened(t *testing.T, store *eventstore.Store) []eventstore.Event {
	t.Helper()
	return decode(t, store.All(t.Context()))
}

func TestAnAppendWithoutAnyAnswerEndsUnknownAndTheTruthIsFoundLater(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events,
		&eventstore.Config{AppendTimeout: 300 * time.Millisecond, AckTimeout: 50 * time.Millisecond})
	require.NoError(t, err)
	defer store.Close()

	// The server stops answering publishes, which it never sees.
	proxy.Silence("bank.>")
	_, err = store.Append(t.Context(), account("lost"), eventstore.Head{}, deposited{1})
	var lost *eventstore.AppendError
	require.ErrorAs(t, err, &lost)
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	require.Equal(t, account("lost"), lost.Stream)
	require.Equal(t, eventstore.Version(1), lost.Version)
	_, err = store.Outcome(t.Context(), lost.Stream, lost.Version, lost.CommitID)
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome, "nothing is there yet")
	proxy.Resume()
	_, err = store.Append(t.Context(), account("lost"), eventstore.Head{}, deposited{2})
	require.NoError(t, err)
	_, err = store.Outcome(t.Context(), lost.Stream, lost.Version, lost.CommitID)
	require.ErrorIs(t, err, eventstore.ErrConflict, "another commit took the version")

	// The server stores, and nothing it says comes back.
	keptHead, err := store.Head(t.Context(), account("kept")) // an empty stream's too is not asked for again
	require.NoError(t, err)
	proxy.DropReplies(func(string, []byte) bool { return true })
	_, err = store.Append(t.Context(), account("kept"), keptHead, deposited{3})
	var kept *eventstore.AppendError
	require.ErrorAs(t, err, &kept)
	proxy.DropReplies(nil)
	c, err := store.Outcome(t.Context(), kept.Stream, kept.Version, kept.CommitID)
	require.NoError(t, err)
	require.Equal(t, kept.CommitID, c.ID)
	require.Equal(t, eventstore.Position(2), c.Position)

	// A caller that leaves is told the same.
	leftHead, err := store.Head(t.Context(), account("left"))
	require.NoError(t, err)
	proxy.DropReplies(func(string, []byte) bool { return true })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	_, err = store.Append(ctx, account("left"), leftHead, deposited{4})
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = store.Append(ctx, account("left"), leftHead, deposited{4})
	require.NotErrorIs(t, err, eventstore.ErrUnknownOutcome, "nothing was sent")
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestATransactionWhoseAcknowledgementWasDroppedIsSettled(t *testing.T) {
	t.Parallel()
	deployments(t, func(t *testing.T, d deployment) {
		proxy := eventstoretest.NewProxy(t, d.url)
		store := d.open(t, proxy.JetStream(t), eventstore.Config{AckTimeout: 100 * time.Millisecond})
		record := newAttempts()
		for i := range 20 {
			proxy.DropAcks(i % 2)
			a, b := record.begin(), record.begin()
			ha, err := store.Head(t.Context(), account("a"))
			require.NoError(t, err)
			hb, err := store.Head(t.Context(), account("b"))
			require.NoError(t, err)
			commits, err := store.AppendAll(t.Context(),
				eventstore.Write{Stream: account("a"), Expected: ha, Events: []eventstore.Event{numbered{a}}},
				eventstore.Write{Stream: account("b"), Expected: hb, Events: []eventstore.Event{numbered{b}}})
			require.NoError(t, err)
			record.end(a, commits[0], nil)
			record.end(b, commits[1], nil)
		}
		require.Equal(t, 10, proxy.Dropped())
		record.verify(t, store)
	})
}

func TestAppendsWaitOutACutConnection(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", []eventstore.Event{numbered{}},
		&eventstore.Config{AckTimeout: 100 * time.Millisecond})
	require.NoError(t, err)
	defer store.Close()
	// One of eight writers cuts the connection before each tenth attempt, whatever the others are at. So the connection
	// lives for as long as some attempts take, however slow the machine is.
	attempts := int64(proptest.Volume(500, 1500))
	record := contend(t, slices.Repeat([]*eventstore.Store{store}, 8), func(int) int { return rand.IntN(50) },
		func(n int64) bool {
			if n%10 == 0 {
				proxy.Cut()
				proxy.Heal()
			}
			return n > attempts
		})
	record.verify(t, store)
	t.Logf("%d stored, %d conflicts, %d outcomes read back", len(record.stored), len(record.failed), store.Counters().Resolved)
}

func TestANodeThatStopsLosesNothing(t *testing.T) {
	cluster := eventstoretest.NewCluster(t, 3)
	d := deployment{replicas: 3}
	store := d.open(t, cluster.JetStream(t), eventstore.Config{AckTimeout: 250 * time.Millisecond})
	var all sync.WaitGroup
	record := newAttempts()
	all.Go(func() {
		head := eventstore.Head{}
		for number := record.begin(); number <= 600; number = record.begin() {
			c, err := store.Append(t.Context(), account("1"), head, numbered{number})
			record.end(number, c, err)
			if err != nil {
				t.Errorf("append %d: %v", number, err)
				return
			}
			head = c.Head()
		}
	})
	leader := cluster.StreamLeader(t, "bank")
	leader.Stop()
	cluster.WaitForLeader(t, "bank")
	leader.Restart()
	all.Wait()
	record.verify(t, store)
}

// On a slow line the messages of one fetch take longer than a server that says nothing is waited for. Messages that
// have not come by then must not be given up, because they would have to be fetched again one by one. A machine that
// stands still for so long looks the same as a silent server, so there are several tries.
func TestALogThatComesSlowlyIsReadAsItComes(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	head := eventstore.Head{}
	for range 200 {
		c, err := store.Append(t.Context(), account("1"), head, deposited{1})
		require.NoError(t, err)
		head = c.Head()
	}
	proxy := server.Proxy(t)
	reader, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer reader.Close()
	proxy.DropReplies(func(string, []byte) bool {
		<-time.After(time.Millisecond)
		return false
	})
	for range 10 {
		before := reader.Counters().Refetched
		require.Len(t, decode(t, reader.All(t.Context())), 200)
		if reader.Counters().Refetched == before {
			return
		}
	}
	t.Fatalf("%d positions were fetched again", reader.Counters().Refetched)
}

func TestAReaderFetchesWhatItWasNotGiven(t *testing.T) {
	server := eventstoretest.NewServer(t)
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	head := eventstore.Head{}
	for i := range 20 {
		c, err := store.Append(t.Context(), account("1"), head, deposited{int64(i)})
		require.NoError(t, err)
		head = c.Head()
	}
	proxy := server.Proxy(t)
	reader, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer reader.Close()
	deliveries := 0
	proxy.DropReplies(func(_ string, payload []byte) bool {
		deliveries++
		return len(payload) > 60 && len(payload) < 200 && deliveries%5 == 0 // some of the commits
	})
	all := decode(t, reader.All(t.Context()))
	require.Len(t, all, 20)
	for i, event := range all {
		require.Equal(t, deposited{int64(i)}, event)
	}
	require.Positive(t, reader.Counters().Refetched)
}
