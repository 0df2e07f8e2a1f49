package eventstore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/proptest"
)

// operations are the ways to ask a store for something, of a store that holds head on stream account/a.
func operations(store *eventstore.Store, head eventstore.Head) map[string]func(context.Context) error {
	a := account("a")
	drain := func(read func(func(eventstore.Recorded, error) bool)) (err error) {
		for _, err = range read {
			if err != nil {
				break
			}
		}
		return err
	}
	return map[string]func(context.Context) error{
		"Append": func(ctx context.Context) error {
			_, err := store.Append(ctx, a, head, deposited{1})
			return err
		},
		"Append to a new stream": func(ctx context.Context) error {
			_, err := store.Append(ctx, account("new"), eventstore.Head{}, opened{})
			return err
		},
		"AppendAll": func(ctx context.Context) error {
			_, err := store.AppendAll(ctx, eventstore.Write{Stream: a, Expected: head, Events: []eventstore.Event{deposited{2}}},
				eventstore.Write{Stream: account("b"), Events: []eventstore.Event{opened{}}})
			return err
		},
		"Load": func(ctx context.Context) error {
			_, err := store.Load(ctx, a)
			return err
		},
		"Head": func(ctx context.Context) error {
			_, err := store.Head(ctx, a)
			return err
		},
		"Stream": func(ctx context.Context) error { return drain(store.Stream(ctx, a)) },
		"Stream backwards": func(ctx context.Context) error {
			return drain(store.Stream(ctx, a, eventstore.Backwards()))
		},
		"All": func(ctx context.Context) error { return drain(store.All(ctx)) },
		"At": func(ctx context.Context) error {
			_, err := store.At(ctx, 1)
			return err
		},
		"End": func(ctx context.Context) error {
			_, err := store.End(ctx)
			return err
		},
		"Reaches": func(ctx context.Context) error {
			_, err := eventstore.Inside(inside.Pass{}, store).Reaches(ctx, 1000)
			return err
		},
		"Outcome": func(ctx context.Context) error {
			_, err := store.Outcome(ctx, a, head.Version, [16]byte{1})
			if errors.Is(err, eventstore.ErrConflict) {
				return nil // as it is
			}
			return err
		},
		"Streams": func(ctx context.Context) (err error) {
			for _, err = range store.Streams(ctx, "") {
				if err != nil {
					break
				}
			}
			return err
		},
		"Verify": func(ctx context.Context) error {
			_, err := store.Verify(ctx, nil)
			return err
		},
		"Export": func(ctx context.Context) error {
			_, err := store.Export(ctx, io.Discard, nil)
			return err
		},
		"Erase": func(ctx context.Context) error { return store.Erase(ctx, account("erased"), "test") },
	}
}

// openWithTwo opens a store on js that can erase, with one event in each of some streams, and returns where account/a
// stands.
func openWithTwo(t *testing.T, js jetstream.JetStream) (*eventstore.Store, eventstore.Head) {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{opened{}, deposited{}}, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("erased"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	return store, c.Head()
}

// hangingDialer stands for a server whose machine is gone: a connect ends only once the dialer is released.
type hangingDialer struct {
	hangs   atomic.Bool
	dialled chan struct{} // holds one where somebody dials
	release chan struct{}
}

func (d *hangingDialer) Dial(network, address string) (net.Conn, error) {
	if d.hangs.Load() {
		select {
		case d.dialled <- struct{}{}:
		default:
		}
		<-d.release
	}
	return net.Dial(network, address)
}

func TestNothingWaitsForAConnectionThatDialsOnceItsContextHasEnded(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	dialer := &hangingDialer{dialled: make(chan struct{}, 1), release: make(chan struct{})}
	store, head := openWithTwo(t, proxy.JetStream(t, nats.SetCustomDialer(dialer)))
	ended := sync.OnceFunc(func() { close(dialer.release) })
	defer func() {
		ended()
		require.NoError(t, store.Close())
	}()
	live := make(chan error, 1)
	reading, stop := context.WithCancel(t.Context())
	defer stop()
	seen := make(chan struct{}, 10)
	go func() {
		for _, err := range store.Log(reading, eventstore.Live()) {
			if err != nil {
				live <- err
				return
			}
			seen <- struct{}{}
		}
	}()
	<-seen
	<-seen
	dialer.hangs.Store(true)
	proxy.Cut()
	<-dialer.dialled
	for name, operation := range operations(store, head) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			defer cancel()
			returned := make(chan error, 1)
			go func() { returned <- operation(ctx) }()
			select {
			case err := <-returned:
				require.Error(t, err)
			case <-time.After(promptly):
				ended()
				require.Error(t, <-returned)
				require.Fail(t, "it waited for the dialer")
			}
		})
	}
	stop()
	require.ErrorIs(t, <-live, context.Canceled)
}

