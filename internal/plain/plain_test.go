package plain_test

import (
	"math"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/plain"
)

type money struct {
	Cents    int64
	Currency string
}

// tree holds trees.
type tree struct {
	Name     string
	Children []tree
}

type everything struct {
	Yes    bool
	Int    int32
	Uint   uint8
	Float  float64
	Text   string
	Bytes  []byte
	Time   time.Time
	Addr   netip.Addr
	Array  [2]int
	Ptr    *money
	Map    map[string]int64
	Nested map[int][]money
	Tree   tree
}

type hidden struct {
	Amounts []struct{ amount int64 }
}

// bytesOnly encodes itself for msgpack and not for JSON.
type bytesOnly struct{ n byte }

func (b bytesOnly) MarshalBinary() ([]byte, error)     { return []byte{b.n}, nil }
func (b *bytesOnly) UnmarshalBinary(data []byte) error { b.n = data[0]; return nil }

func TestWhatACodecWouldLoseIsRefused(t *testing.T) {
	require.NoError(t, plain.Check(reflect.TypeFor[everything]()))
	for _, c := range []struct {
		value any
		want  string
	}{
		{hidden{}, "plain_test.hidden.Amounts[].amount is not exported, so it would be lost: export it, or leave it out with the tag `msgpack:\"-\"`"},
		{struct{ F func() }{}, "struct { F func() }.F is a func, which cannot be stored: use plain data"},
		{struct{ E map[string]any }{}, "E[] is a interface, which cannot be stored"},
		{map[*hidden]bool{}, "key[].Amounts[].amount is not exported"},
		{complex(1, 1), "complex128 is a complex128"},
	} {
		require.ErrorContains(t, plain.Check(reflect.TypeOf(c.value)), c.want)
	}
}

func TestValuesThatSayTheSameAreEqual(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 1, time.UTC)
	for _, pair := range [][2]any{
		{now, now.In(time.FixedZone("x", 3600))},
		{[]byte(nil), []byte{}},
		{tree{Children: []tree{}}, tree{}},
		{map[string]int64{"a": 1, "b": 2}, map[string]int64{"b": 2, "a": 1}},
		{&money{1, "CZK"}, &money{1, "CZK"}},
		{netip.MustParseAddr("::1"), netip.MustParseAddr("::1")},
	} {
		require.True(t, plain.Equal(pair[0], pair[1]), "%v", pair)
	}
	for _, pair := range [][2]any{
		{now, now.Add(1)},
		{map[string]int64{}, map[string]int64(nil)}, // one can be written, the other cannot
		{map[string]int64{"a": 1}, map[string]int64{"a": 2}},
		{&money{}, (*money)(nil)},
		{[]string{"ab", "c"}, []string{"a", "bc"}},
		{[][]int{{1}, {}}, [][]int{{}, {1}}},
		{money{1, "CZK"}, money{1, "EUR"}},
		{hidden{make([]struct{ amount int64 }, 1)}, hidden{make([]struct{ amount int64 }, 1)}}, // cannot be told
	} {
		require.False(t, plain.Equal(pair[0], pair[1]), "%v", pair)
	}
}

type sulky struct{}

func (sulky) MarshalText() ([]byte, error) { panic("no") }
func (*sulky) UnmarshalText([]byte) error  { return nil }

func TestWhatCannotBeSaidIsAnError(t *testing.T) {
	type ring struct{ Next *ring }
	r := new(ring)
	r.Next = r
	_, err := plain.Canonical(r)
	require.ErrorContains(t, err, "nested too deep")
	_, err = plain.Canonical([]sulky{{}})
	require.ErrorContains(t, err, "holds a plain_test.sulky that panics when it is encoded: no")
	_, err = plain.Canonical(nil)
	require.ErrorContains(t, err, "nil")
}

type hiddenBase struct{ By string }

// priced has parts that are compared by methods of pointers, by fields of embedded structs, and not at all.
type priced struct {
	hiddenBase
	Price *big.Int
	Rate  big.Rat
	Log   func() `msgpack:"-"`
	cache any    `msgpack:"-"`
	Link  *url.URL
	_     struct{}
}

type sulkyBase struct{ N int }

func (sulkyBase) MarshalText() ([]byte, error) { panic("no") }
func (*sulkyBase) UnmarshalText([]byte) error  { return nil }

