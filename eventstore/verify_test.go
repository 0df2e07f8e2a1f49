package eventstore_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

func TestVerifyCountsWhatThereIs(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store := openErasing(t, js)
	lengthen(t, store, "a", "Anna", 40) // more than links reach
	lengthen(t, store, "gone", "Bert", 3)
	_, err := store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("b"), Events: []eventstore.Event{deposited{1}, deposited{2}}},
		eventstore.Write{Stream: account("c"), Events: []eventstore.Event{deposited{3}}})
	require.NoError(t, err)
	replay(t, js, 44, "torn") // the start of a transaction that never came to its end
	require.NoError(t, store.Erase(t.Context(), account("gone"), "asked for"))
	lengthen(t, store, "torn", "Carl", 1)

	var told []eventstore.Progress
	report, err := store.Verify(t.Context(), &eventstore.VerifyConfig{Progress: func(p eventstore.Progress) { told = append(told, p) }})
	require.NoError(t, err, report.String())
	report.Elapsed = 0
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Equal(t, eventstore.Report{Store: "bank", End: end,
		Commits: int64(end) - 1 - 3, Events: 40 + 3 + 2 + 1, Streams: 6, Transactions: 1, Torn: 1, Erased: 3}, report)
	require.Contains(t, report.String(), "no faults")
	require.Equal(t, end, told[len(told)-1].Position)
}

func TestVerifyOfAnEmptyStore(t *testing.T) {
	report, err := open(t, nil).Verify(t.Context(), nil)
	require.NoError(t, err)
	require.Zero(t, report.Commits)
}

func TestVerifyNamesEachKindOfFault(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	for _, id := range []string{"a", "b"} {
		lengthen(t, store, id, id, 2)
	}
	replay(t, js, 2, "b") // a copy
	on, err := store.Append(t.Context(), account("on"), eventstore.Head{}, opened{"on"})
	require.NoError(t, err)
	forged := eventstore.Head{Version: 4, Position: on.Position}.WithLinks(on.Position, 3) // 3 is of another stream
	_, err = store.Append(t.Context(), account("on"), store.Give(account("on"), forged), deposited{1})
	require.NoError(t, err)
	replay(t, js, 1, "again") // the first commit of a stream, by all that it says, with the id of another
	publishAsACommit(t, js, "bank.account.a", []byte("not ours"))
	report, err := store.Verify(t.Context(), nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	kinds := make(map[string][]eventstore.Position)
	for _, f := range report.Faults {
		kinds[f.Kind] = append(kinds[f.Kind], f.Position)
	}
	require.Equal(t, []eventstore.Position{7}, kinds["version"])
	require.Equal(t, []eventstore.Position{8}, kinds["duplicate"])
	require.Equal(t, []eventstore.Position{7}, kinds["link"])
	require.Equal(t, []eventstore.Position{5, 9}, kinds["unreadable"])
	require.Empty(t, kinds["count"])
	require.Contains(t, report.String(), "5 FAULTS")

	report, err = store.Verify(t.Context(), &eventstore.VerifyConfig{MaxFaults: 2})
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Len(t, report.Faults, 2)
	require.Equal(t, int64(5), report.Found)
	require.Contains(t, report.String(), "and 3 more, which are not listed")
}

func TestVerifyBesideAppendsGivesNoFalseAlarm(t *testing.T) {
	store := open(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			heads := make(map[string]eventstore.Head)
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%d-%d", w, i%50+i/500)
				c, err := store.Append(context.WithoutCancel(ctx), account(id), heads[id], deposited{int64(i)})
				if err != nil {
					t.Error(err)
					return
				}
				heads[id] = c.Head()
			}
		})
	}
	for range 10 {
		report, err := store.Verify(t.Context(), nil)
		require.NoError(t, err, report.String())
	}
	stop()
	all.Wait()
}

func TestVerifyNamesTheStreamWhoseOnlyCommitIsDamaged(t *testing.T) {
	disk, _ := written(t)
	disk.restore(t)
	for _, r := range records(t, disk.files, "bank") {
		if r.subject == "bank.account.once" {
			r.in(disk).flip(t, r.data+30, 0)
		}
	}
	disk.server.Restart()
	store, err := openNumbered(t, disk.server.JetStream(t))
	require.NoError(t, err)
	report, err := store.Verify(t.Context(), nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Len(t, report.Faults, 2, report.String())
	require.Equal(t, "missing", report.Faults[0].Kind)
	require.Equal(t, eventstore.Position(1), report.Faults[0].Position)
	require.Equal(t, "count", report.Faults[1].Kind)
	require.Equal(t, account("once"), report.Faults[1].Stream)
}

func TestAFirstAppendDoesNotHideBehindADamagedCommit(t *testing.T) {
	disk, _ := written(t)
	for _, r := range records(t, disk.files, "bank") {
		if r.subject != "bank.account.once" {
			continue
		}
		disk.restore(t)
		r.in(disk).flip(t, r.data+30, 0)
		disk.server.Restart()
		js := disk.server.JetStream(t)
		store, err := openNumbered(t, js)
		require.NoError(t, err)
		_, err = store.Append(t.Context(), account("once"), eventstore.Head{}, numbered{2})
		require.ErrorIs(t, err, eventstore.ErrCorrupt)

		// The server compares the expectation with its index, which still lists the commit.
		_, err = js.Publish(t.Context(), "bank.account.once", []byte("x"), jetstream.WithExpectLastSequencePerSubject(0))
		var refusal *jetstream.APIError
		require.ErrorAs(t, err, &refusal)
		require.Equal(t, jetstream.JSErrCodeStreamWrongLastSequence, refusal.ErrorCode)
	}
}
