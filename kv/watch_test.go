package kv_test

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/kv"
)

func keys(t testing.TB, list iter.Seq2[kv.Entry[doc], error]) []string {
	t.Helper()
	var found []string
	for entry, err := range list {
		require.NoError(t, err)
		found = append(found, entry.Key)
	}
	return found
}

func TestListReturnsWhatAPatternMatches(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	require.Empty(t, keys(t, b.List(t.Context())))
	for _, key := range []string{"42", "42.eur", "42.usd", "42.eur.old", "43.eur", "a@b.eur", "gone.eur"} {
		_, err := b.Put(t.Context(), key, doc{})
		require.NoError(t, err)
	}
	require.NoError(t, b.Delete(t.Context(), "gone.eur"))
	for pattern, want := range map[string][]string{
		">":          {"42", "42.eur", "42.usd", "42.eur.old", "43.eur", "a@b.eur"},
		"42":         {"42"},
		"42.*":       {"42.eur", "42.usd"},
		"42.>":       {"42.eur", "42.usd", "42.eur.old"},
		"*.eur":      {"42.eur", "43.eur", "a@b.eur"},
		"a@b.*":      {"a@b.eur"},
		"nothing.at": nil,
		"4*":         nil,
	} {
		require.Equal(t, want, keys(t, b.List(t.Context(), pattern)), pattern)
	}
	require.Equal(t, []string{"42.eur", "42.usd", "43.eur"}, keys(t, b.List(t.Context(), "42.*", "43.*")))
	require.Equal(t, []string{"42.eur", "42.usd", "43.eur", "a@b.eur"}, keys(t, b.List(t.Context(), "42.*", "*.eur")))
	for entry, err := range b.List(t.Context(), "42.*", "42.eur") {
		require.ErrorIs(t, err, kv.ErrInvalidKey, "one contains the other")
		require.Zero(t, entry)
	}
	for _, pattern := range []string{"42.\xff", "", strings.Repeat("x.", 128) + "x", "*." + strings.Repeat("x", 257)} {
		ended := 0
		for _, err := range b.List(t.Context(), "42", pattern) {
			require.ErrorIs(t, err, kv.ErrInvalidKey)
			ended++
		}
		for _, err := range b.Watch(t.Context(), pattern) {
			require.ErrorIs(t, err, kv.ErrInvalidKey)
			ended++
		}
		require.Equal(t, 2, ended, "%q matches nothing, which would look like a bucket without documents", pattern)
	}
}

func TestListReturnsEveryDocumentThatIsThereThroughout(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	const documents = 3000
	for from := 0; from < documents; from += maxBatch {
		batch := b.Batch()
		for i := range maxBatch {
			batch.Put(fmt.Sprint(from+i), doc{N: i})
		}
		_, err := batch.Commit(t.Context())
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ctx.Err() == nil; i++ {
			_, _ = b.Put(ctx, fmt.Sprint(i*7919%documents), doc{N: i}) // fails only once ctx has ended
		}
	}()
	for range 5 {
		seen := make(map[string]bool, documents)
		for _, key := range keys(t, b.List(t.Context())) {
			seen[key] = true
		}
		require.Len(t, seen, documents)
	}
	cancel()
	<-done
}

