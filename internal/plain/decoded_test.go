package plain_test

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/plain"
)

type Embedded struct{ E uint16 }

func TestANumberThatDoesNotFitIsAnError(t *testing.T) {
	type inner struct{ N int8 }
	type lowerSmall struct{ Small int8 }
	type narrow struct {
		Embedded
		lowerSmall
		A int32 `msgpack:"a"`
		B []uint8
		C map[int16]uint32
		D *inner
		F float32
		G float64
		H [2]int64
		I [3]byte
		J Embedded
		K int8 `msgpack:",alias:old"`
	}
	shape, err := plain.Msgpack.Of(reflect.TypeFor[narrow]())
	require.NoError(t, err)
	for _, c := range []struct {
		stored map[string]any
		want   string
	}{
		{map[string]any{"a": int64(5_000_000_000)}, ".a: 5000000000 does not fit into a int32"},
		{map[string]any{"a": int64(-1 << 31), "E": uint64(1<<16 - 1), "F": 1 << 24, "G": 1 << 53, "D": map[string]any{"N": -128}}, ""},
		{map[string]any{"a": uint64(1<<63 + 1)}, "9223372036854775809 does not fit"},
		{map[string]any{"E": -1}, ".Embedded.E: -1 does not fit into a uint16"},
		{map[string]any{"E": 1 << 16}, ".Embedded.E: 65536 does not fit"},
		{map[string]any{"C": map[int64]int64{1 << 15: 1}}, ".C key: 32768 does not fit into a int16"},
		{map[string]any{"C": map[int64]int64{1: 1 << 32}}, ".C[]: 4294967296 does not fit into a uint32"},
		{map[string]any{"D": map[string]any{"unknown": []any{1 << 40, map[string]any{"N": 1 << 40}}, "N": 128}}, ".D.N: 128 does not fit into a int8"},
		{map[string]any{"F": 1<<24 + 1}, ".F: 16777217 does not fit into a float32"},
		{map[string]any{"G": 1<<53 + 1}, ".G: 9007199254740993 does not fit into a float64"},
		{map[string]any{"H": []any{int64(-1 << 63), uint64(1 << 63)}}, ".H[]: 9223372036854775808 does not fit into a int64"},
		{map[string]any{"D": nil, "B": []byte{255}, "H": []any{uint64(1<<63 - 1), 1}}, ""},
		{map[string]any{"H": []int{1}}, ".H: 1 elements do not fit into a [2]int64"},
		{map[string]any{"H": []int{1, 2, 3}}, ".H: 3 elements do not fit into a [2]int64"},
		{map[string]any{"H": nil, "I": []byte{1, 2, 3}}, ""},
		{map[string]any{"I": []byte{1, 2}}, ".I: 2 elements do not fit into a [3]uint8"},
		{map[string]any{"I": []byte{1, 2, 3, 4}}, ".I: 4 elements do not fit into a [3]uint8"},
		{map[string]any{"J": []int{1}}, ""},
		{map[string]any{"J": []int{}}, ".J: 0 elements do not fit into a plain_test.Embedded"},
		{map[string]any{"J": []int{1 << 16}}, ".J.E: 65536 does not fit into a uint16"},
		{map[string]any{"J": []int{1, 2}}, ".J: 2 elements do not fit"},
		{map[string]any{"old": 1 << 20}, ".K: 1048576 does not fit into a int8"},
		{map[string]any{"Small": 1 << 20}, ".lowerSmall.Small: 1048576 does not fit into a int8"},
	} {
		var data strings.Builder
		enc := msgpack.NewEncoder(&data)
		enc.UseCompactInts(true)
		require.NoError(t, enc.Encode(c.stored))
		var back narrow
		err := shape.Unmarshal([]byte(data.String()), &back)
		if c.want == "" {
			require.NoError(t, err, "%v", c.stored)
			continue
		}
		c.want = strings.Replace(c.want, ".a:", ".A:", 1)
		require.ErrorContains(t, err, c.want)
	}
}

