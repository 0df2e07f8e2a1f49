package eventstore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// doubtful is a store behind a proxy, whose appends lose what the test wants, and the same store past the proxy.
type doubtful struct {
	*eventstore.Store
	direct *eventstore.Store
	proxy  *eventstoretest.Proxy
}

func openDoubtful(t *testing.T) doubtful {
	t.Helper()
	server := eventstoretest.NewServer(t)
	proxy := server.Proxy(t)
	store, err := eventstore.Open(t.Context(), proxy.JetStream(t), "bank", events,
		&eventstore.Config{AckTimeout: 50 * time.Millisecond, Erasure: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	direct, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, &eventstore.Config{Erasure: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, direct.Close()) })
	return doubtful{Store: store, direct: direct, proxy: proxy}
}

// storedUnheard lets the next append be stored without an acknowledgement, and something happen right after.
func (d doubtful) storedUnheard(then func()) {
	lost := false
	d.proxy.DropAcksWhere(func() bool {
		if lost {
			return false
		}
		lost = true
		then()
		return true
	})
}

// lostOnTheWay lets the next publish to the store get lost before the server sees it, and something happen right after.
func (d doubtful) lostOnTheWay(then func()) {
	lost := false
	d.proxy.DropRequests(func(subject string, _ []byte) bool {
		if lost || !strings.HasPrefix(subject, "bank.") {
			return false
		}
		lost = true
		then()
		return true
	})
}

// answer returns other answers than the leader's to gets of messages; nil for its own.
func (d doubtful) answer(instead func(get int, answer []byte) []byte) {
	gets, own := 0, []byte(nil)
	nc := d.direct.JetStream().Conn()
	d.proxy.DropReplies(func(subject string, payload []byte) bool {
		if !bytes.Contains(payload, []byte("stream_msg_get_response")) || bytes.Equal(payload, own) {
			return false
		}
		gets++
		if own = instead(gets, payload); own == nil {
			return false
		}
		return nc.Publish(subject, own) == nil
	})
}

const nothingThere = `{"type":"io.nats.jetstream.api.v1.stream_msg_get_response","error":{"code":404,"err_code":10037,"description":"no message found"}}`

// On several replicas a commit is under way for a while after it was sent: nothing is there yet, and a second try is
// told that the stream moves. Then it arrives between two questions.
func TestACommitThatArrivesWhileItIsLookedForIsNoConflict(t *testing.T) {
	d := openDoubtful(t)
	head, err := d.Head(t.Context(), account("1"))
	require.NoError(t, err)
	d.storedUnheard(func() {})
	d.answer(func(get int, _ []byte) []byte {
		if get <= 2 { // the look after the first try, and that after the second, which ended in a conflict
			return []byte(nothingThere)
		}
		return nil
	})
	c, err := d.Append(t.Context(), account("1"), head, deposited{1})
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(1), c.Position)
	require.Equal(t, int64(1), d.Counters().Resolved)
}

func TestANoToALaterTryIsNotBelievedOfTheFirst(t *testing.T) {
	d := openDoubtful(t)
	head, err := d.Head(t.Context(), account("1"))
	require.NoError(t, err)
	d.storedUnheard(func() {
		js := d.direct.JetStream()
		stream, err := js.Stream(t.Context(), "bank")
		require.NoError(t, err)
		cfg := stream.CachedInfo().Config
		cfg.Sealed = true // so that the next try is refused for good
		_, err = js.UpdateStream(t.Context(), cfg)
		require.NoError(t, err)
	})
	d.answer(func(get int, _ []byte) []byte {
		if get == 1 {
			return []byte(nothingThere) // not yet
		}
		return nil
	})
	c, err := d.Append(t.Context(), account("1"), head, deposited{1})
	require.NoError(t, err)
	require.Equal(t, eventstore.Position(1), c.Position)
	_, err = d.Append(t.Context(), account("1"), c.Head(), deposited{2})
	require.ErrorIs(t, err, eventstore.ErrSettings, "it is refused indeed")
}

