package eventstore_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// lagging stands between a store and its server. It answers like a leader that has not applied yet what another replica
// has.
type lagging struct {
	t  *testing.T
	nc *nats.Conn

	mu    sync.Mutex
	lacks uint64 // the first position that the leader lacks
	asked uint64 // the first answer is that to a get of this position
	lags  []bool // whether the leader lags in each of its next answers; after them it has applied all
	begun bool
}

// openBehind opens a store whose leader may lag.
func openBehind(t *testing.T, js jetstream.JetStream) (*lagging, *eventstore.Store) {
	t.Helper()
	l := &lagging{t: t, nc: js.Conn()}
	sub, err := l.nc.Subscribe("lagging.>", l.answer)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, sub.Unsubscribe()) })
	between, err := jetstream.NewWithAPIPrefix(l.nc, "lagging")
	require.NoError(t, err)
	store, err := eventstore.Open(t.Context(), between, "bank", events, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return l, store
}

// lag makes the leader lack all from a position on, in those answers that are true. The first of the answers is that to
// a get of position asked.
func (l *lagging) lag(lacks, asked eventstore.Position, answers ...bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lacks, l.asked, l.lags, l.begun = uint64(lacks), uint64(asked), answers, false
}

// done reports whether the leader has given all answers.
func (l *lagging) done() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lags) == 0
}

// answer answers a request, or passes it on to the server.
func (l *lagging) answer(msg *nats.Msg) {
	request := strings.TrimPrefix(msg.Subject, "lagging.")
	var err error
	switch {
	case strings.HasPrefix(request, "$KV."):
		err = l.nc.PublishMsg(&nats.Msg{Subject: request, Reply: msg.Reply, Header: msg.Header, Data: msg.Data})
	case !l.without(request, msg.Data):
		err = l.nc.PublishRequest("$JS.API."+request, msg.Reply, msg.Data)
	case strings.HasPrefix(request, "STREAM.INFO."):
		err = l.inform(msg, "$JS.API."+request)
	case strings.HasPrefix(request, "DIRECT.GET."):
		err = msg.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"404"}}})
	default:
		err = msg.Respond(fmt.Appendf(nil, `{"error":{"code":404,"err_code":%d}}`, jetstream.JSErrCodeMessageNotFound))
	}
	if err != nil && !l.nc.IsClosed() {
		l.t.Errorf("answer %s: %v", request, err)
	}
}

// inform describes the stream without the messages that the leader lacks.
func (l *lagging) inform(msg *nats.Msg, subject string) error {
	whole, err := l.nc.Request(subject, msg.Data, 10*time.Second)
	if err != nil {
		return err
	}
	var info map[string]any
	if err := json.Unmarshal(whole.Data, &info); err != nil {
		return err
	}
	state, ok := info["state"].(map[string]any)
	require.True(l.t, ok)
	state["last_seq"], state["messages"] = l.lacks-1, l.lacks-1
	edited, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return msg.Respond(edited)
}

// without reports whether a request is answered without what the leader lacks.
func (l *lagging) without(request string, data []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	var get struct {
		Sequence uint64 `json:"seq"`
		Next     string `json:"next_by_subj"`
	}
	_ = json.Unmarshal(data, &get) // other requests have no sequence
	lacked := get.Next == "" && get.Sequence >= l.lacks
	switch {
	case len(l.lags) == 0:
		return false
	case request == "DIRECT.GET.bank":
		return lacked
	case request == "STREAM.MSG.GET.bank" && lacked:
		l.begun = l.begun || get.Sequence == l.asked
	case request != "STREAM.INFO.bank":
		return false
	}
	if !l.begun {
		return false
	}
	lags := l.lags[0]
	l.lags = l.lags[1:]
	return lags
}

