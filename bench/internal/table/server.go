package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrNoPostgres means that there is no Postgres on this machine.
var ErrNoPostgres = errors.New("no Postgres is found: apt-get install postgresql, or name a database in RUNNEL_BENCH_POSTGRES")

// Server is a Postgres that was started for the figures.
type Server struct {
	URL string

	command *exec.Cmd
	output  bytes.Buffer
}

// Start makes a database in a folder and serves it on a socket there. The folder is on the disk whose syncs are measured, and
// every user may go there.
func Start(ctx context.Context, dir string) (*Server, error) {
	initdb, err := find("initdb")
	if err != nil {
		return nil, err
	}
	serve, err := find("postgres")
	if err != nil {
		return nil, err
	}
	if err := handOver(dir); err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "data")
	create := exec.CommandContext(ctx, initdb, "--pgdata", data, "--username", "bench", "--auth", "trust", "--no-instructions")
	runAsOther(create)
	create.Dir = dir
	if output, err := create.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, output)
	}
	s := &Server{URL: "host=" + dir + " user=bench dbname=postgres"}
	s.command = exec.CommandContext(ctx, serve, "-D", data, "-k", dir, "-c", "listen_addresses=", "-c", "max_connections=200")
	s.command.Dir = dir
	s.command.Stdout, s.command.Stderr = &s.output, &s.output
	// To end at once, and in order: Postgres calls it fast.
	s.command.Cancel = func() error { return s.command.Process.Signal(os.Interrupt) }
	runAsOther(s.command)
	if err := s.command.Start(); err != nil {
		return nil, err
	}
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("postgres does not answer: %w", err), s.Close())
	}
	return s, nil
}

// Close stops the server and waits for it.
func (s *Server) Close() error {
	if err := s.command.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if err := s.command.Wait(); err != nil {
		return fmt.Errorf("postgres: %w: %s", err, s.output.Bytes())
	}
	return nil
}

// await waits until the server takes connections.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.URL)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return err
		}
	}
}

// find looks for a program of Postgres where Debian keeps them, newest first, and in the path.
func find(name string) (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if err != nil {
		return "", err
	}
	slices.Sort(found)
	if len(found) > 0 {
		return found[len(found)-1], nil
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, ErrNoPostgres)
	}
	return path, nil
}
