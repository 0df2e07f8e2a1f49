// Package control makes the bucket for the small documents of a store and of everything that runs on it:
//
//	bucket bank_control
//	key mark                                 the highest position of the log that was seen
//	key accepted                             the mark that was forgotten last
//	key view.balances                        the record of a view
//	key reactor.mails.checkpoint             the checkpoint of a reactor
//	key reactor.mails.parked.account.42      a stream that the reactor has parked
//
// All documents are JSON. Each names the identity of its store, because a store may be made anew under its name
// while the bucket stays.
package control

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
)

// maxBytes bounds the bucket in an account that demands a bound. A parked stream takes 3 KiB at most.
const maxBytes = 4 << 20

// Ensure makes the control bucket of a store if it does not exist. It leaves one that exists as it is.
func Ensure(ctx context.Context, client *jsapi.Client, store string, storage jetstream.StorageType, replicas int) error {
	_, err := client.CreateBounded(ctx, settings(store, storage, replicas), maxBytes)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return nil // another process was faster
	}
	return err
}

// settings returns the settings that package kv has for a bucket of JSON documents.
func settings(store string, storage jetstream.StorageType, replicas int) jetstream.StreamConfig {
	cfg := kvstream.Settings(Bucket(store), storage, replicas)
	cfg.Description = "control bucket of the runnel event store " + store
	cfg.Metadata[kvstream.MetadataCodec] = "json"
	return cfg
}
