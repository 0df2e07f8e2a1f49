package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/kv"
)

// OpenControl opens the control bucket of a store for documents of type T, and makes it if there is none. Timeout
// bounds each request; 0 means the default of package kv. The caller must close the bucket. See package
// internal/control for its keys.
func OpenControl[T any](ctx context.Context, store *eventstore.Store, timeout time.Duration, logger *slog.Logger) (*kv.Bucket[T], error) {
	name := control.Bucket(store.Name())
	cfg := &kv.Config{Timeout: timeout, Logger: logger, Existing: true}
	bucket, err := kv.Open[T](ctx, store.JetStream(), name, cfg)
	if !errors.Is(err, kv.ErrNoBucket) {
		return bucket, err
	}
	client, err := jsapi.New(ctx, store.JetStream())
	if err != nil {
		return nil, err
	}
	log, err := client.StreamInfo(ctx, store.Name())
	if err == nil { // the store could not make it, or somebody has deleted it
		err = control.Ensure(ctx, client, store.Name(), log.Config.Storage, log.Config.Replicas)
	}
	if err := errors.Join(err, client.Close()); err != nil {
		return nil, fmt.Errorf("make bucket %s: %w", name, err)
	}
	cfg.Existing, cfg.Replicas = false, log.Config.Replicas // a server may not know it yet
	return kv.Open[T](ctx, store.JetStream(), name, cfg)
}
