package control

import (
	"context"
	"fmt"
	"strings"

	"github.com/runnel-go/runnel/internal/token"
)

// The name of each bucket of a store begins with the store's name and "_":
//
//	acme_control                  the control bucket
//	acme_balances_v2_9f86d081     a build of a view
//	acme_account_snapshots        snapshots of the aggregates of a category
//
// The name of a store has no "_". So two stores never share a bucket, whatever their views and categories are called,
// and no store can have the name of the JetStream stream of a bucket, which begins with "KV_".

// CheckStore returns an error if a store cannot have the name.
func CheckStore(name string) error {
	if err := token.CheckName(name); err != nil || !strings.Contains(name, "_") {
		return err
	}
	return &token.Error{ID: name, Reason: `holds "_", which ends the name of the store in the names of its buckets; use "-"`}
}

// Bucket returns the name of a store's control bucket.
func Bucket(store string) string { return store + "_control" }

// ViewBucket returns the name of the bucket of a view's build. The name of a build is hexadecimal.
func ViewBucket(store, view string, foldVersion int, build string) string {
	return fmt.Sprintf("%s%d_%s", ViewPrefix(store, view), foldVersion, build)
}

// ViewPrefix returns how the names of the buckets of all builds of a view begin. The names of some buckets of other
// views begin with it, too.
func ViewPrefix(store, view string) string { return store + "_" + view + "_v" }

// SnapshotBucket returns the name of the bucket with the snapshots of a category.
func SnapshotBucket(store, category string) string { return store + "_" + category + "_snapshots" }

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
