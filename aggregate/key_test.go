package aggregate_test

import (
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

// split deposits several amounts at once.
type split struct {
	Amounts map[string]int64
	Due     time.Time
}

func (c split) Decide(balance) ([]event, error) {
	var sum int64
	for _, amount := range c.Amounts {
		sum += amount
	}
	return []event{deposited{sum}}, nil
}

// opaque differs only in a field that no encoder sees.
type opaque struct{ amount int64 }

func (c opaque) Decide(balance) ([]event, error) { return []event{deposited{c.amount}}, nil }

func TestCommandsAreComparedByWhatTheySay(t *testing.T) {
	accounts := repository(t, open(t), nil)
	due := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	send := func(amounts map[string]int64, due time.Time) (aggregate.Result[balance, event], error) {
		return accounts.Do(t.Context(), "1", split{amounts, due}, aggregate.Key("k"))
	}
	_, err := send(map[string]int64{"a": 1, "b": 2, "c": 3, "d": 4}, due)
	require.NoError(t, err)
	for range 20 {
		again, err := send(map[string]int64{"d": 4, "c": 3, "b": 2, "a": 1}, due.In(time.FixedZone("x", 3600)))
		require.NoError(t, err, "neither the order of a map nor the zone of a time makes another command")
		require.True(t, again.Repeated)
	}
	_, err = send(map[string]int64{"a": 1, "b": 2, "c": 3, "d": 5}, due)
	require.ErrorIs(t, err, aggregate.ErrKeyReused)
	_, err = accounts.Do(t.Context(), "1", opaque{1}, aggregate.Key("o"))
	require.ErrorIs(t, err, aggregate.ErrInvalidCommand)
	require.ErrorContains(t, err, "aggregate_test.opaque.amount is not exported")
	_, err = accounts.Do(t.Context(), "1", opaque{1})
	require.NoError(t, err, "without a key commands are not compared")
}

// keyed is a command that was done, and the position of the log's end before it was issued.
type keyed struct {
	id       string
	issuedAt eventstore.Position
	answer   aggregate.Result[balance, event]
}

func (k keyed) again(t *testing.T, p *program[balance], key aggregate.Option) aggregate.Result[balance, event] {
	t.Helper()
	result, err := p.accounts.Do(t.Context(), k.id, deposit{10}, key)
	require.NoError(t, err, k.id)
	return result
}

// repeats sends the command again, and a different one under its key.
func (k keyed) repeats(t *testing.T, p *program[balance], key aggregate.Option) {
	t.Helper()
	result := k.again(t, p, key)
	now, err := p.accounts.Load(t.Context(), k.id)
	require.NoError(t, err)
	want := k.answer
	want.State, want.Repeated = now.State, true
	require.Equal(t, want, result, k.id)
	_, err = p.accounts.Do(t.Context(), k.id, deposit{11}, key)
	require.ErrorIs(t, err, aggregate.ErrKeyReused, k.id)
}

func TestARepeatedCommandHasOneAnswerWhereverItsStateIsFrom(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	cfg := aggregate.Config{KeyWindow: 20, KeyAge: 1}
	var commands []keyed
	write := func(write func(p *program[balance], id string)) {
		writer := start(t, srv.JetStream(t), balance{}, snapshot.Config{Every: 3}, cfg)
		for _, id := range []string{"cache", "snapshot", "log"} {
			write(writer, id)
		}
		writer.stop(t)
		require.Zero(t, writer.accounts.Counters().Snapshots.Failed)
	}
	from := func(id string) *program[balance] {
		version := map[string]int{"log": 2}[id] // of which there are no snapshots
		p := start(t, srv.JetStream(t), balance{}, snapshot.Config{Every: 1000, FoldVersion: version}, cfg)
		want := map[string]aggregate.Counters{"cache": {Cached: 1, Restored: 1}, "snapshot": {Restored: 1}, "log": {Replayed: 1}}[id]
		if id == "cache" {
			_, err := p.accounts.Load(t.Context(), id)
			require.NoError(t, err)
		}
		t.Cleanup(func() {
			have := p.accounts.Counters()
			require.Equal(t, want.Restored, have.Restored, id)
			require.Equal(t, want.Replayed, have.Replayed, id)
		})
		return p
	}
	write(func(p *program[balance], id string) {
		k := keyed{id: id, issuedAt: p.deposit(t, id, 3).Position}
		k.answer = k.again(t, p, aggregate.Key("k"))
		require.False(t, k.answer.Repeated)
		p.deposit(t, id, 10)
		commands = append(commands, k)
	})
	srv.Restart()
	for _, k := range commands {
		k.repeats(t, from(k.id), aggregate.Key("k"))
		k.repeats(t, from(k.id), aggregate.KeyIssuedAt("k", k.issuedAt))
	}
	write(func(p *program[balance], id string) { p.deposit(t, id, 10) })
	for _, k := range commands {
		k.repeats(t, from(k.id), aggregate.KeyIssuedAt("k", k.issuedAt))
		k.repeats(t, from(k.id), aggregate.KeyIssuedAt("k", 0))
		require.False(t, k.again(t, from(k.id), aggregate.Key("k")).Repeated, "the window has passed over it")
	}
}

func TestARepeatedCommandGivesThePresentState(t *testing.T) {
	store := open(t)
	one, two := repository(t, store, nil), repository(t, store, nil)
	_, err := one.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	_, err = two.Do(t.Context(), "1", deposit{5})
	require.NoError(t, err)
	again, err := one.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated)
	require.Equal(t, balance{15}, again.State, "what is cached is older")
}

