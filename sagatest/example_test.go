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
			{Version: 1, Type: "saga.started"},
			{Version: 2, Type: "saga.step.begun", Step: "reserve"},
			{Version: 3, Type: "saga.compensating", Reason: "not enough money"},
			{Version: 4, Type: "saga.undo.begun", Step: "reserve"},
			{Version: 5, Type: "saga.undone", Step: "reserve"},
			{Version: 6, Type: "saga.compensated"},
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
