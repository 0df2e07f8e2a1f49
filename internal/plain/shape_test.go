package plain_test

import (
	"encoding/json"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"github.com/runnel-go/runnel/internal/plain"
)

// Each of these has one way of its own to encode itself.
type (
	stampedText struct {
		time.Time
		Note string
	}
	stamp       struct{ time.Time }
	byPointer   struct{ *big.Int }
	TextCodec   interface{ MarshalText() ([]byte, error) }
	byInterface struct {
		TextCodec
		N int
	}
	// half declares one method of a pair, and owes the other to the time that it embeds.
	half struct {
		time.Time
		Note string
	}
	generic[T any] struct {
		time.Time
		V T
	}
)

func (h half) MarshalJSON() ([]byte, error) { return json.Marshal(h.Note) }

// whole declares all methods that the formats ask for, so that the embedded time is not asked.
type whole struct {
	time.Time
	Note string
}

func (w whole) MarshalJSON() ([]byte, error)     { return json.Marshal(w.Note) }
func (w *whole) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &w.Note) }
func (w whole) EncodeMsgpack(e *msgpack.Encoder) error {
	return e.EncodeString(w.Note)
}
func (w *whole) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	w.Note, err = d.DecodeString()
	return err
}

// cents encodes itself by methods of its pointer.
type cents int64

func (c *cents) MarshalText() ([]byte, error) { return fmt.Append(nil, int64(*c), "c"), nil }
func (c *cents) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%dc", (*int64)(c))
	return err
}

// mixed writes text and reads bytes.
type mixed struct{ Text string }

func (m mixed) MarshalText() ([]byte, error)       { return []byte(m.Text), nil }
func (m *mixed) UnmarshalText(text []byte) error   { m.Text = string(text); return nil }
func (m *mixed) MarshalBinary() ([]byte, error)    { return []byte("b" + m.Text), nil }
func (m *mixed) UnmarshalBinary(data []byte) error { m.Text = string(data[1:]); return nil }

// secret is written as three stars, and reads any text.
type secret string

func (secret) MarshalText() ([]byte, error) { return []byte("***"), nil }

// level reads only the names that it knows, and is written as a number.
type level int

func (l *level) UnmarshalText(text []byte) error {
	return fmt.Errorf("%s is no level", text)
}

func (l *level) UnmarshalJSON(data []byte) error {
	if n, err := strconv.Atoi(strings.Trim(string(data), `"`)); err == nil && n < 3 { // a key has quotes
		*l = level(n)
		return nil
	}
	return fmt.Errorf("%s is no level", data)
}

// forgetful reads nothing.
type forgetful struct{ N int }

func (*forgetful) UnmarshalJSON([]byte) error             { return nil }
func (*forgetful) DecodeMsgpack(d *msgpack.Decoder) error { return d.Skip() }

// lowered is the key of a map that encoding/json writes as it is, and reads by its method.
type lowered string

func (l lowered) MarshalText() ([]byte, error)     { return []byte("<" + l), nil }
func (l *lowered) UnmarshalText(text []byte) error { *l = lowered(text[1:]); return nil }

type (
	Named  struct{ Name, City string }
	Titled struct{ Name, Title string }
	both   struct {
		Named
		Titled
	}
	Percent struct{ Of int64 }
	// Home and Work have a value of which no sample is known.
	Home    struct{ Addr netip.Addr }
	Work    struct{ Addr netip.Addr }
	Renamed struct {
		Addr netip.Addr `msgpack:"addr,alias:home"`
	}
	twoAddresses struct {
		Home
		Work
	}
	// Counted says through its pointer whether it is zero.
	Counted struct{ N int }
	noted   struct {
		Counted
		Note string
	}
	Optional struct {
		Of int64 `json:",omitempty" msgpack:",omitempty"`
	}
)

func (c *Counted) IsZero() bool { return c.N == 0 }

