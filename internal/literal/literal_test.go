package literal_test

import (
	"go/parser"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/literal"
)

const here = "github.com/runnel-go/runnel/internal/literal_test"

type (
	amount     int64
	name       string
	ratio      float64
	on         bool
	bytes      []byte
	generic    struct{ Box box[amount] }
	box[T any] struct{ In T }
	inner      struct{ A, B amount }
	outer      struct {
		Name   name
		Inner  inner
		List   []inner
		Mixed  []any
		Pair   [2]amount
		Named  map[string]inner
		Next   *outer
		Count  *amount
		At     time.Time
		hidden time.Time
		Do     func()
	}
)

func TestValuesAreWrittenAsGo(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 30, 0, 5, time.FixedZone("x", 3600))
	five := amount(5)
	endless := &outer{}
	endless.Next = endless
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "nil"},
		{5, "5"}, {int64(5), "int64(5)"}, {amount(-5), "amount(-5)"}, {uint8(5), "uint8(5)"},
		{"a\n", `"a\n"`}, {name("a"), `name("a")`}, {true, "true"}, {on(true), "on(true)"},
		{1.5, "1.5"}, {2.0, "2.0"}, {ratio(2), "ratio(2.0)"}, {float32(0.5), "float32(0.5)"}, {1e300, "1e+300"},
		{math.NaN(), "math.NaN()"}, {math.Inf(-1), "math.Inf(-1)"}, {math.Copysign(0, -1), "math.Copysign(0, -1)"}, {ratio(math.Inf(1)), "ratio(math.Inf(1))"},
		{complex(1, 2), "(1+2i)"},
		{[]byte("a"), `[]uint8("a")`}, {bytes("a"), `bytes("a")`}, {[]amount(nil), "[]amount(nil)"}, {map[string]int(nil), "map[string]int(nil)"},
		{inner{}, "inner{}"}, {inner{A: 1}, "inner{A: 1}"}, {&inner{A: 1}, "&inner{A: 1}"}, {&five, "new(amount(5))"}, {(*inner)(nil), "(*inner)(nil)"},
		{[]inner{{A: 1}, {}}, "[]inner{{A: 1}, {}}"}, {[]any{inner{A: 1}, five, nil}, "[]any{inner{A: 1}, amount(5), nil}"},
		{map[name]amount{"b": 2, "a": 1}, `map[name]amount{"a": 1, "b": 2}`}, {[2]amount{1, 2}, "[2]amount{1, 2}"},
		{generic{box[amount]{5}}, "generic{Box: box[amount]{In: 5}}"},
		{at, "time.Date(2026, 1, 31, 11, 30, 0, 5, time.UTC)"}, {time.Time{}, "time.Time{}"}, {time.Second, "time.Duration(1000000000)"},
		{outer{Name: "n", Inner: inner{B: 2}, List: []inner{}, Mixed: []any{1}, Named: map[string]inner{}, Count: &five, At: at},
			`outer{Name: "n", Inner: inner{B: 2}, Mixed: []any{1}, Named: map[string]inner{}, Count: new(amount(5)), At: time.Date(2026, 1, 31, 11, 30, 0, 5, time.UTC)}`},
		{outer{Next: &outer{Pair: [2]amount{1, 0}}}, "outer{Next: &outer{Pair: [2]amount{1, 0}}}"},
		{outer{hidden: time.Unix(0, 0)}, "outer{hidden: time.Time{wall: 0x0, ext: 62135596800}}"},
		{outer{Do: func() {}}, "outer{Do: nil /* a func */}"}, {(func())(nil), "nil"},
	} {
		got := literal.Writer{Local: here}.Line(c.value)
		require.Equal(t, strings.ReplaceAll(c.want, "any{", "interface {}{"), got)
		_, err := parser.ParseExpr(got)
		require.NoError(t, err, got)
	}
	require.Contains(t, literal.Writer{}.Line(endless), "nil /* nested too deep */")
}

func TestForeignTypesAreQualified(t *testing.T) {
	require.Equal(t, "literal_test.generic{Box: literal_test.box[literal_test.amount]{In: 5}}", literal.Writer{}.Line(generic{box[amount]{5}}))
	require.Equal(t, "literal.Writer{}", literal.Writer{Local: here}.Line(literal.Writer{}))
}

func TestWhatIsLongIsDividedIntoLines(t *testing.T) {
	long := strings.Repeat("x", 60)
	w := literal.Writer{Local: here}
	require.Equal(t, "inner{A: 1}", w.Lines(inner{A: 1}))
	require.Equal(t, `outer{
	Name: "`+long+`",
	Mixed: []interface {}{1, "`+long+`"},
}`, w.Lines(outer{Name: name(long), Mixed: []any{1, long}}))
	require.Equal(t, `&outer{
	Named: map[string]inner{
		"a`+long+`": {A: 1},
		"b`+long+`": {},
	},
}`, w.Lines(&outer{Named: map[string]inner{"a" + long: {A: 1}, "b" + long: {}}}))
	require.Equal(t, `"`+long+long+`"`, w.Lines(long+long))
}

// Two values with the same line are the same.
func TestLinesTellValuesApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) outer {
			n := rapid.Int64Range(-1, 1)
			one := func() inner { return inner{amount(n.Draw(t, label)), amount(n.Draw(t, label))} }
			o := outer{Name: name(rapid.StringOfN(rapid.RuneFrom([]rune(`a",{} `)), 0, 3, -1).Draw(t, label)), Inner: one()}
			for range rapid.IntRange(0, 2).Draw(t, label) {
				o.List = append(o.List, one())
			}
			return o
		}
		a, b := draw("a"), draw("b")
		w := literal.Writer{}
		require.Equal(t, w.Line(a) == w.Line(b), w.Lines(a) == w.Lines(b))
		if w.Line(a) == w.Line(b) {
			require.Equal(t, a, b)
		}
	})
}

func TestDifferencesAreShown(t *testing.T) {
	require.Empty(t, literal.Diff("a\nb", "a\nb"))
	require.Equal(t, "  a\n- b\n+ x\n  c\n+ d", literal.Diff("a\nb\nc", "a\nx\nc\nd"))
	require.Equal(t, "- a\n+ ", literal.Diff("a", ""))
	require.Equal(t, "- a\n  b", literal.Diff("a\nb", "b"))
}
