package eventstore_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/inside"
)

// paid became paidV2, which became a paidV3 and, if there was a fee, a charged.
type paid struct{ Cents int64 }

func (paid) EventType() string { return "account.paid" }

type paidV2 struct{ Cents, Fee int64 }

func (paidV2) EventType() string { return "account.paid.v2" }

type paidV3 struct {
	Cents    int64
	Currency string
}

func (paidV3) EventType() string { return "account.paid.v3" }

type charged struct{ Cents int64 }

func (charged) EventType() string { return "account.charged" }

var upcasters = []eventstore.Upcaster{
	eventstore.Upcast(func(e paid) paidV2 { return paidV2{Cents: e.Cents, Fee: e.Cents / 100} }),
	eventstore.UpcastMany(func(e paidV2) []eventstore.Event {
		if e.Fee == 0 {
			return []eventstore.Event{paidV3{e.Cents, "CZK"}}
		}
		return []eventstore.Event{paidV3{e.Cents, "CZK"}, charged{e.Fee}}
	}, paidV3{}, charged{}),
}

// release opens the store as one release of a program does.
func release(t *testing.T, js jetstream.JetStream, events []eventstore.Event, upcasters ...eventstore.Upcaster) *eventstore.Store {
	t.Helper()
	store, err := eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Upcasters: upcasters})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	return store
}

func TestOldEventsAreDecodedAsWhatTheyStandForToday(t *testing.T) {
	js := eventstoretest.JetStream(t)
	first := release(t, js, []eventstore.Event{paid{}})
	second := release(t, js, []eventstore.Event{paidV2{}}, upcasters[0])
	third := release(t, js, []eventstore.Event{paidV3{}, charged{}}, upcasters...)

	head := eventstore.Head{}
	for _, step := range []struct {
		store *eventstore.Store
		event eventstore.Event
	}{{first, paid{500}}, {second, paidV2{20, 0}}, {third, paidV3{7, "EUR"}}, {first, paid{3}}} {
		c, err := step.store.Append(t.Context(), account("1"), head, step.event)
		require.NoError(t, err)
		head = c.Head()
	}
	want := []eventstore.Event{paidV3{500, "CZK"}, charged{5}, paidV3{20, "CZK"}, paidV3{7, "EUR"}, paidV3{3, "CZK"}}
	require.Equal(t, want, decode(t, third.Stream(t.Context(), account("1"))))
	require.Equal(t, want, decode(t, third.All(t.Context(), eventstore.Types("account.charged", "account.paid.v3"))))
}

func TestAReaderOfAnOldTypeGetsTheLogAsItStands(t *testing.T) {
	js := eventstoretest.JetStream(t)
	first, third := release(t, js, []eventstore.Event{paid{}}), release(t, js, []eventstore.Event{paidV3{}, charged{}}, upcasters...)
	c, err := first.Append(t.Context(), account("1"), eventstore.Head{}, paid{500})
	require.NoError(t, err)
	_, err = third.Append(t.Context(), account("1"), c.Head(), paidV3{7, "EUR"})
	require.NoError(t, err)

	require.Equal(t, []eventstore.Event{paid{500}}, decode(t, first.All(t.Context(), eventstore.Types("account.paid"))),
		"the older release reads what it knows")
	for recorded, err := range first.Stream(t.Context(), account("1"), eventstore.From(2)) {
		require.NoError(t, err)
		_, err = recorded.Decode()
		require.ErrorIs(t, err, eventstore.ErrUnknownType, "and says so where it is asked for what it does not")
	}
	require.Equal(t, []string{"account.charged", "account.paid", "account.paid.v2"}, eventstore.Inside(inside.Pass{}, third).StoredAs("account.charged"))
}

