package eventstore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
)

// day is when all exports of these tests are made, so that their archives can be compared.
func day() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) }

func export(t require.TestingT, store *eventstore.Store, buckets ...string) []byte {
	var archive bytes.Buffer
	_, err := store.Export(context.Background(), &archive, &eventstore.ExportConfig{Buckets: buckets})
	require.NoError(t, err)
	return archive.Bytes()
}

func importInto(js jetstream.JetStream, archive []byte, cfg *eventstore.ImportConfig) error {
	_, err := eventstore.Import(context.Background(), js, bytes.NewReader(archive), cfg)
	return err
}

// openDay opens the store "bank", whose clock stands still.
func openDay(t testing.TB, js jetstream.JetStream) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Now: day})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// stock appends n commits to each of two streams, and puts some documents into a bucket.
func stock(t *testing.T, js jetstream.JetStream, n int) *eventstore.Store {
	t.Helper()
	store := openDay(t, js)
	for _, id := range []string{"a", "b@x.org"} {
		head := eventstore.Head{}
		for i := range n {
			c, err := store.Append(t.Context(), account(id), head, deposited{int64(i)})
			require.NoError(t, err)
			head = c.Head()
		}
	}
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "bank-totals", Description: "totals"})
	require.NoError(t, err)
	for i := range n {
		_, err := bucket.PutString(t.Context(), fmt.Sprintf("k%d", i), fmt.Sprint(i))
		require.NoError(t, err)
	}
	require.NoError(t, bucket.Delete(t.Context(), "k0"))
	return store
}

// last returns the last sequence of a JetStream stream, or 0 if it is empty.
func last(t *testing.T, js jetstream.JetStream, name string) uint64 {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return 0
	}
	require.NoError(t, err)
	return stream.CachedInfo().State.LastSeq
}

// Whatever was appended and put: what is exported from an imported store is what it was imported from, to the byte.
func TestAnImportedStoreExportsAsTheSameBytes(t *testing.T) {
	from, to := eventstoretest.JetStream(t), eventstoretest.JetStream(t)
	cfg := &eventstore.Config{Now: day, Storage: jetstream.MemoryStorage}
	proptest.Runs(t, 30)
	number := 0
	rapid.Check(t, func(rt *rapid.T) {
		number++
		name := fmt.Sprintf("bank%d", number)
		store, err := eventstore.Open(context.Background(), from, name, events, cfg)
		require.NoError(rt, err)
		defer store.Close()
		bucket, err := from.CreateKeyValue(context.Background(), jetstream.KeyValueConfig{
			Bucket: name + "-view", Storage: jetstream.MemoryStorage, History: rapid.SampledFrom([]uint8{1, 3}).Draw(rt, "history"),
		})
		require.NoError(rt, err)
		randomStore(rt, from, store, bucket)
		archive := export(rt, store, name+"-view")

		require.NoError(rt, importInto(to, archive, &eventstore.ImportConfig{Store: cfg}))
		restored, err := eventstore.Open(context.Background(), to, name, events, cfg)
		require.NoError(rt, err)
		defer restored.Close()
		require.Equal(rt, archive, export(rt, restored, name+"-view"))

		for _, js := range []jetstream.JetStream{from, to} {
			for n := range js.StreamNames(context.Background()).Name() {
				require.NoError(rt, js.DeleteStream(context.Background(), n))
			}
		}
	})
}

// randomStore appends to a store and writes to a bucket. Some appends are transactions, some of which are torn.
func randomStore(t *rapid.T, js jetstream.JetStream, store *eventstore.Store, bucket jetstream.KeyValue) {
	ctx := context.Background()
	heads := make(map[string]eventstore.Head)
	ids := []string{"a", "b@x.org", "=", "ž"}
	appendTo := func(ids ...string) {
		var writes []eventstore.Write
		for _, id := range ids {
			writes = append(writes, eventstore.Write{Stream: account(id), Expected: heads[id], Events: []eventstore.Event{opened{id}}, Key: "k"})
		}
		commits, err := store.AppendAll(ctx, writes...)
		require.NoError(t, err)
		for _, c := range commits {
			heads[c.Stream.ID] = c.Head()
		}
	}
	for range rapid.IntRange(0, 8).Draw(t, "steps") {
		id := rapid.SampledFrom(ids).Draw(t, "id")
		switch rapid.IntRange(0, 4).Draw(t, "step") {
		case 0, 1:
			appendTo(id)
		case 2:
			appendTo(ids[0], ids[1], ids[2])
		case 3: // the start of a transaction that lost its end
			end, err := store.End(ctx)
			require.NoError(t, err)
			appendTo(fmt.Sprint("new", end), ids[1]) // a later commit would be a copy
			end, err = store.End(ctx)
			require.NoError(t, err)
			stream, err := js.Stream(ctx, store.Name())
			require.NoError(t, err)
			msg, err := stream.GetMsg(ctx, uint64(end-1))
			require.NoError(t, err)
			publishAsACommit(t, js, fmt.Sprintf("%s.account.torn%d", store.Name(), end), msg.Data)
		case 4:
			_, err := bucket.Put(ctx, rapid.SampledFrom([]string{"x", "y.z", "=checkpoint"}).Draw(t, "key"), rapid.SliceOf(rapid.Byte()).Draw(t, "data"))
			require.NoError(t, err)
			if rapid.Bool().Draw(t, "delete") {
				require.NoError(t, bucket.Delete(ctx, "x"))
			}
		}
	}
}