func TestAnExactSearchFollowsAConflict(t *testing.T) {
	store := open(t)
	cfg := &aggregate.Config{KeyWindow: 5, KeyAge: 1}
	one, two := repository(t, store, cfg), repository(t, store, cfg)
	before, err := one.Do(t.Context(), "1", deposit{1})
	require.NoError(t, err)
	first, err := two.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	for range 10 {
		_, err := two.Do(t.Context(), "1", deposit{1})
		require.NoError(t, err)
	}
	again, err := one.Do(t.Context(), "1", deposit{10}, aggregate.KeyIssuedAt("k", before.Position))
	require.NoError(t, err)
	require.True(t, again.Repeated, "what is cached is from before the key")
	require.Equal(t, first.Position, again.Position)

	transfer := func() (*aggregate.Op[balance, event], error) {
		from := one.On("1", withdraw{5}, aggregate.KeyIssuedAt("t", first.Position))
		return from, aggregate.Transact(t.Context(), store, nil, from, one.On("2", deposit{5}))
	}
	from, err := transfer()
	require.NoError(t, err)
	for range 10 {
		_, err := two.Do(t.Context(), "1", deposit{1})
		require.NoError(t, err)
	}
	repeated, err := transfer()
	require.NoError(t, err)
	require.True(t, repeated.Result().Repeated, "in a transaction too")
	require.Equal(t, from.Result().Position, repeated.Result().Position)
}

func TestAnExactSearchReadsWhatCameSince(t *testing.T) {
	js := eventstoretest.JetStream(t)
	p := start(t, js, balance{}, snapshot.Config{Every: 1000}, aggregate.Config{KeyWindow: 5, KeyAge: 1})
	p.deposit(t, "1", 200)
	issued := p.deposit(t, "1", 1).Position
	p.deposit(t, "1", 30)
	costs := func(issued eventstore.Position) uint64 {
		return fewest(js, func(try int) {
			key := fmt.Sprint(issued, "/", try)
			result, err := p.accounts.Do(t.Context(), "1", deposit{1}, aggregate.KeyIssuedAt(key, issued))
			require.NoError(t, err)
			require.False(t, result.Repeated)
		})
	}
	require.LessOrEqual(t, costs(issued), uint64(37), "30 commits, those of the tries, the one that vouches for them, and the append")
	last := p.deposit(t, "1", 1)
	require.Equal(t, uint64(1), costs(last.Position), "nothing came since, and the position is known to be there")
}

func TestAPositionThatCannotHaveBeenKnownIsRefused(t *testing.T) {
	accounts := repository(t, open(t), nil)
	last, err := accounts.Do(t.Context(), "1", deposit{1})
	require.NoError(t, err)
	_, err = accounts.Do(t.Context(), "1", deposit{1}, aggregate.KeyIssuedAt("k", last.Position+1))
	require.ErrorIs(t, err, eventstore.ErrPositionAhead)
	require.EqualError(t, err, "aggregate: account/1: issued at position 2: position beyond the log's end: "+
		"give a position that was in the log before the command was first issued")
	state, err := accounts.Load(t.Context(), "1")
	require.NoError(t, err)
	require.Equal(t, balance{1}, state.State)
}