// While a document is being replaced, the server counts one less as pending.
func TestListReturnsDocumentsThatAreWrittenAllTheTime(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	const documents, lists = 16, 25
	for i := range documents {
		_, err := b.Put(t.Context(), fmt.Sprint(i), doc{})
		require.NoError(t, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for first := range 2 {
		writers.Go(func() {
			for i := first; ctx.Err() == nil; i++ {
				_, _ = b.Put(ctx, fmt.Sprint(i%documents), doc{N: i}) // fails only once ctx has ended
			}
		})
	}
	for range lists {
		seen := make(map[string]bool, documents)
		for _, key := range keys(t, b.List(t.Context())) {
			seen[key] = true
		}
		require.Len(t, seen, documents)
		clear(seen)
		for change, err := range b.Watch(t.Context()) {
			require.NoError(t, err)
			if change.Synced {
				break
			}
			seen[change.Key] = true
		}
		require.Len(t, seen, documents, "of a watch")
	}
	cancel()
	writers.Wait()
}

func TestAListNeedsNoConsumer(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", nil)
	consumers, err := js.Conn().SubscribeSync("$JS.API.CONSUMER.>")
	require.NoError(t, err)
	defer func() { require.NoError(t, consumers.Unsubscribe()) }()
	bulk := within(b).Bulk()
	for i := range 2500 {
		require.NoError(t, bulk.Put(t.Context(), fmt.Sprint(i%5, ".", i), doc{N: i}))
	}
	require.NoError(t, bulk.Flush(t.Context()))
	for pattern, documents := range map[string]int{">": 2500, "3.*": 500, "4.4": 1, "5.*": 0} {
		before := 0
		found := 0
		for entry, err := range b.List(t.Context(), pattern) {
			require.NoError(t, err)
			require.GreaterOrEqual(t, entry.Value.N, before, "least recently written first")
			before = entry.Value.N
			found++
		}
		require.Equal(t, documents, found, pattern)
	}
	require.Len(t, keys(t, b.List(t.Context(), "1.*", "2.*", "*.0", "4.*", "3.*")), 2001)
	pending, _, err := consumers.Pending()
	require.NoError(t, err)
	require.Zero(t, pending)
}

func TestALongListReadsThroughAConsumer(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	bulk := within(b).Bulk()
	const documents = 21_500
	for i := range documents {
		require.NoError(t, bulk.Put(t.Context(), fmt.Sprint(i), doc{N: i}))
	}
	require.NoError(t, bulk.Flush(t.Context()))
	found := 0
	for entry, err := range b.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, found, entry.Value.N)
		found++
	}
	require.Equal(t, documents, found)
}

// Another client has made the bucket, and keeps earlier values of each document.
func TestAListOfABucketWithAHistoryReturnsTheNewestValues(t *testing.T) {
	js := eventstoretest.JetStream(t)
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "docs", History: 3})
	require.NoError(t, err)
	b := open[doc](t, js, "docs", nil)
	bulk := within(b).Bulk()
	const documents, newest = 1500, 2
	for n := range newest + 1 {
		for i := range documents {
			require.NoError(t, bulk.Put(t.Context(), fmt.Sprint(i), doc{N: n}))
		}
	}
	require.NoError(t, bulk.Flush(t.Context()))
	require.NoError(t, b.Delete(t.Context(), "7"))
	found := make(map[string]bool)
	for entry, err := range b.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, newest, entry.Value.N, entry.Key)
		require.False(t, found[entry.Key], entry.Key)
		found[entry.Key] = true
	}
	require.Len(t, found, documents-1)
}

func TestAListIsReadInPartsOfBytes(t *testing.T) {
	b := open[string](t, eventstoretest.JetStream(t), "docs", nil)
	large := strings.Repeat("x", 1<<19)
	for i := range 40 {
		_, err := b.Put(t.Context(), fmt.Sprint(i), fmt.Sprint(i, large))
		require.NoError(t, err)
	}
	found := 0
	for entry, err := range b.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(found), entry.Key)
		found++
	}
	require.Equal(t, 40, found)
}

