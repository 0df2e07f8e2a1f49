package kv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/wellformed"
)

// smallestMaxSize is the least that a bucket may allow its messages: 64 bytes of any document, whatever its headers.
const smallestMaxSize = maxOverhead + 64

// requestTimeout bounds a change of settings.
const requestTimeout = 2 * time.Second

// metadataCodec names the codec in the metadata of the bucket's JetStream stream.
const metadataCodec = "runnel-kv-codec"

// ensureStream creates the bucket's JetStream stream or checks the one that is there, and gives how it stands.
func ensureStream(ctx context.Context, client *jsapi.Client, bucket string, cfg Config) (jetstream.StreamInfo, error) {
	a := asker{client: client, log: cfg.Logger.With("bucket", bucket), timeout: cfg.Timeout}
	var found jetstream.StreamInfo
	look := func(ctx context.Context) (err error) {
		found, err = client.StreamInfo(ctx, "KV_"+bucket)
		return err
	}
	err := a.insist(ctx, "open", look)
	if errors.Is(err, jetstream.ErrStreamNotFound) && !cfg.Existing {
		err = a.insist(ctx, "open", func(ctx context.Context) error {
			_, err := client.CreateBounded(ctx, settings(bucket, cfg), 0)
			return err
		})
		created := err == nil
		// The answer lacks the domain, and somebody may have created it meanwhile, with other settings.
		if created || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			err = a.insist(ctx, "open", look)
		}
		if bound := found.Config.MaxBytes; created && bound != cfg.MaxBytes {
			cfg.Logger.WarnContext(ctx, "kv: the account demands a bound of the bucket, which is full there; raise it with nats stream edit",
				"bucket", bucket, "max bytes", bound)
		}
	}
	if err != nil {
		return found, &Error{Op: "open", Bucket: bucket, Reason: reasonOf(err), Err: err}
	}
	return found, refused(bucket, unfit(found.Config, bucket, cfg))
}

// mend gives the bucket's JetStream stream back what nats.go's CreateOrUpdateKeyValue takes away: atomic batches, and the
// name of the codec. Without that name the oldest document must be in the codec's format.
func (c *core) mend(ctx context.Context, have jetstream.StreamConfig) error {
	_, named := have.Metadata[metadataCodec]
	if have.AllowAtomicPublish && named {
		return nil
	}
	if !named {
		if err := c.checkFormat(ctx); err != nil {
			return err
		}
	}
	allowed := have.AllowAtomicPublish
	have.AllowAtomicPublish, have.Metadata = true, maps.Clone(have.Metadata)
	if have.Metadata == nil {
		have.Metadata = make(map[string]string, 1)
	}
	have.Metadata[metadataCodec] = c.codec.Name()
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, jsapi.ErrNoReply)
	defer cancel()
	if _, err := c.client.UpdateStream(ctx, have); err != nil {
		if allowed {
			c.log.WarnContext(ctx, "kv: the codec is not kept with the bucket", "codec", c.codec.Name(), "error", err)
			return nil
		}
		return refused(c.bucket, fmt.Errorf("switch allow_atomic on, since atomic batches cannot be allowed: %w", err))
	}
	c.log.InfoContext(ctx, "kv: atomic batches are now allowed, and the codec is kept with the bucket", "codec", c.codec.Name())
	return nil
}

// allowBatches is mend for a bucket that is open.
func (c *core) allowBatches(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, jsapi.ErrNoReply)
	defer cancel()
	found, err := c.client.StreamInfo(ctx, c.stream)
	if err != nil {
		return err
	}
	have := found.Config
	if err := unfit(have, c.bucket, Config{Codec: c.codec}); err != nil {
		return refused(c.bucket, err)
	}
	return c.mend(ctx, have)
}

// checkFormat refuses a bucket whose oldest document is not in the format of the codec. It cannot tell of codecs of others.
func (c *core) checkFormat(ctx context.Context) error {
	for from := uint64(1); ; {
		m, err := c.client.LeaderNext(ctx, c.stream, c.prefix+">", from)
		switch {
		case errors.Is(err, jsapi.ErrNotFound):
			return nil
		case err != nil:
			return c.readError("open", "", err)
		case deleted(m.Header):
			from = m.Sequence + 1
			continue
		case !inFormat(c.codec, m.Data):
			return refused(c.bucket, fmt.Errorf(
				"it does not say how its documents are encoded (another client has updated its settings), "+
					"and the one under %s is not %s; open it with the codec it was written with",
				strings.TrimPrefix(m.Subject, c.prefix), c.codec.Name()))
		}
		return nil
	}
}

func inFormat(codec Codec, data []byte) bool {
	switch codec.(type) {
	case JSON:
		return json.Valid(data)
	case Msgpack:
		return wellformed.Msgpack(data) == nil
	default:
		return true
	}
}

// settings are those of nats.go's CreateKeyValue, and atomic batches.
func settings(bucket string, cfg Config) jetstream.StreamConfig {
	metadata := map[string]string{metadataCodec: cfg.Codec.Name()}
	maps.Copy(metadata, cfg.Metadata)
	return jetstream.StreamConfig{
		Name:               "KV_" + bucket,
		Subjects:           []string{"$KV." + bucket + ".>"},
		MaxMsgsPerSubject:  1,
		MaxBytes:           cfg.MaxBytes,
		MaxMsgSize:         -1,
		MaxMsgs:            -1,
		MaxConsumers:       -1,
		Storage:            cfg.Storage,
		Replicas:           cfg.Replicas,
		Discard:            jetstream.DiscardNew,
		AllowRollup:        true,
		DenyDelete:         true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Metadata:           metadata,
	}
}

// refused says that Open does not take a bucket because of a setting. It returns nil if err is nil.
func refused(bucket string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: "open", Bucket: bucket, Reason: ErrSettings, Err: err}
}

// unfit says which setting of an existing bucket breaks a promise of this package, or nothing.
func unfit(have jetstream.StreamConfig, bucket string, cfg Config) error {
	codec, named := have.Metadata[metadataCodec]
	switch {
	case have.Mirror != nil:
		return errors.New("it is a mirror, which cannot be written; open the bucket it mirrors")
	case !slices.Contains(have.Subjects, "$KV."+bucket+".>"):
		return errors.New("its JetStream stream does not take the subjects $KV." + bucket + ".>")
	case have.Retention != jetstream.LimitsPolicy:
		return errors.New("its retention is not by limits, so documents vanish once they were consumed")
	case have.NoAck:
		return errors.New("it does not acknowledge writes; switch no_ack off")
	case have.Sealed:
		return errors.New("it is sealed, so it cannot be written")
	case !have.AllowDirect:
		return errors.New("it does not allow direct gets; switch allow_direct on")
	case have.MaxMsgSize > 0 && int(have.MaxMsgSize) < smallestMaxSize:
		return fmt.Errorf("its messages may have %d bytes at most, of which headers take up to %d; raise max_msg_size (MaxValueSize) to %d or more",
			have.MaxMsgSize, maxOverhead, smallestMaxSize)
	case named && codec != cfg.Codec.Name():
		return errors.New("its documents are encoded as " + codec + ", not " + cfg.Codec.Name() + "; open it with that codec")
	}
	return foreign(have.Metadata, cfg.Metadata)
}

// foreign says which metadata of an existing bucket differs from what the caller expects, or nothing. A value that is missing does
// not differ: nats.go's CreateOrUpdateKeyValue removes metadata.
func foreign(have, want map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if value, ok := have[key]; ok && value != want[key] {
			return fmt.Errorf("it belongs to something else: its metadata has %s %q, not %q", key, value, want[key])
		}
	}
	return nil
}
