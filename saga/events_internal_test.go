package saga

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
)

func TestAnEntryHasStepAndReasonOfItsEvent(t *testing.T) {
	for _, prototype := range Events() {
		event, want := reflect.New(reflect.TypeOf(prototype)).Elem(), Entry{Version: 7, Position: 11, Type: prototype.EventType()}
		for field, entry := range map[string]*string{"Step": &want.Step, "Error": &want.Reason, "Reason": &want.Reason} {
			if f := event.FieldByName(field); f.IsValid() {
				f.SetString("the " + field)
				*entry = "the " + field
			}
		}
		at := eventstore.Recorded{Commit: &eventstore.Commit{First: 7, Position: 11}}
		require.Equal(t, want, entryOf(event.Interface().(eventstore.Event), at))
	}
}