// A question that is lost with the connection is asked again on the next one.
func TestWhatIsAskedOutlivesABrokenConnection(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, head := openWithTwo(t, proxy.JetStream(t))
	defer func() { require.NoError(t, store.Close()) }()
	for name, operation := range operations(store, head) {
		if strings.HasPrefix(name, "Append") {
			continue // has tests of its own
		}
		t.Run(name, func(t *testing.T) {
			var once sync.Once
			proxy.DropRequests(func(subject string, _ []byte) (drop bool) {
				if strings.HasPrefix(subject, "$JS.API.") {
					once.Do(func() {
						drop = true
						proxy.Cut()
						time.AfterFunc(30*time.Millisecond, proxy.Heal)
					})
				}
				return drop
			})
			require.NoError(t, operation(t.Context()))
		})
	}
}

// promptly is far more than a reader needs to go on, and less than it would take to find out by its quiet that it has
// no consumer.
const promptly = 4 * time.Second

// follow reads the log live and returns the positions that it is given.
func follow(t *testing.T, store *eventstore.Store) <-chan eventstore.Position {
	t.Helper()
	positions := make(chan eventstore.Position, 100)
	ctx, stop := context.WithCancel(t.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		for c, err := range store.Log(ctx, eventstore.Live()) {
			if err != nil {
				return
			}
			positions <- c.Position
		}
	})
	t.Cleanup(func() {
		stop()
		reading.Wait()
	})
	return positions
}

// requirePromptly waits for a position, and returns how long it took.
func requirePromptly(t *testing.T, positions <-chan eventstore.Position, want eventstore.Position) time.Duration {
	t.Helper()
	begun := time.Now()
	select {
	case position := <-positions:
		require.Equal(t, want, position)
	case <-time.After(promptly):
		require.Fail(t, "the reader does not go on")
	}
	return time.Since(begun)
}

// requireMedian requires the median of some times to be below a bound. Among them may be some in which the machine was
// busy with something else.
func requireMedian(t *testing.T, bound time.Duration, took []time.Duration) {
	t.Helper()
	slices.Sort(took)
	t.Logf("it took %v", took)
	require.Less(t, took[len(took)/2], bound, "%v", took)
}

func TestALiveReaderGoesOnWhenItsConnectionIsBack(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, head := openWithTwo(t, proxy.JetStream(t))
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	positions := follow(t, store)
	requirePromptly(t, positions, 1)
	requirePromptly(t, positions, 2)
	for what, interrupt := range map[string]func(){
		"cut":     func() { proxy.Cut(); proxy.Heal() },
		"restart": server.Restart, // and its consumer with it
	} {
		var took []time.Duration
		for i := range 5 {
			interrupt()
			c, err := store.Append(t.Context(), account("a"), head, deposited{int64(i)})
			require.NoError(t, err)
			head = c.Head()
			took = append(took, requirePromptly(t, positions, c.Position))
		}
		t.Log(what)
		requireMedian(t, 200*time.Millisecond, took)
	}
}

