package plain

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestACursorFindsTheMembersOfJSON(t *testing.T) {
	rest := jsonCursor(` { "a" : [ 1 , {"x":"]}\\\""} , [] ] , "\u0062" :-1.5e3,"":null } `)
	require.True(t, rest.Opens('{'))
	require.True(t, rest.More())
	require.Equal(t, "a", string(rest.Key()))
	require.False(t, rest.Opens('{'))
	require.True(t, rest.Opens('['))
	var elements []string
	for rest.More() {
		elements = append(elements, string(rest.Skip()))
	}
	require.Equal(t, []string{"1", `{"x":"]}\\\""}`, "[]"}, elements)
	require.True(t, rest.More())
	require.Equal(t, "b", string(rest.Key()))
	require.Equal(t, "-1.5e3", string(rest.Skip()))
	require.True(t, rest.More())
	require.Empty(t, rest.Key())
	require.Equal(t, "null", string(rest.Skip()))
	require.False(t, rest.More())
}

// FuzzJSON walks through everything that encoding/json accepts, and finds the same values.
func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`1`, ` "a\"]" `, `{"a":[1,{"\u0062":[]}],"c":{}}`, `[[],[ ],{}, true]`, "{\"a\"\n:\t-0.1E+1}", "{\"\x80\":{}}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		rest := jsonCursor(data)
		require.True(t, json.Valid(rest.Skip()))
		rest = jsonCursor(data)
		var list []json.RawMessage
		var object map[string]json.RawMessage
		switch {
		case rest.Opens('['):
			require.NoError(t, json.Unmarshal(data, &list))
			for _, element := range list {
				require.True(t, rest.More())
				require.Equal(t, string(element), string(rest.Skip()))
			}
			require.False(t, rest.More())
		case rest.Opens('{'):
			require.NoError(t, json.Unmarshal(data, &object))
			last := make(map[string]json.RawMessage)
			for rest.More() {
				name := string(rest.Key())
				last[name] = rest.Skip()
			}
			require.Equal(t, object, last)
		}
	})
}
