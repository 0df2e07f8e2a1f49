package eventstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/serverversion"
)

// Keys in the metadata of the store's JetStream stream.
const (
	metaFormat   = "runnel.format"   // of the layout: subjects, headers, settings; each envelope names its own format
	metaCodec    = "runnel.codec"    // of the events
	metaIdentity = "runnel.identity" // a UUID that no other store has, even a later one of the same name
	metaImport   = "runnel.import"   // the archive that is imported; the store's stream loses it at the end
	metaImported = "runnel.imported" // the position up to which an import has stored the log
)

// layoutFormat is the format of everything in a store but its envelopes.
const layoutFormat = 1

// maxMsgsPerSubject is never reached. Because it is set, the server uses blocks of 4 MiB instead of 8, which halves the
// cost of reading a cold block.
const maxMsgsPerSubject = math.MaxInt32 * 1024

// streamConfig returns the settings with which the store's JetStream stream is made.
func (c *conn) streamConfig(identity string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:               c.store,
		Description:        "runnel event store",
		Subjects:           []string{c.store + ".*.*"},
		Retention:          jetstream.LimitsPolicy,
		Storage:            c.cfg.Storage,
		Replicas:           c.replicas(),
		Discard:            jetstream.DiscardNew,
		Compression:        c.cfg.Compression,
		MaxBytes:           c.cfg.MaxBytes,
		MaxMsgs:            -1,
		MaxMsgsPerSubject:  maxMsgsPerSubject,
		MaxMsgSize:         -1,
		DenyDelete:         !c.cfg.Erasure,
		DenyPurge:          true,
		AllowDirect:        true,
		AllowAtomicPublish: true,
		Metadata: map[string]string{
			metaFormat:   strconv.Itoa(layoutFormat),
			metaCodec:    string(c.cfg.Codec),
			metaIdentity: identity,
		},
	}
}

// clusterReplicas is how many servers of a cluster keep a store unless Config.Replicas says otherwise: as many as it
// takes to outlive the loss of one.
const clusterReplicas = 3

// replicas returns how many servers keep a store that is made now.
func (c *conn) replicas() int {
	switch {
	case c.cfg.Replicas > 0:
		return c.cfg.Replicas
	case c.js.Conn().ConnectedClusterName() != "":
		return clusterReplicas
	}
	return 1
}

// replicasNow asks how many servers keep the store.
func (c *conn) replicasNow(ctx context.Context) (int, error) {
	info, err := c.api.LeaderInfo(ctx, c.store, "", 0)
	return max(info.Replicas, 1), err
}

// importedUpTo returns the position up to which an import has stored a log, or may store it now. It returns 0 if
// nothing was imported.
func importedUpTo(metadata map[string]string) Position {
	if metadata[metaImport] != "" {
		return math.MaxUint64
	}
	position, err := strconv.ParseUint(metadata[metaImported], 10, 64)
	if err != nil {
		return 0
	}
	return Position(position)
}

// bind creates the store's JetStream stream, or compares the one that exists. If there is a mark and no stream, the
// stream was lost, and an empty one must not take its place.
func (c *conn) bind(ctx context.Context, seen mark) error {
	info, err := c.ensure(ctx, seen)
	if err != nil {
		return err
	}
	have := info.Config
	if have.Metadata[metaImport] != "" {
		return fmt.Errorf("eventstore: open %s: %w: it is imported and not finished: import the same archive again, "+
			"which goes on where it ended, or delete the stream (nats stream rm %s)",
			c.store, ErrUnavailable, c.store)
	}
	if differences := c.compare(have); len(differences) > 0 {
		return settingsDiffer(c.store, differences)
	}
	c.opened = opened{
		identity: have.Metadata[metaIdentity], storage: have.Storage, imported: importedUpTo(have.Metadata),
		domain: info.Domain, created: info.Created,
	}
	c.copies.Store(int64(have.Replicas))
	c.api.Expect(jsapi.Source{Stream: c.store, Domain: c.opened.domain})
	return nil
}

// ensure returns the state of the store's JetStream stream, and makes the stream if it does not exist.
func (c *conn) ensure(ctx context.Context, seen mark) (jetstream.StreamInfo, error) {
	ask := func(ask func() (jetstream.StreamInfo, error)) (jetstream.StreamInfo, error) {
		return patiently(ctx, c, "open "+c.store, ask)
	}
	have, err := ask(func() (jetstream.StreamInfo, error) { return c.api.StreamInfo(ctx, c.store) })
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if seen.Position != 0 {
			return have, rewound(c.store, seen, 0, "its JetStream stream is gone")
		}
		identity := uuid.NewString()
		have, err = c.create(c.streamConfig(identity), func(cfg jetstream.StreamConfig) (jetstream.StreamInfo, error) {
			return ask(func() (jetstream.StreamInfo, error) { return c.api.CreateStream(ctx, cfg) })
		})
		// The answer lacks the domain, and another process may have been faster.
		if err == nil || errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			have, err = ask(func() (jetstream.StreamInfo, error) { return c.api.MadeInfo(ctx, c.store) })
		}
		if api := new(jetstream.APIError); jsapi.DemandsBound(err) && errors.As(err, &api) {
			err = fmt.Errorf("eventstore: open %s: %w: the account demands that each stream has a bound: set Config.MaxBytes: %w", c.store, ErrRefused, api)
		}
		err = c.overlapping(ctx, err)
	}
	return have, err
}

