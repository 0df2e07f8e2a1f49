package main

import (
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/kv"
)

// compareWithViews waits until the views have folded the log up to a position. Then it compares every document with
// the events of the log.
func (a *audit) compareWithViews(ctx context.Context, views *Views, end eventstore.Position) error {
	if err := views.WaitFor(ctx, end); err != nil {
		return err
	}
	if err := compareView(a, "balances", views.Balances.List(ctx), a.balances); err != nil {
		return err
	}
	return compareView(a, "statements", views.Statements.List(ctx), a.entries)
}

func compareView[V comparable](a *audit, view string, documents iter.Seq2[kv.Entry[V], error], want map[string]V) error {
	missing := maps.Clone(want)
	equal := 0
	for document, err := range documents {
		if err != nil {
			return err
		}
		expected, ok := want[document.Key]
		delete(missing, document.Key)
		switch {
		case !ok:
			a.found("view %s: document %s is not in the log", view, document.Key)
		case expected != document.Value:
			a.found("view %s: document %s is %+v, by the log it should be %+v", view, document.Key, document.Value, expected)
		default:
			equal++
		}
	}
	for _, key := range slices.Sorted(maps.Keys(missing)) {
		a.found("view %s: document %s is missing", view, key)
	}
	a.say("view %s: %d documents equal the log", view, equal)
	return nil
}