// These are embedded, and not exported.
type (
	lower       struct{ By string }
	lowerTimes  struct{ At time.Time }
	lowerText   string
	lowerHidden struct{ n int }
	lowerRate   struct {
		Name string
		Rate float64
	}
)

// based has fields of unexported embedded structs, and fields that cannot hold anything.
type based struct {
	lower
	lowerTimes
	N     int8
	_     struct{}
	_     int
	_     [0]func()
	cache map[string]any `json:"-" msgpack:"-"`
}

// arrayed is stored as an array.
type arrayed struct {
	_msgpack struct{} `msgpack:",as_array"`
	lower
	N int8
	F float32
}

// sparse leaves out empty fields.
type sparse struct {
	_msgpack struct{} `msgpack:",omitempty"`
	lower    `json:"base"`
	N        int8
	L        []int
	T        *time.Time
}

// lossy is a value of a type of which a format would lose something.
type lossy struct {
	value   any
	msgpack string // the text of the error, or "-" for none
	json    string
}

func requireRefused(t *testing.T, values []lossy) {
	t.Helper()
	for _, c := range values {
		for format, want := range map[plain.Format]string{plain.Msgpack: c.msgpack, plain.JSON: c.json} {
			_, err := format.Of(reflect.TypeOf(c.value))
			if want == "-" {
				require.NoError(t, err, "%s %T", format, c.value)
				continue
			}
			require.ErrorContains(t, err, want, "%s %T", format, c.value)
		}
	}
}

func TestWhatAFormatWouldLoseIsRefused(t *testing.T) {
	requireRefused(t, []lossy{
		{stampedText{}, "stampedText.Note would be lost: plain_test.stampedText is encoded or decoded by a method of the embedded Time", "stampedText.Note"},
		{generic[string]{}, "].V would be lost", "].V would be lost"},
		{[]map[string]stampedText{}, "[][].Note would be lost", "[][].Note would be lost"},
		{byPointer{}, "byPointer.Int would be lost", "byPointer.Int would be lost"},
		{byInterface{}, "byInterface.N would be lost", "byInterface.N would be lost"},
		{half{}, "half.Note would be lost", "half.Note would be lost"},
		{struct {
			time.Time
			N int
		}{}, ".N would be lost", ".N would be lost"},
		{struct{ M map[string]cents }{}, "M[]: plain_test.cents encodes itself by a method of its pointer", "M[]: plain_test.cents encodes itself"},
		{struct{ M map[cents]int }{}, "M key: plain_test.cents encodes itself", "M key: plain_test.cents encodes itself"},
		{struct{ M map[string][2]cents }{}, "M[][]: plain_test.cents encodes itself", "M[][]: plain_test.cents encodes itself"},
		{struct{ M mixed }{}, ".M: plain_test.mixed encodes itself in one way and is decoded in another", "-"},
		{struct{ S secret }{}, ".S comes back as another value when msgpack has stored it", ".S comes back as another value when json has stored it"},
		{struct{ F forgetful }{}, ".F.N comes back as another value", ".F.N comes back as another value"},
		{struct{ M map[lowered]int }{}, "-", ".M key comes back as another"},
		{struct {
			N noted `json:",omitzero" msgpack:",omitempty"`
		}{}, "-", ".N is left out, with its Note, if the embedded Counted is zero"},
		{struct {
			*Percent
			Item string
		}{}, ".Percent comes back as not nil", "-"},
		{struct{ *Optional }{}, ".Optional comes back as nil", ".Optional comes back as nil"},
		{struct{ P **int }{}, ".P points to a ptr, and comes back as nil if that is nil", ".P points to a ptr"},
		{struct{ P *[]string }{}, ".P points to a slice", ".P points to a slice"},
		{struct{ P *map[string]int }{}, ".P points to a map", ".P points to a map"},
		{struct{ M map[time.Time]int }{}, ".M key is a time", ".M key is a time"},
		{struct {
			M map[struct {
				A string `json:"-" msgpack:"-"`
			}]int
		}{}, ".M key.A is left out, and two keys", ".M key.A is left out"},
		{struct{ M map[float64]int }{}, ".M key is a float64", ".M key is a float64"},
		{struct{ M map[*int]int }{}, ".M key is a pointer", ".M key is a pointer"},
		{struct{ M map[[1]int]int }{}, "-", ".M cannot be stored as json"},
		{struct{ M map[string][2]level }{}, ".M[][]: plain_test.level is decoded by a method that takes text or bytes, but not encoded as such", "-"},
		{struct{ U []url.Userinfo }{}, ".U[].username is not exported, so it would be lost: export it, or leave it out with the tag `msgpack:\"-\"`", ".U[].username is not exported"},
		{struct{ *lower }{}, ".lower is an embedded pointer to a type that is not exported, so nothing can set it", ".lower is an embedded pointer"},
		{struct{ lowerText }{}, ".lowerText is not exported", ".lowerText is not exported"},
		{struct{ lowerHidden }{lowerHidden{n: 1}}, ".lowerHidden.n is not exported", ".lowerHidden.n is not exported"},
		{struct{ F *big.Float }{}, ".F[] is a big.Float, which comes back with 64 bits of precision", ".F[] is a big.Float"},
		{struct {
			a int `json:"-"`
			b int `msgpack:"-"`
		}{}, ".a is not exported", ".b is not exported"},
		{struct {
			A netip.Addr `json:",omitzero" msgpack:",omitempty"`
		}{}, ".A would be left out: msgpack takes a netip.Addr, which encodes itself, for empty", "-"},
		{struct {
			W whole `json:",omitzero" msgpack:",omitempty"`
		}{}, ".W is left out, with its Note, if the embedded Time is zero", ".W is left out, with its Note"},
		{json.Number(""), "-", "json.Number comes back as another value"},
		{struct{ M map[string][2]secret }{}, "comes back as another value", "comes back as another value"},
		{struct{ A []any }{}, "A[] is a interface", "A[] is a interface"},
		{hidden{}, "Amounts[].amount is not exported", "Amounts[].amount is not exported"},
	})
}

