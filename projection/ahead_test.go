package projection_test

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

// lookingAhead stands between a store and its server. It counts the requests for many documents at once, and those to
// the leader for one.
type lookingAhead struct {
	behind         atomic.Bool // answer the requests for many as a replica that has none of the newest documents
	many, toLeader atomic.Int64
}

func (l *lookingAhead) open(t *testing.T) *eventstore.Store {
	return openBetween(t, func(_ *nats.Conn, subject string, msg *nats.Msg) (answered bool) {
		switch {
		case strings.HasPrefix(subject, "DIRECT.GET.KV_bank_balances"):
			var request map[string]any
			require.NoError(t, json.Unmarshal(msg.Data, &request))
			if keys, _ := request["multi_last"].([]any); len(keys) < 5 {
				return false // of a reader
			}
			l.many.Add(1)
			if l.behind.Load() {
				request["up_to_seq"] = 1
				var err error
				msg.Data, err = json.Marshal(request)
				require.NoError(t, err)
			}
		case strings.HasPrefix(subject, "STREAM.MSG.GET.KV_bank_balances"):
			l.toLeader.Add(1)
		}
		return false
	})
}

// A runner that begins has no document in memory. It reads those that a batch changes with one request, unless the
// replica that answers is behind the batch before.
func TestDocumentsAreReadAtOnceFromNoReplicaThatIsBehind(t *testing.T) {
	for name, behind := range map[string]bool{"up to date": false, "behind": true} {
		t.Run(name, func(t *testing.T) {
			l := &lookingAhead{}
			store := l.open(t)
			var writes []eventstore.Write
			for id := range strings.SplitSeq("abcdefghijklmnopqrstuvwxyz", "") {
				writes = append(writes, eventstore.Write{Stream: account(id), Events: []eventstore.Event{deposited{Amount: 1}}})
			}
			deposit := func() eventstore.Position {
				commits, err := store.AppendAll(t.Context(), writes...)
				require.NoError(t, err)
				for i, c := range commits {
					writes[i].Expected = c.Head()
				}
				return commits[len(commits)-1].Position
			}
			first := balances(t, store)
			stop := run(t, first)
			require.NoError(t, first.WaitFor(t.Context(), deposit()))
			stop()

			second := balances(t, store)
			l.behind.Store(behind)
			many, toLeader := l.many.Load(), l.toLeader.Load()
			run(t, second)
			require.NoError(t, second.WaitFor(t.Context(), deposit()))
			require.Equal(t, many+1, l.many.Load())
			if !behind {
				require.Less(t, l.toLeader.Load()-toLeader, int64(len(writes)))
			}
			for _, w := range writes {
				b, err := second.Get(t.Context(), w.Stream.ID)
				require.NoError(t, err)
				require.Equal(t, balance{Amount: 2, Events: 2}, b, w.Stream.ID)
			}
		})
	}
}
