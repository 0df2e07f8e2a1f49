package natsrun

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/ondisk"
)

// A fileSystem is the file system of the embedded server's files.
type fileSystem interface {
	// sync returns once everything that was written before the call is on disk.
	sync() error
	close() error
}

// A groupServer is an embedded server that does not sync by itself. Connections to it are made of it, so that a
// store or a bucket finds the disk to wait for.
type groupServer struct {
	*server.Server
	disk *ondisk.Disk
	held fileSystem // what disk syncs
}

var _ ondisk.Server = (*groupServer)(nil)

func newGroupServer(held fileSystem, cfg *Config) *groupServer {
	return &groupServer{held: held, disk: ondisk.New(func() error {
		err := cfg.Trace.sync(held)
		if err != nil {
			err = syncFailed(cfg.DataDir, err)
			cfg.Logger.Error("sync failed, nothing is acknowledged any more", slog.Any("error", err))
		}
		return err
	})}
}

// syncFailed returns the error of a failed sync. It also matches ondisk.ErrFailed, which packages eventstore and kv
// check.
func syncFailed(dir string, err error) error {
	return fmt.Errorf("%w: %s: %w: %w: end the program, check the disk, and mount its file system again before the next start, "+
		"because the kernel may show data that is not on disk", ErrSync, dir, ondisk.ErrFailed, err)
}

// Disk returns the disk to wait for.
func (g *groupServer) Disk() *ondisk.Disk { return g.disk }

// close syncs what nobody has waited for, and closes the file system.
func (g *groupServer) close() error { return errors.Join(g.disk.Close(), g.held.close()) }

// provider returns what connections to the embedded server are made of.
func (e *embedded) provider() nats.InProcessConnProvider {
	if e.group == nil {
		return e.server
	}
	return e.group
}
