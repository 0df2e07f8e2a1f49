package projection_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/kv"
	"github.com/runnel-go/runnel/projection"
)

// old is how cups were filled once.
type old struct{ Wrong string }

func (old) EventType() string { return "cup.old" }

// An upcaster is code of the user that is called before the key is looked for. The key is known if it is the id of the
// stream.
func TestAnEventWhoseDecodingFailsParksTheKeyThatIsItsStreams(t *testing.T) {
	for _, how := range []string{"panics", "exits", "hangs"} {
		for _, live := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, live %v", how, live), func(t *testing.T) {
				js, w := eventstoretest.JetStream(t), newWrongs(t)
				older, err := eventstore.Open(t.Context(), js, "bar", []eventstore.Event{old{}}, nil)
				require.NoError(t, err)
				defer func() { require.NoError(t, older.Close()) }()
				store, err := eventstore.Open(t.Context(), js, "bar", []eventstore.Event{filled{}}, &eventstore.Config{
					Upcasters: []eventstore.Upcaster{eventstore.Upcast(func(e old) filled { w.does(e.Wrong); return filled{} })},
				})
				require.NoError(t, err)
				defer func() { require.NoError(t, store.Close()) }()
				view, err := projection.Open(t.Context(), store, "cups", 1,
					&projection.Config{Park: true, FoldTimeout: 100 * time.Millisecond},
					projection.On(func(c cup, _ filled) cup { return cup{N: c.N + 1} }))
				require.NoError(t, err)
				defer func() { require.NoError(t, view.Close()) }()
				if live {
					defer run(t, view)()
					require.NoError(t, view.WaitFor(soon(t), 0))
				}
				_, err = older.Append(t.Context(), eventstore.StreamID{Category: "cup", ID: "bad"}, eventstore.Head{}, old{}, old{how}, old{})
				require.NoError(t, err)
				end := fill(t, store, "good", filled{})
				if !live {
					defer run(t, view)()
				}
				good, err := view.Get(soon(t), "good", projection.At(end))
				require.NoError(t, err)
				require.Equal(t, 1, good.N)
				bad, err := view.Get(soon(t), "bad")
				require.NoError(t, err)
				require.Equal(t, 1, bad.N, "as it was before the event")
				parked := parkedIn(t, view)
				require.Len(t, parked, 1)
				require.Equal(t, 1, parked["bad"].Index)
				require.Equal(t, int64(1), parked["bad"].Waiting)
			})
		}
	}
}

// A document in the bucket that cannot be read any more parks its key alone.
func TestADocumentThatCannotBeReadParksItsKey(t *testing.T) {
	for _, how := range []string{"panics", "exits"} {
		t.Run(how, func(t *testing.T) {
			store, w := cupStore(t), newWrongs(t)
			broken := atomic.Bool{}
			cfg := projection.Config{Park: true, Codec: wrongReader{wrongs: w, how: how, broken: &broken}}
			view := cups(t, store, w, cfg)
			stop := run(t, view)
			require.NoError(t, view.WaitFor(soon(t), fill(t, store, "a", filled{Key: "bad"}, filled{Key: "good"}, filled{Key: "better"})))
			stop() // what it has in memory is gone
			broken.Store(true)
			end := fill(t, store, "b", filled{Key: "good"}, filled{Key: "bad"}, filled{Key: "better"})
			run(t, cups(t, store, w, cfg))
			require.NoError(t, view.WaitFor(soon(t), end))
			broken.Store(false)
			parked := parkedIn(t, view)
			require.Len(t, parked, 1)
			require.Equal(t, end, parked["bad"].Position)
			require.Equal(t, 2, listed(t, view)["good"].N)
			require.Equal(t, 1, listed(t, view)["bad"].N)
		})
	}
}

// wrongReader is a codec that harms a reader of the first document while it is broken.
type wrongReader struct {
	wrongs
	kv.JSON
	how    string
	broken *atomic.Bool
}

func (wrongReader) Name() string { return "wrong reader" }

func (c wrongReader) Unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	if d, ok := v.(*cup); ok && d.Text == "first" && c.broken.Load() {
		c.does(c.how)
	}
	return nil
}
