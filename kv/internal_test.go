package kv

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// TestAWriteInDoubtIsLookedUp puts a bucket into each state in which it can be when the answer to a write is lost.
// It is in the package because no client can lose an answer at will.
func TestAWriteInDoubtIsLookedUp(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b, err := Open[string](t.Context(), js, "docs", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	ctx := t.Context()
	put := func(key, value string) uint64 {
		revision, err := b.Put(ctx, key, value)
		require.NoError(t, err)
		return revision
	}
	again := func(t *testing.T, revision uint64, err error) {
		require.NoError(t, err)
		require.Zero(t, revision, "send again")
	}
	is := func(target error) func(*testing.T, uint64, error) {
		return func(t *testing.T, _ uint64, err error) { require.ErrorIs(t, err, target) }
	}
	stored := func(t *testing.T, revision uint64, err error) {
		require.NoError(t, err)
		require.NotZero(t, revision)
	}

	cases := map[string]struct {
		conditional bool
		class       jsapi.Class // of the answer to a later try
		meanwhile   func(key string, before uint64, send func())
		want        func(*testing.T, uint64, error)
	}{
		"a put that arrived":               {false, jsapi.Unknown, func(_ string, _ uint64, send func()) { send() }, stored},
		"a put that did not":               {false, jsapi.Unknown, func(string, uint64, func()) {}, is(ErrUnknownOutcome)},
		"an update that arrived":           {true, jsapi.Unknown, func(_ string, _ uint64, send func()) { send() }, stored},
		"an update that arrived, resent":   {true, jsapi.Conflict, func(_ string, _ uint64, send func()) { send() }, stored},
		"an update that did not":           {true, jsapi.Unknown, func(string, uint64, func()) {}, again},
		"an update refused when resent":    {true, jsapi.Full, func(string, uint64, func()) {}, is(ErrUnknownOutcome)},
		"an update after another won":      {true, jsapi.Unknown, func(key string, at uint64, _ func()) { mustUpdate(t, b, key, at) }, is(ErrConflict)},
		"an update that was then put over": {true, jsapi.Unknown, func(key string, _ uint64, send func()) { send(); put(key, "other") }, is(ErrUnknownOutcome)},
		"an update while another put over": {true, jsapi.Unknown, func(key string, _ uint64, _ func()) { put(key, "other") }, is(ErrUnknownOutcome)},
		"an update that was then updated":  {true, jsapi.Unknown, func(key string, at uint64, send func()) { send(); mustUpdate(t, b, key, newest(t, b, key)) }, is(ErrUnknownOutcome)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			key := name
			before := put(key, "same bytes")
			expected := unconditional()
			if c.conditional {
				expected = expect(before)
			}
			value := "same bytes"
			w, err := b.core.newWrite("update", key, &value, expected)
			require.NoError(t, err)
			a := attempt{core: b.core, op: "update", id: "our id", writes: []write{w}}
			c.meanwhile(key, before, func() {
				require.Equal(t, jsapi.Stored, b.core.client.PublishBatch(ctx, a.messages(), b.core.timeout).Class)
			})
			a.inDoubt, a.answer = true, jsapi.Answer{Class: c.class, Err: errors.New("lost")}
			revision, err := a.judge(ctx)
			c.want(t, revision, err)
		})
	}
}

func TestABatchInDoubtIsUnknown(t *testing.T) {
	a := attempt{core: &core{shared: &shared{bucket: "docs"}}, op: "commit", writes: make([]write, 2), answer: jsapi.Answer{Err: jsapi.ErrNoReply}}
	_, err := a.judge(t.Context())
	require.ErrorIs(t, err, ErrUnknownOutcome)
	require.ErrorIs(t, err, jsapi.ErrNoReply)
}

func mustUpdate(t *testing.T, b *Bucket[string], key string, at uint64) {
	t.Helper()
	_, err := b.Update(t.Context(), key, "same bytes", at)
	require.NoError(t, err)
}

func newest(t *testing.T, b *Bucket[string], key string) uint64 {
	t.Helper()
	entry, err := b.GetLeader(t.Context(), key)
	require.NoError(t, err)
	return entry.Revision
}

func TestGetManyGoesOnIfTheServerCutsItsAnswerShort(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.MaxPayload = 8 << 10 }))
	b, err := Open[string](t.Context(), js, "docs", nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	b.core.manyBytes = 20 << 10
	var wanted []string
	for i := range 60 {
		key := fmt.Sprint(i) + strings.Repeat("k", 250) // 31 of them fill a request
		_, err := b.Put(t.Context(), key, strings.Repeat("x", 4000))
		require.NoError(t, err)
		wanted = append(wanted, key)
	}
	many, err := b.GetMany(t.Context(), wanted...)
	require.NoError(t, err)
	require.Len(t, many, len(wanted))
}

func TestARefusalThatPassesIsNoRefusal(t *testing.T) {
	passing := &jetstream.APIError{Code: 503, ErrorCode: 10008, Description: "JetStream system temporarily unavailable"}
	require.Equal(t, ErrUnavailable, reasonOf(fmt.Errorf("get: %w", passing)))
	require.Equal(t, ErrRefused, reasonOf(&jetstream.APIError{Code: 400, ErrorCode: 10026, Description: "maximum consumers limit reached"}))
	require.NoError(t, reasonOf(context.DeadlineExceeded), "of the caller")
}
