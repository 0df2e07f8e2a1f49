package kv

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Config is what may be left out when a bucket is opened. The zero value and nil are the defaults.
//
// Replicas, Storage, MaxBytes and Metadata are used when Open creates the bucket and change nothing about one that is there.
type Config struct {
	// Codec turns documents into bytes and back. A bucket that was created with another one is refused.
	// Defaults to JSON{}.
	Codec Codec
	// Timeout bounds one write with its repetitions, each of which waits for an answer for half of it; a context that
	// ends earlier wins.
	// Defaults to 10 seconds.
	Timeout time.Duration
	// Logger is told when a setting is changed, when a Watch has to start again, and when a List or Watch passes over a key
	// that this package does not write.
	// Defaults to a logger that discards.
	Logger *slog.Logger
	// Replicas is the number of servers that hold the bucket, 1, 3 or 5.
	// Defaults to 1.
	Replicas int
	// Storage is where the servers keep the bucket.
	// Defaults to jetstream.FileStorage.
	Storage jetstream.StorageType
	// MaxBytes is the size in bytes above which writes end with ErrFull. 0 is no limit, or, where the account demands that each
	// stream has one, an eighth of what the account has left.
	// Defaults to 0.
	MaxBytes int64
	// Metadata is kept with the bucket. Open returns ErrSettings if the bucket exists and has another value under one of the
	// keys. Keys that begin with "runnel-kv-" and "_nats" are taken.
	// Defaults to none.
	Metadata map[string]string
	// Existing makes Open return an error that matches jetstream.ErrStreamNotFound if the bucket does not exist, instead of
	// creating it.
	Existing bool
}

func (c *Config) withDefaults() Config {
	var full Config
	if c != nil {
		full = *c
	}
	switch full.Codec.(type) {
	case nil, *JSON:
		full.Codec = JSON{}
	case *Msgpack:
		full.Codec = Msgpack{}
	}
	if full.Timeout <= 0 {
		full.Timeout = 10 * time.Second
	}
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	if full.Replicas <= 0 {
		full.Replicas = 1
	}
	if full.MaxBytes <= 0 {
		full.MaxBytes = -1
	}
	return full
}
