package eventstore

import (
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Config holds what Open needs beyond its arguments. A nil *Config and the zero Config give the defaults.
type Config struct {
	// Codec encodes the events. It is fixed when the store is created. Defaults to Msgpack.
	Codec Codec
	// Upcasters turn events of old types into newer ones when they are decoded. Defaults to none.
	Upcasters []Upcaster
	// Erasure allows [Store.Erase], for which the server must be able to delete messages. It is fixed when the store is
	// created. Defaults to false: nothing can be deleted.
	Erasure bool
	// Replicas is how many servers keep the store. Defaults to 3 when the store is created on a cluster, to 1 when it is
	// created on a single server, and later to the number that it has.
	Replicas int
	// MaxBytes bounds the store in bytes. Appends beyond it are refused with ErrFull. Defaults to no bound when the
	// store is created, and later to the bound that it has.
	MaxBytes int64
	// Storage is file storage or, for tests, memory. Defaults to file storage.
	Storage jetstream.StorageType
	// Compression is how the server keeps the store's files. jetstream.S2Compression compresses each block of 4 MiB
	// once it is full. Then one flipped bit costs the block instead of a commit. Defaults to none when the store is
	// created, and later to what it has. See docs/guides/payloads.md.
	Compression jetstream.StoreCompression
	// CompressAbove is the size in bytes of an encoded commit above which it is compressed with zstd before it is sent,
	// and stored so if that is smaller. It saves network, memory and disk, and allows a commit that is larger than the
	// server takes. It costs each writer and each reader time, and other languages need zstd to read it. It concerns
	// writing only: every store reads both. Defaults to 0, never. docs/guides/payloads.md says when it pays.
	CompressAbove int
	// AppendTimeout bounds one append with all its tries. Defaults to 30 seconds.
	AppendTimeout time.Duration
	// AckTimeout is how long one try of an append waits for its acknowledgement before it looks at the stream. Defaults
	// to 2 seconds.
	AckTimeout time.Duration
	// ReadTimeout is how long a read of one stream waits for a connection or a leader. Defaults to 10 seconds.
	ReadTimeout time.Duration
	// Reads is a JetStream context on a connection of its own, for reads of the whole log, so that they do not delay
	// acknowledgements. It must lead to the same stream, which Open and each read check. Defaults to the connection of
	// the appends.
	Reads jetstream.JetStream
	// Salvage opens a store that Open refuses because it is damaged or lost its end, to read and to verify the rest.
	// Appends are refused, and no mark is kept. Defaults to false.
	Salvage bool
	// Now is the clock of Commit.Time. Defaults to time.Now.
	Now func() time.Time
	// Logger reports repairs and damage: links missed, positions refetched, torn transactions, a mark that cannot be
	// kept. Defaults to no logging.
	Logger *slog.Logger
}

func (c *Config) codec() Codec {
	if c == nil || c.Codec == "" {
		return Msgpack
	}
	return c.Codec
}

func (c *Config) upcasters() []Upcaster {
	if c == nil {
		return nil
	}
	return c.Upcasters
}

func (c *Config) salvage() bool { return c != nil && c.Salvage }

func (c *Config) erasure() bool { return c != nil && c.Erasure }

func (c *Config) replicas() int {
	if c == nil {
		return 0
	}
	return c.Replicas
}

func (c *Config) maxBytes() int64 {
	if c == nil || c.MaxBytes <= 0 {
		return -1
	}
	return c.MaxBytes
}

func (c *Config) storage() jetstream.StorageType {
	if c == nil {
		return jetstream.FileStorage
	}
	return c.Storage
}

func (c *Config) compression() jetstream.StoreCompression {
	if c == nil {
		return jetstream.NoCompression
	}
	return c.Compression
}

func (c *Config) compressAbove() int {
	if c == nil {
		return 0
	}
	return max(c.CompressAbove, 0)
}

func (c *Config) appendTimeout() time.Duration {
	if c == nil || c.AppendTimeout <= 0 {
		return 30 * time.Second
	}
	return c.AppendTimeout
}

func (c *Config) ackTimeout() time.Duration {
	if c == nil || c.AckTimeout <= 0 {
		return 2 * time.Second
	}
	return c.AckTimeout
}

func (c *Config) readTimeout() time.Duration {
	if c == nil || c.ReadTimeout <= 0 {
		return 10 * time.Second
	}
	return c.ReadTimeout
}

func (c *Config) reads(js jetstream.JetStream) jetstream.JetStream {
	if c == nil || c.Reads == nil {
		return js
	}
	return c.Reads
}

func (c *Config) now() time.Time {
	if c == nil || c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

func (c *Config) logger() *slog.Logger {
	if c == nil || c.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Logger
}
