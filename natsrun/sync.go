package natsrun

import (
	"errors"
	"log/slog"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/ondisk"
)

// A disk is the file system that holds the data directory.
type disk interface {
	// sync returns when all that was written to it before is on disk.
	sync() error
	close() error
}

// A groupServer is an embedded server that does not sync by itself. The
// connections to it are made of it, so that whoever uses one can find the disk
// to wait for.
type groupServer struct {
	*server.Server
	disk *ondisk.Disk
	held disk // what disk syncs
}

var _ ondisk.Server = (*groupServer)(nil)

func newGroupServer(held disk, dir string, log *slog.Logger) *groupServer {
	return &groupServer{held: held, disk: ondisk.New(func() error {
		err := held.sync()
		if err != nil {
			err = &SyncError{Dir: dir, Err: err}
			log.Error("sync failed, nothing is acknowledged any more", slog.Any("error", err))
		}
		return err
	})}
}

// Disk returns what syncs.
func (g *groupServer) Disk() *ondisk.Disk { return g.disk }

// close syncs what was written past those who wait, and gives up the disk.
func (g *groupServer) close() error {
	return errors.Join(g.disk.Close(), g.held.close())
}

// provider is what connections to the embedded server are made of.
func (e *embedded) provider() nats.InProcessConnProvider {
	if e.group == nil {
		return e.server
	}
	return e.group
}
