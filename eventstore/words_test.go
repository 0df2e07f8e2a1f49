package eventstore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
)

func TestErrorsSayWhatWhereAndWhatToDo(t *testing.T) {
	cause := errors.New("the cause")
	id := uuid.MustParse("01a211c0-6a72-762a-8c23-2be6b678f5ab")
	for text, err := range map[string]error{
		"eventstore: append account/1: expected version 2, the stream is at 3: load it and decide again": &eventstore.ConflictError{
			Stream: account("1"), Expected: 2, Actual: 3},
		"eventstore: append account/1: another write came between while the stream is at version 2: load it and decide again": &eventstore.ConflictError{
			Stream: account("1"), Expected: 2, Actual: 2},
		"eventstore: append account/1 at version 3: outcome unknown, commit " + id.String() + ": look: the cause": &eventstore.AppendError{
			Stream: account("1"), Version: 3, CommitID: id, Reason: eventstore.ErrUnknownOutcome, Advice: "look", Err: cause},
		"eventstore: append account/1 at version 3: store full, nothing was stored: the cause": &eventstore.AppendError{
			Stream: account("1"), Version: 3, Reason: eventstore.ErrFull, Err: cause},
		"eventstore: account/1 at position 4: erased: the cause": &eventstore.ReadError{
			Store: "bank", Stream: account("1"), Position: 4, Reason: eventstore.ErrErased, Err: cause},
		`eventstore: store bank at position 4: erased "` + id.String() + `"`: &eventstore.ReadError{
			Store: "bank", Position: 4, Reason: eventstore.ErrErased, CommitID: id.String()},
		`eventstore: account/1 version 2 at position 4: undecodable event "account.paid": the cause`: &eventstore.ReadError{
			Store: "bank", Stream: account("1"), Version: 2, Position: 4, Reason: eventstore.ErrUndecodable, Type: "account.paid", Err: cause},
		"eventstore: account/1 at position 4: log corrupt: the sum: restore it from a replica or a backup": &eventstore.ReadError{
			Store: "bank", Stream: account("1"), Position: 4, Reason: eventstore.ErrCorrupt, Err: errors.New("the sum")},
	} {
		require.EqualError(t, err, text)
		require.Equal(t, strings.HasSuffix(text, "the cause"), errors.Is(err, cause))
	}
}

func TestAnEventHasANameOfItsOwnInTheLog(t *testing.T) {
	store := open(t, nil)
	c, err := store.Append(t.Context(), account("1"), eventstore.Head{}, opened{"anna"}, deposited{5})
	require.NoError(t, err)
	var ids []string
	for event, err := range store.All(t.Context()) {
		require.NoError(t, err)
		ids = append(ids, event.EventID())
		require.NotEmpty(t, event.Data())
	}
	require.Equal(t, []string{c.ID.String() + "/0", c.ID.String() + "/1"}, ids)
	for position, reached := range map[eventstore.Position]bool{0: true, 1: true, 2: false} {
		got, err := eventstore.Inside(inside.Pass{}, store).Reaches(t.Context(), uint64(position))
		require.NoError(t, err)
		require.Equal(t, reached, got, position)
	}
}

// The server's limits are changed while programs run.
func TestALimitThatTheServerWasGivenLaterRefusesTheCommit(t *testing.T) {
	js := eventstoretest.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer store.Close()
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	cfg := stream.CachedInfo().Config
	cfg.MaxMsgSize = 600
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	large := opened{strings.Repeat("x", 1000)}
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, large)
	require.ErrorIs(t, err, eventstore.ErrSettings)
	_, err = store.AppendAll(t.Context(),
		eventstore.Write{Stream: account("1"), Events: []eventstore.Event{deposited{1}}},
		eventstore.Write{Stream: account("2"), Events: []eventstore.Event{large}})
	require.ErrorIs(t, err, eventstore.ErrSettings)
	end, err := store.End(t.Context())
	require.NoError(t, err)
	require.Zero(t, end)

	cfg.MaxMsgSize, cfg.Sealed = -1, true
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	_, err = store.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "sealed")
}

func TestAnImportIntoAStoreThatIsTooSmallSaysSo(t *testing.T) {
	archive := export(t, stock(t, eventstoretest.JetStream(t), 20))
	err := importInto(eventstoretest.JetStream(t), archive, &eventstore.ImportConfig{Store: &eventstore.Config{MaxBytes: 1000}})
	require.ErrorIs(t, err, eventstore.ErrFull)
	require.ErrorContains(t, err, "free or add storage, or raise MaxBytes, and import again")
}
