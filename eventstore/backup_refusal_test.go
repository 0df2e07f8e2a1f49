package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
)

func TestAnImportLeavesWhatIsThereAsItIs(t *testing.T) {
	from := eventstoretest.JetStream(t)
	store := stock(t, from, 3)
	archive := export(t, store, "bank-totals")
	later, err := store.Append(t.Context(), account("c"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(7), later.Position)
	evening := func() time.Time { return day().Add(8 * time.Hour) }
	same, err := eventstore.Open(t.Context(), from, "bank", events, &eventstore.Config{Now: evening})
	require.NoError(t, err)
	defer same.Close()
	laterArchive := export(t, same, "bank-totals")

	for name, c := range map[string]struct {
		prepare func(t *testing.T, js jetstream.JetStream)
		says    string
	}{
		"another store of the name": {func(t *testing.T, js jetstream.JetStream) { stock(t, js, 4) },
			"it is not of store " + store.Identity()},
		"the store, which went on": {func(t *testing.T, js jetstream.JetStream) {
			require.NoError(t, importInto(js, archive, nil))
			_, err := openDay(t, js).Append(t.Context(), account("c"), eventstore.Head{}, deposited{2})
			require.NoError(t, err)
		}, "it goes on to 7, the archive ends at 6"},
		"the store, whose view went on": {func(t *testing.T, js jetstream.JetStream) {
			require.NoError(t, importInto(js, archive, nil))
			bucket, err := js.KeyValue(t.Context(), "bank-totals")
			require.NoError(t, err)
			_, err = bucket.PutString(t.Context(), "k1", "9")
			require.NoError(t, err)
		}, "it goes on to 4, the archive ends at 3"},
		"another archive, half imported": {func(t *testing.T, js jetstream.JetStream) {
			require.ErrorIs(t, importInto(js, laterArchive[:len(laterArchive)-1], nil), eventstore.ErrArchive)
		}, "the import of another archive has begun in it"},
		"a bucket": {func(t *testing.T, js jetstream.JetStream) {
			_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "bank-totals"})
			require.NoError(t, err)
		}, "JetStream stream KV_bank-totals: something else is there: it was not made by an import of this archive"},
		"a stream with a foreign commit in it": {func(t *testing.T, js jetstream.JetStream) {
			require.ErrorIs(t, importInto(js, archive[:len(archive)-1], nil), eventstore.ErrArchive)
			_, err := js.Publish(t.Context(), "bank.account.foreign", []byte("x"))
			require.NoError(t, err)
		}, "the message at 1 is another than the archive's"},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			c.prepare(t, js)
			log, bucket := last(t, js, "bank"), last(t, js, "KV_bank-totals")
			err := importInto(js, archive, nil)
			require.ErrorIs(t, err, eventstore.ErrTarget)
			require.ErrorContains(t, err, c.says)
			require.Equal(t, log, last(t, js, "bank"))
			require.Equal(t, bucket, last(t, js, "KV_bank-totals"))
		})
	}
}

func TestAnImportOfWhatIsThereChangesNothing(t *testing.T) {
	store := stock(t, eventstoretest.JetStream(t), 3)
	archive := export(t, store, "bank-totals")
	js := eventstoretest.JetStream(t)
	for range 2 {
		require.NoError(t, importInto(js, archive, nil))
		require.Equal(t, archive, export(t, openDay(t, js), "bank-totals"))
	}
}

func TestAnImportUnderAnotherNameLeavesTheBucketsOut(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := stock(t, js, 3)
	archive := export(t, store, "bank-totals")
	for range 2 {
		summary, err := eventstore.Import(t.Context(), js, bytes.NewReader(archive), &eventstore.ImportConfig{Name: "test"})
		require.NoError(t, err)
		require.Equal(t, "test", summary.Store)
		require.Equal(t, int64(6), summary.Commits)
		require.Zero(t, summary.Messages)
	}
	restored, err := eventstore.Open(t.Context(), js, "test", events, nil)
	require.NoError(t, err)
	defer restored.Close()
	require.Equal(t, store.Identity(), restored.Identity())
	require.Equal(t, decode(t, store.All(t.Context())), decode(t, restored.All(t.Context())))
	require.Equal(t, decode(t, store.Stream(t.Context(), account("b@x.org"))), decode(t, restored.Stream(t.Context(), account("b@x.org"))))
	require.Zero(t, last(t, js, "KV_test-totals"))
}

