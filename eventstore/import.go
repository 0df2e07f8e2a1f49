package eventstore

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/defaults"
	"github.com/runnel-go/runnel/internal/kvstream"
	"github.com/runnel-go/runnel/internal/token"
)

// ImportConfig holds what Import needs beyond its arguments. A nil *ImportConfig and the zero ImportConfig give the
// defaults.
type ImportConfig struct {
	// Name is the store's name from now on. If it differs from the archive's, the buckets are left out, because they
	// and the records of views carry the old name. Then views are built anew. Defaults to the archive's name.
	Name string
	// Store is the configuration with which the store will be opened. Import uses its Replicas, MaxBytes, Storage and
	// timeouts. The buckets get the same Replicas and Storage. Codec and Erasure are the archive's, and Import refuses
	// others. Defaults to nil.
	Store *Config
	// Progress is called from time to time, and at the log's end, with how far the log is stored. Defaults to none.
	Progress func(Progress)
}

// store returns the configuration of the target. It refuses one with which the store could not be opened.
func (c ImportConfig) store(header headerFrame) (*Config, error) {
	cfg := defaults.Of(c.Store)
	err := defaults.OneOf("Store.Codec", cmp.Or(cfg.Codec, header.Codec), header.Codec)
	if cfg.Erasure && !header.Erasure {
		err = errors.Join(err, errors.New("Store.Erasure is true: set false, because the archived store has no erasure"))
	}
	cfg.Codec, cfg.Erasure = header.Codec, header.Erasure
	return &cfg, err
}

// Import makes a store on js from an archive that [Store.Export] wrote. The store keeps its identity, and every commit
// its position. So links, transactions, checkpoints and idempotency keys hold, and views whose buckets are in the
// archive go on from their checkpoints. Every other view is folded anew. Only the times at which the server stored the
// messages are new. The times in the commits stay.
//
//	look at targets -> make streams, marked as unfinished -> buckets -> log -> counts, checksums -> remove marks
//
// The archive is read once from start to end. Until all of it is stored and verified, [Open] refuses the store with
// ErrUnavailable. After an interruption, whatever its cause, call Import again with the same archive: it goes on where
// it ended. After it has finished, another call changes nothing.
//
// Import blocks until everything is stored, and waits out interruptions of the connection. It returns an error that
// matches ErrTarget if something else is under a name that the archive needs, which is left as it is. ErrArchive means
// that the archive is damaged or cut off. Other errors match ErrSettings, ErrInvalidID, ErrFull, ErrTooLarge or
// ErrRefused, or are the error of r, the cause of ctx, or the server's.
func Import(ctx context.Context, js jetstream.JetStream, r io.Reader, cfg *ImportConfig) (summary Summary, err error) {
	begun := time.Now()
	archive, err := newArchiveReader(r)
	if err != nil {
		return Summary{}, err
	}
	full := defaults.Of(cfg)
	i := &importer{archive: archive, report: full.Progress}
	if err := i.readHeader(ctx, js, full); err != nil {
		return Summary{}, err
	}
	defer func() { err = errors.Join(err, i.conn.close()) }()
	if err := i.run(ctx); err != nil {
		return Summary{}, fmt.Errorf("eventstore: import %s: %w", i.conn.store, err)
	}
	progress := i.tracker.done()
	i.summary.Commits, i.summary.Events = progress.Commits, progress.Events
	i.summary.Bytes, i.summary.Elapsed = archive.bytes, time.Since(begun)
	return i.summary, nil
}

// importer carries one archive over. The frames come in a fixed order, and the fields of the importer follow it.
type importer struct {
	archive *archiveReader
	conn    *conn // to the target
	decoder *decoder
	report  func(Progress) // nil for no reports
	tracker *tracker       // of the log
	summary Summary

	header   headerFrame
	mark     string // names this archive, in the metadata of what is imported from it
	finished bool   // the target was imported before: it is compared, and nothing is written

	begun    int     // how many of the header's buckets were begun
	bucket   string  // the bucket that is being imported, or ""
	messages uint64  // in buckets
	target   *target // of the bucket or the log
	logging  bool    // the log was begun
	erased   []Position
}