type base struct{ By string }

// priced embeds a struct that other commands embed too, and has a number that hides its fields.
type priced struct {
	base
	Price *big.Int
}

func (c *priced) Decide(balance) ([]event, error) { return []event{deposited{c.Price.Int64()}}, nil }

func TestCommandsMayHoldWhatSaysItself(t *testing.T) {
	accounts := repository(t, open(t), nil)
	_, err := accounts.Do(t.Context(), "1", &priced{base{"anna"}, big.NewInt(5)}, aggregate.Key("k"))
	require.NoError(t, err)
	again, err := accounts.Do(t.Context(), "1", &priced{base{"anna"}, big.NewInt(5)}, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated)
	for _, other := range []*priced{{base{"ben"}, big.NewInt(5)}, {base{"anna"}, big.NewInt(6)}} {
		_, err = accounts.Do(t.Context(), "1", other, aggregate.Key("k"))
		require.ErrorIs(t, err, aggregate.ErrKeyReused)
	}
}

type dated struct {
	Amount int64
	Day    string `msgpack:"-"`
}

func (c dated) Decide(balance) ([]event, error) { return []event{deposited{c.Amount}}, nil }

func TestAFieldThatIsLeftOutMayDifferWhenACommandIsRepeated(t *testing.T) {
	accounts := repository(t, open(t), nil)
	_, err := accounts.Do(t.Context(), "1", dated{1, "Monday"}, aggregate.Key("k"))
	require.NoError(t, err)
	again, err := accounts.Do(t.Context(), "1", dated{1, "Tuesday"}, aggregate.Key("k"))
	require.NoError(t, err)
	require.True(t, again.Repeated)
	_, err = accounts.Do(t.Context(), "1", dated{2, "Tuesday"}, aggregate.Key("k"))
	require.ErrorIs(t, err, aggregate.ErrKeyReused)
}

func TestAnOldCacheForgetsKeysToo(t *testing.T) {
	store := open(t)
	cfg := &aggregate.Config{KeyWindow: 2, KeyAge: 1}
	accounts, other := repository(t, store, cfg), repository(t, store, cfg)
	_, err := accounts.Do(t.Context(), "1", deposit{1}, aggregate.Key("k"))
	require.NoError(t, err)
	for range 2 {
		_, err = other.Do(t.Context(), "1", deposit{1})
		require.NoError(t, err)
	}
	again, err := accounts.Do(t.Context(), "1", deposit{1}, aggregate.Key("k"))
	require.NoError(t, err)
	require.False(t, again.Repeated, "the window is the stream's, whatever was cached")
	require.Equal(t, eventstore.Version(4), again.Version)
}

// A client sends a command again within seconds, and meanwhile others write a thousand commits to the same stream.
func TestAKeyOutlivesABurst(t *testing.T) {
	js := eventstoretest.JetStream(t)
	short := snapshot.Config{Every: 100}
	p := start(t, js, balance{}, short, aggregate.Config{})
	p.deposit(t, "1", 300)
	first, err := p.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
	require.NoError(t, err)
	_, err = p.accounts.Do(t.Context(), "1", deposit{1}, aggregate.CloseKey("closed"))
	require.NoError(t, err)
	for i := range 1000 {
		_, err := p.accounts.Do(t.Context(), "1", deposit{1}, aggregate.Key(fmt.Sprint("burst", i)))
		require.NoError(t, err)
	}
	repeat := func(where string, accounts *aggregate.Repository[balance, event]) {
		again, err := accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("k"))
		require.NoError(t, err, where)
		require.True(t, again.Repeated, where)
		require.Equal(t, first.Position, again.Position, where)
		_, err = accounts.Do(t.Context(), "1", deposit{11}, aggregate.Key("k"))
		require.ErrorIs(t, err, aggregate.ErrKeyReused, where)
		_, err = accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("closed/below"))
		require.ErrorIs(t, err, aggregate.ErrKeyClosed, where)
	}
	repeat("cache", p.accounts)
	p.stop(t)
	repeat("log", start(t, js, balance{}, snapshot.Config{FoldVersion: 2, Every: 1 << 30}, aggregate.Config{}).accounts)
	restored := start(t, js, balance{}, short, aggregate.Config{})
	repeat("snapshot", restored.accounts)
	require.Equal(t, aggregate.Counters{Restored: 1, Cached: 2}, from(restored.accounts))
}