// Beside a server's streams may be the mark of a log that is gone.
func TestAMarkOfAnotherLogIsInNobodysWay(t *testing.T) {
	js := eventstoretest.JetStream(t)
	gone := stock(t, js, 5)
	require.NoError(t, gone.Close())
	for _, name := range []string{"bank", "KV_bank-totals"} {
		require.NoError(t, js.DeleteStream(t.Context(), name))
	}
	require.Positive(t, last(t, js, "KV_bank_control"))
	store := stock(t, eventstoretest.JetStream(t), 3)
	archive := export(t, store, "bank-totals")
	require.NoError(t, importInto(js, archive, nil))
	require.Equal(t, archive, export(t, openDay(t, js), "bank-totals"))
}

// A mark of the same log says what a backup does not have.
func TestABackupThatEndsBeforeTheMarkIsRefused(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := stock(t, js, 3)
	archive := export(t, store)
	_, err := store.Append(t.Context(), account("c"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))
	require.NoError(t, importInto(js, archive, nil))
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	var rewound *eventstore.LogRewoundError
	require.ErrorAs(t, err, &rewound)
	require.Equal(t, eventstore.Position(7), rewound.Position)
	require.Equal(t, eventstore.Position(6), rewound.End)
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, rewound))
	require.Equal(t, archive, export(t, openDay(t, js)))
}

func TestADamagedLogIsNotExported(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := stock(t, js, 2)
	publishAsACommit(t, js, "bank.account.z", []byte("no envelope"))
	var archive bytes.Buffer
	_, err := store.Export(t.Context(), &archive, nil)
	var corrupt *eventstore.ReadError
	require.ErrorAs(t, err, &corrupt)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Equal(t, eventstore.Position(5), corrupt.Position)
	require.ErrorIs(t, importInto(eventstoretest.JetStream(t), archive.Bytes(), nil), eventstore.ErrArchive, "it has no trailer")
}

func TestAnArchiveThatCannotBeWrittenIsAnError(t *testing.T) {
	store := stock(t, eventstoretest.JetStream(t), 2)
	full := errors.New("no space left")
	_, err := store.Export(t.Context(), failing{full}, nil)
	require.ErrorIs(t, err, full)
	require.ErrorContains(t, err, "eventstore: export bank: ")
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestWhichBucketsCannotBeExported(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := stock(t, js, 1)
	_, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "fading", TTL: time.Hour})
	require.NoError(t, err)
	for says, buckets := range map[string][]string{
		"there is no bucket none":             {"none"},
		"name: id \"a.b\"":                    {"a.b"},
		"fading: its documents expire, which": {"bank-totals", "fading"},
	} {
		_, err := store.Export(t.Context(), new(bytes.Buffer), &eventstore.ExportConfig{Buckets: buckets})
		require.ErrorIs(t, err, eventstore.ErrSettings)
		require.ErrorContains(t, err, says)
	}
}

