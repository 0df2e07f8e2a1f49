package snapshots

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// The types below are releases of one program: each has the state, or an event, in another shape. No state folds
// anything, because the fingerprint does not see what Evolve does.

type renamed struct{ Total int64 }

func (r renamed) Evolve(event) renamed { return r }

type retagged struct {
	Amount int64 `msgpack:"a"`
}

func (r retagged) Evolve(event) retagged { return r }

type narrower struct{ Amount int32 }

func (n narrower) Evolve(event) narrower { return n }

// same is a balance of another name, which is the only difference.
type same balance

func (b same) Evolve(e event) same { return same(balance(b).Evolve(e)) }

type depositedIn struct {
	Amount   int64
	Currency string
}

func (depositedIn) EventType() string { return "account.deposited" }
func (depositedIn) account()          {}

type charged struct{ Fee int64 }

func (charged) EventType() string { return "account.charged" }
func (charged) account()          {}

type credited struct{ Amount int64 }

func (credited) EventType() string { return "account.credited" }

type other struct{ Reason string }

func (other) EventType() string { return "branch.closed" }

func printOf[S interface{ Evolve(e event) S }](t *testing.T, initial S, upcasters []eventstore.Upcaster, events ...eventstore.Event) string {
	t.Helper()
	store := openStore(t, eventstoretest.JetStream(t), &eventstore.Config{Upcasters: upcasters}, events...)
	sum, err := fingerprint[S, event](store, initial)
	require.NoError(t, err)
	again, err := fingerprint[S, event](store, initial)
	require.NoError(t, err)
	require.Equal(t, sum, again)
	return string(sum)
}

func TestTheFingerprintKnowsWhatMakesAState(t *testing.T) {
	up := []eventstore.Upcaster{eventstore.Upcast(func(e credited) deposited { return deposited(e) })}
	events := []eventstore.Event{deposited{}, withdrawn{}, closed{}}
	seen := map[string]string{}
	for name, sum := range map[string]string{
		"as it is":                  printOf(t, balance{}, nil, events...),
		"another begin":             printOf(t, balance{1}, nil, events...),
		"a field renamed":           printOf(t, renamed{}, nil, events...),
		"a field of another tag":    printOf(t, retagged{}, nil, events...),
		"a field of another type":   printOf(t, narrower{}, nil, events...),
		"an event of another shape": printOf(t, balance{}, nil, depositedIn{}, withdrawn{}, closed{}),
		"one event more":            printOf(t, balance{}, nil, deposited{}, withdrawn{}, charged{}, closed{}),
		"one event less":            printOf(t, balance{}, nil, deposited{}, closed{}),
		"an old event":              printOf(t, balance{}, up, events...),
	} {
		require.NotContains(t, seen, sum, "%s and %s", name, seen[sum])
		seen[sum] = name
	}
	require.Equal(t, printOf(t, balance{}, nil, events...), printOf(t, balance{}, nil, deposited{}, withdrawn{}, other{}),
		"the events of others do not count")
	require.Equal(t, printOf(t, balance{}, nil, events...), printOf(t, same{}, nil, events...), "nor does the name of the state's type")
}
