package snapshot

import (
	"math/big"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// The types below are releases of one program: each gives the state, or an event, in another shape.

// inert folds nothing, like those that follow, so that only the type tells them apart.
type inert struct{ Amount int64 }

func (i inert) Evolve(event) inert { return i }

type renamed struct{ Total int64 }

func (r renamed) Evolve(event) renamed { return r }

type retagged struct {
	Amount int64 `msgpack:"a"`
}

func (r retagged) Evolve(event) retagged { return r }

type narrower struct{ Amount int32 }

func (n narrower) Evolve(event) narrower { return n }

// doubling is a balance whose author forgot to raise the fold version.
type doubling balance

func (b doubling) Evolve(e event) doubling {
	if e, ok := e.(deposited); ok {
		return doubling{b.Amount + 2*e.Amount}
	}
	return doubling(balance(b).Evolve(e))
}

// fee differs from balance only where there is something to take a fee from.
type fee balance

func (b fee) Evolve(e event) fee {
	next := fee(balance(b).Evolve(e))
	if _, ok := e.(withdrawn); ok && b.Amount > 0 {
		next.Amount--
	}
	return next
}

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
	sum, err := fingerprint[S, event](store, initial, itself[S], true)
	require.NoError(t, err)
	again, err := fingerprint[S, event](store, initial, itself[S], true)
	require.NoError(t, err)
	require.Equal(t, sum, again)
	return string(sum)
}

func TestTheFingerprintKnowsWhatMakesAState(t *testing.T) {
	up := func(factor int64) []eventstore.Upcaster {
		return []eventstore.Upcaster{eventstore.Upcast(func(e credited) deposited { return deposited{factor * e.Amount} })}
	}
	events := []eventstore.Event{deposited{}, withdrawn{}, closed{}}
	seen := map[string]string{}
	for name, sum := range map[string]string{
		"as it is":                       printOf(t, balance{}, nil, events...),
		"another begin":                  printOf(t, balance{1}, nil, events...),
		"a fold of nothing":              printOf(t, inert{}, nil, events...),
		"a field renamed":                printOf(t, renamed{}, nil, events...),
		"a field of another tag":         printOf(t, retagged{}, nil, events...),
		"a field of another type":        printOf(t, narrower{}, nil, events...),
		"another fold":                   printOf(t, doubling{}, nil, events...),
		"another fold, now and then":     printOf(t, fee{}, nil, events...),
		"an event of another shape":      printOf(t, inert{}, nil, depositedIn{}, withdrawn{}, closed{}),
		"one event more":                 printOf(t, balance{}, nil, deposited{}, withdrawn{}, charged{}, closed{}),
		"one event less":                 printOf(t, balance{}, nil, deposited{}, closed{}),
		"an old event":                   printOf(t, balance{}, up(1), events...),
		"an old event, upcast otherwise": printOf(t, balance{}, up(2), events...),
	} {
		require.NotContains(t, seen, sum, "%s and %s", name, seen[sum])
		seen[sum] = name
	}
	require.Equal(t, printOf(t, balance{}, nil, events...), printOf(t, balance{}, nil, deposited{}, withdrawn{}, other{}),
		"the events of others do not count")
	require.Equal(t, printOf(t, balance{}, nil, events...), printOf(t, same{}, nil, events...), "nor does the name of the state's type")
}

// endless does not end on a sample.
type endless balance

func (b endless) Evolve(e event) endless {
	if e, ok := e.(deposited); ok {
		for left := int64(1); left > 0; left -= e.Amount {
			b.Amount++
		}
	}
	return b
}

func TestAFoldThatCannotTakeSamplesIsNotProbed(t *testing.T) {
	store := openStore(t, eventstoretest.JetStream(t), nil)
	unprobed := openCache(t, store, &Config{Unprobed: true})
	states, err := For[endless, event](unprobed, endless{}, itself[endless], 4)
	require.NoError(t, err)
	other, err := For[fee, event](unprobed, fee{}, itself[fee], 4)
	require.NoError(t, err)
	require.Equal(t, states.fingerprint, other.fingerprint, "what they do is not known")
	require.NotEqual(t, states.fingerprint, statesOf(t, openCache(t, store, nil)).fingerprint)
}

// everything has a field of each kind that can be stored.
type everything struct {
	Yes   bool
	Int   int8
	Uint  uint16
	Float float32
	Text  string
	Time  time.Time
	Ptr   *everything
	List  []withdrawn
	Map   map[string]deposited
	Array [2]int
}

func (everything) EventType() string { return "account.everything" }

// priced has fields that only their own methods reach.
type priced struct {
	Price *big.Int
	Tax   big.Rat
	Site  *url.URL
	Note  string
}

func (priced) EventType() string { return "account.priced" }
func (priced) account()          {}

func TestASampleLeavesOutWhatOnlyMethodsReach(t *testing.T) {
	require.NotPanics(t, func() { printOf(t, balance{}, nil, deposited{}, priced{}) })
	sample := sampleOf(priced{}).(priced)
	require.Zero(t, sample.Price.Sign())
	require.Empty(t, sample.Site.String())
	require.NotEmpty(t, sample.Note)
}

func TestASampleHasEveryFieldFilled(t *testing.T) {
	sample := sampleOf(everything{}).(everything)
	require.True(t, sample.Yes)
	require.NotZero(t, sample.Int)
	require.NotZero(t, sample.Uint)
	require.NotZero(t, sample.Float)
	require.NotEmpty(t, sample.Text)
	require.NotZero(t, sample.Time)
	require.NotZero(t, sample.Ptr.Int)
	require.NotZero(t, sample.List[0].Amount)
	require.NotEqual(t, sample.Array[0], sample.Array[1], "no two fields are alike")
	for key, value := range sample.Map {
		require.NotEmpty(t, key)
		require.NotZero(t, value.Amount)
	}
	require.Equal(t, sample, sampleOf(everything{}))
}
