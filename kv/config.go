package kv

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/defaults"
)

// Config is what Open needs beside its arguments. A nil *Config and the zero Config have all defaults. Open returns
// ErrSettings if a value is not allowed.
//
// Replicas, Storage, MaxBytes and Metadata are for a bucket that Open creates. They do not change one that exists.
type Config struct {
	// Codec turns documents into bytes and back. Open refuses a bucket that was created with another codec.
	// Defaults to JSON{}.
	Codec Codec
	// Timeout bounds a write together with its retries, and each request of a read. One try of a write waits for its
	// answer for half of it. A context that ends earlier wins. Defaults to 10 seconds.
	Timeout time.Duration
	// Logger is told when Open changes a setting, when the servers do not answer, when a Watch begins again, and
	// when a List or a Watch skips a key that this package does not write. Defaults to a logger that discards.
	Logger *slog.Logger
	// Replicas is the number of servers that hold the bucket, 1 to 5.
	// Defaults to 1.
	Replicas int
	// Storage says whether the servers keep the bucket in files or in memory.
	// Defaults to jetstream.FileStorage.
	Storage jetstream.StorageType
	// MaxBytes is the size in bytes above which writes fail with ErrFull. 0 means no limit. If the account demands a
	// limit for each stream, 0 means an eighth of what the account has left. Defaults to 0.
	MaxBytes int64
	// Metadata is kept with the bucket. Open returns ErrSettings if the bucket exists and has another value for one
	// of the keys. Keys that begin with "runnel-kv-" or "_nats" are reserved. Defaults to none.
	Metadata map[string]string
	// Existing makes Open return ErrNoBucket if the bucket does not exist, instead of creating it. Then Replicas,
	// Storage and MaxBytes must be zero. Defaults to false.
	Existing bool
}

// withDefaults returns a copy in which every field is set except Metadata and Existing.
func (c *Config) withDefaults() (Config, error) {
	full := defaults.Of(c)
	switch full.Codec.(type) {
	case nil, *JSON:
		full.Codec = JSON{}
	case *Msgpack:
		full.Codec = Msgpack{}
	}
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	err := errors.Join(
		defaults.Set("Timeout", &full.Timeout, 10*time.Second),
		defaults.Replicas(full.Replicas),
		defaults.OneOf("Storage", full.Storage, jetstream.FileStorage, jetstream.MemoryStorage),
		defaults.NotNegative("MaxBytes", full.MaxBytes),
	)
	if full.Existing && (full.Replicas != 0 || full.Storage != 0 || full.MaxBytes != 0) {
		err = errors.Join(err, errors.New("if Existing is true, leave out Replicas, Storage and MaxBytes, which are for a bucket that Open creates"))
	}
	for key := range full.Metadata {
		if strings.HasPrefix(key, "runnel-kv-") || strings.HasPrefix(key, "_nats") {
			err = errors.Join(err, fmt.Errorf(`key %q of Metadata is reserved, and so Metadata is wrong: begin it with neither "runnel-kv-" nor "_nats"`, key))
		}
	}
	full.Replicas = max(full.Replicas, 1)
	if full.MaxBytes == 0 {
		full.MaxBytes = -1
	}
	return full, err
}
