package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/runnel-go/runnel/natsrun"
)

// The exit codes.
const (
	failed = 1 // a bar was not met, or the rig broke
	unfit  = 3 // the machine cannot do it
)

const (
	// perStore is the number of cuts of one store. It is small enough for the store to be read each time.
	perStore = 5
	// A cut comes at a random moment within these times after the one before.
	earliest = 200 * time.Millisecond
	latest   = 1200 * time.Millisecond
)

// mode says how the server and the kernel write.
type mode struct {
	name      string
	sync      natsrun.SyncMode
	writeBack time.Duration // the interval at which the kernel is made to write, or 0 for its own time
	spareLog  bool          // the kernel writes the log back only once
	durable   bool          // nothing acknowledged may be lost
}

var modes = []mode{
	{name: "SyncAlways", sync: natsrun.SyncAlways, durable: true},
	{name: "group sync", sync: natsrun.SyncGroup, durable: true},
	{name: "no sync", sync: natsrun.SyncNone},
	{name: "no sync, written back every 25 ms", sync: natsrun.SyncNone, writeBack: 25 * time.Millisecond},
	{name: "no sync, buckets written back, the log not", sync: natsrun.SyncNone, writeBack: 25 * time.Millisecond, spareLog: true},
}

func main() {
	cuts := flag.Int("cuts", 100, "how often the power is cut in each mode")
	only := flag.String("mode", "", "the one mode to run, by its name in the table; defaults to all")
	dir := flag.String("dir", "", "where the images lie, with 3 GB free; defaults to the system's folder for temporary files")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := powercut(ctx, os.Stdout, *dir, *cuts, *only)
	stop()
	switch {
	case errors.Is(err, errUnfit):
		fmt.Fprintf(os.Stderr, "powercut is left out: %v\n", err)
		os.Exit(unfit)
	case err != nil:
		fmt.Fprintf(os.Stderr, "powercut: %v\n", err)
		os.Exit(failed)
	}
}

// powercut cuts the power in each mode, or in one, and prints a table. It returns an error if a bar was not
// met.
func powercut(ctx context.Context, out io.Writer, dir string, cuts int, only string) (err error) {
	modes := slices.DeleteFunc(slices.Clone(modes), func(m mode) bool { return only != "" && m.name != only })
	if len(modes) == 0 {
		return fmt.Errorf("there is no mode %q", only)
	}
	rig, err := newRig(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rig.close(ctx)) }()
	if _, err := io.WriteString(out, head(cuts)); err != nil {
		return err
	}
	var missed []error
	for _, m := range modes {
		total, err := m.run(ctx, rig, cuts)
		if err != nil {
			return errors.Join(append(missed, m.bars(total), fmt.Errorf("%s: %w", m.name, err))...)
		}
		if _, err := io.WriteString(out, m.row(total)); err != nil {
			return err
		}
		missed = append(missed, m.bars(total))
	}
	return errors.Join(missed...)
}

// run cuts the power that often.
func (m mode) run(ctx context.Context, rig *rig, cuts int) (t total, err error) {
	for t.cuts < cuts {
		dir := filepath.Join(rig.live(), "data")
		if err := m.store(ctx, rig, dir, min(perStore, cuts-t.cuts), &t); err != nil {
			return t, err
		}
		if ctx.Err() != nil {
			return t, context.Cause(ctx)
		}
		if err := os.RemoveAll(dir); err != nil {
			return t, err
		}
	}
	return t, nil
}

// store cuts the power of one store a few times.
func (m mode) store(ctx context.Context, rig *rig, dir string, cuts int, t *total) (err error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	l, err := begin(running, stop, dir, m.sync)
	if err != nil {
		return err
	}
	var writer sync.WaitGroup
	if m.writeBack > 0 {
		writer.Go(func() { rig.writeBack(running, m.writeBack, m.spareLog) })
	}
	defer func() {
		err = errors.Join(err, l.end(running))
		writer.Wait()
	}()
	for range cuts {
		select {
		case <-time.After(earliest + rand.N(latest-earliest)):
		case <-running.Done():
			return nil // end says why
		}
		f, err := cut(ctx, rig, l)
		if err != nil {
			return err
		}
		t.add(f)
	}
	return nil
}

// cut cuts the power once, and checks the disk while the load rests.
func cut(ctx context.Context, rig *rig, l *load) (f finding, err error) {
	acked := l.acknowledged()
	dir, release, err := rig.cut(ctx)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, release()) }()
	l.pause.Lock()
	defer l.pause.Unlock()
	return inspect(ctx, filepath.Join(dir, "data"), acked)
}
