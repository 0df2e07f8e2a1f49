package kv_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

// quick has a short timeout. A lost answer costs half of it.
var quick = &kv.Config{Timeout: 2 * time.Second}

func TestASingleWriteWhoseAnswerIsLostIsFoundStored(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	b := open[doc](t, proxy.JetStream(t), "docs", quick)
	ctx := t.Context()

	proxy.DropAcks(1)
	first, err := b.Create(ctx, "42", doc{N: 1})
	require.NoError(t, err)
	proxy.DropAcks(1)
	second, err := b.Update(ctx, "42", doc{N: 2}, first)
	require.NoError(t, err)
	require.Equal(t, first+1, second, "nothing is stored twice")
	proxy.DropAcks(1)
	third, err := b.Put(ctx, "42", doc{N: 3})
	require.NoError(t, err)
	require.Equal(t, second+1, third)
	proxy.DropAcks(1)
	require.NoError(t, b.DeleteRevision(ctx, "42", third))
	_, err = b.GetLeader(ctx, "42")
	require.ErrorIs(t, err, kv.ErrNotFound)
}

func TestABatchWhoseAnswerIsLostIsNotSentAgain(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	proxy := srv.Proxy(t)
	js := proxy.JetStream(t)
	b := open[doc](t, js, "docs", quick)
	cell := checkpoints(t, b)
	batch := b.Batch()
	batch.Put("42", doc{N: 1})
	join(batch, cell).Update("checkpoint", checkpoint{Position: 7}, 0)
	proxy.DropAcks(1)
	_, err := batch.Commit(t.Context())
	require.ErrorIs(t, err, kv.ErrUnknownOutcome)
	var unknown *kv.Error
	require.ErrorAs(t, err, &unknown)
	require.Equal(t, "42", unknown.Key)

	at, err := cell.GetLeader(t.Context(), "checkpoint")
	require.NoError(t, err)
	require.Equal(t, checkpoint{Position: 7}, at.Value, "which is how the caller finds out")
	s, err := js.Stream(t.Context(), "KV_docs")
	require.NoError(t, err)
	require.Equal(t, uint64(2), s.CachedInfo().State.LastSeq)
}

func TestAConditionalWriteThatIsLostIsSentAgainAndAPutIsNot(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	b := open[doc](t, proxy.JetStream(t), "docs", quick)
	loseOne := func() {
		lost := false
		proxy.DropRequests(func(subject string, _ []byte) bool {
			drop := !lost && strings.HasPrefix(subject, "$KV.docs.")
			lost = lost || drop
			return drop
		})
	}
	loseOne()
	_, err := b.Create(t.Context(), "42", doc{N: 1})
	require.NoError(t, err)
	loseOne()
	_, err = b.Put(t.Context(), "42", doc{N: 2})
	require.ErrorIs(t, err, kv.ErrUnknownOutcome)
	loseOne()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err = b.Update(ctx, "42", doc{N: 3}, 1)
	require.ErrorIs(t, err, kv.ErrUnknownOutcome)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestWatchMissesNothingOverACutConnection(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	proxy := srv.Proxy(t)
	watched := open[doc](t, proxy.JetStream(t), "docs", nil)
	direct := open[doc](t, srv.JetStream(t), "docs", nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const cuts = 5
	round := 0
	for change, err := range watched.Watch(ctx) {
		require.NoError(t, err)
		if !change.Synced && change.Value.N < round {
			continue // of two writes of one round
		}
		if round == cuts {
			return
		}
		round++
		proxy.Cut()
		_, err := direct.Put(ctx, "42", doc{N: -1})
		require.NoError(t, err)
		_, err = direct.Put(ctx, "42", doc{N: round})
		require.NoError(t, err)
		proxy.Heal()
	}
}

func TestReadsWaitForAConnection(t *testing.T) {
	proxy := eventstoretest.NewServer(t).Proxy(t)
	b := open[doc](t, proxy.JetStream(t), "docs", nil)
	_, err := b.Put(t.Context(), "42", doc{N: 1})
	require.NoError(t, err)
	for name, read := range map[string]func() error{
		"get":        func() error { _, err := b.Get(t.Context(), "42"); return err },
		"get leader": func() error { _, err := b.GetLeader(t.Context(), "42"); return err },
		"get many":   func() error { _, err := b.GetMany(t.Context(), "42"); return err },
		"list": func() error {
			for _, err := range b.List(t.Context()) {
				return err
			}
			return nil
		},
	} {
		proxy.Cut()
		heal := time.AfterFunc(100*time.Millisecond, proxy.Heal)
		require.NoError(t, read(), name)
		require.False(t, heal.Stop(), "it has waited")
	}
}

// A server that holds the only replica stores a part of such a batch and does not answer.
func TestABatchThatTakesAnAccountOverItsLimitEndsSoon(t *testing.T) {
	js := eventstoretest.Limited(t, func(l *server.JetStreamAccountLimits) { l.MaxMemory = 20_000 })
	b := open[[]byte](t, js, "docs", &kv.Config{Timeout: time.Minute, Storage: jetstream.MemoryStorage})
	commit := func() error {
		batch := b.Batch()
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			batch.Put(key, make([]byte, 5000))
		}
		_, err := batch.Commit(t.Context())
		return err
	}
	began := time.Now()
	err := commit()
	require.ErrorIs(t, err, kv.ErrUnknownOutcome)
	require.ErrorContains(t, err, "the account reaches its storage limit")
	require.ErrorIs(t, commit(), kv.ErrFull)
	require.Less(t, time.Since(began), 20*time.Second)
}
