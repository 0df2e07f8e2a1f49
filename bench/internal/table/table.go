package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrConflict means that a stream had moved, and that nothing was stored.
var ErrConflict = errors.New("conflict")

// Event is something that happened: a plain struct that JSON can hold, and that knows the name of its type.
type Event interface {
	EventType() string
}

// Table is a table of events. Its methods may be called from several goroutines at once.
type Table struct {
	pool *pgxpool.Pool
	name string // of the table, quoted
}

// Open connects to a database with so many connections at most, and makes the table where there is none.
func Open(ctx context.Context, url, name string, connections int32) (*Table, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	cfg.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	t, err := (&Table{pool: pool}).Beside(ctx, name)
	if err != nil {
		pool.Close()
	}
	return t, err
}

// Beside gives another table, over the same connections.
func (t *Table) Beside(ctx context.Context, name string) (*Table, error) {
	t = &Table{pool: t.pool, name: pgx.Identifier{name}.Sanitize()}
	_, err := t.pool.Exec(ctx, `create table if not exists `+t.name+` (
		position    bigint generated always as identity primary key,
		stream      text not null,
		version     bigint not null,
		type        text not null,
		data        jsonb not null,
		metadata    jsonb not null,
		recorded_at timestamptz not null default now(),
		unique (stream, version))`)
	if err != nil {
		return nil, fmt.Errorf("make table %s: %w", name, err)
	}
	return t, nil
}

// Close ends the connections.
func (t *Table) Close() error {
	t.pool.Close()
	return nil
}

const uniqueViolation = "23505"

// Append stores events on top of a version, all or none, and gives the version of the last. It returns ErrConflict where the
// stream has moved.
func (t *Table) Append(ctx context.Context, stream string, version int64, events ...Event) (int64, error) {
	types, data := make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		encoded, err := json.Marshal(e)
		if err != nil {
			return 0, err
		}
		types[i], data[i] = e.EventType(), string(encoded)
	}
	_, err := t.pool.Exec(ctx, `insert into `+t.name+` (stream, version, type, data, metadata)
		select $1, $2::bigint + e.n, e.type, e.data::jsonb, '{"correlation": "a request"}'
		from unnest($3::text[], $4::text[]) with ordinality as e(type, data, n)`, stream, version, types, data)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == uniqueViolation {
		return 0, fmt.Errorf("append to %s at version %d: %w: load it and decide again", stream, version, ErrConflict)
	}
	if err != nil {
		return 0, fmt.Errorf("append to %s: %w", stream, err)
	}
	return version + int64(len(events)), nil
}

// Load gives the events of a stream, which all are of one type, in the order of their versions.
func Load[E Event](ctx context.Context, t *Table, stream string) ([]E, error) {
	rows, err := t.pool.Query(ctx, `select data from `+t.name+` where stream = $1 order by version`, stream)
	if err != nil {
		return nil, err
	}
	var events []E
	err = each(rows, func(e E) { events = append(events, e) })
	return events, err
}

// All calls f for each event of the table, in the order of positions.
func All[E Event](ctx context.Context, t *Table, f func(E)) error {
	rows, err := t.pool.Query(ctx, `select data from `+t.name+` order by position`)
	if err != nil {
		return err
	}
	return each(rows, f)
}

func each[E Event](rows pgx.Rows, f func(E)) error {
	defer rows.Close()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		var event E
		if err := json.Unmarshal(data, &event); err != nil {
			return err
		}
		f(event)
	}
	return rows.Err()
}
