package aggregate_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/internal/ownkey"
)

type (
	payIn  struct{ Amount int64 }
	payOut struct{ Amount int64 }
	bonus  struct{ payIn } // none of its fields is exported, but a field of payIn is
	silent struct {        // its fields are not exported
		payIn
		at time.Time
	}
	rounded  struct{ Deposit }
	Deposit  struct{ Amount int64 }
	standing struct { // is encoded as its time, by a method that it has from it
		time.Time
		Amount int64
	}
)

func (c *payIn) Decide(balance) ([]event, error)  { return []event{deposited(*c)}, nil }
func (c *payOut) Decide(balance) ([]event, error) { return []event{withdrawn(*c)}, nil }
func (c Deposit) Decide(balance) ([]event, error) { return []event{deposited(c)}, nil }
func (c standing) Decide(balance) ([]event, error) {
	return []event{deposited{c.Amount}}, nil
}

func TestAKeyTellsCommandsApart(t *testing.T) {
	accounts := repository(t, open(t), nil)
	_, err := accounts.Do(t.Context(), "1", deposit{1_000})
	require.NoError(t, err)
	monday := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		first, other aggregate.Command[balance, event]
	}{
		"pointers":                     {&payIn{5}, &payOut{5}},
		"fields behind pointers":       {&payIn{5}, &payIn{6}},
		"one that embeds the other":    {Deposit{5}, rounded{Deposit{5}}},
		"what it embeds":               {rounded{Deposit{5}}, rounded{Deposit{6}}},
		"what is not exported":         {&bonus{payIn{5}}, &bonus{payIn{6}}},
		"beside a time":                {standing{monday, 5}, standing{monday, 6}},
		"a time":                       {standing{monday, 5}, standing{monday.Add(1), 5}},
		"a pointer to one that embeds": {&standing{monday, 5}, &standing{monday, 6}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := accounts.Do(t.Context(), "1", c.first, aggregate.Key(name))
			require.NoError(t, err)
			again, err := accounts.Do(t.Context(), "1", c.first, aggregate.Key(name))
			require.NoError(t, err)
			require.True(t, again.Repeated)
			_, err = accounts.Do(t.Context(), "1", c.other, aggregate.Key(name))
			require.ErrorIs(t, err, aggregate.ErrKeyReused)
		})
	}
	_, err = accounts.Do(t.Context(), "1", Deposit{5}, aggregate.Key("value"))
	require.NoError(t, err)
	again, err := accounts.Do(t.Context(), "1", &Deposit{5}, aggregate.Key("value"))
	require.NoError(t, err, "a pointer stands for what it points to")
	require.True(t, again.Repeated)
	for _, never := range []aggregate.Command[balance, event]{(*payIn)(nil), nil, &silent{payIn{5}, monday}} {
		_, err := accounts.Do(t.Context(), "1", never, aggregate.Key("never"))
		require.ErrorIs(t, err, aggregate.ErrInvalidCommand)
	}
}

func TestAFieldOfTheNextReleaseIsTheSameCommandWhereItIsNotUsed(t *testing.T) {
	accounts := repository(t, open(t), nil)
	send := map[string]func(key string) error{}
	{
		type transfer struct {
			Deposit

			To string
		}
		send["this release"] = func(key string) error {
			_, err := accounts.Do(t.Context(), "1", transfer{Deposit{5}, "anna"}, aggregate.Key(key))
			return err
		}
	}
	{
		type transfer struct {
			To      string
			Urgent  bool
			Tags    []string
			Notices map[string]bool
			Deposit

			Day time.Time
		}
		send["the next one"] = func(key string) error {
			result, err := accounts.Do(t.Context(), "1",
				transfer{Deposit: Deposit{5}, To: "anna", Tags: []string{}, Notices: map[string]bool{}}, aggregate.Key(key))
			require.True(t, err != nil || result.Repeated)
			return err
		}
		send["a use of the field"] = func(key string) error {
			_, err := accounts.Do(t.Context(), "1", transfer{Deposit: Deposit{5}, To: "anna", Urgent: true}, aggregate.Key(key))
			return err
		}
	}
	require.NoError(t, send["this release"]("k"))
	require.NoError(t, send["the next one"]("k"))
	require.ErrorIs(t, send["a use of the field"]("k"), aggregate.ErrKeyReused)
}

func TestWhatIsNoKeyIsRefused(t *testing.T) {
	accounts := repository(t, open(t), nil)
	for name, options := range map[string][]aggregate.Option{
		"empty": {aggregate.Key("")}, "too long": {aggregate.Key(strings.Repeat("k", 257))},
		"one of a saga": {aggregate.Key(ownkey.Saga("pay/1/send/do").String())}, "with a position": {aggregate.KeyIssuedAt("", 0)},
		"a reserved one": {aggregate.Key("runnel.x")}, "an empty one to close": {aggregate.CloseKey("")},
		"a reserved one to close": {aggregate.CloseKey("runnel.saga/pay")},
		"before another":          {aggregate.Key(""), aggregate.Key("k")},
	} {
		_, err := accounts.Do(t.Context(), "1", deposit{1}, options...)
		require.ErrorIs(t, err, aggregate.ErrInvalidCommand, name)
		require.ErrorContains(t, err, "account/1", name)
		require.ErrorContains(t, err, "key", name)
	}
	state, err := accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	require.Zero(t, state.Version)
	for _, key := range []string{"runnel", "Runnel.x", strings.Repeat("k", 256), " "} {
		_, err := accounts.Do(t.Context(), "1", deposit{1}, aggregate.Key(key))
		require.NoError(t, err)
	}
}
