package eventstore

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/runnel-go/runnel/internal/defaults"
)

// ExportConfig holds what Export needs beyond its arguments. A nil *ExportConfig and the zero ExportConfig give the
// defaults.
type ExportConfig struct {
	// Buckets are the names of NATS KV buckets that go into the archive, such as the buckets of views, in this order. A
	// bucket that is named several times is written once, at its last place. Defaults to none.
	Buckets []string
	// Progress is called from time to time, and at the log's end, with how far the log is read. Defaults to none.
	Progress func(Progress)
}

// buckets returns each of the buckets once.
func (c ExportConfig) buckets() []string {
	var last []string
	for i, bucket := range c.Buckets {
		if !slices.Contains(c.Buckets[i+1:], bucket) {
			last = append(last, bucket)
		}
	}
	return last
}

// Summary says what an archive holds.
type Summary struct {
	Store    string    // the store's name; after an import, the name under which it was imported
	Identity string    // of the store; an import keeps it
	Time     time.Time // when the export began
	End      Position  // of the log
	Commits  int64
	Events   int64 // in the commits
	Erased   int64 // positions whose commits were erased
	Foreign  int64 // messages of other programs; with the commits and the erased positions they make up the log
	Messages int64 // of the buckets: documents and markers of deletions
	Bytes    int64 // the archive's size
	Elapsed  time.Duration
}

// Export writes the log to w, and with it the buckets that cfg names, as one archive for [Import]. The store goes on as
// usual meanwhile:
//
//	each bucket, as it was at one moment -> the log, up to its end after that -> a trailer with counts and a checksum
//
// So a view's documents and its checkpoint agree in the archive though the view runs, and no checkpoint in it is ahead
// of the log in it. A bucket is read until a moment at which nothing was written to it since the last message that was
// read. A view under load leaves such moments, because its batches are some milliseconds apart. A bucket that is
// written without a pause is read until ctx ends, and the archive grows by what is written.
//
// Export blocks until everything is written. It returns an error that matches ErrCorrupt with the position if the log
// is damaged, and ErrSettings if a bucket is missing or cannot be exported. Otherwise it returns the error of w, the
// cause of ctx, or the server's error. The output of an Export that failed is useless, because Import demands the
// trailer. Interruptions of the connection are waited out.
func (s *Store) Export(ctx context.Context, w io.Writer, cfg *ExportConfig) (Summary, error) {
	begun := time.Now()
	e := &exporter{conn: s.conn, fetcher: s.fetcher, log: s.log}
	if err := e.run(ctx, w, defaults.Of(cfg)); err != nil {
		return Summary{}, fmt.Errorf("eventstore: export %s: %w", s.conn.store, err)
	}
	progress := e.tracker.done()
	e.summary.Commits, e.summary.Events = progress.Commits, progress.Events
	e.summary.Bytes, e.summary.Elapsed = e.archive.bytes, time.Since(begun)
	return e.summary, nil
}

type exporter struct {
	conn    *conn
	fetcher *fetcher
	log     *log
	archive *archiveWriter
	tracker *tracker
	summary Summary
}

func (e *exporter) run(ctx context.Context, w io.Writer, cfg ExportConfig) error {
	c, buckets := e.conn, cfg.buckets()
	e.summary = Summary{Store: c.store, Identity: c.opened.identity, Time: c.cfg.Now().UTC()}
	var err error
	if e.archive, err = newArchiveWriter(w); err != nil {
		return err
	}
	header := headerFrame{
		Store: c.store, Identity: c.opened.identity, Codec: c.cfg.Codec, Layout: layoutFormat, Erasure: c.cfg.Erasure,
		Time: e.summary.Time, Buckets: buckets,
	}
	if err := e.archive.write(header); err != nil {
		return err
	}
	for _, bucket := range buckets {
		b := bucketReader{conn: c, bucket: bucket, write: e.archive.write}
		if err := b.run(ctx); err != nil {
			return err
		}
		e.summary.Messages += int64(b.written)
	}
	e.tracker = newTracker(0, cfg.Progress)
	if err := e.writeLog(ctx); err != nil {
		return err
	}
	return e.archive.finish(trailerFrame{
		Commits: uint64(e.tracker.progress.Commits), Erased: uint64(e.summary.Erased), Messages: uint64(e.summary.Messages),
	})
}

// writeLog writes the log with the remainders of torn transactions, because links and checkpoints hold positions, so
// all of them are kept. It leaves out what is recorded as erased, even if that is not deleted yet.
func (e *exporter) writeLog(ctx context.Context) error {
	if e.conn.cfg.Erasure {
		if _, err := e.fetcher.erasures.refresh(ctx, e.fetcher); err != nil {
			return err
		}
	}
	end, err := e.log.end(ctx)
	if err != nil {
		return err
	}
	if err := e.archive.write(logFrame{End: end}); err != nil {
		return err
	}
	for e.summary.End < end {
		e.tracker.progress.End = end
		if err := e.commits(ctx, end); err != nil {
			return err
		}
		e.summary.End = end
		// If a commit is erased while we read, its record stands beyond the end. The record is exported as well,
		// because otherwise the hole would be damage.
		if e.summary.Erased > 0 && e.fetcher.erasures.upTo().Position > end {
			if end, err = e.log.end(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *exporter) commits(ctx context.Context, upTo Position) error {
	for c, err := range e.log.scan(ctx, scanOptions{after: e.summary.End, upTo: upTo}) {
		if err != nil {
			return err
		}
		if err := e.commit(c); err != nil {
			return err
		}
	}
	return nil
}

func (e *exporter) commit(c *Commit) error {
	if c.erased || e.conn.cfg.Erasure && e.fetcher.erasures.at(c.Position) != nil {
		e.summary.Erased++
		return e.archive.write(erasedFrame{Position: c.Position})
	}
	if c.foreign != nil {
		e.summary.Foreign++
		return e.archive.write(foreignFrame{
			Position: c.Position, Subject: strings.TrimPrefix(c.foreign.Subject, e.conn.store+"."), Data: c.foreign.data,
		})
	}
	subject, err := c.Stream.subject("")
	if err != nil {
		return err
	}
	e.tracker.commit(c)
	return e.archive.write(commitFrame{Position: c.Position, Stream: subject[1:], Payload: c.payload})
}
