package kv_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

// doc is the document of most tests.
type doc struct {
	N    int
	Text string
}

func open[T any](t testing.TB, js jetstream.JetStream, name string, cfg *kv.Config) *kv.Bucket[T] {
	t.Helper()
	b, err := kv.Open[T](t.Context(), js, name, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func TestADocumentIsReadBackAsItWasPut(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{kv.JSON{}, kv.Msgpack{}} {
		t.Run(codec.Name(), func(t *testing.T) {
			b := open[doc](t, js, "docs-"+codec.Name(), &kv.Config{Codec: codec})
			before := time.Now().Add(-time.Minute)
			revision, err := b.Put(t.Context(), "42", doc{N: 1, Text: "a"})
			require.NoError(t, err)
			for name, get := range map[string]func(context.Context, string) (kv.Entry[doc], error){
				"direct": b.Get, "leader": b.GetLeader,
			} {
				entry, err := get(t.Context(), "42")
				require.NoError(t, err, name)
				require.Equal(t, "42", entry.Key)
				require.Equal(t, doc{N: 1, Text: "a"}, entry.Value)
				require.Equal(t, revision, entry.Revision)
				require.WithinRange(t, entry.Time, before, time.Now().Add(time.Minute))
			}
		})
	}
}

func TestAnyUTF8IsAKey(t *testing.T) {
	b := open[string](t, eventstoretest.JetStream(t), "docs", nil)
	keys := []string{
		"42", "a.b.c", "anna@example.com", "a b", "*", ">", "a.*", ".", "..", "a.", "=", "=checkpoint", "==", "日本語", "\x00\x7f",
		strings.Repeat("x", 256), strings.Repeat("é", 128),
	}
	for _, key := range keys {
		_, err := b.Put(t.Context(), key, key)
		require.NoError(t, err, "%q", key)
	}
	for _, key := range keys {
		entry, err := b.Get(t.Context(), key)
		require.NoError(t, err, "%q", key)
		require.Equal(t, key, entry.Value)
	}
	many, err := b.GetMany(t.Context(), keys...)
	require.NoError(t, err)
	require.Len(t, many, len(keys))
	var listed []string
	for entry, err := range b.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, entry.Key, entry.Value)
		listed = append(listed, entry.Key)
	}
	require.Equal(t, keys, listed, "least recently written first")
}

func TestAKeyThatIsNotAllowedIsRefusedByEveryOperation(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	for _, key := range []string{"", "\xff", strings.Repeat("x", 257)} {
		_, err := b.Get(t.Context(), key)
		require.ErrorIs(t, err, kv.ErrInvalidKey)
		_, err = b.GetMany(t.Context(), "1", key)
		require.ErrorIs(t, err, kv.ErrInvalidKey)
		_, err = b.Put(t.Context(), key, doc{})
		require.ErrorIs(t, err, kv.ErrInvalidKey)
		_, err = b.Create(t.Context(), key, doc{})
		require.ErrorIs(t, err, kv.ErrInvalidKey)
		_, err = b.Update(t.Context(), key, doc{}, 1)
		require.ErrorIs(t, err, kv.ErrInvalidKey)
		_, _, err = b.Modify(t.Context(), key, func(d doc, _ bool) (doc, error) { return d, nil })
		require.ErrorIs(t, err, kv.ErrInvalidKey)
		require.ErrorIs(t, b.Delete(t.Context(), key), kv.ErrInvalidKey)
		batch := b.Batch()
		batch.Delete(key)
		_, err = batch.Commit(t.Context())
		require.ErrorIs(t, err, kv.ErrInvalidKey)
	}
}

func conditionsHold(t *testing.T, b *kv.Bucket[doc]) {
	ctx := t.Context()
	first, err := b.Create(ctx, "42", doc{N: 1})
	require.NoError(t, err)

	conflicts := map[string]func() error{
		"create what exists": func() error { _, err := b.Create(ctx, "42", doc{}); return err },
		"update at 0":        func() error { _, err := b.Update(ctx, "42", doc{}, 0); return err },
		"update an old one":  func() error { _, err := b.Update(ctx, "42", doc{}, first+7); return err },
		"delete an old one":  func() error { return b.DeleteRevision(ctx, "42", first+7) },
	}
	for name, try := range conflicts {
		err := try()
		require.ErrorIs(t, err, kv.ErrConflict, name)
		var conflict *kv.ConflictError
		require.ErrorAs(t, err, &conflict, name)
		require.Equal(t, first, conflict.Actual, name)
		require.Equal(t, "42", conflict.Key)
		require.Equal(t, b.Name(), conflict.Bucket)
	}

	second, err := b.Update(ctx, "42", doc{N: 2}, first)
	require.NoError(t, err)
	require.Greater(t, second, first)
	require.NoError(t, b.DeleteRevision(ctx, "42", second))
	_, err = b.GetLeader(ctx, "42")
	require.ErrorIs(t, err, kv.ErrNotFound)

	require.ErrorContains(t, b.DeleteRevision(ctx, "42", 0), "there is nothing to delete")
	batch := b.Batch()
	batch.DeleteRevision("42", 0)
	_, err = batch.Commit(ctx)
	require.ErrorContains(t, err, "there is nothing to delete")

	_, err = b.Update(ctx, "42", doc{}, second)
	var conflict *kv.ConflictError
	require.ErrorAs(t, err, &conflict)
	require.Zero(t, conflict.Actual, "the document is gone")
	_, err = b.Create(ctx, "42", doc{N: 3})
	require.NoError(t, err, "what was deleted is created again")
	require.NoError(t, b.Delete(ctx, "never there"))
}

