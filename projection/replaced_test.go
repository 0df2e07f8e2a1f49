package projection_test

import (
	"bytes"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/projection"
)

// requireBalance waits until the view's document is what it must be.
func requireBalance(t *testing.T, view *projection.View[balance], want balance) {
	t.Helper()
	require.Eventually(t, func() bool {
		document, err := view.Get(t.Context(), "1")
		return err == nil && document == want
	}, 30*time.Second, 20*time.Millisecond)
}

// The bucket of a view that runs is replaced by an older copy. The log has all that it takes to go on from there.
func TestAnOlderBucketThatIsRestoredUnderAViewIsBroughtUpToDate(t *testing.T) {
	if !proptest.Long() {
		t.Skip("a view waits for a while before it takes over from itself")
	}
	ctx := t.Context()
	server := eventstoretest.NewServer(t)
	operator := server.JetStream(t)
	store, err := eventstore.Open(ctx, server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	view := balances(t, store)
	run(t, view)
	deposit(t, store, "1", 1)
	requireBalance(t, view, balance{1, 1})
	bucket := "KV_" + view.Bucket()
	stream, err := operator.Stream(ctx, bucket)
	require.NoError(t, err)
	config, older := stream.CachedInfo().Config, messages(t, operator, bucket)
	deposit(t, store, "1", 10)
	requireBalance(t, view, balance{11, 2})

	require.NoError(t, operator.DeleteStream(ctx, bucket))
	_, err = operator.CreateStream(ctx, config)
	require.NoError(t, err)
	for _, msg := range older {
		_, err := operator.Publish(ctx, msg.Subject, msg.Data)
		require.NoError(t, err)
	}
	deposit(t, store, "1", 100)
	requireBalance(t, view, balance{111, 3})
}

func messages(t *testing.T, js jetstream.JetStream, name string) (all []*jetstream.RawStreamMsg) {
	t.Helper()
	stream, err := js.Stream(t.Context(), name)
	require.NoError(t, err)
	info, err := stream.Info(t.Context())
	require.NoError(t, err)
	for sequence := uint64(1); sequence <= info.State.LastSeq; sequence++ {
		if msg, err := stream.GetMsg(t.Context(), sequence); err == nil { // the others were overwritten
			all = append(all, msg)
		}
	}
	return all
}

// The bucket of a view that runs is deleted: the view is built anew.
func TestABucketThatIsDeletedUnderAViewIsBuiltAnew(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	view := balances(t, store)
	run(t, view)
	deposit(t, store, "1", 1)
	requireBalance(t, view, balance{1, 1})
	require.NoError(t, js.DeleteStream(t.Context(), "KV_"+view.Bucket()))
	deposit(t, store, "1", 10)
	requireBalance(t, view, balance{11, 2})
}

// The bucket of a view is deleted after a runner has opened it, and before it has read the checkpoint.
func TestABucketThatIsDeletedWhileItIsOpenedIsBuiltAnew(t *testing.T) {
	server := eventstoretest.NewServer(t)
	proxy, operator := server.Proxy(t), server.JetStream(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	view := balances(t, store)
	stop := run(t, view)
	deposit(t, store, "1", 1)
	requireBalance(t, view, balance{1, 1})
	stop()
	bucket := "KV_" + view.Bucket()
	remove := sync.OnceFunc(func() { require.NoError(t, operator.DeleteStream(t.Context(), bucket)) })
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if strings.HasPrefix(subject, "$JS.API.STREAM.MSG.GET."+bucket) {
			remove()
		}
		return false
	})
	run(t, view)
	deposit(t, store, "1", 10)
	requireBalance(t, view, balance{11, 2})
}

