package saga_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/sagaevent"
	"github.com/runnel-go/runnel/saga"
)

// dueData says when a saga is due.
type dueData struct{ Due time.Time }

// Deadlines that people write, such as "never", and that no JSON holds. Deadlines in the past are due at once.
func deadlines() map[string]time.Time {
	zone := time.FixedZone("odd", 3*3600+17)
	return map[string]time.Time{
		"year 10000": time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), "year 9999, elsewhere": time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("west", -12*3600)),
		"the last": time.Unix(math.MaxInt64-62135596801, 999999999), "odd zone": time.Now().Add(time.Hour).In(zone),
		"zero": {}, "year 0": time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), "year -5": time.Date(-5, 1, 1, 0, 0, 0, 0, time.UTC),
		"the first": time.Unix(math.MinInt64, 0), "1969": time.Unix(-1, 0),
	}
}

// TestNoDeadlineStopsOtherSagas starts a saga with each deadline, in stores of both codecs, and runs everything twice.
func TestNoDeadlineStopsOtherSagas(t *testing.T) {
	for name, codec := range map[string]eventstore.Codec{"msgpack": eventstore.Msgpack, "JSON": eventstore.JSON} {
		t.Run(name, func(t *testing.T) {
			js := eventstoretest.JetStream(t)
			store, err := eventstore.Open(t.Context(), js, "bank", storeEvents(), &eventstore.Config{Codec: codec})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, store.Close()) })
			b := bankOf(t, store)
			definition := define(t, "payment", saga.Await[dueData]("due").Until(func(d dueData) time.Time { return d.Due }).
				Else(func(d dueData) (dueData, error) { return d, nil }))
			dues := deadlines()
			for round := range 2 {
				m := open(t, b, definition, nil)
				stop := run(t, m)
				for what, due := range dues {
					_, err := m.Start(t.Context(), what, dueData{due})
					require.NoError(t, err, what)
					in := until(t, m, what, map[bool]saga.State{true: saga.StateWaiting, false: saga.StateCompleted}[due.After(time.Now())])
					require.NotZero(t, in.Steps[0].Deadline, what)
				}
				requireOthersGoOn(t, m, map[int]string{0: "one", 1: "another"}[round], dueData{time.Now().Add(10 * time.Millisecond)})
				stop()
			}
		})
	}
}

// An older release has written down a deadline that no view can hold.
func TestADeadlineOfAnOlderReleaseStopsNobody(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	never := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)
	m := open(t, b, define(t, "payment", saga.Await[dueData]("due").Until(func(d dueData) time.Time { return d.Due }).
		Else(func(d dueData) (dueData, error) { return d, nil })), nil)
	_, err := b.store.Append(t.Context(), eventstore.StreamID{Category: "payment", ID: "never"}, eventstore.Head{},
		sagaevent.Started{Steps: []string{"due"}, Data: []byte("\x80")}, sagaevent.StepBegun{Step: "due", Deadline: never})
	require.NoError(t, err)
	run(t, m)
	requireOthersGoOn(t, m, "now", dueData{time.Now()})
	in, err := m.Get(t.Context(), "never")
	require.NoError(t, err)
	require.Equal(t, saga.StateWaiting, in.State)
	require.Equal(t, 9999, in.Steps[0].Deadline.Year())
}