// A bucket that a power cut tore ends inside a batch. It would be restored as if it were whole.
func TestATornBucketIsNotExported(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	js := srv.JetStream(t)
	bucket, err := kv.Open[int](t.Context(), js, "bank-pairs", nil)
	require.NoError(t, err)
	defer bucket.Close()
	batch := bucket.Batch()
	batch.Put("left", 1)
	batch.Put("right", 1)
	_, err = batch.Commit(t.Context())
	require.NoError(t, err)
	srv.Stop()
	messages := records(t, srv.StoreDir(), "KV_bank-pairs")
	require.NoError(t, os.Truncate(messages[1].file, int64(messages[1].offset)))
	dropIndex(t, srv.StoreDir(), "KV_bank-pairs")
	srv.Restart()
	js = srv.JetStream(t)
	require.Equal(t, uint64(1), last(t, js, "KV_bank-pairs"))
	_, err = openDay(t, js).Export(t.Context(), new(bytes.Buffer), &eventstore.ExportConfig{Buckets: []string{"bank-pairs"}})
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "part of an atomic batch without its end")
}

// A server whose disk lost a bit passes over the message and says nothing. The log has a gap then; a bucket has many,
// so its messages are counted.
func TestAFlippedBitIsNotExportedAsNothing(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	store := stock(t, srv.JetStream(t), 4)
	totals, err := kv.Open[int](t.Context(), store.JetStream(), "bank-counts", nil)
	require.NoError(t, err)
	for i := range 4 {
		_, err := totals.Put(t.Context(), fmt.Sprint(i), i)
		require.NoError(t, err)
	}
	require.NoError(t, errors.Join(totals.Close(), store.Close()))
	whole := keep(t, srv)
	for _, c := range []struct {
		stream string
		at     int // of the messages
		says   string
	}{
		{"bank", 2, "eventstore: export bank: eventstore: store bank at position 3: log corrupt"},
		{"KV_bank-counts", 1, "bucket bank-counts holds 4 messages, of which 3 can be read"},
	} {
		whole.restore(t)
		damaged := records(t, srv.StoreDir(), c.stream)[c.at]
		damaged.flip(t, damaged.data, 3)
		srv.Restart()
		js := srv.JetStream(t)
		again, err := eventstore.Open(t.Context(), js, "bank", events, nil)
		require.NoError(t, err)
		_, err = again.Export(t.Context(), new(bytes.Buffer), &eventstore.ExportConfig{Buckets: []string{"bank-counts"}})
		require.ErrorIs(t, err, eventstore.ErrCorrupt)
		require.ErrorContains(t, err, c.says)
		require.NoError(t, again.Close())
	}
}

func TestWhatWasErasedStaysErased(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openErasing(t, js)
	lengthen(t, store, "a", "Anna Secret", 2)
	lengthen(t, store, "b", "Bert", 1)
	lengthen(t, store, "a", "Anna Secret", 1)
	_, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("b"), Expected: eventstore.Head{Version: 1}, Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("a"), Expected: eventstore.Head{Version: 3}, Events: []eventstore.Event{deposited{-1}}})
	require.NoError(t, err)
	require.NoError(t, store.Erase(t.Context(), account("a"), "asked for"))
	archive := export(t, store)
	require.NotContains(t, string(archive), "Anna Secret")

	srv := eventstoretest.NewServer(t)
	to := srv.JetStream(t)
	cut := errors.New("cut")
	for size := 100; size < len(archive); size += 150 {
		_, err := eventstore.Import(t.Context(), to, io.MultiReader(bytes.NewReader(archive[:size]), iotest.ErrReader(cut)), nil)
		require.ErrorIs(t, err, cut)
	}
	require.NoError(t, importInto(to, archive, nil))
	restored := openErasing(t, to)
	require.Equal(t, decode(t, store.All(t.Context())), decode(t, restored.All(t.Context())))
	_, err = restored.Load(t.Context(), account("a"))
	require.ErrorIs(t, err, eventstore.ErrErased)
	_, err = restored.At(t.Context(), 1)
	require.ErrorIs(t, err, eventstore.ErrErased)
	c, err := restored.Append(t.Context(), account("b"), eventstore.Head{Version: 2}, deposited{5})
	require.NoError(t, err)
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Equal(t, end+1, c.Position)
	require.NoError(t, restored.Erase(t.Context(), account("b"), "works there too"))
}