func modifyLosesNothing(t *testing.T, b *kv.Bucket[doc]) {
	const writers, each = 4, 10
	errs := make(chan error, writers)
	for range writers {
		go func() {
			for range each {
				if _, _, err := b.Modify(t.Context(), "n", func(d doc, _ bool) (doc, error) {
					d.N++
					return d, nil
				}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		require.NoError(t, <-errs)
	}
	entry, err := b.GetLeader(t.Context(), "n")
	require.NoError(t, err)
	require.Equal(t, writers*each, entry.Value.N)
}

func TestModifyGivesUpOnAKeyThatIsAlwaysWritten(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	runs := 0
	_, _, err := b.Modify(t.Context(), "n", func(d doc, _ bool) (doc, error) {
		runs++
		_, err := b.Put(t.Context(), "n", doc{N: runs})
		return d, err
	})
	require.ErrorIs(t, err, kv.ErrConflict)
	require.Equal(t, 20, runs)

	mine := fmt.Errorf("mine")
	_, _, err = b.Modify(t.Context(), "n", func(d doc, _ bool) (doc, error) { return d, mine })
	require.Equal(t, mine, err, "as it is")
}

func TestModifyFailsForTheNewestDocument(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	_, err := b.Put(t.Context(), "n", doc{N: 1})
	require.NoError(t, err)
	mine := errors.New("too few")
	var seen []int
	value, _, err := b.Modify(t.Context(), "n", func(d doc, _ bool) (doc, error) {
		if seen = append(seen, d.N); len(seen) == 1 { // as if the first answer came from a replica that is behind
			_, err := b.Put(t.Context(), "n", doc{N: 5})
			require.NoError(t, err)
		}
		if d.N < 5 {
			return d, mine
		}
		return doc{N: d.N - 5}, nil
	})
	require.NoError(t, err, "there are five")
	require.Equal(t, doc{}, value)
	require.Equal(t, []int{1, 5}, seen)
}

func TestAValueOverTheLimitIsNotSent(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Options(func(o *server.Options) { o.MaxPayload = 4096 }))
	b := open[string](t, js, "docs", nil)
	_, err := b.Put(t.Context(), "a", strings.Repeat("x", 5000))
	require.ErrorContains(t, err, "it has 5002 bytes")
	limit := limitIn(t, err)
	_, err = b.Put(t.Context(), "a", strings.Repeat("x", limit-2))
	require.NoError(t, err, "the limit itself is stored, headers included")

	batch := b.Batch()
	batch.Put("a", strings.Repeat("x", limit-2))
	batch.Put("b", strings.Repeat("x", limit-2))
	_, err = batch.Commit(t.Context())
	require.NoError(t, err)
	batch = b.Batch()
	batch.Put("fits", "x")
	batch.Put("large", strings.Repeat("x", limit-1))
	batch.Put("fits too", "x")
	_, err = batch.Commit(t.Context())
	require.Equal(t, limit, limitIn(t, err))
	require.ErrorContains(t, err, `docs/"large"`)
	_, err = b.Get(t.Context(), "fits")
	require.ErrorIs(t, err, kv.ErrNotFound)
}

// limitIn returns the limit that the error of a large value names.
func limitIn(t *testing.T, err error) (limit int) {
	t.Helper()
	require.ErrorIs(t, err, kv.ErrTooLarge)
	_, told, _ := strings.Cut(err.Error(), "the limit is ")
	_, err = fmt.Sscan(told, &limit)
	require.NoError(t, err)
	return limit
}

func TestAFullBucketSaysSo(t *testing.T) {
	b := open[string](t, eventstoretest.JetStream(t), "docs", &kv.Config{MaxBytes: 2000})
	_, err := b.Put(t.Context(), "a", strings.Repeat("x", 3000))
	require.ErrorIs(t, err, kv.ErrFull)
}

func TestWhatIsNoDocumentIsADecodeError(t *testing.T) {
	js := eventstoretest.JetStream(t)
	for _, codec := range []kv.Codec{kv.JSON{}, kv.Msgpack{}} {
		b := open[doc](t, js, "docs-"+codec.Name(), &kv.Config{Codec: codec})
		_, err := js.Publish(t.Context(), "$KV.docs-"+codec.Name()+".42", []byte{0xdd, 0xff, 0xff, 0xff, 0xff})
		require.NoError(t, err)
		_, err = b.Get(t.Context(), "42")
		require.ErrorIs(t, err, kv.ErrDecode)
		_, err = b.GetMany(t.Context(), "42")
		require.ErrorIs(t, err, kv.ErrDecode)
		var decode *kv.Error
		for _, err := range b.List(t.Context()) {
			require.ErrorAs(t, err, &decode)
		}
		require.ErrorIs(t, decode, kv.ErrDecode)
		require.Equal(t, "42", decode.Key)
		require.ErrorContains(t, decode, "revision 1: ")
	}
	_, err := open[float64](t, js, "floats", nil).Put(t.Context(), "42", math.NaN())
	require.ErrorIs(t, err, kv.ErrEncode)
}

func TestWithoutAServerWritesAreUnavailableAndNotStoredLater(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	lost := make(chan struct{}, 2) // one is lost now, and one when the test ends
	nc := srv.Connect(t, nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }))
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	b := open[doc](t, js, "docs", &kv.Config{Timeout: 300 * time.Millisecond})
	srv.Stop()
	<-lost
	_, err = b.Put(t.Context(), "42", doc{})
	require.ErrorIs(t, err, kv.ErrUnavailable)
	_, err = b.Get(t.Context(), "42")
	require.ErrorIs(t, err, kv.ErrUnavailable)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Put(canceled, "42", doc{})
	require.ErrorIs(t, err, context.Canceled)

	srv.Restart()
	require.Eventually(t, func() bool {
		_, err = b.GetLeader(t.Context(), "42")
		return !errors.Is(err, kv.ErrUnavailable) // the server has begun to answer
	}, 20*time.Second, 5*time.Millisecond)
	require.ErrorIs(t, err, kv.ErrNotFound)
}