// readHeader reads the header and makes the Store value of the target, without asking JetStream for anything.
func (i *importer) readHeader(ctx context.Context, js jetstream.JetStream, cfg ImportConfig) error {
	f, err := i.archive.read()
	if err != nil {
		return err
	}
	header, ok := f.(headerFrame)
	switch {
	case !ok:
		return i.archive.fault(errors.New("it does not begin with a header"), nil)
	case header.Layout != layoutFormat:
		return i.archive.fault(fmt.Errorf("its store is of format %d, this release reads %d: upgrade it", header.Layout, layoutFormat), nil)
	case header.Codec.check() != nil:
		return i.archive.fault(fmt.Errorf("its codec is %q", header.Codec), nil)
	case slices.ContainsFunc(header.Buckets, func(name string) bool { return token.CheckName(name) != nil }):
		return i.archive.fault(fmt.Errorf("its buckets are %.200q", header.Buckets), nil)
	case uuid.Validate(header.Identity) != nil:
		return i.archive.fault(fmt.Errorf("its identity is %q", header.Identity), nil)
	}
	i.header, i.mark = header, hex.EncodeToString(i.archive.sum.Sum(nil)[:16])
	name := cmp.Or(cfg.Name, header.Store)
	store, err := cfg.store(header)
	if err != nil {
		return fmt.Errorf("eventstore: import %s: %w: %w", name, ErrSettings, err)
	}
	target, err := newStore(ctx, js, name, nil, store)
	if err != nil {
		return err
	}
	i.conn, i.decoder = target.conn, target.decoder
	i.conn.opened.identity = header.Identity
	i.summary = Summary{Store: i.conn.store, Identity: header.Identity, Time: header.Time}
	return nil
}

func (i *importer) run(ctx context.Context) error {
	if err := i.checkTargets(ctx); err != nil {
		return err
	}
	for {
		f, err := i.archive.read()
		if err != nil {
			return err
		}
		switch f := f.(type) {
		case bucketFrame:
			err = i.beginBucket(ctx, f)
		case messageFrame:
			err = i.message(ctx, f)
		case logFrame:
			err = i.beginLog(ctx, f)
		case commitFrame:
			err = i.commit(ctx, f)
		case erasedFrame:
			err = i.hole(ctx, f)
		case foreignFrame:
			err = i.foreign(ctx, f)
		case trailerFrame:
			return i.finish(ctx, f)
		default:
			err = i.misplaced(f)
		}
		if err != nil {
			return err
		}
	}
}

// misplaced returns the error of a frame that cannot follow the one before.
func (i *importer) misplaced(f frame) error {
	return i.archive.fault(fmt.Errorf("a frame of kind %d is out of place", f.kind()), nil)
}

func (i *importer) beginBucket(ctx context.Context, f bucketFrame) error {
	if i.logging || i.begun == len(i.header.Buckets) || i.header.Buckets[i.begun] != f.Name || f.History < 1 {
		return i.misplaced(f)
	}
	if err := i.endTarget(ctx); err != nil {
		return err
	}
	i.begun++
	i.bucket = f.Name
	if i.renamed() {
		return nil
	}
	var err error
	i.target, err = i.openTarget(ctx, i.bucketConfig(f))
	return err
}

// renamed reports whether the store gets another name, under which the buckets are left out.
func (i *importer) renamed() bool { return i.conn.store != i.header.Store }