func TestFieldsOfOneNameAreRefused(t *testing.T) {
	// Vet refuses to compile it.
	twice := reflect.Zero(reflect.StructOf([]reflect.StructField{
		{Name: "A", Type: reflect.TypeFor[string](), Tag: `json:"x" msgpack:"x"`},
		{Name: "B", Type: reflect.TypeFor[string](), Tag: `json:"x" msgpack:"x"`},
	})).Interface()
	requireRefused(t, []lossy{
		{twice, `.B are both stored as "x": give each a name of its own`, `.B are both stored as "x"`},
		{both{}, "-", `both.Named.Name and plain_test.both.Titled.Name are both stored as "Name"`},
		{twoAddresses{}, "-", `.Home.Addr and plain_test.twoAddresses.Work.Addr are both stored as "Addr"`},
		{struct {
			Home
			Addr netip.Addr
		}{}, `.Home.Addr and struct { plain_test.Home; Addr netip.Addr }.Addr are both stored as "Addr"`, `.Addr are both stored as "Addr"`},
		{struct {
			Addr netip.Addr
			Home `msgpack:",inline"`
		}{}, `.Home.Addr are both stored as "Addr"`, `.Home.Addr are both stored as "Addr"`},
		{struct {
			Addr netip.Addr `msgpack:"home"`
			Next netip.Addr `msgpack:"next,alias:home"`
		}{}, `.Next has the alias "home", under which`, "-"},
		{struct{ Renamed }{}, `.Renamed.Addr is not read under its alias "home"`, "-"},
		{struct {
			Long [400]int
			Named
			Titled
		}{}, "-", `.Titled.Name are both stored as "Name"`},
	})
}