func TestWhatOnlyMethodsAndEmbeddedStructsSayIsCompared(t *testing.T) {
	require.NoError(t, plain.Check(reflect.TypeFor[priced]()))
	require.NoError(t, plain.Check(reflect.TypeFor[bytesOnly]()))
	require.Error(t, plain.Check(reflect.TypeFor[hidden]()))
	require.Error(t, plain.Check(reflect.TypeFor[struct {
		hiddenBase
		sulkyBase
	}]()), "of which the methods cannot be called")
	canonical := func(p priced) string {
		data, err := plain.Canonical(p)
		require.NoError(t, err)
		return string(data)
	}
	base := func() priced { return priced{hiddenBase: hiddenBase{"anna"}, Price: big.NewInt(5)} }
	same := base()
	require.Equal(t, canonical(base()), canonical(same))
	for name, change := range map[string]func(*priced){
		"embedded": func(p *priced) { p.By = "ben" }, "pointer": func(p *priced) { p.Price = big.NewInt(6) },
		"value": func(p *priced) { p.Rate = *big.NewRat(1, 3) }, "nil": func(p *priced) { p.Price = nil },
		"url": func(p *priced) { p.Link = &url.URL{User: url.User("anna")} },
	} {
		changed := base()
		change(&changed)
		require.NotEqual(t, canonical(base()), canonical(changed), name)
	}
	logged := base()
	logged.Log, logged.cache = func() {}, 1
	require.Equal(t, canonical(base()), canonical(logged))
	type before struct {
		hiddenBase
		Price *big.Int
	}
	old, err := plain.Canonical(before{hiddenBase{"anna"}, big.NewInt(5)})
	require.NoError(t, err)
	require.Equal(t, string(old), canonical(base()), "a zero number that was added says nothing")
}

// A number that was computed keeps memory that a number of the zero value has not, and a time has a zone. Neither makes
// another command of a command.
func TestHowAValueCameToBeSaysNothing(t *testing.T) {
	canonical := func(p payment) string {
		data, err := plain.Canonical(p)
		require.NoError(t, err)
		return string(data)
	}
	var computed payment
	computed.Fee.Sub(big.NewInt(1), big.NewInt(1))
	require.Equal(t, canonical(payment{}), canonical(computed))
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	require.Equal(t, canonical(payment{At: stamp{at}}), canonical(payment{At: stamp{at.In(time.FixedZone("", 3600))}}))
	require.NotEqual(t, canonical(payment{}), canonical(payment{Fee: *big.NewInt(1)}))
	require.NotEqual(t, canonical(payment{At: stamp{at}}), canonical(payment{At: stamp{at.Add(1)}}))
}

type payment struct {
	Fee big.Int
	At  stamp
}

// password shows stars, as in a log.
type password string

func (password) MarshalText() ([]byte, error)       { return []byte("***"), nil }
func (p *password) UnmarshalText(text []byte) error { *p = password(text); return nil }

func TestSecretsThatShowStarsAreToldApart(t *testing.T) {
	type login struct{ With password }
	require.False(t, plain.Equal(login{"one"}, login{"two"}))
	require.True(t, plain.Equal(login{"one"}, login{"one"}))
	one, err := plain.Canonical(map[password]int{"one": 1, "two": 1})
	require.NoError(t, err)
	other, err := plain.Canonical(map[password]int{"one": 1, "three": 1})
	require.NoError(t, err)
	require.NotEqual(t, one, other)
}

func TestTheWholeOfAValueHasNothingThatIsNotStored(t *testing.T) {
	base := func() priced { return priced{hiddenBase: hiddenBase{"anna"}, Price: big.NewInt(5)} }
	require.True(t, plain.Equal(base(), base()))
	for name, change := range map[string]func(*priced){
		"embedded": func(p *priced) { p.By = "ben" }, "pointer": func(p *priced) { p.Price = big.NewInt(6) },
		"value": func(p *priced) { p.Rate = *big.NewRat(1, 3) }, "nil": func(p *priced) { p.Price = nil },
	} {
		changed := base()
		change(&changed)
		require.False(t, plain.Equal(base(), changed), name)
	}
	cached := base()
	cached.cache = 1
	_, err := plain.Whole(cached)
	require.ErrorContains(t, err, "priced.cache is not exported")
	logged := base()
	logged.Log = func() {}
	_, err = plain.Whole(logged)
	require.ErrorContains(t, err, "holds a func, which cannot be stored")
}

func TestWhatIsNotStoredSaysNothing(t *testing.T) {
	type request struct {
		Cents int64
		At    time.Time `msgpack:"-"`
	}
	today, tomorrow := request{1, time.Unix(1, 0)}, request{1, time.Unix(2, 0)}
	one, err := plain.Canonical(today)
	require.NoError(t, err)
	other, err := plain.Canonical(tomorrow)
	require.NoError(t, err)
	require.Equal(t, one, other)
	require.False(t, plain.Equal(today, tomorrow), "but it is part of the whole")
}