func TestAnImportThatWasCutShortGoesOnWhereItWasCut(t *testing.T) {
	store := stock(t, eventstoretest.JetStream(t), 1500)
	archive := export(t, store, "bank-totals")
	to := eventstoretest.JetStream(t)
	before := uint64(0)
	for _, cut := range []int{10, 500, 60_000, 200_000, 300_000, 400_000, len(archive) - 1} {
		require.Less(t, cut, len(archive))
		torn := errors.New("cable pulled")
		_, err := eventstore.Import(t.Context(), to, io.MultiReader(bytes.NewReader(archive[:cut]), iotest.ErrReader(torn)), nil)
		require.ErrorIs(t, err, torn)
		require.NotErrorIs(t, err, eventstore.ErrArchive, "the archive may be good")
		if cut > 500 {
			_, err = eventstore.Open(t.Context(), to, "bank", events, nil)
			require.ErrorIs(t, err, eventstore.ErrUnavailable)
		}
		require.GreaterOrEqual(t, last(t, to, "bank"), before)
		before = last(t, to, "bank")
	}
	require.Positive(t, before)
	require.NoError(t, importInto(to, archive, nil))
	require.Equal(t, archive, export(t, openDay(t, to), "bank-totals"))
}

func TestWhatIsNotTheWholeArchiveIsRefused(t *testing.T) {
	store := stock(t, eventstoretest.JetStream(t), 3)
	archive := export(t, store, "bank-totals")
	to := eventstoretest.JetStream(t)
	for cut := 0; cut < len(archive); cut += 11 {
		require.ErrorIs(t, importInto(to, archive[:cut], nil), eventstore.ErrArchive, "cut at %d", cut)
		flipped := slices.Clone(archive)
		flipped[cut] ^= 1 << (cut % 8)
		require.ErrorIs(t, importInto(to, flipped, nil), eventstore.ErrArchive, "flipped at %d", cut)
	}
	_, err := eventstore.Open(t.Context(), to, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrUnavailable)
	require.NoError(t, importInto(to, archive, nil), "the good one goes on")
}

// eraser erases a stream when the export has written so much, in the middle of the log.
type eraser struct {
	bytes.Buffer
	erase func()
}

func (e *eraser) Write(p []byte) (int, error) {
	if e.erase != nil {
		e.erase()
		e.erase = nil
	}
	return e.Buffer.Write(p)
}

// A commit that is erased while the log is read leaves a hole whose record stands after the end that the log had when
// the export began. Without the record they would be damage.
func TestWhatIsErasedWhileItIsExportedIsRecordedInTheArchive(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Memory())
	store := openErasing(t, js)
	lengthen(t, store, "kept", strings.Repeat("x", 100<<10), 90) // more than one fetch
	lengthen(t, store, "a", "Anna Secret", 3)
	archive := &eraser{erase: func() { require.NoError(t, store.Erase(t.Context(), account("a"), "asked for")) }}
	summary, err := store.Export(t.Context(), archive, nil)
	require.NoError(t, err)
	require.Equal(t, int64(3), summary.Erased)
	require.Greater(t, summary.End, eventstore.Position(93))
	require.NotContains(t, archive.String(), "Anna Secret")

	to := eventstoretest.JetStream(t, eventstoretest.Memory())
	require.NoError(t, importInto(to, archive.Bytes(), nil))
	restored := openErasing(t, to)
	require.Len(t, decode(t, restored.All(t.Context(), eventstore.Types("account.opened"))), 90)
	_, err = restored.Load(t.Context(), account("a"))
	require.ErrorIs(t, err, eventstore.ErrErased)
}