// A type without arrays and small numbers is checked for empty lists only.
func TestAnEmptyListIsNoStruct(t *testing.T) {
	type wide struct{ N int64 }
	for data, value := range map[string]any{
		"\x90": wide{}, "\x81\xa1W\x90": struct{ W *wide }{}, "\x81\xa1W\x81\xa1a\x90": struct{ W map[string]wide }{},
	} {
		shape, err := plain.Msgpack.Of(reflect.TypeOf(value))
		require.NoError(t, err)
		err = shape.Unmarshal([]byte(data), reflect.New(reflect.TypeOf(value)).Interface())
		require.ErrorContains(t, err, ": 0 elements do not fit into a plain_test.wide")
	}
}

func TestWhatJSONWouldRoundOrCutIsAnError(t *testing.T) {
	type narrow struct {
		Embedded
		lower
		F float32 `json:"f"`
		G float64
		Q float64 `json:",string"`
		H [2]int64
		I [3]byte
		M map[string][]float64
		P *[1]float32
		S struct{ G float64 }
		U uuid.UUID
	}
	shape, err := plain.JSON.Of(reflect.TypeFor[narrow]())
	require.NoError(t, err)
	for _, c := range []struct{ stored, want string }{
		{`{"G":9007199254740993}`, ".G: 9007199254740993 does not fit into a float64: give it a type as wide as it was stored with"},
		{`{"g":-9007199254740993}`, ".G: -9007199254740993 does not fit"},
		{`{"\u0047" : 9007199254740993 }`, ".G: 9007199254740993 does not fit"},
		{`{"Q":"9007199254740993"}`, ".Q: 9007199254740993 does not fit"},
		{`{"x":[1,{"G":9007199254740993}],"y":"\"G\":","S":{"G":9007199254740993}}`, ".S.G: 9007199254740993 does not fit"},
		{`{"M":{"a":[1,18446744073709551615]}}`, ".M[][]: 18446744073709551615 does not fit"},
		{`{"G":18446744073709551616, "Q":"1","M":{"G":null,"":[9007199254740992,1e21,0.1000]}}`, ""},
		{`{"G":1152921504606847000,"f":123456790}`, ""}, // as encoding/json writes floats
		{`{"G":1152921504606846976,"f":123456792}`, ""}, // the same floats as integers
		{`{"f":16777217}`, ".F: 16777217 does not fit into a float32"},
		{`{"f":9007199254740993}`, ".F: 9007199254740993 does not fit into a float32"},
		{`{"f":0.1,"P":[16777216]}`, ""},
		{`{"f":0.100000001}`, ""},         // with as many digits as a float32 may need
		{`{"f":0.10000000149011612}`, ""}, // as a float64
		{`{"f":0.30000000000000004}`, ".F: 0.30000000000000004 does not fit into a float32"},
		{`{"f":1e-50}`, ".F: 1e-50 does not fit into a float32"},
		{`{"P":[0.123456789012]}`, ".P[]: 0.123456789012 does not fit into a float32"},
		{`{"H":[1]}`, ".H: 1 elements do not fit into a [2]int64: give it the type that it was stored with, or a slice"},
		{`{"H":[1,2,3]}`, ".H: 3 elements do not fit into a [2]int64"},
		{`{"H":[ ]}`, ".H: 0 elements do not fit into a [2]int64"},
		{`{"H":null,"I":[1,2,3],"P":null}`, ""},
		{`{"I":[1,2]}`, ".I: 2 elements do not fit into a [3]uint8"},
		{`{"P":[1,2]}`, ".P: 2 elements do not fit into a [1]float32"},
		{` { "U" : "7d444840-9dc0-11d1-b245-5ffdce74fad2" , "By" : "a\\" , "E" : 1 } `, ""},
	} {
		var back narrow
		err := shape.Unmarshal([]byte(c.stored), &back)
		if c.want == "" {
			require.NoError(t, err, c.stored)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
}

func TestWhatHasFieldsThatSayNothingComesBack(t *testing.T) {
	at := time.Unix(1, 0).UTC()
	given := based{lower: lower{"anna"}, lowerTimes: lowerTimes{at}, N: 1, cache: map[string]any{"a": 1}}
	for _, format := range []plain.Format{plain.Msgpack, plain.JSON} {
		shape, err := format.Of(reflect.TypeFor[based]())
		require.NoError(t, err)
		data, err := shape.Marshal(&given)
		require.NoError(t, err)
		var back based
		require.NoError(t, shape.Unmarshal(data, &back))
		require.Equal(t, based{lower: given.lower, lowerTimes: given.lowerTimes, N: 1}, back)
	}
	require.Equal(t, plain.Decoded, plain.KeepingOf(reflect.TypeFor[based]()))
}

func TestWhatIsStoredAsAnArrayOrWithoutWhatIsEmptyComesBack(t *testing.T) {
	for _, given := range []any{&arrayed{_msgpack: struct{}{}, lower: lower{"anna"}, N: -5, F: 0.5}, &sparse{_msgpack: struct{}{}, N: 7}} {
		shape, err := plain.Msgpack.Of(reflect.TypeOf(given).Elem())
		require.NoError(t, err)
		data, err := shape.Marshal(given)
		require.NoError(t, err)
		back := reflect.New(reflect.TypeOf(given).Elem()).Interface()
		require.NoError(t, shape.Unmarshal(data, back), "%x", data)
		require.Equal(t, given, back)
	}
	shape, err := plain.Msgpack.Of(reflect.TypeFor[arrayed]())
	require.NoError(t, err)
	require.ErrorContains(t, shape.Unmarshal([]byte{0x93, 0xa1, 'a', 0xcd, 1, 0, 0x01}, new(arrayed)), "arrayed.N: 256 does not fit into a int8")
}

func TestTimesComeBackInUTC(t *testing.T) {
	type times struct {
		T time.Time
		P *time.Time
		L []time.Time
		M map[string]time.Time
		N map[string][]struct{ T time.Time }
		S stamp
	}
	at := time.Unix(1e9, 123456789).In(time.FixedZone("x", 3600))
	given := times{
		T: at, P: &at, L: []time.Time{at}, M: map[string]time.Time{"a": at}, N: map[string][]struct{ T time.Time }{"a": {{at}}}, S: stamp{at},
	}
	utc := at.UTC()
	want := times{
		T: utc, P: &utc, L: []time.Time{utc}, M: map[string]time.Time{"a": utc}, N: map[string][]struct{ T time.Time }{"a": {{utc}}}, S: stamp{utc},
	}
	for _, format := range []plain.Format{plain.Msgpack, plain.JSON} {
		shape, err := format.Of(reflect.TypeFor[times]())
		require.NoError(t, err)
		require.Equal(t, "plain_test.times.T", shape.Elsewhere(reflect.ValueOf(given)))
		data, err := shape.Marshal(&given)
		require.NoError(t, err)
		var back times
		require.NoError(t, shape.Unmarshal(data, &back))
		require.Equal(t, want, back)
		require.Empty(t, shape.Elsewhere(reflect.ValueOf(back)))
	}
}

func TestHowValuesMayBeKept(t *testing.T) {
	type self struct {
		Next *self
		N    int
	}
	for want, values := range map[plain.Keeping][]any{
		plain.Itself: {0, "", struct{ A [2]struct{ B float32 } }{}, money{}},
		plain.Decoded: {time.Time{}, struct{ T [1]time.Time }{}, stamp{}, struct {
			A int `json:"-"`
		}{}, struct {
			A int `msgpack:"-"`
		}{}, forgetful{}},
		plain.DecodedFor: {[]byte{}, map[string]int{}, self{}, struct{ P *int }{}, netip.Addr{}, cents(1), any(hidden{})},
	} {
		for _, value := range values {
			require.Equal(t, want, plain.KeepingOf(reflect.TypeOf(value)), "%T", value)
		}
	}
}
