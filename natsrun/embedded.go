package natsrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// An embedded is a running server and the data directory that it holds.
type embedded struct {
	server *server.Server
	dir    *dataDir
	sync   SyncMode     // configured, or chosen by what the system supports
	group  *groupServer // nil unless sync is SyncGroup

	stopping sync.Once
	stopped  chan struct{} // closed when the server has stopped and the lock is given up
	err      error         // of giving up the lock; read after stopped
}

// startEmbedded starts the server and returns when it has recovered what it stored. A start cannot be cut short,
// because the server does not support a shutdown during recovery.
func startEmbedded(cfg *Config) (*embedded, error) {
	dir, err := lockDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	limit, err := dir.storeLimit(cfg.MaxStore, cfg.freeSpace)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	e := &embedded{dir: dir, stopped: make(chan struct{})}
	if err := e.chooseSync(cfg); err != nil {
		return nil, errors.Join(err, dir.close())
	}
	log := &serverLog{logger: cfg.Logger.With("component", "nats-server")}
	if e.server, err = server.NewServer(e.options(cfg, limit)); err != nil {
		return nil, errors.Join(notStarted(cfg, err), e.release())
	}
	if e.group != nil {
		e.group.Server = e.server
	}
	e.server.SetLoggerV2(log, false, false, false)
	e.server.Start()
	if err := log.failure(); err != nil {
		e.shutdown()
		return nil, errors.Join(notStarted(cfg, err), e.err)
	}
	e.logStart(cfg, limit)
	return e, nil
}

func notStarted(cfg *Config, err error) error {
	return fmt.Errorf("natsrun: start the embedded server on %s: %w: check that the directory holds only its files, "+
		"that they are readable, and that the disk is not full", cfg.DataDir, err)
}

// chooseSync sets the sync mode: the configured one, or SyncGroup if the system supports it.
func (e *embedded) chooseSync(cfg *Config) error {
	if e.sync = cfg.Sync; e.sync == SyncAlways || e.sync == SyncNone {
		return nil
	}
	disk, err := e.dir.openDisk(cfg.openDisk)
	switch {
	case err == nil:
		e.sync, e.group = SyncGroup, newGroupServer(disk, cfg)
	case e.sync == SyncGroup:
		return wrongField("Sync", SyncGroup, "SyncAlways or SyncNone here, because "+err.Error())
	default:
		e.sync = SyncAlways
		cfg.Logger.Info("no group sync here, the server syncs each message", slog.Any("reason", err))
	}
	return nil
}

func (e *embedded) options(cfg *Config, limit int64) *server.Options {
	return &server.Options{
		ServerName:        cfg.ServiceName,
		DontListen:        true,
		NoSigs:            true,
		JetStream:         true,
		StoreDir:          cfg.DataDir,
		JetStreamMaxStore: limit,
		SyncAlways:        e.sync == SyncAlways,
	}
}

func (e *embedded) logStart(cfg *Config, limit int64) {
	cfg.Logger.Info("embedded NATS server is ready", slog.String("version", server.VERSION),
		slog.String("data_dir", cfg.DataDir), slog.String("sync", string(e.sync)), slog.Int64("max_store", limit))
	if e.sync == SyncNone {
		cfg.Logger.Warn("sync is OFF: a power cut or a crash of the machine loses up to two minutes of acknowledged messages",
			slog.String("data_dir", cfg.DataDir))
	}
}

// stop shuts the server down and releases the data directory. If ctx ends first, stop returns errLate. The
// shutdown then goes on, and the lock is held until it has ended.
func (e *embedded) stop(ctx context.Context) error {
	e.stopping.Do(func() { go e.shutdown() })
	select {
	case <-e.stopped:
	case <-ctx.Done():
		select {
		case <-e.stopped: // both channels were ready: it ended in time
		default:
			return errLate
		}
	}
	return e.err
}

func (e *embedded) shutdown() {
	defer close(e.stopped)
	e.server.Shutdown()
	e.server.WaitForShutdown()
	e.err = e.release()
}

// release gives up the file system and the data directory.
func (e *embedded) release() error {
	if e.group == nil {
		return e.dir.close()
	}
	return errors.Join(e.group.close(), e.dir.close())
}
