package eventstore_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// shipped is an event of another service. The service of accounts does not know it.
type shipped struct{ Parcel string }

func (shipped) EventType() string { return "parcel.shipped" }

// Two services, one of them in two releases, write and read one store at the same time. Each reads its own and passes
// over what it does not know.
func TestTwoServicesAndTwoReleasesShareAStore(t *testing.T) {
	js := eventstoretest.JetStream(t)
	older := release(t, js, []eventstore.Event{paid{}})
	newer := release(t, js, []eventstore.Event{paidV3{}, charged{}}, upcasters...)
	parcels := release(t, js, []eventstore.Event{shipped{}})
	const each = 100
	var writers sync.WaitGroup
	write := func(store *eventstore.Store, category string, event func(i int) eventstore.Event) {
		writers.Go(func() {
			for i := range each {
				stream := eventstore.StreamID{Category: category, ID: fmt.Sprint(i % 7)}
				for {
					head, err := store.Head(t.Context(), stream)
					if err == nil {
						_, err = store.Append(t.Context(), stream, head, event(i))
					}
					if err == nil {
						break
					}
					if !errors.Is(err, eventstore.ErrConflict) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	write(older, "account", func(i int) eventstore.Event { return paid{int64(i)} })
	write(newer, "account", func(i int) eventstore.Event { return paidV3{int64(i), "EUR"} })
	write(parcels, "parcel", func(i int) eventstore.Event { return shipped{fmt.Sprint(i)} })
	writers.Wait()

	count := func(store *eventstore.Store, options ...eventstore.AllOption) int {
		n := 0
		for recorded, err := range store.All(t.Context(), options...) {
			require.NoError(t, err)
			_, err = recorded.Decode()
			require.NoError(t, err)
			n++
		}
		return n
	}
	require.Equal(t, each, count(older, eventstore.Types("account.paid")))
	require.Equal(t, 2*each, count(newer, eventstore.Types("account.paid.v3")))
	require.Equal(t, 2*each, count(newer, eventstore.Categories("account")))
	require.Equal(t, each, count(parcels, eventstore.Categories("parcel")))
	for recorded, err := range parcels.Stream(t.Context(), account("0")) {
		require.NoError(t, err)
		_, err = recorded.Decode()
		require.ErrorIs(t, err, eventstore.ErrUnknownType, "asked for what it does not know, a service says so")
	}
}
