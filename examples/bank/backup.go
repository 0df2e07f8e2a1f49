package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
)

// backup writes the log, the views and the store's control bucket to a new file. Others may book meanwhile.
func (b *Bank) backup(ctx context.Context, path string, w io.Writer) (err error) {
	end, err := b.store.End(ctx)
	if err != nil {
		return err
	}
	if end == 0 {
		return errors.New("bank: there is nothing to back up: see whether --data or NATS_URL is right")
	}
	// A file that exists may be the only good backup.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("bank: %w: choose the name of a file that does not exist", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(path))
		}
	}()
	bar := newProgressBar(w, false)
	summary, err := b.store.Export(ctx, file, &eventstore.ExportConfig{Buckets: b.buckets(), Progress: bar.show})
	bar.end()
	if err == nil {
		err = file.Sync()
	}
	if err := errors.Join(err, file.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "backup: %s in %s\n", told(summary), path)
	return err
}

// buckets returns the names of the buckets of a backup: the buckets of the views that are built, and the control
// bucket.
func (b *Bank) buckets() []string {
	buckets := b.payments.View().Buckets()
	for _, view := range b.views.all() {
		buckets = append(buckets, view.Buckets()...)
	}
	return append(buckets, b.payments.View().Control())
}

// restore makes a bank from a backup, in a place without a bank. It goes on with a restore that was interrupted.
func restore(ctx context.Context, rt *natsrun.Runtime, path string, w io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bank: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read from
	bar := newProgressBar(w, false)
	summary, err := eventstore.Import(ctx, rt.Commands(), file, &eventstore.ImportConfig{Progress: bar.show})
	bar.end()
	if errors.Is(err, eventstore.ErrTarget) {
		return fmt.Errorf("bank: a bank or a part of one exists already: restore into another data directory: %w", err)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "restore: %s of %s\n", told(summary), summary.Time.Format("2006-01-02 15:04:05 MST"))
	return err
}

func told(s eventstore.Summary) string {
	return fmt.Sprintf("%d events in %d commits, %d documents, %d bytes, %.1f s", s.Events, s.Commits, s.Messages, s.Bytes, s.Elapsed.Seconds())
}