// The log is replaced by an older backup under a view that has nothing to do at the time.
func TestAViewEndsWithALogThatIsReplaced(t *testing.T) {
	ctx := t.Context()
	server := eventstoretest.NewServer(t)
	operator := server.JetStream(t)
	store, err := eventstore.Open(ctx, server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	deposit(t, store, "1", 1)
	var backup bytes.Buffer
	_, err = store.Export(ctx, &backup, nil)
	require.NoError(t, err)
	view := balances(t, store)
	ended := make(chan error, 1)
	go func() { ended <- view.Run(ctx) }()
	deposit(t, store, "1", 10)
	requireBalance(t, view, balance{11, 2})

	require.NoError(t, operator.DeleteStream(ctx, "bank"))
	_, err = eventstore.Import(ctx, operator, &backup, nil)
	require.NoError(t, err)
	_, err = store.Append(ctx, account("2"), eventstore.Head{}, deposited{Amount: 1})
	require.ErrorIs(t, err, eventstore.ErrLogRewound)
	select {
	case err := <-ended:
		require.ErrorIs(t, err, projection.ErrLogRewound)
	case <-time.After(30 * time.Second):
		t.Fatal("the view goes on")
	}
	<-eventstore.Inside(inside.Pass{}, store).Done()
	require.ErrorIs(t, eventstore.Inside(inside.Pass{}, store).Err(), eventstore.ErrLogRewound)
}

// A process that only reads a view asks nothing of the log. It notices all the same that the store was made anew.
func TestReadersEndWithAStoreThatIsMadeAnew(t *testing.T) {
	ctx := t.Context()
	server := eventstoretest.NewServer(t)
	js := server.JetStream(t)
	builder := openAt(t, js)
	last := deposit(t, builder, "1", 1)
	require.NoError(t, sums(t, builder, 1, quick).Rebuild(ctx, nil))
	store := openAt(t, server.JetStream(t))
	reader := sums(t, store, 1, quick)
	_, err := reader.Get(ctx, "1")
	require.NoError(t, err)
	changes, stop := iter.Pull2(reader.Watch(ctx))
	defer stop()
	for synced := false; !synced; {
		change, err, ok := changes()
		require.True(t, ok)
		require.NoError(t, err)
		synced = change.Synced
	}
	waited := make(chan error, 1)
	go func() {
		// The log has this position, and the view has not.
		if _, err := builder.Append(ctx, account("2"), eventstore.Head{}, deposited{Amount: 1}); err != nil {
			waited <- err
			return
		}
		waited <- reader.WaitFor(soon(t), last+1)
	}()
	eventually(t, func() bool { end, err := builder.End(ctx); return err == nil && end == last+1 }, "it waits")

	control, err := js.KeyValue(ctx, reader.Control())
	require.NoError(t, err)
	require.NoError(t, js.DeleteStream(ctx, "bank"))
	require.NoError(t, control.Purge(ctx, "mark"))
	deposit(t, openAt(t, server.JetStream(t)), "1", 1, 1, 1)
	eventually(t, func() bool { return eventstore.Inside(inside.Pass{}, store).Err() != nil }, "the store has noticed")
	_, err = reader.Get(ctx, "1")
	require.ErrorIs(t, err, projection.ErrLogRewound)
	require.NotContains(t, err.Error(), "commit  at")
	_, err = reader.Get(ctx, "1", projection.At(1))
	require.ErrorIs(t, err, projection.ErrLogRewound)
	_, err = reader.GetMany(ctx, "1")
	require.ErrorIs(t, err, projection.ErrLogRewound)
	for _, err := range reader.List(ctx) {
		require.ErrorIs(t, err, projection.ErrLogRewound)
	}
	require.ErrorIs(t, reader.WaitFor(ctx, 1), projection.ErrLogRewound)
	if err := <-waited; !errors.Is(err, eventstore.ErrRefused) { // it may have asked while there was no log at all
		require.ErrorIs(t, err, projection.ErrLogRewound)
	}
	_, err, _ = changes()
	require.ErrorIs(t, err, projection.ErrLogRewound)
	_, err = projection.Open(ctx, store, "sums", 1, quick, projection.On(func(b balance, _ deposited) balance { return b }))
	require.ErrorIs(t, err, projection.ErrLogRewound)
}
