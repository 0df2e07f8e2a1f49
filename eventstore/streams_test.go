package eventstore_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
)

// listed returns the streams that a listing yields.
func listed(t *testing.T, store *eventstore.Store, category string, options ...eventstore.StreamsOption) []string {
	t.Helper()
	all := []string{}
	for info, err := range store.Streams(t.Context(), category, options...) {
		require.NoError(t, err)
		all = append(all, fmt.Sprintf("%s %d", info.Stream, info.Commits))
	}
	return all
}

func TestStreamsAreListedWithTheNumberOfTheirCommits(t *testing.T) {
	store, err := eventstore.Open(t.Context(), eventstoretest.JetStream(t), "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	defer store.Close()
	require.Empty(t, listed(t, store, ""))
	for _, stream := range []eventstore.StreamID{
		account("b"), {Category: "transfer", ID: "1"}, account("a"), account("c@example.com"), account("erased"), {Category: "ledger", ID: "x"},
	} {
		c, err := store.Append(t.Context(), stream, eventstore.Head{}, deposited{1}, deposited{2})
		require.NoError(t, err)
		if stream == account("b") {
			_, err = store.Append(t.Context(), stream, c.Head(), eventstore.StreamClosed{})
			require.NoError(t, err)
		}
	}
	require.NoError(t, store.Erase(t.Context(), account("erased"), "asked to"))

	accounts := []string{"account/a 1", "account/b 2", "account/c@example.com 1", "account/erased 1"}
	require.Equal(t, accounts, listed(t, store, "account"))
	require.Equal(t, slices.Concat(accounts, []string{"ledger/x 1", "transfer/1 1"}), listed(t, store, ""))
	require.Equal(t, []string{"runnel/erased 1"}, listed(t, store, "runnel"))
	require.Empty(t, listed(t, store, "none"))
	require.Equal(t, accounts[1:], listed(t, store, "account", eventstore.Behind(account("a"))))
	require.Equal(t, accounts[2:], listed(t, store, "account", eventstore.Behind(account("bb"))), "it need not exist")
	require.Equal(t, []string{"ledger/x 1", "transfer/1 1"}, listed(t, store, "", eventstore.Behind(account("z"))))

	for _, err := range store.Streams(t.Context(), "no.category") {
		require.ErrorIs(t, err, eventstore.ErrInvalidID)
	}
	for _, err := range store.Streams(t.Context(), "", eventstore.Behind(account(""))) {
		require.ErrorIs(t, err, eventstore.ErrInvalidID)
	}
}

// The server cuts pages of 100,000.
func TestStreamsAreListedPageByPageWhileOthersAreBegun(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	const existing = 100_500
	id := func(i int) string { return fmt.Sprintf("%07d", i) }
	for i := range existing { // the list does not look into messages
		require.NoError(t, js.Conn().Publish("bank.account."+id(2*i), nil))
	}
	require.Eventually(t, func() bool {
		reached, err := eventstore.Inside(inside.Pass{}, store).Reaches(t.Context(), existing)
		return err == nil && reached
	}, 10*time.Second, 5*time.Millisecond)

	next, begun := 0, 0
	for info, err := range store.Streams(t.Context(), "account") {
		require.NoError(t, err)
		if info.Stream.ID == id(2*next) {
			next++
		} else {
			begun++
		}
		if next%10_000 == 0 { // what is begun before the page that is read moves all pages behind it
			_, err := store.Append(t.Context(), account(id(2*(next/2)+1)), eventstore.Head{}, deposited{1})
			require.NoError(t, err)
		}
	}
	require.Equal(t, existing, next, "each stream that was there is listed once, in order")
	require.Zero(t, begun, "all were begun before what was listed")
	require.Len(t, listed(t, store, "account", eventstore.Behind(account(id(2*(existing-2))))), 1)
}

func TestStreamsAreListedWhileOthersAppend(t *testing.T) {
	store := open(t, nil)
	for i := range 50 {
		_, err := store.Append(t.Context(), account(fmt.Sprintf("%02d", i)), eventstore.Head{}, deposited{1})
		require.NoError(t, err)
	}
	done := make(chan struct{})
	var appending sync.WaitGroup
	for g := range 4 {
		appending.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if _, err := store.Append(t.Context(), account(fmt.Sprintf("%02d-%d-%d", i%50, g, i)), eventstore.Head{}, deposited{1}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 20 {
		last, seen := "", 0
		for info, err := range store.Streams(t.Context(), "account") {
			require.NoError(t, err)
			require.Greater(t, info.Stream.ID, last)
			last = info.Stream.ID
			if len(last) == 2 {
				seen++
			}
		}
		require.Equal(t, 50, seen)
	}
	close(done)
	appending.Wait()
}
