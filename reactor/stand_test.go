package reactor_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

// inProcess starts a server without a port, which can live in a bubble.
func inProcess(t *testing.T) *eventstoretest.Server {
	t.Helper()
	return eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.DontListen = true }))
}

func storeOn(t *testing.T, s *eventstoretest.Server) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), s.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestAnInstanceThatStandsByTakesOverWithinFiveSeconds(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		s := inProcess(t)
		one, two, store := storeOn(t, s), storeOn(t, s), storeOn(t, s)
		first, second := newJournal(), newJournal()
		a, err := reactor.Open(t.Context(), one, "mails", nil, first.reaction())
		require.NoError(t, err)
		b := newReactor(t, two, nil, second.reaction())
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx) }()
		synctest.Wait()
		react(t, b)
		deposit(t, store, "a", 1)
		<-time.After(time.Minute)
		require.Equal(t, upTo(1), first.of("a"))
		require.Empty(t, second.of("a"), "it stands by while the other runs")

		one.JetStream().Conn().Close() // the last that is heard of the first
		cancel()
		if err := <-ended; err != nil {
			t.Log(err)
		}
		deposit(t, store, "a", 1)
		<-time.After(5 * time.Second)
		require.Equal(t, []eventstore.Version{2}, second.of("a"))
	})
}

func TestAnInstanceThatStopsIsFollowedAtOnce(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		s := inProcess(t)
		one, two := storeOn(t, s), storeOn(t, s)
		first, second := newJournal(), newJournal()
		stop := react(t, newReactor(t, one, nil, first.reaction()))
		synctest.Wait()
		react(t, newReactor(t, two, nil, second.reaction()))
		deposit(t, two, "a", 1)
		<-time.After(time.Minute)
		stop()
		deposit(t, two, "a", 1)
		<-time.After(100 * time.Millisecond)
		require.Equal(t, upTo(1), first.of("a"))
		require.Equal(t, []eventstore.Version{2}, second.of("a"))
	})
}

// noticed is a log in which something is looked for.
type noticed struct {
	text  string
	times chan struct{}
}

func (n noticed) Write(line []byte) (int, error) {
	if bytes.Contains(line, []byte(n.text)) {
		select {
		case n.times <- struct{}{}:
		default:
		}
	}
	return len(line), nil
}

// An instance whose writes are not answered must not go on for longer than the others wait.
func TestAnInstanceWithoutTheServerBeginsNoReaction(t *testing.T) {
	s := eventstoretest.NewServer(t)
	store, j := storeOn(t, s), newJournal()
	failedWrites := noticed{"cannot write its checkpoint", make(chan struct{}, 100)}
	cfg := quick()
	cfg.Workers, cfg.Logger = 1, slog.New(slog.NewTextHandler(failedWrites, nil))
	begun, goOn := make(chan struct{}), make(chan struct{})
	mails := newReactor(t, store, cfg, reactor.On(func(_ context.Context, _ deposited, r eventstore.Recorded) error {
		if r.Version() == 1 {
			close(begun)
			<-goOn
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.handled[r.Stream.ID] = append(j.handled[r.Stream.ID], r.Version())
		return nil
	}))
	react(t, mails)
	last := deposit(t, store, "a", 1, 1, 1)
	<-begun
	s.Stop()
	<-failedWrites.times
	close(goOn)
	<-failedWrites.times
	<-failedWrites.times // what was begun is known to be done, and the next could have been begun
	require.Equal(t, upTo(1), j.of("a"), "what was begun is done, and nothing else is begun")
	s.Restart()
	settled(t, mails, last)
	require.Equal(t, upTo(3), j.of("a"), "nobody else ran, so it goes on")
}

func TestAReactorWhoseCheckpointIsGoneDoesNotBeginAtTheLogsEnd(t *testing.T) {
	store, j := open(t), newJournal()
	mails := newReactor(t, store, quick(), j.reaction())
	stop := react(t, mails)
	settled(t, mails, deposit(t, store, "a", 1))
	stop()
	bucket, err := store.JetStream().Stream(t.Context(), "KV_"+mails.Bucket())
	require.NoError(t, err)
	require.NoError(t, bucket.Purge(t.Context(), jetstream.WithPurgeSubject("$KV."+mails.Bucket()+".reactor.mails.checkpoint")))
	_, err = reactor.Open(t.Context(), store, "mails", quick(), j.reaction())
	require.ErrorIs(t, err, reactor.ErrInvalid)
}

// Another instance stores the first checkpoint between the two looks of this one.
func TestAnInstanceThatBeginsBesideAnotherOpens(t *testing.T) {
	s := eventstoretest.NewServer(t)
	proxy, other, j := s.Proxy(t), storeOn(t, s), newJournal()
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, store.Close()) }()
	var once sync.Once
	var first *reactor.Reactor
	proxy.DropRequests(func(_ string, payload []byte) bool {
		if bytes.Contains(payload, []byte("reactor.mails.begun")) {
			once.Do(func() {
				r, err := reactor.Open(t.Context(), other, "mails", quick(), j.reaction())
				assert.NoError(t, err)
				first = r
			})
		}
		return false
	})
	second, err := reactor.Open(t.Context(), store, "mails", quick(), j.reaction())
	require.NoError(t, err)
	require.NoError(t, second.Close())
	require.NotNil(t, first)
	require.NoError(t, first.Close())
}
