package table

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvURL is the environment variable that names a server to measure with its own settings.
const EnvURL = "RUNNEL_BENCH_POSTGRES"

// Server is the Postgres that is measured.
type Server struct {
	URL string // of a database, for Open

	folders []string      // to remove at the end
	command *exec.Cmd     // nil if EnvURL names the server
	ended   chan struct{} // closed when the command has ended
	err     error         // with which it ended; read after ended
}

// How long the server may take to begin and to end.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// Start returns the server that RUNNEL_BENCH_POSTGRES names, or starts a server, which ends with ctx or Close.
// Its data is in a folder for temporary files, like the data of everything that is measured. It has the default
// settings of Postgres: fsync and synchronous_commit are on. It listens on a unix socket alone. If no Postgres
// is found, the error matches [ErrNoPostgres].
//
// Postgres refuses to run as root. Started by root it runs as the user postgres, or as nobody.
func Start(ctx context.Context) (*Server, error) {
	if url := os.Getenv(EnvURL); url != "" {
		return &Server{URL: url}, nil
	}
	bin, err := binaries()
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	s := &Server{}
	if err := s.start(ctx, bin); err != nil {
		return nil, errors.Join(fmt.Errorf("table: start Postgres of %s: %w", bin, err), s.Close())
	}
	return s, nil
}

// start makes a database, runs the server on it, and waits until it answers.
func (s *Server) start(ctx context.Context, bin string) error {
	attributes, own, err := unprivileged()
	if err != nil {
		return err
	}
	data, err := s.folder(own)
	if err != nil {
		return err
	}
	socket, err := s.folder(own)
	if err != nil {
		return err
	}
	if err := initialize(ctx, bin, data, attributes); err != nil {
		return err
	}
	if err := s.run(ctx, bin, data, socket, attributes); err != nil {
		return err
	}
	s.URL = "host=" + socket + " user=postgres dbname=postgres"
	return s.await(ctx)
}

// folder makes a folder that belongs to the user of the server, and notes that it has to be removed.
func (s *Server) folder(own func(dir string) error) (string, error) {
	dir, err := os.MkdirTemp("", "postgres-")
	if err != nil {
		return "", err
	}
	s.folders = append(s.folders, dir)
	return dir, own(dir)
}

// initialize makes the empty database. Only this step is not synced.
func initialize(ctx context.Context, bin, data string, attributes *syscall.SysProcAttr) error {
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"),
		"--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = data, attributes
	if said, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, said)
	}
	return nil
}

func (s *Server) log() string { return filepath.Join(s.folders[0], "log") }

// run starts the server. When ctx ends, it is told to disconnect its clients and to end, as by Close.
func (s *Server) run(ctx context.Context, bin, data, socket string, attributes *syscall.SysProcAttr) error {
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has it as its own
	command := exec.CommandContext(ctx, filepath.Join(bin, "postgres"), "-D", data, "-k", socket, "-c", "listen_addresses=")
	command.Dir, command.SysProcAttr = data, attributes
	command.Stdout, command.Stderr = log, log
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) }
	command.WaitDelay = stopTimeout
	if err := command.Start(); err != nil {
		return err
	}
	s.command, s.ended = command, make(chan struct{})
	go func() {
		defer close(s.ended)
		s.err = command.Wait()
	}()
	return nil
}

// await waits until the server answers.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("it does not answer in time"))
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-again.C:
		case <-s.ended:
			said, _ := os.ReadFile(s.log()) // its log adds to the error, if it can be read
			return fmt.Errorf("it has ended: %w: %s", s.err, said)
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// Close ends the server, if it was started here, and removes its data.
func (s *Server) Close() error {
	var errs []error
	if s.command != nil {
		errs = append(errs, s.end())
	}
	for _, dir := range s.folders {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}

// end tells the server to end, and kills it if it does not.
func (s *Server) end() error {
	select {
	case <-s.ended:
		return nil // by itself, or with the context
	default:
	}
	if err := s.command.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-s.ended:
		return s.err
	case <-time.After(stopTimeout):
		return errors.Join(errors.New("table: Postgres did not end in time and was killed"), s.command.Process.Kill())
	}
}