func TestNoErrorSaysThatACommitInDoubtWasNotStored(t *testing.T) {
	for name, test := range map[string]struct {
		then    func(t *testing.T, d doubtful)             // right after the commit was stored unheard
		instead func(d doubtful, get int, a []byte) []byte // of what the leader says
		cause   error
	}{
		"it is damaged": {
			instead: func(_ doubtful, _ int, answer []byte) []byte { return damage(answer) },
			cause:   eventstore.ErrCorrupt,
		},
		"it is gone from under another": {
			then: func(t *testing.T, d doubtful) {
				head, err := d.direct.Head(t.Context(), account("1"))
				require.NoError(t, err)
				_, err = d.direct.Append(t.Context(), account("1"), head, deposited{2})
				require.NoError(t, err)
			},
			instead: func(d doubtful, _ int, _ []byte) []byte {
				second, err := d.direct.JetStream().Conn().Request("$JS.API.STREAM.MSG.GET.bank", []byte(`{"seq":2}`), time.Minute)
				if err != nil {
					return nil
				}
				return second.Data
			},
			cause: eventstore.ErrCorrupt,
		},
		"it is erased": {
			then: func(t *testing.T, d doubtful) {
				require.NoError(t, d.direct.Erase(t.Context(), account("1"), "asked for"))
			},
			cause: eventstore.ErrErased,
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := openDoubtful(t)
			head, err := d.Head(t.Context(), account("1"))
			require.NoError(t, err)
			d.storedUnheard(func() {
				if test.then != nil {
					test.then(t, d)
				}
				if test.instead != nil {
					d.answer(func(get int, answer []byte) []byte { return test.instead(d, get, answer) })
				}
			})
			_, err = d.Append(t.Context(), account("1"), head, deposited{1})
			require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
			require.ErrorIs(t, err, test.cause)
		})
	}
}

// damage changes one byte of the message in an answer.
func damage(answer []byte) []byte {
	var reply map[string]any
	if err := json.Unmarshal(answer, &reply); err != nil {
		return nil
	}
	message, ok := reply["message"].(map[string]any)
	if !ok {
		return answer // there is none
	}
	message["data"] = "AAAA" + message["data"].(string)[4:]
	damaged, err := json.Marshal(reply)
	if err != nil {
		return nil
	}
	return damaged
}

func TestWhateverEndsTheContextACommitInDoubtStaysSo(t *testing.T) {
	d := openDoubtful(t)
	head, err := d.Head(t.Context(), account("1"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancelCause(t.Context())
	d.storedUnheard(func() { cancel(nats.ErrConnectionClosed) }) // which, of a publish, says that it was not sent
	_, err = d.Append(ctx, account("1"), head, deposited{1})
	require.ErrorIs(t, err, eventstore.ErrUnknownOutcome)
	require.ErrorIs(t, err, nats.ErrConnectionClosed)
}

func TestWhatProvesThatACommitInDoubtIsNotStoredIsSaid(t *testing.T) {
	t.Run("the stream was erased in its place", func(t *testing.T) {
		d := openDoubtful(t)
		c, err := d.Append(t.Context(), account("1"), eventstore.Head{}, deposited{1})
		require.NoError(t, err)
		d.lostOnTheWay(func() { require.NoError(t, d.direct.Erase(t.Context(), account("1"), "asked for")) })
		_, err = d.Append(t.Context(), account("1"), c.Head(), deposited{2})
		require.ErrorIs(t, err, eventstore.ErrErased)
		require.NotErrorIs(t, err, eventstore.ErrUnknownOutcome)
	})
	for name, own := range map[string]int{"before": 0, "behind": 2} {
		t.Run("its expectation is another stream's position, "+name+" its own", func(t *testing.T) {
			d := openDoubtful(t)
			other, err := d.Append(t.Context(), account("other"), eventstore.Head{}, deposited{1})
			require.NoError(t, err)
			head := eventstore.Head{}
			for range own {
				c, err := d.Append(t.Context(), account("1"), head, deposited{1})
				require.NoError(t, err)
				head = c.Head()
			}
			d.lostOnTheWay(func() {})
			_, err = d.Append(t.Context(), account("1"), other.Head(), deposited{2})
			var conflict *eventstore.ConflictError
			require.ErrorAs(t, err, &conflict)
			require.Equal(t, head.Version, conflict.Actual)
		})
	}
}
