package eventstore_test

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

// An option that a read does not take must not compile. The type that the option's function returns decides that.
func TestAnOptionFitsTheReadsThatTakeIt(t *testing.T) {
	reads := map[string]reflect.Type{
		"Load":    reflect.TypeFor[eventstore.LoadOption](),
		"Stream":  reflect.TypeFor[eventstore.StreamOption](),
		"Log":     reflect.TypeFor[eventstore.LogOption](),
		"All":     reflect.TypeFor[eventstore.AllOption](),
		"Replay":  reflect.TypeFor[eventstore.ReplayOption](),
		"Streams": reflect.TypeFor[eventstore.StreamsOption](),
	}
	for name, c := range map[string]struct {
		option any
		takes  []string
	}{
		"From":       {eventstore.From, []string{"Load", "Stream", "Replay"}},
		"Leader":     {eventstore.Leader, []string{"Load", "Stream"}},
		"After":      {eventstore.After, []string{"Load", "Stream", "Log", "All", "Replay"}},
		"Backwards":  {eventstore.Backwards, []string{"Stream"}},
		"FromTime":   {eventstore.FromTime, []string{"Log", "All", "Replay"}},
		"Until":      {eventstore.Until, []string{"Log", "All", "Replay"}},
		"Live":       {eventstore.Live, []string{"Log", "All"}},
		"Categories": {eventstore.Categories, []string{"All", "Replay"}},
		"Types":      {eventstore.Types, []string{"All", "Replay"}},
		"OfStream":   {eventstore.OfStream, []string{"Replay"}},
		"OnProgress": {eventstore.OnProgress, []string{"Replay"}},
		"Behind":     {eventstore.Behind, []string{"Streams"}},
	} {
		for read, takes := range reads {
			require.Equal(t, slices.Contains(c.takes, read), reflect.TypeOf(c.option).Out(0).Implements(takes), "%s in %s", name, read)
		}
	}
}
