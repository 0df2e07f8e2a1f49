package saga_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/saga"
)

// brittle panics at what it did not write.
type brittle string

func (b brittle) MarshalText() ([]byte, error) { return []byte(b), nil }
func (b *brittle) UnmarshalText(text []byte) error {
	*b = brittle(text[:1:1]) + brittle(text[1:])
	return nil
}

type brittleData struct{ What brittle }

// The data is decoded on a goroutine of the runner, so a panic would end the process.
func TestDataThatPanicsStopsNobody(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	definition, err := saga.Define("payment", saga.Step("a", func(_ context.Context, _ saga.Call, d brittleData) (brittleData, error) { return d, nil }).NoUndo())
	require.NoError(t, err)
	m, err := saga.Open(t.Context(), b.store, definition, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	run(t, m)
	_, err = m.Start(t.Context(), "good", brittleData{"a"})
	require.NoError(t, err)
	done, err := m.Wait(soon(t), "good")
	require.NoError(t, err)
	require.Equal(t, brittle("a"), done.Data.What)

	_, err = m.Start(t.Context(), "bad", brittleData{})
	require.NoError(t, err)
	_, err = m.Wait(soon(t), "bad")
	require.ErrorContains(t, err, "its data does not decode as saga_test.brittleData: panic: ")
}

// The text of an error may be any bytes. It is written down in the store's codec, which may be JSON.
func TestAnErrorThatIsNoTextIsWrittenDown(t *testing.T) {
	b := openBank(t, eventstoretest.JetStream(t))
	m := open(t, b, define(t, "payment", saga.Step("a", func(_ context.Context, _ saga.Call, p payment) (payment, error) {
		return p, saga.Permanent(errors.New("caf\xe9"))
	}).NoUndo()), nil)
	run(t, m)
	_, err := m.Start(t.Context(), "1", payment{})
	require.NoError(t, err)
	ended, err := m.Wait(soon(t), "1")
	require.NoError(t, err)
	require.Equal(t, saga.StateCompensated, ended.State)
	require.Contains(t, ended.Error, "caf\ufffd")
}
