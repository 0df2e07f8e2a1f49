package aggregate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/snapshot"
)

// frozen waits between the load of the state and the append. It deposits when it may go on.
type frozen struct {
	loaded chan<- struct{} // told when the state is loaded
	thaw   <-chan struct{}
}

func (c frozen) Decide(balance) ([]event, error) {
	select {
	case c.loaded <- struct{}{}:
	case <-c.thaw:
	}
	<-c.thaw
	return []event{deposited{1}}, nil
}

func TestACommandThatWasFrozenBeforeItsAppendFindsItsKeyClosed(t *testing.T) {
	store := open(t)
	one, two := repository(t, store, nil), repository(t, store, nil)
	loaded, thaw := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		do := one.On("1", deposit{10}, aggregate.Key("do"))
		ended <- aggregate.Transact(t.Context(), store, nil, do, one.On("2", frozen{loaded, thaw}))
	}()
	<-loaded
	undone, err := two.Do(t.Context(), "1", deposit{0}, aggregate.Key("undo"), aggregate.CloseKey("do"))
	require.NoError(t, err)
	require.EqualValues(t, 1, undone.Version, "the end of the key is in the stream")
	require.Empty(t, undone.Events)
	close(thaw)
	err = <-ended
	require.ErrorIs(t, err, aggregate.ErrKeyClosed)
	var closing *aggregate.KeyError
	require.ErrorAs(t, err, &closing)
	require.Equal(t, aggregate.KeyError{Stream: closing.Stream, Key: "do", Version: 1, Err: aggregate.ErrKeyClosed}, *closing)
	for _, id := range []string{"1", "2"} {
		now, err := two.Load(t.Context(), id)
		require.NoError(t, err)
		require.Zero(t, now.State.Amount, "nothing was stored")
	}
}

func TestAKeyIsClosedWhereverTheStateIsFrom(t *testing.T) {
	srv := eventstoretest.NewServer(t)
	cfg := aggregate.Config{KeyWindow: 20, KeyAge: 1}
	p := start(t, srv.JetStream(t), balance{}, snapshot.Config{Every: 3}, cfg)
	issued := p.deposit(t, "1", 3).Position
	_, err := p.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("done/0"))
	require.NoError(t, err)
	for _, key := range []string{"do", "done"} {
		_, err = p.accounts.Do(t.Context(), "1", deposit{1}, aggregate.Key("undo "+key), aggregate.CloseKey(key))
		require.NoError(t, err)
	}
	refuses := func(p *program[balance], under func(key string) aggregate.Option) {
		t.Helper()
		before, err := p.accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		for _, key := range []string{"do", "do/0", "do/a/b", "done", "done/0"} {
			_, err := p.accounts.Do(t.Context(), "1", deposit{10}, under(key))
			require.ErrorIs(t, err, aggregate.ErrKeyClosed, key)
		}
		for _, key := range []string{"undo do", "undo done"} {
			again, err := p.accounts.Do(t.Context(), "1", deposit{1}, under(key))
			require.NoError(t, err)
			require.True(t, again.Repeated, "what closed the key is done once itself")
		}
		after, err := p.accounts.Load(t.Context(), "1")
		require.NoError(t, err)
		require.Equal(t, before, after)
	}
	refuses(p, aggregate.Key)
	refuses(start(t, srv.JetStream(t), balance{}, snapshot.Config{Every: 3}, cfg), aggregate.Key)
	refuses(start(t, srv.JetStream(t), balance{}, snapshot.Config{Every: 1000, FoldVersion: 2}, cfg), aggregate.Key)

	_, err = p.accounts.Do(t.Context(), "1", deposit{10}, aggregate.Key("dodo"))
	require.NoError(t, err, "only what begins with the key and a slash is below it")
	p.deposit(t, "1", 30)
	p.stop(t)
	for _, version := range []int{0, 2} {
		late := start(t, srv.JetStream(t), balance{}, snapshot.Config{Every: 1000, FoldVersion: version}, cfg)
		refuses(late, func(key string) aggregate.Option { return aggregate.KeyIssuedAt(key, issued) })
	}
}

func TestAKeyThatIsTooLongToBeClosedIsRefused(t *testing.T) {
	accounts := repository(t, open(t), nil)
	_, err := accounts.Do(t.Context(), "1", deposit{1}, aggregate.CloseKey(string(make([]byte, 257))))
	require.ErrorContains(t, err, "idempotency key has 257 bytes")
}
