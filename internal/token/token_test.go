package token_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/internal/token"
)

// safe is what a token may hold: legal in a subject and in a KV key, and nothing that a server treats specially.
var (
	safe    = regexp.MustCompile(`^[A-Za-z0-9_=-]+$`)
	safeKey = regexp.MustCompile(`^[A-Za-z0-9_=-]+(\.[A-Za-z0-9_=-]+)*$`)
)

func TestEncode(t *testing.T) {
	for _, test := range []struct{ name, id, want string }{
		{"plain ids stay", "Order_42-b", "Order_42-b"},
		{"the star is no wildcard", "*", "=2A"},
		{"the full wildcard is none", ">", "=3E"},
		{"a dot makes no second token", "a.b", "a=2Eb"},
		{"DEL, which defeats the server's expectation", "\x7f", "=7F"},
		{"CRLF smuggles no protocol line", "a\r\nPUB x 0", "a=0D=0APUB=20x=200"},
		{"blanks", " a\t", "=20a=09"},
		{"the escape itself", "a=41", "a=3D41"},
		{"an e-mail address", "anna@example.com", "anna=40example=2Ecom"},
		{"NUL", "\x00", "=00"},
		{"the longest plain id", strings.Repeat("x", 256), strings.Repeat("x", 256)},
		{"where escapes are longer than base64", strings.Repeat("é", 128), "==" + strings.Repeat("w6nDqcOp", 42) + "w6nDqQ"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := token.Encode(test.id)
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			back, err := token.Decode(got)
			require.NoError(t, err)
			require.Equal(t, test.id, back)
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, id := range map[string]string{
		"an empty id":   "",
		"257 bytes":     strings.Repeat("x", 257),
		"invalid UTF-8": "a\xff",
	} {
		_, err := token.Encode(id)
		require.ErrorIs(t, err, token.ErrInvalid, name)
	}
}

func TestDecodeRefusesWhatEncodeDoesNotGive(t *testing.T) {
	for _, tok := range []string{"", "=41", "=4", "=", "=zz", "=2a", "a.b", "==", "==YQ", "==YQ==", "a b", "==!!"} {
		_, err := token.Decode(tok)
		require.ErrorIs(t, err, token.ErrInvalid, "%q", tok)
	}
}

func TestKeys(t *testing.T) {
	for key, want := range map[string]string{
		"42.7":   "42.7",
		"a..b":   "a.=.b",
		".":      "=.=",
		"a b.*":  "a=20b.=2A",
		"=.b":    "=3D.b",
		"x.\x7f": "x.=7F",
	} {
		got, err := token.EncodeKey(key)
		require.NoError(t, err)
		require.Equal(t, want, got)
		back, err := token.DecodeKey(got)
		require.NoError(t, err)
		require.Equal(t, key, back)
	}
}

func TestCheckName(t *testing.T) {
	require.NoError(t, token.CheckName("bank-2_b"))
	for _, name := range []string{"", "a.b", "*", "a b", "é", strings.Repeat("x", 65)} {
		require.ErrorIs(t, token.CheckName(name), token.ErrInvalid, "%q", name)
	}
}

func TestTwoIDsNeverShareAToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// Few letters make near misses likely.
		ids := rapid.OneOf(rapid.StringMatching(`[aA=.24E*]{1,6}`), rapid.StringN(1, 256, 256))
		a, b := ids.Draw(t, "a"), ids.Draw(t, "b")
		ta, err := token.Encode(a)
		require.NoError(t, err)
		tb, err := token.Encode(b)
		require.NoError(t, err)
		require.Equal(t, a == b, ta == tb)
		ka, err := token.EncodeKey(a)
		require.NoError(t, err)
		kb, err := token.EncodeKey(b)
		require.NoError(t, err)
		require.Equal(t, a == b, ka == kb)
	})
}

func seeds(f *testing.F) {
	for _, id := range []string{
		"42", "*", ">", "a.b", "\x7f", "a\r\nb", " ", "\t", "", "=", "==", "=41", "..", "$JS", "é", "e\u0301", "\u2028",
		"a\xff", "\x00", strings.Repeat("x", 256), strings.Repeat("x", 257), strings.Repeat("世", 85), strings.Repeat(".", 256),
	} {
		f.Add(id)
	}
}

func FuzzID(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, id string) {
		tok, err := token.Encode(id)
		if err != nil {
			require.ErrorIs(t, err, token.ErrInvalid)
		} else {
			require.Regexp(t, safe, tok)
			require.LessOrEqual(t, len(tok), 344)
			back, err := token.Decode(tok)
			require.NoError(t, err)
			require.Equal(t, id, back)
		}
		// Read as a token, the same input either is refused or is the token of exactly one id.
		if id2, err := token.Decode(id); err == nil {
			again, err := token.Encode(id2)
			require.NoError(t, err)
			require.Equal(t, id, again)
		}
	})
}

func FuzzKey(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, key string) {
		encoded, err := token.EncodeKey(key)
		if err != nil {
			require.ErrorIs(t, err, token.ErrInvalid)
		} else {
			require.Regexp(t, safeKey, encoded)
			back, err := token.DecodeKey(encoded)
			require.NoError(t, err)
			require.Equal(t, key, back)
		}
		if key2, err := token.DecodeKey(key); err == nil {
			again, err := token.EncodeKey(key2)
			require.NoError(t, err)
			require.Equal(t, key, again)
		}
	})
}
