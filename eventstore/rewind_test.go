package eventstore_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

func openNumbered(t *testing.T, js jetstream.JetStream) (*eventstore.Store, error) {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{numbered{}}, nil)
	if err == nil {
		t.Cleanup(func() { require.NoError(t, store.Close()) })
	}
	return store, err
}

// cut makes the server lose the end of the log: a bit of a record flips, and the server has to read its blocks when it
// starts.
func cut(t *testing.T, disk disk, r record) {
	t.Helper()
	disk.restore(t)
	r.in(disk).flip(t, r.data, 0)
	dropIndex(t, disk.server.StoreDir(), "bank")
	disk.server.Restart()
}

func TestALogThatLostItsEndIsRefusedUntilTheLossIsAccepted(t *testing.T) {
	disk, told := written(t)
	all := records(t, disk.files, "bank")
	cut(t, disk, all[10])
	js := disk.server.JetStream(t)
	_, err := openNumbered(t, js)
	var lost *eventstore.LogRewoundError
	require.ErrorAs(t, err, &lost)
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
	require.Equal(t, eventstore.Position(10), lost.End)
	require.Equal(t, eventstore.Position(len(all)), lost.Position)

	salvaged, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{numbered{}}, &eventstore.Config{Salvage: true})
	require.NoError(t, err)
	defer salvaged.Close()
	require.Len(t, decode(t, salvaged.All(t.Context())), 10)
	_, err = salvaged.Append(t.Context(), account("new"), eventstore.Head{}, numbered{1})
	require.ErrorIs(t, err, eventstore.ErrRefused)

	other := *lost
	other.CommitID = "another"
	require.ErrorIs(t, eventstore.AcceptRewind(t.Context(), js, &other), eventstore.ErrConflict)
	_, err = openNumbered(t, js)
	require.ErrorIs(t, err, eventstore.ErrLogRewound, "a refused acceptance changes nothing")

	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))
	store, err := openNumbered(t, js)
	require.NoError(t, err)
	require.Len(t, decode(t, store.All(t.Context())), 10)
	_, err = store.Append(t.Context(), account("new"), eventstore.Head{}, numbered{1})
	require.NoError(t, err)
	bucket, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	accepted, err := bucket.Get(t.Context(), "accepted")
	require.NoError(t, err)
	require.Contains(t, string(accepted.Value()), lost.CommitID, "what was lost is kept")
	require.Less(t, 10, len(told.all))
}

func TestAStoreThatIsOpenWhileItsServerLosesTheEndDoesNotGoOn(t *testing.T) {
	disk, told := written(t)
	disk.restore(t)
	disk.server.Restart()
	store, err := openNumbered(t, disk.server.JetStream(t))
	require.NoError(t, err)
	history, err := store.Load(t.Context(), account("several"))
	require.NoError(t, err)
	last, err := store.Append(t.Context(), account("several"), history.Head, numbered{100})
	require.NoError(t, err)
	kept, err := store.Load(t.Context(), account("once"))
	require.NoError(t, err)

	disk.server.Stop()
	disk.files = disk.server.StoreDir()
	all := records(t, disk.files, "bank")
	require.Len(t, all, len(told.all)+1)
	all[10].flip(t, all[10].data, 0)
	dropIndex(t, disk.files, "bank")
	disk.server.Restart()

	// The heads of both streams may fit what is left. Neither is appended to.
	for name, c := range map[string]*eventstore.Commit{"lost": last, "left": kept.Commits[0]} {
		require.EventuallyWithT(t, func(t2 *assert.CollectT) {
			_, err = store.Append(t.Context(), c.Stream, c.Head(), numbered{101})
			require.ErrorIs(t2, err, eventstore.ErrLogRewound)
		}, 10*time.Second, 10*time.Millisecond, name)
		_, err = store.Append(t.Context(), account("new"), eventstore.Head{}, numbered{102})
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
		_, err = store.Load(t.Context(), c.Stream)
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
	}
	for _, err := range store.All(t.Context()) {
		require.ErrorIs(t, err, eventstore.ErrLogRewound)
	}
	_, err = openNumbered(t, disk.server.JetStream(t))
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
}

func TestAStoreWhoseStreamIsGoneIsNotMadeAnew(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	config := stream.CachedInfo().Config
	require.NoError(t, js.DeleteStream(t.Context(), "bank"))

	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
	_, err = js.Stream(t.Context(), "bank")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound, "and nothing was made")

	config.Metadata["runnel.identity"] = "another"
	_, err = js.CreateStream(t.Context(), config)
	require.NoError(t, err)
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	var lost *eventstore.LogRewoundError
	require.ErrorAs(t, err, &lost, "another store under the same name")
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, lost))
	store, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	require.NoError(t, store.Close())
}

