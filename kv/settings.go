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
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/msgpack"
)

// smallestMaxSize is the smallest limit of messages that a bucket may have: 64 bytes of a document with all headers.
const smallestMaxSize = maxOverhead + 64

// updateTimeout bounds a change of settings.
const updateTimeout = 2 * time.Second

// ensureStream creates the bucket's JetStream stream, or checks the one that exists. It returns the stream as it is
// then.
func ensureStream(ctx context.Context, client *jsapi.Client, bucket string, cfg Config) (jetstream.StreamInfo, error) {
	r := retrier{client: client, log: cfg.Logger.With("bucket", bucket), timeout: cfg.Timeout}
	var found jetstream.StreamInfo
	look := func(ctx context.Context) (err error) {
		found, err = client.StreamInfo(ctx, kvstream.Name(bucket))
		return err
	}
	err := r.retry(ctx, "open", look)
	if errors.Is(err, jetstream.ErrStreamNotFound) && !cfg.Existing {
		err = r.retry(ctx, "open", func(ctx context.Context) error {
			_, err := client.CreateBounded(ctx, settings(bucket, cfg), 0)
			return err
		})
		created := err == nil
		// The answer lacks the domain. If another client was faster, its settings may differ.
		if created || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			err = r.retry(ctx, "open", func(ctx context.Context) (err error) {
				found, err = client.MadeInfo(ctx, kvstream.Name(bucket))
				return err
			})
		}
		if bound := found.Config.MaxBytes; created && bound != cfg.MaxBytes {
			cfg.Logger.WarnContext(ctx, "kv: the account demands a limit, at which the bucket will be full; raise it with nats stream edit",
				"bucket", bucket, "max bytes", bound)
		}
	}
	if err != nil {
		return found, &Error{Op: "open", Bucket: bucket, Reason: reasonOf(err), Err: err}
	}
	return found, refused(bucket, unfit(found.Config, bucket, cfg))
}

// restore sets what nats.go's CreateOrUpdateKeyValue removes from the settings: atomic batches, and the name of the
// codec. If the name is missing, the oldest document must be in the codec's format.
func (c *core) restore(ctx context.Context, have jetstream.StreamConfig) error {
	_, named := have.Metadata[kvstream.MetadataCodec]
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
	have.Metadata[kvstream.MetadataCodec] = c.codec.Name()
	ctx, cancel := context.WithTimeoutCause(ctx, updateTimeout, jsapi.ErrNoReply)
	defer cancel()
	if _, err := c.client.UpdateStream(ctx, have); err != nil {
		if allowed {
			c.log.WarnContext(ctx, "kv: the name of the codec could not be stored with the bucket", "codec", c.codec.Name(), "error", err)
			return nil
		}
		return refused(c.bucket, fmt.Errorf("atomic batches are off, and could not be switched on; switch allow_atomic on: %w", err))
	}
	c.log.InfoContext(ctx, "kv: atomic batches are on, and the name of the codec is stored with the bucket", "codec", c.codec.Name())
	return nil
}

// allowBatches switches atomic batches on again in a bucket that is open.
func (c *core) allowBatches(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, updateTimeout, jsapi.ErrNoReply)
	defer cancel()
	found, err := c.client.StreamInfo(ctx, c.stream)
	if err != nil {
		return err
	}
	if err := unfit(found.Config, c.bucket, Config{Codec: c.codec}); err != nil {
		return refused(c.bucket, err)
	}
	return c.restore(ctx, found.Config)
}

// checkFormat refuses a bucket whose oldest document is not in the format of the codec. It does not know the formats of
// the caller's own codecs.
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
			return refused(c.bucket, fmt.Errorf("it does not say how its documents are encoded (another client has updated its settings), "+
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
		return msgpack.Check(data) == nil
	default:
		return true
	}
}

// settings returns the settings of a bucket that Open creates.
func settings(bucket string, cfg Config) jetstream.StreamConfig {
	full := kvstream.Settings(bucket, cfg.Storage, cfg.Replicas)
	full.MaxBytes = cfg.MaxBytes
	full.Metadata[kvstream.MetadataCodec] = cfg.Codec.Name()
	maps.Copy(full.Metadata, cfg.Metadata)
	return full
}

// refused returns the error of a setting that does not fit, or nil if err is nil.
func refused(bucket string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: "open", Bucket: bucket, Reason: ErrSettings, Err: err}
}

// unfit returns an error if a setting of an existing bucket breaks a promise of this package.
func unfit(have jetstream.StreamConfig, bucket string, cfg Config) error {
	codec, named := have.Metadata[kvstream.MetadataCodec]
	switch {
	case have.Mirror != nil:
		return errors.New("it is a mirror, which cannot be written; open the bucket it mirrors")
	case !slices.Contains(have.Subjects, kvstream.Subject(bucket, ">")):
		return errors.New("its JetStream stream does not take the subjects " + kvstream.Subject(bucket, ">") + "; add them")
	case have.Retention != jetstream.LimitsPolicy:
		return errors.New("its retention is not by limits, so documents vanish once they are consumed; create another bucket")
	case have.SubjectTransform != nil:
		return errors.New("it stores what is published under other subjects, so documents are not found under their keys; remove its subject_transform")
	case have.Discard == jetstream.DiscardOld && (have.MaxMsgs > 0 || have.MaxBytes > 0):
		return errors.New("it deletes old documents when it reaches max_msgs or max_bytes; set discard to new, or remove both limits")
	case have.DiscardNewPerSubject:
		return errors.New("it takes no second value for a key; switch discard_new_per_subject off")
	case have.NoAck:
		return errors.New("it does not acknowledge writes; switch no_ack off")
	case have.Sealed:
		return errors.New("it is sealed, so it cannot be written; create another bucket")
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

// foreign returns an error if an existing bucket has other metadata than the caller expects. A value that is missing
// does not count as another one, because nats.go's CreateOrUpdateKeyValue removes metadata.
func foreign(have, want map[string]string) error {
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if value, ok := have[key]; ok && value != want[key] {
			return fmt.Errorf("it belongs to something else: its metadata has %s %q, not %q; open a bucket of another name", key, value, want[key])
		}
	}
	return nil
}
