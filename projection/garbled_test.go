package projection_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// garble puts what no program of this module writes under a key.
func garble(t *testing.T, js jetstream.JetStream, bucket, key string) {
	t.Helper()
	b, err := js.KeyValue(t.Context(), bucket)
	require.NoError(t, err)
	_, err = b.Put(t.Context(), key, []byte("{garbled"))
	require.NoError(t, err)
}

// requireRemedy requires that an error names the view and what to do.
func requireRemedy(t *testing.T, err error, remedy string) {
	t.Helper()
	require.ErrorContains(t, err, "view sums")
	require.ErrorContains(t, err, remedy)
}

func TestAViewWhoseCheckpointCannotBeReadIsRebuilt(t *testing.T) {
	for name, another := range map[string]*projection.Config{"garbled": nil, "of another codec": {Codec: kv.Msgpack{}}} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			store := openAt(t, js)
			before := sums(t, store, 1, nil)
			require.NoError(t, before.Rebuild(t.Context(), nil))
			last := deposit(t, store, "1", 10)
			if another == nil {
				garble(t, js, before.Bucket(), "=checkpoint")
			}

			view := sums(t, store, 1, another)
			requireRemedy(t, view.Run(soon(t)), "rebuild the view")
			_, err := view.Get(t.Context(), "1")
			requireRemedy(t, err, "rebuild the view")
			_, err = view.Get(soon(t), "1", projection.At(last))
			requireRemedy(t, err, "rebuild the view")
			_, err = view.Status(t.Context())
			requireRemedy(t, err, "rebuild the view")
			require.NoError(t, view.Pause(t.Context()), "nobody runs it")
			require.NoError(t, view.Resume(t.Context()))

			require.NoError(t, view.Rebuild(soon(t), nil))
			requireBalance(t, view, balance{10, 1})
			run(t, view)
			got, err := view.Get(soon(t), "1", projection.At(deposit(t, store, "1", 100)))
			require.NoError(t, err)
			require.Equal(t, balance{110, 2}, got)
			if another != nil {
				eventually(t, func() bool { _, err = before.Get(t.Context(), "1"); return err != nil }, "it has another codec now")
				requireRemedy(t, err, "rebuild the view")
			}
		})
	}
}

func TestAViewWhoseParkedDocumentCannotBeReadIsRebuilt(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openAt(t, js)
	view := sums(t, store, 1, nil)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	garble(t, js, view.Bucket(), "=parked.1")
	requireRemedy(t, view.Run(soon(t)), "rebuild the view")
	_, err := view.Status(t.Context())
	requireRemedy(t, err, "rebuild the view")
	require.NoError(t, view.Rebuild(soon(t), nil))
	run(t, view)
	require.NoError(t, view.WaitFor(soon(t), deposit(t, store, "1", 10)))
}

// The checkpoint is garbled under a view that runs and is read.
func TestAViewWhoseCheckpointIsGarbledMeanwhileSaysWhatToDo(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openAt(t, js)
	view := sums(t, store, 1, nil)
	ended := make(chan error, 1)
	go func() { ended <- view.Run(soon(t)) }()
	require.NoError(t, view.WaitFor(soon(t), deposit(t, store, "1", 10)))
	garble(t, js, view.Bucket(), "=checkpoint")
	requireRemedy(t, <-ended, "rebuild the view")
	_, err := view.Get(t.Context(), "1")
	requireRemedy(t, err, "rebuild the view")
	_, err = view.Position(t.Context())
	requireRemedy(t, err, "rebuild the view")
	require.NoError(t, view.Rebuild(soon(t), nil))
	requireBalance(t, view, balance{10, 1})
}

// A release with another codec raises the fold version, and reads nothing until that is built.
func TestAnotherCodecComesWithAnotherFoldVersion(t *testing.T) {
	store := open(t)
	before := sums(t, store, 1, nil)
	deposit(t, store, "1", 10)
	run(t, before)
	require.NoError(t, before.WaitFor(soon(t), 1))
	after := sums(t, store, 2, &projection.Config{Codec: kv.Msgpack{}})
	_, err := after.Get(t.Context(), "1")
	require.ErrorIs(t, err, projection.ErrNotReady)
	run(t, after)
	got, err := after.Get(soon(t), "1", projection.At(1))
	require.NoError(t, err)
	require.Equal(t, balance{20, 1}, got)
	requireBalance(t, before, balance{10, 1})
}

func TestAViewWhoseRecordIsGarbledSaysWhatToDo(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openAt(t, js)
	view := sums(t, store, 1, nil)
	last := deposit(t, store, "1", 10)
	require.NoError(t, view.Rebuild(t.Context(), nil))
	garble(t, js, view.Control(), "view.sums")
	requireRemedy(t, view.Run(soon(t)), "delete that key")
	control, err := js.KeyValue(t.Context(), view.Control())
	require.NoError(t, err)
	require.NoError(t, control.Delete(t.Context(), "view.sums"))
	run(t, view)
	_, err = view.Get(soon(t), "1", projection.At(last))
	require.NoError(t, err)
}