func TestTheMarkRisesWhileTheStoreIsOpen(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	bucket, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	_, err = bucket.Get(t.Context(), "mark")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound, "a store that saw nothing keeps nothing")
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		bucket, err := js.KeyValue(t.Context(), "bank_control")
		if err != nil {
			return false
		}
		entry, err := bucket.Get(t.Context(), "mark")
		return err == nil && strings.Contains(string(entry.Value()), c.ID.String())
	}, 10*time.Second, 20*time.Millisecond)
}

func TestReadersAndSeveralStoresRaiseOneMark(t *testing.T) {
	js := eventstoretest.JetStream(t)
	stores := make([]*eventstore.Store, 3)
	var err error
	for i := range stores {
		stores[i], err = eventstore.Open(t.Context(), js, "bank", events, nil)
		require.NoError(t, err)
	}
	for i, id := range []string{"1", "2"} {
		_, err = stores[i].Append(t.Context(), account(id), eventstore.Head{}, deposited{1})
		require.NoError(t, err)
	}
	require.Len(t, decode(t, stores[2].All(t.Context())), 2)
	for _, i := range []int{2, 1, 0} { // the one that saw least comes last, and must not lower it
		require.NoError(t, stores[i].Close())
		require.NoError(t, stores[i].Close(), "again is harmless")
	}
	bucket, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	entry, err := bucket.Get(t.Context(), "mark")
	require.NoError(t, err)
	require.Contains(t, string(entry.Value()), `"position":2`)
}

func TestAMarkThatWasForgottenIsNotRaisedByThoseWhoStillKnowIt(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)
	require.NoError(t, store.Close())
	still, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	lost := eventstore.LogRewoundError{Store: "bank", Position: c.Position, CommitID: c.ID.String()}
	require.NoError(t, eventstore.AcceptRewind(t.Context(), js, &lost))
	_, err = still.Append(t.Context(), account("1"), c.Head(), deposited{2})
	require.NoError(t, err)
	require.NoError(t, still.Close())
	bucket, err := js.KeyValue(t.Context(), "bank_control")
	require.NoError(t, err)
	_, err = bucket.Get(t.Context(), "mark")
	require.ErrorIs(t, err, jetstream.ErrKeyNotFound)
}

func TestCloseDoesNotWaitForADeadServer(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	proxy := srv.Proxy(t)
	frozen, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	dead, err := eventstore.Open(t.Context(), srv.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	for i, store := range []*eventstore.Store{frozen, dead} {
		_, err := store.Append(t.Context(), account(string(rune('a'+i))), eventstore.Head{}, deposited{1})
		require.NoError(t, err)
	}
	proxy.Silence(">")
	begin := time.Now()
	require.NoError(t, frozen.Close())
	require.Less(t, time.Since(begin), 10*time.Second, "a second is what it waits")
	srv.Stop()
	require.NoError(t, dead.Close())
}

func TestAReaderWithMinimalRightsWorksWithoutAMark(t *testing.T) {
	s := eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "x"},
			{Username: "reader", Password: "x", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: strings.Fields(
					"$JS.API.STREAM.INFO.bank $JS.API.STREAM.MSG.GET.bank $JS.API.DIRECT.GET.bank $JS.API.CONSUMER.> $JS.ACK.>")},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
			}},
		}
	}))
	as := func(user string) jetstream.JetStream {
		js, err := jetstream.New(s.Connect(t, nats.UserInfo(user, "x")))
		require.NoError(t, err)
		return js
	}
	admin, err := eventstore.Open(t.Context(), as("admin"), "bank", events, nil)
	require.NoError(t, err)
	defer admin.Close()
	_, err = admin.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.NoError(t, err)

	var log bytes.Buffer
	begin := time.Now()
	reader, err := eventstore.Open(t.Context(), as("reader"), "bank", events,
		&eventstore.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Len(t, decode(t, reader.All(t.Context())), 1)
	require.NoError(t, reader.Close())
	require.Less(t, time.Since(begin), 4*time.Second, "nothing waits for replies that never come")
	require.Contains(t, log.String(), "no high-water mark is kept")
}

func TestErrorsOfARewoundLogSayWhatToDo(t *testing.T) {
	err := error(&eventstore.LogRewoundError{Store: "bank", End: 10, Position: 12, CommitID: "c", Reason: "it ends before that"})
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
	require.EqualError(t, err, "eventstore: store bank: log went backwards: it had commit c at position 12, and it ends before that"+
		" (it ends at position 10): restore it from a replica or a backup, or accept the loss with AcceptRewind")
	// A store that has seen no commit has none to name.
	err = &eventstore.LogRewoundError{Store: "bank", End: 3, Reason: "it is another log"}
	require.EqualError(t, err, "eventstore: store bank: log went backwards: it is another log"+
		" (it ends at position 3): restore it from a replica or a backup, or accept the loss with AcceptRewind")
}