func (i *importer) message(ctx context.Context, f messageFrame) error {
	if i.bucket == "" {
		return i.misplaced(f)
	}
	header, err := f.header()
	if err != nil {
		return i.archive.fault(err, nil)
	}
	if !validKey(f.Key) {
		return i.archive.fault(fmt.Errorf("key %.64q cannot be one", f.Key), nil)
	}
	i.messages++
	if i.renamed() {
		return nil
	}
	i.summary.Messages++
	return i.target.add(ctx, restored{subject: kvstream.Subject(i.bucket, f.Key), header: header, data: f.Data})
}

func (i *importer) beginLog(ctx context.Context, f logFrame) error {
	if i.logging || i.begun < len(i.header.Buckets) {
		return i.misplaced(f)
	}
	if err := i.endTarget(ctx); err != nil {
		return err
	}
	i.logging, i.bucket, i.tracker = true, "", newTracker(f.End, i.report)
	var err error
	i.target, err = i.openTarget(ctx, i.logConfig())
	if err != nil {
		return err
	}
	i.target.stored = i.tracker.commit
	return nil
}

func (i *importer) commit(ctx context.Context, f commitFrame) error {
	if !i.logging || f.Position != i.summary.End+1 {
		return i.misplaced(f)
	}
	subject := i.conn.store + "." + f.Stream
	// A commit that no reader of the store would accept is damage that the checksums do not show.
	c, err := i.decoder.commitOf(subject, f.Position, f.Payload)
	if err != nil {
		return i.archive.fault(err, nil)
	}
	i.summary.End++
	return i.target.add(ctx, restored{subject: subject, data: f.Payload, commit: c})
}

// hole takes the place of a commit that was erased, so that the next one gets its position.
func (i *importer) hole(ctx context.Context, f erasedFrame) error {
	if !i.logging || f.Position != i.summary.End+1 || !i.header.Erasure {
		return i.misplaced(f)
	}
	i.summary.End++
	i.erased = append(i.erased, f.Position)
	return i.target.add(ctx, restored{subject: i.conn.store + fillerSubject, filler: true})
}

// foreign stores a message of another program again, because positions are kept. Its header says that it does not
// belong to the store. A subject too long to be published with everything that an import adds is cut.
func (i *importer) foreign(ctx context.Context, f foreignFrame) error {
	category, id, ok := strings.Cut(f.Subject, ".")
	if !i.logging || f.Position != i.summary.End+1 || !ok || !publishable(category) || !publishable(id) {
		return i.misplaced(f)
	}
	i.summary.End++
	i.summary.Foreign++
	i.tracker.passed(f.Position, 0)
	subject := i.conn.store + "." + cutToken(category) + "." + cutToken(id)
	return i.target.add(ctx, restored{subject: subject, header: []string{headerForeign, "1"}, data: f.Data})
}

// publishable reports whether a text can be one token of a subject to publish to. Wildcards stand for themselves there.
func publishable(token string) bool {
	return token != "" && !strings.ContainsAny(token, ". \t\r\n")
}

// longestToken bounds a token of a subject, because the server takes 4096 bytes in a line of its protocol.
const longestToken = 1800

// cutToken returns the beginning of a token that is too long.
func cutToken(token string) string {
	if len(token) <= longestToken {
		return token
	}
	return strings.ToValidUTF8(token[:longestToken], "")
}

// fillerSubject is the subject of the messages that take the place of erased commits until they are deleted.
const fillerSubject = ".runnel.filler"

// finish compares what is stored with the trailer, and takes the mark away.
func (i *importer) finish(ctx context.Context, f trailerFrame) error {
	if !i.logging {
		return i.misplaced(f)
	}
	if err := i.endTarget(ctx); err != nil {
		return err
	}
	i.summary.Erased = int64(len(i.erased))
	messages := uint64(i.summary.End) - uint64(len(i.erased))
	commits := messages - uint64(i.summary.Foreign)
	if f.Commits != commits || f.Erased != uint64(len(i.erased)) || f.Messages != i.messages {
		return i.archive.fault(errors.New("its counts do not hold"), nil)
	}
	if i.finished {
		return nil
	}
	return i.release(ctx, messages)
}