// The consumer of the reader is on one of the nodes, and is lost with it.
func TestALiveReaderGoesOnSoonAfterAnElection(t *testing.T) {
	if !proptest.Long() {
		t.Skip("each election takes a while")
	}
	cluster := eventstoretest.NewCluster(t, 3)
	store, err := eventstore.Open(t.Context(), cluster.JetStream(t), "bank", events, &eventstore.Config{Replicas: 3})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	positions := follow(t, store)
	requirePromptly(t, positions, c.Position)
	var took []time.Duration
	for i := range 6 {
		node := cluster.Nodes()[i%3]
		node.Stop()
		c, err = store.Append(t.Context(), account("a"), c.Head(), deposited{int64(i)})
		require.NoError(t, err)
		took = append(took, requirePromptly(t, positions, c.Position))
		node.Restart()
		cluster.WaitForLeader(t, "bank")
	}
	requireMedian(t, time.Second, took)
}

// The only replica is on a node that is away when the reader begins, and the server refuses the reader's consumer.
func TestALiveReaderThatBeginsWhileTheLogIsAwayWaits(t *testing.T) {
	t.Parallel()
	cluster := eventstoretest.NewCluster(t, 3)
	first, err := eventstore.Open(t.Context(), cluster.JetStream(t), "bank", events, &eventstore.Config{Replicas: 1})
	require.NoError(t, err)
	c, err := first.Append(t.Context(), account("a"), eventstore.Head{}, opened{})
	require.NoError(t, err)
	require.NoError(t, first.Close())
	holder := cluster.StreamLeader(t, "bank")
	others := slices.DeleteFunc(cluster.Nodes(), func(node *eventstoretest.Server) bool { return node == holder })
	js := others[0].JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Replicas: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	_, err = store.Load(t.Context(), account("a"))
	require.NoError(t, err)
	holder.Stop()
	require.Eventually(t, func() bool {
		_, err := js.CreateConsumer(t.Context(), "bank", jetstream.ConsumerConfig{MemoryStorage: true, Replicas: 1})
		refused, ok := errors.AsType[*jetstream.APIError](err)
		return ok && refused.ErrorCode == 10023
	}, time.Minute, 10*time.Millisecond)
	positions := follow(t, store)
	select {
	case position := <-positions:
		t.Fatal("read while the log is away: ", position)
	case <-time.After(time.Second):
	}
	holder.Restart()
	select {
	case position := <-positions:
		require.Equal(t, c.Position, position)
	case <-time.After(time.Minute):
		t.Fatal("the reader has ended")
	}
}

func TestALiveReaderGoesOnWhenItsConsumerIsGone(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, head := openWithTwo(t, js)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	positions := follow(t, store)
	requirePromptly(t, positions, 1)
	requirePromptly(t, positions, 2)
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	var took []time.Duration
	for i := range 5 {
		for name := range stream.ConsumerNames(t.Context()).Name() {
			require.NoError(t, js.DeleteConsumer(t.Context(), "bank", name))
		}
		c, err := store.Append(t.Context(), account("a"), head, deposited{int64(i)})
		require.NoError(t, err)
		head = c.Head()
		took = append(took, requirePromptly(t, positions, c.Position))
	}
	requireMedian(t, 200*time.Millisecond, took)
}

func TestALiveReaderGoesOnWhenItsConsumerFallsSilent(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	store, head := openWithTwo(t, proxy.JetStream(t))
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	// Whatever is asked of the first consumer is lost.
	var first atomic.Pointer[string]
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if !strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.") {
			return false
		}
		first.CompareAndSwap(nil, &subject)
		return *first.Load() == subject
	})
	positions := follow(t, store)
	requirePromptly(t, positions, 1)
	requirePromptly(t, positions, 2)
	c, err := store.Append(t.Context(), account("a"), head, deposited{1})
	require.NoError(t, err)
	requirePromptly(t, positions, c.Position)
}
