package eventstore

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/defaults"
)

// Config holds what Open needs beyond its arguments. A nil *Config and the zero Config give the defaults. Open refuses
// impossible values, such as negative ones, with ErrSettings.
type Config struct {
	// Codec encodes the events. It is fixed when the store is created. Defaults to Msgpack.
	Codec Codec
	// Upcasters turn events of old types into newer ones when they are decoded. Defaults to none.
	Upcasters []Upcaster
	// Erasure allows [Store.Erase], for which the server must be able to delete messages. It is fixed when the store is
	// created. Defaults to false: nothing can be deleted.
	Erasure bool
	// Replicas is how many servers keep the store. Defaults to 3 when the store is created on a cluster, to 1 when it
	// is created on a single server, and later to the number that it has.
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
	// Trace follows each append and each load. Defaults to none.
	Trace *Trace
	// Logger reports repairs and damage: links missed, positions refetched, torn transactions, a mark that cannot be
	// kept. Defaults to no logging.
	Logger *slog.Logger
}

// withDefaults returns a copy in which every field is set except Replicas and CompressAbove, whose 0 has a meaning.
func (c *Config) withDefaults(js jetstream.JetStream) (Config, error) {
	full := defaults.Of(c)
	full.Codec = cmp.Or(full.Codec, Msgpack)
	if full.Reads == nil {
		full.Reads = js
	}
	if full.Now == nil {
		full.Now = time.Now
	}
	if full.Logger == nil {
		full.Logger = slog.New(slog.DiscardHandler)
	}
	err := errors.Join(
		full.Codec.check(),
		defaults.Replicas(full.Replicas),
		defaults.NotNegative("MaxBytes", full.MaxBytes),
		defaults.OneOf("Storage", full.Storage, jetstream.FileStorage, jetstream.MemoryStorage),
		defaults.OneOf("Compression", full.Compression, jetstream.NoCompression, jetstream.S2Compression),
		defaults.NotNegative("CompressAbove", full.CompressAbove),
		defaults.Set("AppendTimeout", &full.AppendTimeout, 30*time.Second),
		defaults.Set("AckTimeout", &full.AckTimeout, 2*time.Second),
		defaults.Set("ReadTimeout", &full.ReadTimeout, 10*time.Second),
	)
	if full.MaxBytes == 0 {
		full.MaxBytes = -1
	}
	return full, err
}