func TestCanonicalBytesAgreeWithDeepEqual(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) everything {
		few := rapid.IntRange(0, 2)
		e := everything{
			Yes: rapid.Bool().Draw(t, "yes"), Int: int32(few.Draw(t, "int")), Text: rapid.StringN(0, 2, 2).Draw(t, "text"),
			Bytes: []byte(rapid.StringN(1, 2, 2).Draw(t, "bytes")), Float: float64(few.Draw(t, "float")),
			Map:    rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "ab"}), rapid.Int64Range(0, 1), 0, 3).Draw(t, "map"),
			Nested: map[int][]money{few.Draw(t, "key"): {{Cents: int64(few.Draw(t, "cents"))}}},
		}
		if rapid.Bool().Draw(t, "pointer") {
			e.Ptr = &money{Currency: rapid.SampledFrom([]string{"", "CZK"}).Draw(t, "currency")}
		}
		return e
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := value.Draw(t, "a"), value.Draw(t, "b")
		require.Equal(t, reflect.DeepEqual(a, b), plain.Equal(a, b), "%+v %+v", a, b)

		data, err := msgpack.Marshal(a)
		require.NoError(t, err)
		var back everything
		require.NoError(t, msgpack.Unmarshal(data, &back))
		require.True(t, plain.Equal(a, back), "a codec keeps it: %+v %+v", a, back)
	})
}

// Later releases compare hashes with stored ones, so the bytes must stay.
func TestCanonicalBytesStayTheSame(t *testing.T) {
	data, err := plain.Canonical(everything{
		Yes: true, Int: -1, Uint: 2, Float: 0.5, Text: "é", Bytes: []byte{1}, Time: time.Unix(1, 2), Ptr: &money{300, "CZK"},
		Addr: netip.MustParseAddr("10.0.0.1"), Map: map[string]int64{"b": 1, "a": 2}, Tree: tree{Children: []tree{{Name: "x"}}},
	})
	require.NoError(t, err)
	require.Equal(t, "\x19\v\x03Int\x05\x01\x03Map\x15\x03\x18\x01a\x06\x04\x18\x01b\x06\x02\x03Ptr\x16\x01\x19\x02\x05Cents\x06\xd8\x04\bCurrency\x18\x03CZK"+
		"\x03Yes\x01\x01\x04Addr\x19\x04\n\x00\x00\x01\x04Text\x18\x02é\x04Time\x19\x0f\x01\x00\x00\x00\x0ew\x91\xf7\x01\x00\x00\x00\x02\xff\xff"+
		"\x04Tree\x19\x01\bChildren\x17\x01\x19\x01\x04Name\x18\x01x\x04Uint\b\x02\x05Bytes\x17\x01\x01\x05Float\x0e?\xe0\x00\x00\x00\x00\x00\x00", string(data))
}

// due embeds a type that encodes itself, so that a codec sees nothing else.
type due struct {
	time.Time
	Cents int64
}

// lazily embeds a pointer to it.
type lazily struct {
	*time.Time
	Cents int64
}

func TestAValueSaysTheSameAfterItsTypeHasChanged(t *testing.T) {
	canonical := func(v any) string {
		t.Helper()
		data, err := plain.Canonical(v)
		require.NoError(t, err)
		return string(data)
	}
	type before struct {
		Cents int64
		To    string
	}
	type after struct {
		To    string
		Day   time.Time
		Cents int64
		Tags  []string
		Limit *int64
		Rates map[string]float64
		Box   [2]struct{ Width, Height int }
		Addr  netip.Addr
		Fee   money
		Text  string
	}
	old := canonical(before{5, "anna"})
	require.Equal(t, old, canonical(after{Cents: 5, To: "anna"}), "neither new fields nor their order say anything")
	require.Equal(t, old, canonical(after{
		Cents: 5, To: "anna", Day: time.Time{}.In(time.FixedZone("x", 3600)), Tags: []string{}, Rates: map[string]float64{},
	}), "nor do other forms of their zero values")
	for name, changed := range map[string]after{
		"a time": {Day: time.Unix(0, 0)}, "a list": {Tags: []string{""}}, "an entry": {Rates: map[string]float64{"": 0}},
		"a pointer to 0": {Limit: new(int64)}, "an array": {Box: [2]struct{ Width, Height int }{1: {Height: 1}}},
		"what encodes itself": {Addr: netip.IPv4Unspecified()}, "a struct": {Fee: money{Currency: "CZK"}}, "a text": {Text: " "},
		"a negative zero": {Rates: map[string]float64{"": math.Copysign(0, -1)}},
	} {
		changed.Cents, changed.To = 5, "anna"
		require.NotEqual(t, old, canonical(changed), name)
	}

	now := time.Unix(1, 0)
	require.NotEqual(t, canonical(due{now, 1}), canonical(due{now, 2}), "what is beside the embedded time counts")
	require.NotEqual(t, canonical(due{now, 1}), canonical(due{now.Add(1), 1}))
	require.NotEqual(t, canonical(lazily{&now, 1}), canonical(lazily{&now, 2}))
	require.NotEqual(t, canonical(lazily{nil, 1}), canonical(lazily{&now, 1}))
	require.NotEqual(t, canonical(struct{ A, B string }{"x", ""}), canonical(struct{ A, B string }{"", "x"}))
}