func TestAnOldTypeIsNotWritten(t *testing.T) {
	store := release(t, eventstoretest.JetStream(t), []eventstore.Event{paidV3{}, charged{}}, upcasters...)
	_, err := store.Append(t.Context(), account("1"), eventstore.Head{}, paid{1})
	require.ErrorIs(t, err, eventstore.ErrUnknownType)
	require.ErrorContains(t, err, "old type")
	_, err = eventstore.Inside(inside.Pass{}, store).TypeOf(paidV2{})
	require.ErrorIs(t, err, eventstore.ErrUnknownType)
}

func TestUpcastersThatCannotWorkAreRefusedAtOpen(t *testing.T) {
	js := eventstoretest.JetStream(t)
	back := eventstore.Upcast(func(e paidV2) paid { return paid{e.Cents} })
	for name, c := range map[string]struct {
		events    []eventstore.Event
		upcasters []eventstore.Upcaster
	}{
		"to a type that is not known": {nil, upcasters[:1]},
		"of a type that is written":   {[]eventstore.Event{paid{}, paidV2{}}, upcasters[:1]},
		"two of one type":             {[]eventstore.Event{paidV2{}}, []eventstore.Upcaster{upcasters[0], upcasters[0]}},
		"round in a circle":           {nil, []eventstore.Upcaster{upcasters[0], back}},
		"to an interface": {[]eventstore.Event{paidV2{}}, []eventstore.Upcaster{
			eventstore.Upcast(func(e paid) eventstore.Event { return paidV2{Cents: e.Cents} })}},
		"from an interface": {[]eventstore.Event{paidV2{}}, []eventstore.Upcaster{
			eventstore.Upcast(func(eventstore.Event) paidV2 { return paidV2{} })}},
		"to nothing": {nil, []eventstore.Upcaster{eventstore.UpcastMany(func(paid) []eventstore.Event { return nil })}},
		"the zero":   {nil, []eventstore.Upcaster{{}}},
	} {
		_, err := eventstore.Open(t.Context(), js, "bank", c.events, &eventstore.Config{Upcasters: c.upcasters})
		require.ErrorIs(t, err, eventstore.ErrInvalidEvents, name)
	}
}

func TestAnUpcasterThatFailsMakesItsEventUndecodable(t *testing.T) {
	js := eventstoretest.JetStream(t)
	first := release(t, js, []eventstore.Event{paid{}})
	_, err := first.Append(t.Context(), account("1"), eventstore.Head{}, paid{1})
	require.NoError(t, err)
	for name, f := range map[string]func(paid) []eventstore.Event{
		"panics":                  func(paid) []eventstore.Event { panic("no") },
		"returns no event":        func(paid) []eventstore.Event { return nil },
		"among its prototypes":    func(paid) []eventstore.Event { return []eventstore.Event{opened{}} },
		"is not among its protot": func(paid) []eventstore.Event { return []eventstore.Event{nil} },
	} {
		store := release(t, js, []eventstore.Event{paidV2{}, opened{}}, eventstore.UpcastMany(f, paidV2{}))
		for recorded, err := range store.All(t.Context()) {
			require.NoError(t, err)
			_, err = recorded.Decode()
			require.ErrorIs(t, err, eventstore.ErrUndecodable, name)
			require.ErrorContains(t, err, name)
		}
	}
}

func TestAStoreUpcastsSamplesOfItsTypes(t *testing.T) {
	store := release(t, eventstoretest.JetStream(t), []eventstore.Event{paidV3{}, charged{}}, upcasters...)
	require.Equal(t, []eventstore.Event{charged{}, paid{}, paidV2{}, paidV3{}}, eventstore.Inside(inside.Pass{}, store).Prototypes()[:4], "and then the toolkit's own")
	current, err := eventstore.Inside(inside.Pass{}, store).Upcast(paid{500})
	require.NoError(t, err)
	require.Equal(t, []eventstore.Event{paidV3{500, "CZK"}, charged{5}}, current)
	_, err = eventstore.Inside(inside.Pass{}, store).Upcast(opened{})
	require.ErrorIs(t, err, eventstore.ErrUnknownType)
}