func TestWhatAFormatKeepsIsAccepted(t *testing.T) {
	type recursive struct {
		Name     string
		Children []recursive
		Next     *recursive
		Named    map[string]*recursive
	}
	type tagged struct {
		At    *time.Time     `json:"at,omitzero" msgpack:"at,omitempty"`
		Tags  []string       `json:",omitempty" msgpack:",omitempty"`
		Rates map[string]int `json:",omitempty" msgpack:",omitempty"`
		Wide  int64          `json:",string"`
		Cache any            `json:"-" msgpack:"-"`
	}
	for _, value := range []any{
		everything{}, recursive{}, tagged{}, stamp{}, struct{ S *stamp }{}, whole{}, uuid.UUID{}, netip.Addr{}, big.Int{}, &big.Int{},
		struct{ C cents }{}, struct{ C []cents }{}, struct{ C map[string]*cents }{}, struct{ C map[string][]cents }{}, []byte{}, [0]int{},
		based{}, arrayed{}, sparse{}, []map[string]based{}, url.URL{}, struct{ U map[string]*url.URL }{}, struct{ R *big.Rat }{},
		map[netip.Addr]int{}, map[uuid.UUID]string{}, map[string]json.RawMessage{}, 0, "", 1.5,
	} {
		for _, format := range []plain.Format{plain.Msgpack, plain.JSON} {
			_, err := format.Of(reflect.TypeOf(value))
			require.NoError(t, err, "%s %T", format, value)
		}
	}
}

// Values of an old release are read, whatever it lost when it wrote them.
func TestWhatIsOnlyReadMayHaveLostSomething(t *testing.T) {
	_, err := plain.Msgpack.Written(reflect.TypeFor[struct{ *Percent }]())
	require.NoError(t, err)
	_, err = plain.Msgpack.Written(reflect.TypeFor[hidden]())
	require.ErrorContains(t, err, "not exported")
}

