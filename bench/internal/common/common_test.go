package common_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/bench/internal/common"
	"github.com/runnel-go/runnel/eventstoretest"
)

type opened struct{ Owner string }

func (opened) EventType() string { return "account.opened" }

type booked struct {
	Amount, Balance int64
	Text            string
}

func (booked) EventType() string { return "booked" }

func open(t *testing.T, js jetstream.JetStream, replicas int, storage jetstream.StorageType) *common.Store {
	t.Helper()
	store, err := common.Open(t.Context(), js, "bank", replicas, storage, common.TypeOf[opened](), common.TypeOf[booked]())
	require.NoError(t, err)
	return store
}

func file(t *testing.T) *common.Store {
	t.Helper()
	return open(t, eventstoretest.JetStream(t), 1, jetstream.FileStorage)
}

// events returns the recorded events without their metadata.
func events(recorded []common.Recorded) []common.Event {
	var all []common.Event
	for _, r := range recorded {
		all = append(all, r.Event)
	}
	return all
}

func TestEventsOfTwoTypesLoadInTheOrderTheyWereAppended(t *testing.T) {
	store := file(t)
	ctx := t.Context()
	last, err := store.Append(ctx, "account.42", 0, opened{"Ada"}, booked{10, 10, "in"})
	require.NoError(t, err)
	require.Equal(t, uint64(2), last)
	_, err = store.Append(ctx, "account.7", 0, opened{"Bo"})
	require.NoError(t, err)
	last, err = store.Append(ctx, "account.42", last, booked{5, 15, "in"})
	require.NoError(t, err)
	last, err = store.Append(ctx, "account.42", last, opened{"Ada again"}, booked{-5, 10, "out"}, opened{"and again"})
	require.NoError(t, err)
	require.Equal(t, uint64(7), last)

	loaded, at, err := store.Load(ctx, "account.42")
	require.NoError(t, err)
	require.Equal(t, last, at)
	require.Equal(t, []common.Event{
		opened{"Ada"}, booked{10, 10, "in"}, booked{5, 15, "in"}, opened{"Ada again"}, booked{-5, 10, "out"}, opened{"and again"},
	}, events(loaded))
	first := loaded[0]
	require.Equal(t, "account.42", first.Stream)
	require.Equal(t, "account.opened", first.Type)
	require.Equal(t, uint64(1), first.Sequence)
	require.Equal(t, first.ID, first.Correlation)
	require.Equal(t, first.ID, loaded[1].Correlation, "of the same append")
	require.NotEqual(t, first.ID, loaded[1].ID)
	require.NotEqual(t, first.Correlation, loaded[2].Correlation, "of another append")
	require.False(t, first.Time.IsZero())
}

func TestAStaleExpectationConflicts(t *testing.T) {
	for name, replicas := range map[string]int{"one replica": 1, "three replicas": 3} {
		t.Run(name, func(t *testing.T) {
			js := func() jetstream.JetStream {
				if replicas == 3 {
					return eventstoretest.NewCluster(t, 3).JetStream(t)
				}
				return eventstoretest.JetStream(t)
			}()
			store := open(t, js, replicas, jetstream.FileStorage)
			ctx := t.Context()
			last, err := store.Append(ctx, "account.42", 0, opened{"Ada"})
			require.NoError(t, err)
			for name, expected := range map[string]uint64{"older": 0, "never there": last + 1} {
				for _, batch := range [][]common.Event{{booked{1, 1, ""}}, {booked{1, 1, ""}, opened{""}, booked{1, 2, ""}}} {
					_, err = store.Append(ctx, "account.42", expected, batch...)
					require.ErrorIs(t, err, common.ErrConflict, "%s, %d events", name, len(batch))
					conflict := &common.ConflictError{}
					require.ErrorAs(t, err, &conflict)
					require.Equal(t, "account.42", conflict.Stream)
					require.Equal(t, expected, conflict.Expected)
				}
			}
			require.Eventually(t, func() bool { // the consumer may be made on a server that lags
				loaded, at, err := store.Load(ctx, "account.42")
				require.NoError(t, err)
				require.LessOrEqual(t, len(loaded), 1, "nothing of what conflicted is stored")
				return at == last
			}, 10*time.Second, 10*time.Millisecond)
		})
	}
}

func TestTheEventsOfAnotherTypeMoveTheStreamToo(t *testing.T) {
	store := file(t)
	last, err := store.Append(t.Context(), "account.42", 0, opened{"Ada"})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), "account.42", last, booked{1, 1, ""})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), "account.42", last, opened{"Bo"})
	require.ErrorIs(t, err, common.ErrConflict)
}

