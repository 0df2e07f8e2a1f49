package table

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// create makes the table of guides and libraries.
const create = `
create table events (
	position bigserial   primary key,
	stream   text        not null,
	version  bigint      not null,
	type     text        not null,
	data     jsonb       not null,
	metadata jsonb       not null,
	time     timestamptz not null default now(),
	unique (stream, version)
)`

// Config holds the settings of a store. It may be nil.
type Config struct {
	// Conns is the number of connections that the store opens and keeps. Defaults to 16.
	Conns int
	// AsyncCommit acknowledges appends before they are on disk: synchronous_commit is off. A crash of the server
	// then loses the last of them, about half a second's. Defaults to false.
	AsyncCommit bool
}

func (c *Config) conns() int {
	if c == nil || c.Conns == 0 {
		return 16
	}
	return c.Conns
}

func (c *Config) synchronousCommit() string {
	if c != nil && c.AsyncCommit {
		return "off"
	}
	return "on"
}

// Store keeps events in one table. Its methods may be called from several goroutines at once.
type Store struct {
	pool   *pgxpool.Pool
	schema string
	types  map[string]func(data []byte) (Event, error)
}

// Open makes a table in a schema of its own, so that nothing else in the database is touched.
func Open(ctx context.Context, url string, cfg *Config, types ...Type) (*Store, error) {
	s := &Store{schema: "runnel_bench_" + strings.ToLower(rand.Text()), types: make(map[string]func([]byte) (Event, error), len(types))}
	for _, t := range types {
		s.types[t.name] = t.decode
	}
	settings, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("table: open: %w", err)
	}
	settings.MaxConns, settings.MinConns = int32(cfg.conns()), int32(cfg.conns())
	settings.ConnConfig.RuntimeParams["search_path"] = s.schema
	settings.ConnConfig.RuntimeParams["synchronous_commit"] = cfg.synchronousCommit()
	if s.pool, err = pgxpool.NewWithConfig(ctx, settings); err != nil {
		return nil, fmt.Errorf("table: open: %w", err)
	}
	for _, statement := range []string{"create schema " + s.schema, create} {
		if _, err := s.pool.Exec(ctx, statement); err != nil {
			s.pool.Close()
			return nil, fmt.Errorf("table: open: %w", err)
		}
	}
	return s, nil
}

// Close removes the table and closes the connections.
func (s *Store) Close(ctx context.Context) error {
	defer s.pool.Close()
	if _, err := s.pool.Exec(ctx, "drop schema "+s.schema+" cascade"); err != nil {
		return fmt.Errorf("table: close: %w: drop schema %s yourself", err, s.schema)
	}
	return nil
}

// Vacuum does the work now that the server would otherwise do in the midst of a figure.
func (s *Store) Vacuum(ctx context.Context) error {
	if _, err := s.pool.Exec(ctx, "vacuum analyze events"); err != nil {
		return fmt.Errorf("table: %w", err)
	}
	return nil
}

// About names the server's version and the settings that durable appends depend on.
func (s *Store) About(ctx context.Context) (string, error) {
	about := ""
	for _, setting := range []string{"server_version", "fsync", "synchronous_commit", "wal_sync_method", "shared_buffers"} {
		value := ""
		if err := s.pool.QueryRow(ctx, "select current_setting($1)", setting).Scan(&value); err != nil {
			return "", fmt.Errorf("table: %w", err)
		}
		if setting == "server_version" {
			about = "PostgreSQL " + value
			continue
		}
		about += ", " + setting + " " + value
	}
	return about, nil
}
