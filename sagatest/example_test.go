package sagatest_test

import (
	"fmt"

	"github.com/runnel-go/runnel/saga"
	"github.com/runnel-go/runnel/sagatest"
)

func ExampleStory() {
	fmt.Print(sagatest.Story(saga.Instance[struct{}]{
		Status: saga.Status{ID: "4711", State: saga.StateCompensated},
		History: []saga.Entry{
			{Version: 1, Event: saga.Started{Steps: []string{"reserve", "pay"}}},
			{Version: 2, Event: saga.StepBegun{Step: "reserve"}},
			{Version: 3, Event: saga.Compensating{Error: "not enough money"}},
			{Version: 4, Event: saga.UndoBegun{Step: "reserve"}},
			{Version: 5, Event: saga.Undone{Step: "reserve"}},
			{Version: 6, Event: saga.Compensated{}},
		},
	}))
	// Output:
	// saga 4711 is compensated:
	//    1  saga.started
	//    2  saga.step.begun reserve
	//    3  saga.compensating: not enough money
	//    4  saga.undo.begun reserve
	//    5  saga.undone reserve
	//    6  saga.compensated
}
