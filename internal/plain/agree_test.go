package plain_test

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/plain"
)

type agreedLine struct {
	Article string
	Count   int64
}

type agreedLineWithNote struct {
	Article string
	Note    string
	Count   int64
}

type agreedOrder struct {
	Lines []agreedLine
	By    map[string]agreedLine
	First *agreedLine
	Rest  string `msgpack:",omitempty"`
}

type agreedOrderNow struct {
	Currency string
	Lines    []agreedLineWithNote
	By       map[string]agreedLineWithNote
	First    *agreedLineWithNote
	Rest     string `msgpack:",omitempty"`
	Tags     map[string]int
}

func encodedFor(t *testing.T, value any) []byte {
	t.Helper()
	shape, err := plain.Msgpack.Of(reflect.TypeOf(value).Elem())
	require.NoError(t, err)
	data, err := shape.Marshal(value)
	require.NoError(t, err)
	return data
}

func TestValuesOfTwoReleasesAgree(t *testing.T) {
	older, err := plain.Msgpack.Of(reflect.TypeFor[agreedOrder]())
	require.NoError(t, err)
	newer, err := plain.Msgpack.Of(reflect.TypeFor[agreedOrderNow]())
	require.NoError(t, err)
	order := func(count int64, by string, rest string) []byte {
		line := agreedLine{"tea", count}
		return encodedFor(t, &agreedOrder{Lines: []agreedLine{line}, By: map[string]agreedLine{by: line}, First: &line, Rest: rest})
	}
	orderNow := func(count int64, by string, rest string) []byte {
		line := agreedLineWithNote{"tea", "hot", count}
		return encodedFor(t, &agreedOrderNow{
			Currency: "EUR", Lines: []agreedLineWithNote{line}, By: map[string]agreedLineWithNote{by: line}, First: &line, Rest: rest,
			Tags: map[string]int{"a": 1},
		})
	}
	require.True(t, newer.Agrees(order(1, "a", ""), orderNow(1, "a", "")), "what is new does not count")
	require.True(t, older.Agrees(orderNow(1, "a", ""), order(1, "a", "")), "nor does what the older release does not know")
	require.True(t, newer.Agrees(orderNow(1, "a", "x"), orderNow(1, "a", "x")))
	for name, other := range map[string][]byte{
		"a number": orderNow(2, "a", ""), "a key": orderNow(1, "b", ""),
		"no value": encodedFor(t, &agreedOrderNow{}), "no encoding": []byte("\xc1"), "another kind": encodedFor(t, new("text")),
	} {
		require.False(t, newer.Agrees(order(1, "a", ""), other), name)
	}
	require.False(t, newer.Agrees(order(1, "a", "x"), orderNow(1, "a", "")), "what is left out is zero")
	require.False(t, newer.Agrees(order(1, "a", "x"), orderNow(1, "a", "y")))
}

func TestCallsOfTheUserAreKnown(t *testing.T) {
	for value, calls := range map[reflect.Type]bool{
		reflect.TypeFor[agreedOrder](): false, reflect.TypeFor[time.Time](): false,
		reflect.TypeFor[netip.Addr](): true, reflect.TypeFor[struct{ At []netip.Addr }](): true,
	} {
		shape, err := plain.Msgpack.Of(value)
		require.NoError(t, err)
		require.Equal(t, calls, shape.Calls(), "%s", value)
	}
}