func TestAStreamThatIsEmptyLoadsAtOnce(t *testing.T) {
	store := file(t)
	loaded, last, err := store.Load(t.Context(), "account.42")
	require.NoError(t, err)
	require.Empty(t, loaded)
	require.Zero(t, last)
	_, err = store.Append(t.Context(), "account.421", 0, opened{"Ada"})
	require.NoError(t, err)
	loaded, last, err = store.Load(t.Context(), "account.42")
	require.NoError(t, err)
	require.Empty(t, loaded, "a stream whose name only begins alike is another")
	require.Zero(t, last)
}

func TestTheWholeLogIsReadInOrder(t *testing.T) {
	store := file(t)
	require.NoError(t, store.All(t.Context(), func(common.Recorded) error { return errors.New("nothing is there") }))
	var want []string
	for i := range 20 {
		stream := fmt.Sprint("account.", i%7)
		_, last, err := store.Load(t.Context(), stream)
		require.NoError(t, err)
		_, err = store.Append(t.Context(), stream, last, booked{int64(i), 0, ""})
		require.NoError(t, err)
		want = append(want, fmt.Sprint(stream, " ", i))
	}
	var read []string
	require.NoError(t, store.All(t.Context(), func(r common.Recorded) error {
		read = append(read, fmt.Sprint(r.Stream, " ", r.Event.(booked).Amount))
		return nil
	}))
	require.Equal(t, want, read)
	enough := errors.New("enough")
	n := 0
	require.ErrorIs(t, store.All(t.Context(), func(common.Recorded) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	}), enough)
	require.Equal(t, 3, n)
}

func TestReadersLeaveNoConsumerBehind(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := open(t, js, 1, jetstream.MemoryStorage)
	_, err := store.Append(t.Context(), "account.42", 0, opened{"Ada"}, opened{"Bo"})
	require.NoError(t, err)
	_, _, err = store.Load(t.Context(), "account.42")
	require.NoError(t, err)
	_, _, err = store.Load(t.Context(), "account.7")
	require.NoError(t, err)
	require.Error(t, store.All(t.Context(), func(common.Recorded) error { return errors.New("no more") }))
	ctx, cancel := context.WithCancel(t.Context())
	require.ErrorIs(t, store.All(ctx, func(common.Recorded) error { cancel(); return nil }), context.Canceled)
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	require.Zero(t, stream.CachedInfo().State.Consumers)
}

func TestAnEventOfAnUnknownTypeStopsTheReader(t *testing.T) {
	js := eventstoretest.JetStream(t)
	_, err := open(t, js, 1, jetstream.FileStorage).Append(t.Context(), "account.42", 0, opened{"Ada"}, booked{1, 1, ""})
	require.NoError(t, err)
	store, err := common.Open(t.Context(), js, "bank", 1, jetstream.FileStorage, common.TypeOf[opened]())
	require.NoError(t, err)
	_, _, err = store.Load(t.Context(), "account.42")
	require.ErrorContains(t, err, `bank.account.42.booked at sequence 2: unknown event type "booked"`)
}

func TestANameThatIsNoStreamIsRefused(t *testing.T) {
	store := file(t)
	for _, name := range []string{"", "42", "account.", ".42", "account.4.2", "account.*", "account.>", "account.4 2", "a*.42"} {
		_, err := store.Append(t.Context(), name, 0, opened{"Ada"})
		require.ErrorContainsf(t, err, "names no stream", "%q", name)
		_, _, err = store.Load(t.Context(), name)
		require.ErrorContainsf(t, err, "names no stream", "%q", name)
	}
}

func TestTheProjectorPutsTheDocumentOfEachEvent(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := open(t, js, 1, jetstream.FileStorage)
	_, err := store.Append(t.Context(), "account.42", 0, booked{10, 10, "in"}, booked{-3, 7, "out"})
	require.NoError(t, err)
	_, err = store.Append(t.Context(), "account.7", 0, booked{1, 1, "in"})
	require.NoError(t, err)
	bucket, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "balances"})
	require.NoError(t, err)
	require.NoError(t, store.Project(t.Context(), bucket, func(r common.Recorded) (string, any) {
		return r.Stream, r.Event.(booked).Balance
	}))
	entry, err := bucket.Get(t.Context(), "account.42")
	require.NoError(t, err)
	require.Equal(t, "7", string(entry.Value()))
	require.Equal(t, uint64(2), entry.Revision(), "of the second of two puts")
	entry, err = bucket.Get(t.Context(), "account.7")
	require.NoError(t, err)
	require.Equal(t, "1", string(entry.Value()))
}