func TestAListEndsWithItsContext(t *testing.T) {
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	for i := range 3 {
		_, err := b.Put(t.Context(), fmt.Sprint(i), doc{})
		require.NoError(t, err)
	}
	enough := fmt.Errorf("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var ends []error
	for _, err := range b.List(ctx) {
		ends = append(ends, err)
		cancel(enough)
	}
	require.Len(t, ends, 2)
	require.ErrorIs(t, ends[1], enough)
}

func TestAWatchLeavesNoConsumerBehind(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", nil)
	for i := range 3 {
		_, err := b.Put(t.Context(), fmt.Sprint(i), doc{})
		require.NoError(t, err)
	}
	for _, err := range b.Watch(t.Context()) {
		require.NoError(t, err)
		break
	}
	require.Eventually(t, func() bool {
		s, err := js.Stream(t.Context(), "KV_docs")
		return err == nil && s.CachedInfo().State.Consumers == 0
	}, 10*time.Second, time.Millisecond, "they are given back beside what goes on")
}

func TestWatchReturnsThePresentThenChanges(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	b := open[doc](t, eventstoretest.JetStream(t), "docs", nil)
	_, err := b.Put(ctx, "a", doc{N: 1})
	require.NoError(t, err)
	_, err = b.Put(ctx, "b", doc{N: 1})
	require.NoError(t, err)

	enough := fmt.Errorf("enough")
	var got []string
	for change, err := range b.Watch(ctx) {
		switch {
		case err != nil:
			require.ErrorIs(t, err, enough)
			got = append(got, "end")
		case change.Synced:
			got = append(got, "synced")
			_, err := b.Put(ctx, "a", doc{N: 2})
			require.NoError(t, err)
			require.NoError(t, b.Delete(ctx, "b"))
		case change.Deleted:
			require.NotZero(t, change.Revision)
			got = append(got, change.Key+" deleted")
			cancel(enough)
		default:
			got = append(got, fmt.Sprint(change.Key, change.Value.N))
		}
	}
	require.Equal(t, []string{"a1", "b1", "synced", "a2", "b deleted", "end"}, got)
}

func TestWatchGoesOnAfterARestart(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	b := open[doc](t, srv.JetStream(t), "docs", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	const restarts = 3
	last := 0
	for change, err := range b.Watch(ctx) {
		require.NoError(t, err)
		if change.Synced {
			_, err := b.Put(ctx, "n", doc{N: 1})
			require.NoError(t, err)
			continue
		}
		require.Greater(t, change.Value.N, last, "nothing is given again")
		last = change.Value.N
		if last > restarts {
			break
		}
		srv.Restart()
		require.Eventually(t, func() bool {
			_, err := b.Put(ctx, "n", doc{N: last + 1})
			return err == nil
		}, 20*time.Second, 10*time.Millisecond)
	}
	require.Equal(t, restarts+1, last)
}

func TestReadsEndIfTheirBucketDoesNotExist(t *testing.T) {
	js := eventstoretest.JetStream(t)
	b := open[doc](t, js, "docs", nil)
	require.NoError(t, js.DeleteKeyValue(t.Context(), "docs"))
	_, get := b.Get(t.Context(), "a")
	_, leader := b.GetLeader(t.Context(), "a")
	ends := []error{get, leader}
	for _, err := range b.Watch(t.Context()) {
		ends = append(ends, err)
	}
	for _, err := range b.List(t.Context()) {
		ends = append(ends, err)
	}
	require.Len(t, ends, 4)
	for _, err := range ends {
		require.ErrorIs(t, err, kv.ErrNoBucket)
		require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	}
}

func TestKeysInAnotherFormAreLoggedAndSkipped(t *testing.T) {
	js := eventstoretest.JetStream(t)
	var log bytes.Buffer
	b := open[doc](t, js, "docs", &kv.Config{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	notes, err := kv.Beside[string](b, inside.Named("note"))
	require.NoError(t, err)
	for i, key := range []string{"a/b", "1", "=4", "=41", "x==", "=note./", "2", "=note.3"} {
		_, err := js.Publish(t.Context(), "$KV.docs."+key, []byte([]string{`{}`, `"note"`}[i/5%2]))
		require.NoError(t, err)
	}
	require.NoError(t, b.Delete(t.Context(), "3"))
	_, err = b.Put(t.Context(), "2", doc{})
	require.NoError(t, err)
	require.Equal(t, []string{"1", "2"}, keys(t, b.List(t.Context())))
	for _, key := range []string{"a/b", "=4", "=41", "x=="} {
		require.Contains(t, log.String(), `"key":"`+key+`"`, "it is told which")
	}
	for entry, err := range notes.List(t.Context()) {
		require.NoError(t, err)
		require.Equal(t, "3", entry.Key)
	}
	for change, err := range b.Watch(t.Context()) {
		require.NoError(t, err)
		if change.Synced {
			break
		}
	}
}