func TestAValueThatAFormatCannotHoldIsRefused(t *testing.T) {
	type list struct{ Next []list }
	deep := list{}
	for range 70 {
		deep = list{Next: []list{deep}}
	}
	ring := list{Next: make([]list, 1)}
	ring.Next[0] = ring
	ring.Next[0].Next = ring.Next // holds itself
	old := time.Date(1850, 1, 1, 0, 0, 0, 0, time.FixedZone("LMT", 57*60+44))
	zero := time.Time{}
	type optional struct {
		At *time.Time `msgpack:",omitempty" json:",omitzero"`
	}
	for name, c := range map[string]struct {
		value         any
		msgpack, json string
	}{
		"text":     {struct{ A []string }{[]string{"a", "caf\xe9"}}, "-", ".A[] holds text that is not UTF-8, which JSON cannot hold"},
		"keys":     {struct{ M map[string]int }{map[string]int{"\xf8": 1, "\xe1": 2}}, "-", ".M holds text that is not UTF-8"},
		"own text": {struct{ M mixedText }{"\xe9"}, "-", ".M holds text that is not UTF-8"},
		"raw":      {struct{ R raw }{"\xe9"}, "-", ".R holds text that is not UTF-8"},
		"NaN":      {struct{ M map[string]float64 }{map[string]float64{"a": nan()}}, "-", ".M[]: json: unsupported value: NaN"},
		"far away": {struct{ T []time.Time }{[]time.Time{time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}}, "-", ".T[] is a time outside of the years 0 to 9999"},
		"seconds":  {struct{ T *time.Time }{&old}, "-", ".T is a time in a zone that is some seconds off a full minute"},
		"deep":     {deep, ".Next[].Next[].Next[]", "-"},
		"ring":     {ring, "is nested too deep to be stored", "json: unsupported value: encountered a cycle"},
		"far off":  {struct{ T []time.Time }{[]time.Time{time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 24*3600))}}, "-", ".T[]: json"},
		"zero":     {optional{&zero}, ".At points to a zero value, which its tag leaves out", ".At points to a zero value"},
		"nil":      {struct{ M map[string]*maybe }{map[string]*maybe{"a": {}}}, ".M[] points to a value that encodes itself as nil", ".M[] points to a value"},
		"not nil":  {struct{ M []*maybe }{[]*maybe{{5}, nil}}, "-", "-"},
		"no link":  {struct{ U *url.URL }{&url.URL{}}, ".U points to a value that encodes itself as nil", "-"},
		"user":     {struct{ U []*url.URL }{[]*url.URL{{User: url.User("anna")}}}, "-", ".U[].User is the user of a URL, which JSON loses"},
		"inner":    {struct{ lowerTimes }{lowerTimes{time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC)}}, "-", ".lowerTimes.At is a time outside"},
		"base":     {struct{ lowerRate }{lowerRate{"", nan()}}, "-", ".lowerRate.Rate: json: unsupported value: NaN"},
		"panics":   {struct{ S bold }{}, ".S: panic: no", ".S: panic: no"},
		"two":      {struct{ C chatty }{chatty{1}}, "a type in it that encodes itself must write one value: malformed msgpack: 1 bytes after the value", "-"},
		"none":     {struct{ C []chatty }{[]chatty{{-1}}}, "must write one value: malformed msgpack", "-"},

		"a replacement character of the text itself": {"caf\ufffd", "-", "-"},
		"what looks like one":                        {`\ufffd \\ufffd`, "-", "-"},
	} {
		t.Run(name, func(t *testing.T) {
			for format, want := range map[plain.Format]string{plain.Msgpack: c.msgpack, plain.JSON: c.json} {
				shape, err := format.Of(reflect.TypeOf(c.value))
				require.NoError(t, err)
				pointer := reflect.New(reflect.TypeOf(c.value))
				pointer.Elem().Set(reflect.ValueOf(c.value))
				data, err := shape.Marshal(pointer.Interface())
				if want != "-" {
					require.ErrorContains(t, err, want, format)
					continue
				}
				require.NoError(t, err, format)
				back := reflect.New(reflect.TypeOf(c.value))
				require.NoError(t, shape.Unmarshal(data, back.Interface()))
				// NaN is not equal to itself, and the times are in UTC now.
				if name != "NaN" && name != "base" && name != "seconds" && name != "far off" {
					require.Equal(t, pointer.Elem().Interface(), back.Elem().Interface())
				}
			}
		})
	}
}

// chatty writes one value, and as many more.
type chatty struct{ More int }

func (c chatty) EncodeMsgpack(e *msgpack.Encoder) error {
	for range c.More + 1 {
		if err := e.EncodeInt(int64(c.More)); err != nil {
			return err
		}
	}
	return nil
}

func (c *chatty) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	c.More, err = d.DecodeInt()
	return err
}

// maybe encodes itself as nil if it has no number.
type maybe struct{ N int }

func (m maybe) MarshalJSON() ([]byte, error) {
	if m.N == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(m.N)
}
func (m *maybe) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, &m.N) }

func (m maybe) EncodeMsgpack(e *msgpack.Encoder) error {
	if m.N == 0 {
		return e.EncodeNil()
	}
	return e.EncodeInt(int64(m.N))
}

func (m *maybe) DecodeMsgpack(d *msgpack.Decoder) (err error) {
	m.N, err = d.DecodeInt()
	return err
}

func nan() float64 { zero := 0.0; return zero / zero }

type mixedText string

func (m mixedText) MarshalText() ([]byte, error)     { return []byte(m), nil }
func (m *mixedText) UnmarshalText(text []byte) error { *m = mixedText(text); return nil }

type raw string

func (r raw) MarshalJSON() ([]byte, error)     { return []byte(`"` + r + `"`), nil }
func (r *raw) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*string)(r)) }

type bold struct{}

func (bold) MarshalText() ([]byte, error) { panic("no") }
func (*bold) UnmarshalText([]byte) error  { return nil }