func TestImportsOfOneArchiveAtTheSameTimeMakeOneStore(t *testing.T) {
	store := stock(t, eventstoretest.JetStream(t), 700)
	archive := export(t, store, "bank-totals")
	srv := eventstoretest.NewServer(t)
	var imports sync.WaitGroup
	results := make(chan error, 3)
	for range cap(results) {
		js := srv.JetStream(t)
		imports.Go(func() { results <- importInto(js, archive, nil) })
	}
	imports.Wait()
	for range cap(results) {
		require.NoError(t, <-results)
	}
	js := srv.JetStream(t)
	require.NoError(t, importInto(js, archive, nil))
	require.Equal(t, archive, export(t, openDay(t, js), "bank-totals"))
}

// Acknowledgements are lost and the connection is cut again and again. Every commit gets its position all the same.
func TestAnImportOutlivesLostAnswersAndCuts(t *testing.T) {
	t.Parallel()
	store := stock(t, eventstoretest.JetStream(t), 1500)
	archive := export(t, store, "bank-totals")
	deployments(t, func(t *testing.T, d deployment) {
		proxy := eventstoretest.NewProxy(t, d.url)
		// Requests that a cut takes along are asked again soon.
		js, err := jetstream.New(proxy.Connect(t), jetstream.WithDefaultTimeout(200*time.Millisecond))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		var faults sync.WaitGroup
		faults.Go(func() {
			ticker := time.NewTicker(30 * time.Millisecond)
			defer ticker.Stop()
			for i := range 12 {
				select {
				case <-ctx.Done():
				case <-ticker.C:
				}
				proxy.Heal()
				if proxy.DropAcks(1); i%4 == 2 {
					proxy.Cut()
				}
			}
			proxy.Heal()
		})
		cfg := &eventstore.ImportConfig{Store: &eventstore.Config{Replicas: d.replicas, AckTimeout: 40 * time.Millisecond}}
		summary, err := eventstore.Import(ctx, js, bytes.NewReader(archive), cfg)
		cancel()
		faults.Wait()
		require.NoError(t, err)
		require.Equal(t, eventstore.Position(3000), summary.End)
		require.Equal(t, int64(1500), summary.Messages)
		require.Equal(t, archive, export(t, openDay(t, d.js), "bank-totals"))
	})
}

// Two documents that always change together are equal in every archive, however busy the bucket is.
func TestABucketIsExportedAsItWasAtOneMoment(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openDay(t, js)
	pairs, err := kv.Open[int](t.Context(), js, "bank-pairs", nil)
	require.NoError(t, err)
	defer pairs.Close()
	ctx, cancel := context.WithCancel(t.Context())
	writing := make(chan error, 1)
	begun := make(chan struct{})
	go func() { writing <- writePairs(ctx, pairs, begun) }()
	<-begun
	for range 2 {
		archive := export(t, store, "bank-pairs")
		to := eventstoretest.JetStream(t)
		require.NoError(t, importInto(to, archive, nil))
		bucket, err := to.KeyValue(t.Context(), "bank-pairs")
		require.NoError(t, err)
		left, err := bucket.Get(t.Context(), "left")
		require.NoError(t, err)
		right, err := bucket.Get(t.Context(), "right")
		require.NoError(t, err)
		require.Equal(t, string(left.Value()), string(right.Value()))
	}
	cancel()
	require.NoError(t, <-writing)
}

// writePairs changes the two documents together, over and over, with many more beside them, until ctx ends.
func writePairs(ctx context.Context, pairs *kv.Bucket[int], begun chan struct{}) error {
	for i := 0; ctx.Err() == nil; i++ {
		batch := pairs.Batch()
		batch.Put("left", i)
		for other := range 100 {
			batch.Put(fmt.Sprintf("other%d", other), i)
		}
		batch.Put("right", i)
		if _, err := batch.Commit(ctx); err != nil && ctx.Err() == nil {
			return err
		}
		if i == 10 {
			close(begun)
		}
	}
	return nil
}
