package runner

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/kv"
)

// OpenControl opens the control bucket of a store for documents of type T, and makes it if there is none, with the
// storage and the replicas of the store. Timeout bounds each request; 0 means the default of package kv. The caller
// must close the bucket. See package internal/control for its keys.
func OpenControl[T any](ctx context.Context, store *eventstore.Store, timeout time.Duration, logger *slog.Logger) (*kv.Bucket[T], error) {
	stream, err := store.JetStream().Stream(ctx, store.Name())
	if err != nil {
		return nil, fmt.Errorf("read the settings of store %s: %w", store.Name(), err)
	}
	log := stream.CachedInfo().Config
	return kv.Open[T](ctx, store.JetStream(), control.Bucket(store.Name()), &kv.Config{
		Replicas: log.Replicas, Storage: log.Storage, Timeout: timeout, Logger: logger,
	})
}
