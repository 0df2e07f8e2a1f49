package money_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/examples/bank/money"
)

func ExampleParse() {
	amount, err := money.Parse("12.5")
	fmt.Println(amount, err)
	_, err = money.Parse("12.505")
	fmt.Println(err)
	// Output:
	// 12.50 <nil>
	// money: "12.505": an amount is digits with at most two decimals, such as "12.50"
}

func TestParseIsExact(t *testing.T) {
	for text, want := range map[string]money.Amount{
		"0": 0, "-0": 0, "0.00": 0, "1": 100, "1.5": 150, "1.05": 105, "-0.05": -5, "007": 700,
		"92233720368547758.07": math.MaxInt64, "-92233720368547758.08": math.MinInt64,
	} {
		got, err := money.Parse(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

func TestParseRefusesWhatItCannotHold(t *testing.T) {
	for _, text := range []string{
		"", "-", ".", "1.", ".5", "1.234", "+1", "1e3", " 1", "1 ", "1,50", "0x10", "1.-5", "--1", "1.5.0", "NaN", "1_000", "\u0661",
	} {
		_, err := money.Parse(text)
		require.ErrorIs(t, err, money.ErrSyntax, text)
	}
	for _, text := range []string{"92233720368547758.08", "-92233720368547758.09", "99999999999999999999"} {
		_, err := money.Parse(text)
		require.ErrorIs(t, err, money.ErrRange, text)
	}
}

func TestJSONHoldsAmountsAsStringsOnly(t *testing.T) {
	text, err := json.Marshal(money.Amount(1250))
	require.NoError(t, err)
	require.Equal(t, `"12.50"`, string(text))

	var amount money.Amount
	require.Error(t, json.Unmarshal([]byte(`12.5`), &amount))
	require.NoError(t, json.Unmarshal(text, &amount))
	require.Equal(t, money.Amount(1250), amount)
}

func TestEveryAmountSurvivesItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := money.Amount(rapid.Int64().Draw(t, "amount"))
		got, err := money.Parse(amount.String())
		require.NoError(t, err)
		require.Equal(t, amount, got)
	})
}

func TestSumsAreRightOrSaySo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		sum, ok := money.Amount(a).Add(money.Amount(b))
		exact := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		require.Equal(t, exact.IsInt64(), ok)
		if ok {
			require.Equal(t, exact.Int64(), int64(sum))
		}
		difference, ok := money.Amount(a).Sub(money.Amount(b))
		exact.Sub(big.NewInt(a), big.NewInt(b))
		require.Equal(t, exact.IsInt64(), ok)
		if ok {
			require.Equal(t, exact.Int64(), int64(difference))
		}
	})
}

func TestAbsHasNoSign(t *testing.T) {
	for amount, want := range map[money.Amount]money.Amount{5: 5, -5: 5, 0: 0, math.MinInt64: math.MaxInt64} {
		require.Equal(t, want, amount.Abs())
	}
}

// Each text that Parse accepts has the same value after it is printed and parsed again. Big rational numbers agree.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"0", "12.50", "-0.05", "92233720368547758.07", "1e9", "1.", "--1", "٣"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		amount, err := money.Parse(text)
		if err != nil {
			return
		}
		again, err := money.Parse(amount.String())
		require.NoError(t, err)
		require.Equal(t, amount, again)
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok, "%q is no number", text)
		require.Zero(t, exact.Cmp(big.NewRat(int64(amount), 100)), "%q became %s", text, amount)
	})
}
