package plain_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/proptest"
)

// written are types written by hand, with methods that reflection cannot make. They say how to draw a value,
// and whether two values are equal. If there is no value to draw, the format refuses the type, or the type is
// filled like any other.
var written = []proptest.Written{
	{Type: reflect.TypeFor[stampedText]()},
	{Type: reflect.TypeFor[byPointer]()},
	{Type: reflect.TypeFor[half]()},
	{Type: reflect.TypeFor[generic[int]]()},
	{Type: reflect.TypeFor[mixed](), Draw: func(t *rapid.T) any { return mixed{proptest.Text(t)} }},
	{Type: reflect.TypeFor[secret](), Draw: func(t *rapid.T) any { return secret(proptest.Text(t)) }},
	{Type: reflect.TypeFor[forgetful]()},
	{Type: reflect.TypeFor[lowered](), Draw: func(t *rapid.T) any { return lowered(proptest.Text(t)) }},
	{Type: reflect.TypeFor[Named]()},
	{Type: reflect.TypeFor[both]()},
	{Type: reflect.TypeFor[money]()},
	{Type: reflect.TypeFor[time.Duration]()},
	{Type: reflect.TypeFor[stamp](), Draw: func(t *rapid.T) any { return stamp{proptest.Instant(t)} }, Equal: func(a, b any) bool {
		return a.(stamp).Equal(b.(stamp).Time) && b.(stamp).Location() == time.UTC
	}},
	{Type: reflect.TypeFor[whole](), Draw: func(t *rapid.T) any { return whole{Note: proptest.Text(t)} }},
	{Type: reflect.TypeFor[cents](), Draw: func(t *rapid.T) any { return cents(rapid.Int64().Draw(t, "cents")) }},
	{Type: reflect.TypeFor[level](), Draw: func(t *rapid.T) any { return level(rapid.IntRange(0, 2).Draw(t, "level")) }},
	{Type: reflect.TypeFor[uuid.UUID](), Draw: func(t *rapid.T) any {
		return uuid.UUID([]byte(rapid.StringOfN(rapid.Rune(), 16, -1, 16).Filter(func(s string) bool { return len(s) == 16 }).Draw(t, "uuid")))
	}},
	{Type: reflect.TypeFor[netip.Addr](), Draw: func(t *rapid.T) any {
		return rapid.SampledFrom([]netip.Addr{{}, netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fe80::1%eth0")}).Draw(t, "addr")
	}},
	{Type: reflect.TypeFor[based]()},
	{Type: reflect.TypeFor[arrayed]()},
	{Type: reflect.TypeFor[sparse]()},
	{Type: reflect.TypeFor[url.URL](), Draw: func(t *rapid.T) any {
		return url.URL{Scheme: "http", Host: "a", Path: "/b", User: rapid.SampledFrom([]*url.Userinfo{nil, url.User("a")}).Draw(t, "user")}
	}, Equal: func(a, b any) bool { return reflect.DeepEqual(a, b) }},
	{Type: reflect.TypeFor[big.Float]()},
	{Type: reflect.TypeFor[big.Int](), Draw: func(t *rapid.T) any { return *big.NewInt(rapid.Int64().Draw(t, "big")) }, Equal: func(a, b any) bool {
		one, other := a.(big.Int), b.(big.Int)
		return one.Cmp(&other) == 0
	}},
	{Type: reflect.TypeFor[json.RawMessage](), Draw: func(t *rapid.T) any {
		return json.RawMessage(rapid.SampledFrom([]string{`1`, `{"a":"b"}`, `[null]`}).Draw(t, "raw"))
	}},
}

// embedded are types that a struct may embed. Reflection makes no methods, so they have none.
var embedded = []reflect.Type{
	reflect.TypeFor[Named](), reflect.TypeFor[Titled](), reflect.TypeFor[Percent](), reflect.TypeFor[Optional](),
	reflect.TypeFor[*Named](), reflect.TypeFor[*Percent](), reflect.TypeFor[*Optional](),
}

// types are the types to draw.
var types = proptest.Types{Written: written, Embedded: embedded}

// An accepted value comes back equal, its kept copy is right, and the error of a refused type names a part of
// it.
func TestDrawnTypesAreKeptOrRefused(t *testing.T) {
	proptest.Runs(t, 200)
	accepted, refused, values, unfit := 0, 0, 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		for range proptest.Volume(1, 50) {
			drawn := types.Struct(rt, 3) // as events are
			for _, format := range []plain.Format{plain.Msgpack, plain.JSON} {
				shape, err := format.Of(drawn)
				if err != nil {
					requireNamed(rt, drawn, err)
					refused++
					continue
				}
				accepted++
				for range 3 {
					values++
					if !tryValue(rt, shape, format, drawn) {
						unfit++
					}
				}
			}
		}
	})
	t.Logf("%d types accepted, %d refused; of %d values %d refused", accepted, refused, values, unfit)
}

// tryValue draws a value of an accepted type, and reports whether the value was accepted as well.
func tryValue(rt *rapid.T, shape *plain.Shape, format plain.Format, drawn reflect.Type) bool {
	given := reflect.New(drawn)
	types.Fill(rt, given.Elem(), 4)
	data, err := shape.Marshal(given.Interface())
	if err != nil {
		requireNamed(rt, drawn, err)
		return false
	}
	live, replayed := reflect.New(drawn), reflect.New(drawn)
	require.NoError(rt, shape.Unmarshal(data, live.Interface()), "%s %s: %v: %s", format, drawn, given.Elem(), data)
	require.NoError(rt, shape.Unmarshal(data, replayed.Interface()))
	require.Empty(rt, types.Lost(given.Elem(), live.Elem(), string(format), drawn.String()), "%s: %#v: %s", format, given.Elem(), data)
	again, err := shape.Marshal(live.Interface())
	require.NoError(rt, err, "what was stored can be stored again")
	third := reflect.New(drawn)
	require.NoError(rt, shape.Unmarshal(again, third.Interface()))
	require.Empty(rt, types.Lost(live.Elem(), third.Elem(), string(format), drawn.String()))
	if plain.KeepingOf(drawn) == plain.Itself {
		require.Equal(rt, fmt.Sprintf("%#v", replayed.Elem()), fmt.Sprintf("%#v", given.Elem()), "it is kept as it is")
	}
	return true
}

// requireNamed requires an error to say which part of a type it is about.
func requireNamed(rt *rapid.T, drawn reflect.Type, err error) {
	where, found := strings.CutPrefix(err.Error(), drawn.String())
	require.True(rt, found, "%s: %v", drawn, err)
	if drawn.Name() != "" || drawn.Kind() != reflect.Struct {
		return
	}
	for f := range drawn.Fields() {
		if strings.HasPrefix(where, "."+f.Name) {
			return
		}
	}
	rt.Fatalf("%s: no field is named by: %v", drawn, err)
}
