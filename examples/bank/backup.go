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

// backup writes the log, the views and the reactors' checkpoints to a new file, while others book.
func (b *Bank) backup(ctx context.Context, path string, w io.Writer) (err error) {
	// What is there may be the only good backup.
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

// buckets names the buckets of a backup: those of the views that are built, and the one with the state of all that runs on
// the store.
func (b *Bank) buckets() []string {
	buckets := b.payments.View().Buckets()
	for _, view := range b.views.all() {
		buckets = append(buckets, view.Buckets()...)
	}
	return append(buckets, b.payments.View().Control())
}

// restore makes the bank of a backup where there is none yet, and goes on where a restore was cut short.
func restore(ctx context.Context, rt *natsrun.Runtime, path string, w io.Writer) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("bank: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	bar := newProgressBar(w, false)
	summary, err := eventstore.Import(ctx, rt.Commands(), file, &eventstore.ImportConfig{Progress: bar.show})
	bar.end()
	if errors.Is(err, eventstore.ErrTarget) {
		return fmt.Errorf("bank: there is a bank already, or a part of one: restore into a data directory of its own: %w", err)
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