func TestAClosedBucketFailsAtOnce(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", &kv.Config{Timeout: time.Hour})
	require.Equal(t, "docs", b.Name())
	require.NoError(t, b.Close())
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err := b.Put(ctx, "42", doc{})
	require.ErrorIs(t, err, kv.ErrUnavailable)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
	_, err = b.Get(ctx, "42")
	require.ErrorIs(t, err, kv.ErrUnavailable)
}

func TestOtherClientsReadAndWriteTheBucket(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", nil)
	_, err := b.Put(t.Context(), "42.eur", doc{N: 1})
	require.NoError(t, err)

	theirs, err := js.KeyValue(t.Context(), "docs")
	require.NoError(t, err)
	entry, err := theirs.Get(t.Context(), "42.eur")
	require.NoError(t, err)
	var got doc
	require.NoError(t, json.Unmarshal(entry.Value(), &got))
	require.Equal(t, doc{N: 1}, got)

	require.NoError(t, theirs.Delete(t.Context(), "42.eur"))
	_, err = b.Get(t.Context(), "42.eur")
	require.ErrorIs(t, err, kv.ErrNotFound)
	_, err = b.Create(t.Context(), "42.eur", doc{N: 2})
	require.NoError(t, err)
	require.NoError(t, b.Delete(t.Context(), "42.eur"))
	_, err = theirs.Get(t.Context(), "42.eur")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
	require.NoError(t, theirs.Purge(t.Context(), "42.eur"))
	_, err = b.Get(t.Context(), "42.eur")
	require.ErrorIs(t, err, kv.ErrNotFound)
}

// A server alone cannot be behind anybody, so what is not there costs one question.
func TestWhatIsNotThereCostsOneQuestionOnAServerAlone(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "empty", nil)
	before := js.Conn().Stats().OutMsgs
	_, err := b.Get(t.Context(), "never")
	require.ErrorIs(t, err, kv.ErrNotFound)
	require.Equal(t, uint64(1), js.Conn().Stats().OutMsgs-before)
	_, err = b.GetMany(t.Context(), "never", "neither")
	require.NoError(t, err)
	require.Equal(t, uint64(2), js.Conn().Stats().OutMsgs-before)
}