// A replica may have applied a transaction that its leader has not. The next append after such a load went on from the
// version before the transaction, and damaged the stream for good.
func TestATransactionThatTheLeaderHasNotAppliedYetIsNotTorn(t *testing.T) {
	js := eventstoretest.JetStream(t)
	writer, err := eventstore.Open(t.Context(), js, "bank", events, nil)
	require.NoError(t, err)
	defer writer.Close()
	const lags, applied = true, false
	for name, leader := range map[string]struct {
		lacks   eventstore.Position // of the two commits of the transaction
		answers []bool
	}{
		"it has nothing of it":                {0, []bool{lags, lags, lags}},
		"it has nothing of it for long":       {0, []bool{lags, lags, lags, lags, lags, lags}},
		"it has applied it meanwhile":         {0, []bool{lags, lags, applied}},
		"it describes itself within it":       {1, []bool{lags, lags}},
		"it describes itself within it twice": {1, []bool{lags, lags, lags, applied}},
		"another leader lacks it again":       {0, []bool{lags, lags, applied, lags, lags, lags}},
	} {
		t.Run(name, func(t *testing.T) {
			between, store := openBehind(t, js)
			stream, other := account(t.Name()), account("other "+t.Name())
			c, err := writer.Append(t.Context(), stream, eventstore.Head{}, deposited{1})
			require.NoError(t, err)
			_, err = writer.AppendAll(t.Context(),
				eventstore.Write{Stream: stream, Expected: c.Head(), Events: []eventstore.Event{deposited{2}}},
				eventstore.Write{Stream: other, Events: []eventstore.Event{deposited{3}}})
			require.NoError(t, err)

			first := c.Position + 1
			between.lag(first+leader.lacks, first+1, leader.answers...)
			history, err := store.Load(t.Context(), stream)
			require.NoError(t, err)
			require.Equal(t, eventstore.Version(2), history.Head.Version)
			require.Len(t, history.Commits, 2)
			require.Zero(t, store.Counters().Torn)
			require.True(t, between.done())
			_, err = store.Append(t.Context(), stream, history.Head, deposited{4})
			require.NoError(t, err)
			require.Len(t, decode(t, writer.Stream(t.Context(), stream)), 3)
		})
	}
}

// A leader that has not applied a position says that its log ends before it. Then nothing is missing.
func TestAPositionThatTheLeaderHasNotAppliedYetIsNotMissing(t *testing.T) {
	const lags, applied = true, false
	// The log holds two commits of stream a, a message of another program after the first, and a torn commit on top.
	for name, read := range map[string]struct {
		lacks   eventstore.Position // and the first answer is that to a get of it
		answers []bool
		read    func(t *testing.T, store *eventstore.Store)
	}{
		"a commit that is applied meanwhile": {3, []bool{lags, applied}, func(t *testing.T, store *eventstore.Store) {
			c, err := store.At(t.Context(), 3)
			require.NoError(t, err)
			require.Equal(t, eventstore.Version(2), c.First)
		}},
		"a message that is applied meanwhile": {2, []bool{lags, applied}, func(t *testing.T, store *eventstore.Store) {
			_, err := store.At(t.Context(), 2)
			require.ErrorIs(t, err, eventstore.ErrForeign)
		}},
		"a message that a reader was sent": {2, []bool{lags, lags}, func(t *testing.T, store *eventstore.Store) {
			require.Equal(t, []eventstore.Event{deposited{1}, deposited{2}}, decode(t, store.All(t.Context())))
		}},
		"a commit that a torn one links": {3, []bool{lags, lags}, func(t *testing.T, store *eventstore.Store) {
			history, err := store.Load(t.Context(), account("a"))
			require.NoError(t, err)
			require.Len(t, history.Commits, 2)
		}},
		"a linked commit that is applied meanwhile": {3, []bool{lags, applied}, func(t *testing.T, store *eventstore.Store) {
			history, err := store.Load(t.Context(), account("a"))
			require.NoError(t, err)
			require.Len(t, history.Commits, 2)
		}},
		"a torn commit at the end": {4, []bool{lags, lags}, func(t *testing.T, store *eventstore.Store) {
			end, err := store.End(t.Context())
			require.NoError(t, err)
			require.Equal(t, eventstore.Position(3), end)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			writer, err := eventstore.Open(t.Context(), js, "bank", events, nil)
			require.NoError(t, err)
			defer writer.Close()
			between, store := openBehind(t, js)
			c, err := writer.Append(t.Context(), account("a"), eventstore.Head{}, deposited{1})
			require.NoError(t, err)
			stray(t, writer, &nats.Msg{Subject: "bank.account.stray", Data: []byte("x")})
			c, err = writer.Append(t.Context(), account("a"), c.Head(), deposited{2})
			require.NoError(t, err)
			_, err = writer.AppendTorn(t.Context(), account("a"), c.Head(), deposited{3})
			require.NoError(t, err)

			between.lag(read.lacks, read.lacks, read.answers...)
			read.read(t, store)
			require.True(t, between.done())
		})
	}
}
