package eventstore_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// maxPayload is the limit of the servers of these tests, small so that they are quick, and the store's is what is left
// of it for a commit.
const (
	maxPayload = 20_000
	storeLimit = maxPayload - 256
)

func limited(t *testing.T, limit *int32) *eventstoretest.Server {
	t.Helper()
	return eventstoretest.NewServer(t, eventstoretest.Options(func(o *server.Options) { o.MaxPayload = *limit }))
}

func openWith(t *testing.T, js jetstream.JetStream, cfg *eventstore.Config) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

// storedSize returns the number of bytes that a commit is stored as.
func storedSize(t *testing.T, js jetstream.JetStream, c *eventstore.Commit) int {
	t.Helper()
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	msg, err := stream.GetMsg(t.Context(), uint64(c.Position))
	require.NoError(t, err)
	return len(msg.Data)
}

// noise is text that does not get smaller.
func noise(n int) string {
	source := rand.New(rand.NewPCG(1, 2))
	var text strings.Builder
	for text.Len() < n {
		text.WriteByte(byte(source.Uint32N(256)))
	}
	return text.String()
}

func TestACommitFitsToTheByte(t *testing.T) {
	limit := int32(maxPayload)
	js := limited(t, &limit).JetStream(t)
	store := openWith(t, js, nil)
	ids := 0
	write := func(size int) eventstore.Write {
		ids++
		return eventstore.Write{Stream: account(fmt.Sprint(ids)), Events: []eventstore.Event{opened{strings.Repeat("x", size)}}}
	}
	for name, writes := range map[string]func(size int) []eventstore.Write{
		"an append":                 func(size int) []eventstore.Write { return []eventstore.Write{write(size)} },
		"a transaction's first":     func(size int) []eventstore.Write { return []eventstore.Write{write(size), write(1)} },
		"a transaction's last":      func(size int) []eventstore.Write { return []eventstore.Write{write(1), write(size)} },
		"a transaction's every one": func(size int) []eventstore.Write { return []eventstore.Write{write(size), write(size), write(size)} },
	} {
		const some = 10_000
		commits, err := store.AppendAll(t.Context(), writes(some)...)
		require.NoError(t, err, name)
		largest := 0
		for _, c := range commits {
			largest = max(largest, storedSize(t, js, c))
		}
		exact := some + storeLimit - largest

		commits, err = store.AppendAll(t.Context(), writes(exact)...)
		require.NoError(t, err, name)
		largest = 0
		for _, c := range commits {
			largest = max(largest, storedSize(t, js, c))
		}
		require.Equal(t, storeLimit, largest, name)

		before, err := store.End(t.Context())
		require.NoError(t, err)
		_, err = store.AppendAll(t.Context(), writes(exact+1)...)
		require.ErrorIs(t, err, eventstore.ErrTooLarge, name)
		require.ErrorContains(t, err, fmt.Sprintf("the commit has %d bytes and the server takes %d:", storeLimit+1, storeLimit), name)
		require.ErrorContains(t, err, "Config.CompressAbove", name)
		after, err := store.End(t.Context())
		require.NoError(t, err)
		require.Equal(t, before, after, name)
	}

	// The longest expectation there is: were the header longer than the room kept for it, the client would not send it.
	c, err := store.Append(t.Context(), account("a"), eventstore.Head{}, opened{strings.Repeat("x", 10_000)})
	require.NoError(t, err)
	exact := 10_000 + storeLimit - storedSize(t, js, c)
	_, err = store.Append(t.Context(), account("a"), eventstore.Head{Version: 1, Position: math.MaxUint64}, opened{strings.Repeat("x", exact)})
	require.ErrorIs(t, err, eventstore.ErrConflict)
}

func TestACommitThatFitsCompressedIsStoredAndReadByAll(t *testing.T) {
	limit := int32(maxPayload)
	js := limited(t, &limit).JetStream(t)
	plain, compressing := openWith(t, js, nil), openWith(t, js, &eventstore.Config{CompressAbove: 1000})
	document := opened{strings.Repeat("a line of a long document\n", 10_000)}

	_, err := plain.Append(t.Context(), account("1"), eventstore.Head{}, document)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	first, err := compressing.Append(t.Context(), account("1"), eventstore.Head{}, document)
	require.NoError(t, err)
	require.Less(t, storedSize(t, js, first), 1000)
	commits, err := compressing.AppendAll(t.Context(),
		eventstore.Write{Stream: account("1"), Expected: first.Head(), Events: []eventstore.Event{deposited{1}, document}},
		eventstore.Write{Stream: account("2"), Events: []eventstore.Event{document}})
	require.NoError(t, err)
	_, err = plain.Append(t.Context(), account("1"), commits[0].Head(), deposited{2})
	require.NoError(t, err)

	_, err = compressing.Append(t.Context(), account("3"), eventstore.Head{}, opened{noise(maxPayload)})
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.NotContains(t, err.Error(), "Config.CompressAbove", "what did not help is not advised")

	for _, store := range []*eventstore.Store{plain, compressing} {
		require.Equal(t, []eventstore.Event{document, deposited{1}, document, deposited{2}}, decode(t, store.Stream(t.Context(), account("1"))))
		require.Equal(t, []eventstore.Event{document, deposited{1}, document, document, deposited{2}}, decode(t, store.All(t.Context())))
	}
}

func TestALowerLimitIsFollowedAndWhatIsStoredStaysReadable(t *testing.T) {
	limit := int32(maxPayload)
	s := limited(t, &limit)
	js := s.JetStream(t)
	store := openWith(t, js, nil)
	text := opened{strings.Repeat("x", maxPayload-1000)}
	_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, text)
	require.NoError(t, err)

	s.Stop() // the append below passes the old limit and meets the new one when it is sent
	limit = maxPayload / 2
	failed := make(chan error, 1)
	go func() {
		_, err := store.AppendAll(t.Context(),
			eventstore.Write{Stream: account("2"), Events: []eventstore.Event{deposited{1}}},
			eventstore.Write{Stream: account("3"), Events: []eventstore.Event{text}})
		failed <- err
	}()
	s.Restart()
	err = <-failed
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.Regexp(t, fmt.Sprintf("the commit has 19[0-9]{3} bytes and the server takes %d:", limit-256), err)

	_, err = store.Append(t.Context(), account("2"), eventstore.Head{}, text)
	require.ErrorIs(t, err, eventstore.ErrTooLarge)
	require.ErrorContains(t, err, fmt.Sprintf("the server takes %d:", limit-256))
	require.Equal(t, []eventstore.Event{text}, decode(t, store.Stream(t.Context(), account("1"))))
	require.Equal(t, []eventstore.Event{text}, decode(t, store.All(t.Context())))
}

func TestHowTheServerKeepsItsFilesIsComparedWhereItIsAskedFor(t *testing.T) {
	js := eventstoretest.JetStream(t)
	compressed := &eventstore.Config{Compression: jetstream.S2Compression}
	openWith(t, js, compressed)
	openWith(t, js, nil)
	stream, err := js.Stream(t.Context(), "bank")
	require.NoError(t, err)
	require.Equal(t, jetstream.S2Compression, stream.CachedInfo().Config.Compression)

	cfg := stream.CachedInfo().Config
	cfg.Compression = jetstream.NoCompression
	_, err = js.UpdateStream(t.Context(), cfg)
	require.NoError(t, err)
	openWith(t, js, nil)
	_, err = eventstore.Open(t.Context(), js, "bank", events, compressed)
	require.ErrorIs(t, err, eventstore.ErrSettings)
	require.ErrorContains(t, err, "compression: is None, must be S2")
}
