package control

import (
	"context"
	"fmt"
	"strings"
)

// sagaSuffix ends the names of the view and of the reactor of each saga definition.
const sagaSuffix = "-sagas"

type ofSaga struct{}

// SagaName returns the name of a saga definition's view and reactor, and the context with which they are opened.
func SagaName(ctx context.Context, definition string) (named context.Context, name string) {
	return context.WithValue(ctx, ofSaga{}, true), definition + sagaSuffix
}

// OfSaga reports whether a saga definition opens a view or a reactor with ctx.
func OfSaga(ctx context.Context) bool { return ctx.Value(ofSaga{}) != nil }

// CheckOwner returns an error if the name of a view or a reactor is reserved for sagas and no saga opens it.
// Otherwise a view or a reactor of the user could share documents with a saga.
func CheckOwner(ctx context.Context, name string) error {
	if strings.HasSuffix(name, sagaSuffix) && !OfSaga(ctx) {
		return fmt.Errorf("names that end in %q are for sagas: choose another name", sagaSuffix)
	}
	return nil
}
