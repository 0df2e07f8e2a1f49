package eventstore

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
)

const (
	// importMessages and importBytes bound one batch, and one batch at a time is under way. Larger ones gain nothing:
	// on one replica a batch costs 4 ms, whatever it holds.
	importMessages = jsapi.MaxBatch
	importBytes    = 4 << 20
	// importPatience is the factor by which a batch is waited for longer than one message. That is Config.AckTimeout.
	importPatience = 5
)

// targetTaken is the error of a name that an import needs and under which something else is.
func targetTaken(stream, reason string) error {
	return fmt.Errorf("JetStream stream %s: %w: %s: import under another name, or delete the stream (nats stream rm %s) and import again",
		stream, ErrTarget, reason, stream)
}

// checkTargets looks at everything that the archive will be written to, before anything is written.
func (i *importer) checkTargets(ctx context.Context) error {
	log, err := i.conn.leaderInfo(ctx, i.conn.store)
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return err
	}
	missing := err != nil
	if !missing {
		if err := i.checkLog(log.Config); err != nil {
			return err
		}
	}
	if err := i.checkBuckets(ctx); err != nil || !missing {
		return err
	}
	// The log is made first, though it is filled last: from now on no program can open the store.
	_, err = i.create(ctx, i.logConfig())
	return err
}

// create makes a JetStream stream. If it was made meanwhile, by a try whose answer was lost or by another import of the
// same archive, that is not an error.
func (i *importer) create(ctx context.Context, cfg jetstream.StreamConfig) (info jetstream.StreamInfo, err error) {
	info, err = i.conn.create(cfg, func(cfg jetstream.StreamConfig) (jetstream.StreamInfo, error) {
		return answered(ctx, i.conn, func() (jetstream.StreamInfo, error) {
			if cfg.Name == i.conn.store { // the caller sets the log's bound
				return i.conn.api.CreateStream(ctx, cfg)
			}
			return i.conn.api.CreateBounded(ctx, cfg, 0)
		})
	})
	if !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return info, err
	}
	info, err = i.conn.leaderInfo(ctx, cfg.Name)
	if err == nil && info.Config.Metadata[metaImport] != i.mark {
		err = targetTaken(cfg.Name, "it was made meanwhile, and not by an import of this archive")
	}
	return info, err
}

// checkBuckets makes sure that any bucket under a name of the archive's buckets came from this archive.
func (i *importer) checkBuckets(ctx context.Context) error {
	if i.renamed() {
		return nil
	}
	for _, bucket := range i.header.Buckets {
		name := kvstream.Name(bucket)
		info, err := i.conn.leaderInfo(ctx, name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound) && !i.finished:
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return targetTaken(name, "it is missing, though the import was finished")
		case err != nil:
			return err
		case info.Config.Metadata[metaImport] != i.mark:
			return targetTaken(name, "it was not made by an import of this archive")
		}
	}
	return nil
}

// checkLog returns an error if an import must not go on in a stream that is there.
func (i *importer) checkLog(have jetstream.StreamConfig) error {
	mark := have.Metadata[metaImport]
	switch {
	case have.Metadata[metaIdentity] != i.header.Identity:
		return targetTaken(i.conn.store, "it is not of store "+i.header.Identity+", which the archive holds")
	case mark != "" && mark != i.mark:
		return targetTaken(i.conn.store, "the import of another archive has begun in it")
	}
	if differences := i.conn.compare(have); len(differences) > 0 {
		return settingsDiffer(i.conn.store, differences)
	}
	i.finished = mark == ""
	return nil
}

func (i *importer) logConfig() jetstream.StreamConfig {
	cfg := i.conn.streamConfig(i.header.Identity)
	cfg.Metadata[metaImport] = i.mark
	return cfg
}

// bucketConfig returns the settings of a bucket that package kv can open.
func (i *importer) bucketConfig(f bucketFrame) jetstream.StreamConfig {
	cfg := kvstream.Settings(i.bucket, i.conn.cfg.Storage, i.conn.replicas())
	cfg.Description = f.Description
	cfg.MaxMsgsPerSubject = f.History
	cfg.MaxBytes = f.MaxBytes
	cfg.MaxMsgSize = int32(f.MaxSize)
	if f.Compressed {
		cfg.Compression = jetstream.S2Compression
	}
	maps.Copy(cfg.Metadata, f.Metadata)
	cfg.Metadata[metaImport] = i.mark
	return cfg
}

// openTarget returns the JetStream stream of that configuration as a target, and makes it if it is missing.
func (i *importer) openTarget(ctx context.Context, cfg jetstream.StreamConfig) (*target, error) {
	info, err := i.conn.leaderInfo(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		info, err = i.create(ctx, cfg)
	}
	if err != nil {
		return nil, err
	}
	return &target{conn: i.conn, stream: cfg.Name, closed: i.finished, found: info.State.LastSeq}, nil
}

// endTarget stores the rest for the present target and checks that it ends where the archive does.
func (i *importer) endTarget(ctx context.Context) error {
	if i.target == nil {
		return nil
	}
	return i.target.finish(ctx)
}

// release deletes the messages at erased positions, checks the count and takes the mark away, so that the store can be
// opened.
func (i *importer) release(ctx context.Context, messages uint64) error {
	if err := i.deleteFillers(ctx); err != nil {
		return err
	}
	info, err := i.conn.leaderInfo(ctx, i.conn.store)
	if err != nil {
		return err
	}
	if info.State.LastSeq != uint64(i.summary.End) || info.State.Msgs != messages {
		return targetTaken(i.conn.store, fmt.Sprintf("it holds %d messages up to position %d, the archive has %d up to %d",
			info.State.Msgs, info.State.LastSeq, messages, i.summary.End))
	}
	if err := i.forgetOtherMark(ctx); err != nil {
		return err
	}
	// The mark of an unfinished import must not be gone from a disk that does not have all of the import.
	if err := i.conn.synced(i.conn.disk.Sync(ctx)); err != nil {
		return err
	}
	cfg := info.Config
	delete(cfg.Metadata, metaImport)
	cfg.Metadata[metaImported] = fmt.Sprint(i.summary.End)
	if _, err := answered(ctx, i.conn, func() (jetstream.StreamInfo, error) { return i.conn.api.UpdateStream(ctx, cfg) }); err != nil {
		return err
	}
	return i.conn.synced(i.conn.disk.Sync(ctx))
}

// forgetOtherMark deletes the high-water mark of another log that had this name. That log is gone, because its stream
// would have been in the way. A mark of the same log stays. If it is beyond the archive's end, Open says what was lost.
func (i *importer) forgetOtherMark(ctx context.Context) error {
	c := i.conn
	_, err := answered(ctx, c, func() (have marked, err error) {
		have, err = readMark(ctx, c.api, c.store)
		if err != nil || have.Position == 0 || have.Store == c.opened.identity {
			return have, err
		}
		return have, forgetMark(ctx, c.js, c.store, have)
	})
	return err
}

// deleteFillers deletes the messages that stand for erased commits.
func (i *importer) deleteFillers(ctx context.Context) error {
	if len(i.erased) == 0 {
		return nil
	}
	for _, position := range i.erased {
		if err := i.conn.deletePosition(ctx, position); err != nil {
			return fmt.Errorf("delete what stands for an erased commit at position %d: %w: import again to go on", position, err)
		}
	}
	return nil
}
