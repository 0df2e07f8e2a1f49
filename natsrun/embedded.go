package natsrun

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

// An embedded is a running server and the data directory that it holds.
type embedded struct {
	server *server.Server
	dir    *dataDir

	stopping sync.Once
	stopped  chan struct{} // closed when server and lock are gone
	err      error         // of giving up the lock; read after stopped
}

// startEmbedded returns when the server has recovered what it stored and is
// ready. A start cannot be cut short: the server is not made for a shutdown
// during recovery.
func startEmbedded(cfg *Config) (*embedded, error) {
	dir, err := openDataDir(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	limit, err := dir.storeLimit(cfg.MaxStore, cfg.freeSpace)
	if err != nil {
		return nil, errors.Join(err, dir.close())
	}
	log := &serverLog{logger: cfg.Logger.With("component", "nats-server")}
	srv, err := server.NewServer(serverOptions(cfg, limit))
	if err != nil {
		return nil, errors.Join(&EmbeddedError{Dir: cfg.DataDir, Err: err}, dir.close())
	}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	e := &embedded{server: srv, dir: dir, stopped: make(chan struct{})}
	if err := log.failure(); err != nil {
		e.shutdown()
		return nil, errors.Join(&EmbeddedError{Dir: cfg.DataDir, Err: err}, e.err)
	}
	logStart(cfg, limit)
	return e, nil
}

func serverOptions(cfg *Config, limit int64) *server.Options {
	return &server.Options{
		ServerName:        cfg.ServiceName,
		DontListen:        true,
		NoSigs:            true,
		JetStream:         true,
		StoreDir:          cfg.DataDir,
		JetStreamMaxStore: limit,
		SyncAlways:        cfg.Sync == SyncAlways,
	}
}

func logStart(cfg *Config, limit int64) {
	cfg.Logger.Info("embedded NATS server is ready", slog.String("version", server.VERSION),
		slog.String("data_dir", cfg.DataDir), slog.String("sync", string(cfg.Sync)), slog.Int64("max_store", limit))
	if cfg.Sync == SyncInterval {
		cfg.Logger.Warn("SyncAlways is OFF: a power cut or a crash of the machine loses up to two minutes of acknowledged messages",
			slog.String("data_dir", cfg.DataDir))
	}
}

// stop shuts the server down and gives the data directory up. If ctx ends first
// it returns errLate, the shutdown goes on, and the lock is held until its end.
func (e *embedded) stop(ctx context.Context) error {
	e.stopping.Do(func() { go e.shutdown() })
	select {
	case <-e.stopped:
	case <-ctx.Done():
		select {
		case <-e.stopped: // both are so: it ended in time
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
	e.err = e.dir.close()
}
