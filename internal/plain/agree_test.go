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

// AgreedPart stands in a pointer that may be nil.
type AgreedPart struct{ Part int64 }

func TestAFieldThatIsLeftOutWhenItIsZeroCounts(t *testing.T) {
	type noted struct {
		Cents int64
		Note  string `msgpack:",omitempty"`
	}
	type allNoted struct {
		_msgpack struct{} `msgpack:",omitempty"`
		Cents    int64
		Note     string
	}
	type embedding struct {
		Cents int64
		Note  string `msgpack:",omitempty"`
		*AgreedPart
	}
	type unnoted struct{ Cents int64 }
	for name, test := range map[string]struct {
		without, with any
		agree         bool
	}{
		"by its tag":                  {&noted{Cents: 1}, &noted{Cents: 1, Note: "x"}, false},
		"by a tag of the struct":      {&allNoted{_msgpack: struct{}{}, Cents: 1}, &allNoted{Cents: 1, Note: "x"}, false},
		"with its pointer":            {&embedding{Cents: 1}, &embedding{Cents: 1, AgreedPart: &AgreedPart{Part: 2}}, false},
		"not known, but set":          {&unnoted{Cents: 1}, &noted{Cents: 1, Note: "x"}, false},
		"not known, and zero":         {&unnoted{Cents: 1}, &noted{Cents: 1}, true},
		"not known, in a nil pointer": {&unnoted{Cents: 1}, &embedding{Cents: 1}, true},
	} {
		shape, err := plain.Msgpack.Of(reflect.TypeOf(test.with).Elem())
		require.NoError(t, err, name)
		without, with := encodedFor(t, test.without), encodedFor(t, test.with)
		require.Equal(t, test.agree, shape.Agrees(without, with), name)
		if reflect.TypeOf(test.with) == reflect.TypeOf(test.without) {
			require.False(t, shape.Agrees(with, without), name)
		}
	}
	older, err := plain.Msgpack.Of(reflect.TypeFor[unnoted]())
	require.NoError(t, err)
	require.True(t, older.Agrees(encodedFor(t, &noted{Cents: 1, Note: "x"}), encodedFor(t, &unnoted{Cents: 1})))
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
