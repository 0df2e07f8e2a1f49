package kv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// smallestMaxSize is the least that a bucket may allow its messages: 64 bytes of any document, whatever its headers.
const smallestMaxSize = maxOverhead + 64

// metadataCodec names the codec in the metadata of the bucket's JetStream stream.
const metadataCodec = "runnel-kv-codec"

// ensureStream creates the bucket's JetStream stream or checks the one that is there, and gives its settings.
func ensureStream(ctx context.Context, js jetstream.JetStream, bucket string, cfg Config) (_ jetstream.StreamConfig, last uint64, err error) {
	name := "KV_" + bucket
	found, err := js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		found, err = js.CreateStream(ctx, settings(bucket, cfg))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			found, err = js.Stream(ctx, name) // somebody created it meanwhile, with other settings
		}
	}
	if err != nil {
		return jetstream.StreamConfig{}, 0, &Error{Op: "open", Bucket: bucket, Err: err}
	}
	have, last := found.CachedInfo().Config, found.CachedInfo().State.LastSeq
	if reason := unfit(have, bucket, cfg); reason != "" {
		return jetstream.StreamConfig{}, 0, &SettingsError{Bucket: bucket, Reason: reason}
	}
	if have.AllowAtomicPublish {
		return have, last, nil
	}
	have.AllowAtomicPublish = true
	updated, err := js.UpdateStream(ctx, have)
	if err != nil {
		return jetstream.StreamConfig{}, 0, &SettingsError{Bucket: bucket, Reason: "atomic batches cannot be allowed", Err: err}
	}
	cfg.Logger.InfoContext(ctx, "kv: atomic batches are now allowed", "bucket", bucket)
	return updated.CachedInfo().Config, last, nil
}

// settings are those of nats.go's CreateKeyValue, and atomic batches.
func settings(bucket string, cfg Config) jetstream.StreamConfig {
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
		Duplicates:         2 * time.Minute,
		AllowRollup:        true,
		DenyDelete:         true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Metadata:           map[string]string{metadataCodec: cfg.Codec.Name()},
	}
}

// unfit says which setting of an existing bucket breaks a promise of this package, or nothing.
func unfit(have jetstream.StreamConfig, bucket string, cfg Config) string {
	codec, named := have.Metadata[metadataCodec]
	switch {
	case have.Mirror != nil:
		return "it is a mirror, which cannot be written; open the bucket it mirrors"
	case !slices.Contains(have.Subjects, "$KV."+bucket+".>"):
		return "its JetStream stream does not take the subjects $KV." + bucket + ".>"
	case have.Retention != jetstream.LimitsPolicy:
		return "its retention is not by limits, so documents vanish once they were consumed"
	case have.NoAck:
		return "it does not acknowledge writes; switch no_ack off"
	case have.Sealed:
		return "it is sealed, so it cannot be written"
	case !have.AllowDirect:
		return "it does not allow direct gets; switch allow_direct on"
	case have.MaxMsgSize > 0 && int(have.MaxMsgSize) < smallestMaxSize:
		return fmt.Sprintf("its messages may have %d bytes at most, of which headers take up to %d; raise max_msg_size (MaxValueSize) to %d or more",
			have.MaxMsgSize, maxOverhead, smallestMaxSize)
	case named && codec != cfg.Codec.Name():
		return "its documents are encoded as " + codec + ", not " + cfg.Codec.Name() + "; open it with that codec"
	}
	return ""
}
