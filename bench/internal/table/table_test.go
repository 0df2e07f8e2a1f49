package table_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/bench/internal/table"
)

type opened struct{ Owner string }

func (opened) EventType() string { return "account.opened" }

type booked struct {
	Amount, Balance int64
	Text            string
}

func (booked) EventType() string { return "account.booked" }

// serve starts a server for one test.
func serve(t *testing.T) *table.Server {
	t.Helper()
	server, err := table.Start(context.WithoutCancel(t.Context()))
	if errors.Is(err, table.ErrNoPostgres) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		if os.Getenv(table.EnvURL) == "" {
			folder, _, _ := strings.Cut(strings.TrimPrefix(server.URL, "host="), " ")
			require.NoDirExists(t, folder)
		}
	})
	return server
}

func open(t *testing.T, server *table.Server, cfg *table.Config) *table.Store {
	t.Helper()
	store, err := table.Open(t.Context(), server.URL, cfg, table.TypeOf[opened](), table.TypeOf[booked]())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close(context.WithoutCancel(t.Context()))) })
	return store
}

// TestTable starts one server for all of its parts, which takes most of the time.
func TestTable(t *testing.T) {
	server := serve(t)
	for name, test := range map[string]func(*testing.T, *table.Store){
		"events load in the order they were appended":     loadsInOrder,
		"a stale expectation conflicts":                   conflicts,
		"of many writers that saw the same one is stored": oneWins,
		"a stream that is empty loads":                    loadsNothing,
		"the whole table is read in order":                readsAll,
		"an event of an unknown type stops the reader":    unknownType,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t, server, &table.Config{Conns: 4})) })
	}
	t.Run("an acknowledgement waits for the disk unless it is told not to", func(t *testing.T) { settings(t, server) })
}

// events returns the recorded events without their metadata.
func events(recorded []table.Recorded) []table.Event {
	var all []table.Event
	for _, r := range recorded {
		all = append(all, r.Event)
	}
	return all
}

func loadsInOrder(t *testing.T, store *table.Store) {
	ctx := t.Context()
	last, err := store.Append(ctx, "account-42", 0, opened{"Ada"}, booked{10, 10, "in"})
	require.NoError(t, err)
	require.Equal(t, int64(2), last)
	_, err = store.Append(ctx, "account-7", 0, opened{"Bo"})
	require.NoError(t, err)
	last, err = store.Append(ctx, "account-42", last, booked{5, 15, `"in" it \ was {,} ü`}, booked{-5, 10, "out"}, opened{"again"})
	require.NoError(t, err)
	require.Equal(t, int64(5), last)

	loaded, at, err := store.Load(ctx, "account-42")
	require.NoError(t, err)
	require.Equal(t, last, at)
	require.Equal(t, []table.Event{
		opened{"Ada"}, booked{10, 10, "in"}, booked{5, 15, `"in" it \ was {,} ü`}, booked{-5, 10, "out"}, opened{"again"},
	}, events(loaded))
	first := loaded[0]
	require.Equal(t, "account-42", first.Stream)
	require.Equal(t, "account.opened", first.Type)
	require.Equal(t, int64(1), first.Version)
	require.Equal(t, first.ID, first.Correlation)
	require.Equal(t, first.ID, loaded[1].Correlation, "of the same append")
	require.NotEqual(t, first.ID, loaded[1].ID)
	require.NotEqual(t, first.Correlation, loaded[2].Correlation, "of another append")
	require.False(t, first.Time.IsZero())
	require.Greater(t, loaded[1].Position, first.Position)
}

func conflicts(t *testing.T, store *table.Store) {
	ctx := t.Context()
	_, err := store.Append(ctx, "account-42", 0, opened{"Ada"}, booked{1, 1, ""})
	require.NoError(t, err)
	for _, expected := range []int64{0, 1} {
		for _, more := range [][]table.Event{{booked{1, 1, ""}}, {booked{1, 1, ""}, opened{""}, booked{1, 2, ""}}} {
			_, err = store.Append(ctx, "account-42", expected, more...)
			require.ErrorIs(t, err, table.ErrConflict)
			conflict := &table.ConflictError{}
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, "account-42", conflict.Stream)
			require.Equal(t, expected, conflict.Expected)
		}
	}
	loaded, at, err := store.Load(ctx, "account-42")
	require.NoError(t, err)
	require.Equal(t, int64(2), at)
	require.Len(t, loaded, 2, "nothing of what conflicted is stored")
}

func oneWins(t *testing.T, store *table.Store) {
	errs := make([]error, 16)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			_, errs[i] = store.Append(t.Context(), "account-42", 0, opened{fmt.Sprint(i)}, opened{"second"})
		})
	}
	all.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		require.ErrorIs(t, err, table.ErrConflict)
	}
	require.Equal(t, 1, won)
}

func loadsNothing(t *testing.T, store *table.Store) {
	loaded, last, err := store.Load(t.Context(), "account-42")
	require.NoError(t, err)
	require.Empty(t, loaded)
	require.Zero(t, last)
}

func readsAll(t *testing.T, store *table.Store) {
	require.NoError(t, store.All(t.Context(), func(table.Recorded) error { return errors.New("nothing is there") }))
	versions := map[string]int64{}
	var want []string
	for i := range 50 {
		stream := fmt.Sprint("account-", i%7)
		last, err := store.Append(t.Context(), stream, versions[stream], booked{int64(i), 0, ""}, booked{int64(-i), 0, ""})
		require.NoError(t, err)
		versions[stream] = last
		want = append(want, fmt.Sprint(stream, " ", i), fmt.Sprint(stream, " ", -i))
	}
	var read []string
	require.NoError(t, store.All(t.Context(), func(r table.Recorded) error {
		read = append(read, fmt.Sprint(r.Stream, " ", r.Event.(booked).Amount))
		return nil
	}))
	require.Equal(t, want, read)
	enough, n := errors.New("enough"), 0
	require.ErrorIs(t, store.All(t.Context(), func(table.Recorded) error {
		if n++; n == 3 {
			return enough
		}
		return nil
	}), enough)
	require.Equal(t, 3, n)
}

type closed struct{}

func (closed) EventType() string { return "account.closed" }

func unknownType(t *testing.T, store *table.Store) {
	_, err := store.Append(t.Context(), "account-42", 0, opened{"Ada"}, closed{})
	require.NoError(t, err)
	_, _, err = store.Load(t.Context(), "account-42")
	require.ErrorContains(t, err, `account-42 version 2: unknown event type "account.closed"`)
}

func settings(t *testing.T, server *table.Server) {
	about, err := open(t, server, nil).About(t.Context())
	require.NoError(t, err)
	require.Contains(t, about, "PostgreSQL ")
	require.Contains(t, about, "fsync on, synchronous_commit on")
	about, err = open(t, server, &table.Config{AsyncCommit: true}).About(t.Context())
	require.NoError(t, err)
	require.Contains(t, about, "fsync on, synchronous_commit off")
}
