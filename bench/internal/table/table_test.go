package table_test

import (
	"errors"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/bench/internal/table"
)

type booked struct{ Amount int64 }

func (booked) EventType() string { return "account.booked" }

func TestATableKeepsStreams(t *testing.T) {
	// Postgres runs as another user, who may not look into a test's own folders.
	dir, err := os.MkdirTemp("", "runnel-table-")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	server, err := table.Start(t.Context(), dir)
	if errors.Is(err, table.ErrNoPostgres) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	events, err := table.Open(t.Context(), server.URL, "events", 4)
	require.NoError(t, err)
	defer events.Close()

	last, err := events.Append(t.Context(), "account-1", 0, booked{1}, booked{2})
	require.NoError(t, err)
	require.Equal(t, int64(2), last)
	_, err = events.Append(t.Context(), "account-2", 0, booked{10})
	require.NoError(t, err)
	_, err = events.Append(t.Context(), "account-1", 1, booked{3}, booked{4})
	require.ErrorIs(t, err, table.ErrConflict)
	last, err = events.Append(t.Context(), "account-1", last, booked{3})
	require.NoError(t, err)
	require.Equal(t, int64(3), last)

	history, err := table.Load[booked](t.Context(), events, "account-1")
	require.NoError(t, err)
	require.Equal(t, []booked{{1}, {2}, {3}}, history)
	var all []booked
	require.NoError(t, table.All(t.Context(), events, func(e booked) { all = append(all, e) }))
	require.Equal(t, []booked{{1}, {2}, {10}, {3}}, all)
}