// create makes a JetStream stream of those settings. A server alone may have a cluster's name, to take leaf nodes. Then
// it keeps one replica unless Config.Replicas says otherwise.
func (c *conn) create(
	cfg jetstream.StreamConfig, made func(jetstream.StreamConfig) (jetstream.StreamInfo, error),
) (jetstream.StreamInfo, error) {
	info, err := made(cfg)
	if c.cfg.Replicas == 0 && jsapi.IsAlone(err) {
		cfg.Replicas = 1
		info, err = made(cfg)
	}
	return info, err
}

// differences lists settings that are not as they must be.
type differences []string

func (d *differences) must(what string, have, want any) {
	if have != want {
		*d = append(*d, fmt.Sprintf("%s: is %v, must be %v", what, have, want))
	}
}

// compare lists the settings that differ from those on which the guarantees depend, and from those in Config.
func (c *conn) compare(have jetstream.StreamConfig) []string {
	d := c.compareGuarantees(have)
	want := c.streamConfig("")
	if c.cfg.MaxBytes > 0 {
		d.must("max bytes", have.MaxBytes, want.MaxBytes)
	}
	if c.cfg.Compression != jetstream.NoCompression {
		d.must("compression", have.Compression, want.Compression)
	}
	if c.cfg.Replicas > 0 {
		d.must("replicas", have.Replicas, want.Replicas)
	}
	return d
}

// compareGuarantees lists the settings that differ from those on which the guarantees depend.
func (c *conn) compareGuarantees(have jetstream.StreamConfig) differences {
	want := c.streamConfig("")
	var d differences
	d.must("subjects", strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " "))
	d.must("retention", have.Retention, want.Retention)
	d.must("discard", have.Discard, want.Discard)
	d.must("max age", have.MaxAge, want.MaxAge)
	d.must("max messages", have.MaxMsgs, want.MaxMsgs)
	d.must("max messages per subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject)
	d.must("max message size", have.MaxMsgSize, want.MaxMsgSize)
	d.must("deny delete", have.DenyDelete, want.DenyDelete)
	d.must("deny purge", have.DenyPurge, want.DenyPurge)
	d.must("allow direct", have.AllowDirect, want.AllowDirect)
	d.must("allow atomic publish", have.AllowAtomicPublish, want.AllowAtomicPublish)
	d.must("allow rollup", have.AllowRollup, false)
	d.must("allow message schedules", have.AllowMsgSchedules, false)
	d.must("allow message TTL", have.AllowMsgTTL, false)
	d.must("allow message counters", have.AllowMsgCounter, false)
	d.must("no acknowledgements", have.NoAck, false)
	d.must("sealed", have.Sealed, false)
	d.must("mirror", have.Mirror != nil, false)
	d.must("sources", len(have.Sources), 0)
	d.must("subject transform", have.SubjectTransform != nil, false)
	d.must("storage", have.Storage, want.Storage)
	d.must(metaFormat, have.Metadata[metaFormat], want.Metadata[metaFormat])
	d.must(metaCodec, have.Metadata[metaCodec], want.Metadata[metaCodec])
	d.must(metaIdentity+" present", have.Metadata[metaIdentity] != "", true)
	return d
}

// controlDiffers lists the settings of the control bucket that lose the mark.
func (c *conn) controlDiffers(have jetstream.StreamConfig) []string {
	want := kvstream.Settings(control.Bucket(c.store), c.opened.storage, 1)
	var d differences
	d.must("subjects", strings.Join(have.Subjects, " "), strings.Join(want.Subjects, " "))
	d.must("retention", have.Retention, want.Retention)
	d.must("max age", have.MaxAge, want.MaxAge)
	d.must("mirror", have.Mirror != nil, false)
	d.must("subject transform", have.SubjectTransform != nil, false)
	if have.MaxBytes > 0 || have.MaxMsgs > 0 {
		d.must("discard", have.Discard, want.Discard)
	}
	if want.Storage == jetstream.FileStorage {
		d.must("storage", have.Storage, want.Storage)
	}
	return d
}

// checkServer returns an error that matches ErrSettings if a store cannot rely on a server of that version.
func checkServer(version string) error {
	if !serverversion.Supported(version) {
		return fmt.Errorf("eventstore: %w: server %q: needs %s: upgrade the server", ErrSettings, version, serverversion.Required)
	}
	return nil
}
