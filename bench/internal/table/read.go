package table

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
)

const selected = `select position, stream, version, type, data, metadata, time from events `

// Load returns the events of a stream, and the version of the last one, which an append expects. A stream
// without events is not an error.
func (s *Store) Load(ctx context.Context, stream string) (events []Recorded, last int64, err error) {
	err = s.read(ctx, func(r Recorded) error {
		events, last = append(events, r), r.Version
		return nil
	}, selected+`where stream = $1 order by version`, stream)
	if err != nil {
		return nil, 0, fmt.Errorf("table: load %s: %w", stream, err)
	}
	return events, last, nil
}

// Last returns the last event of a stream, or the zero value if it has none.
func (s *Store) Last(ctx context.Context, stream string) (last Recorded, err error) {
	err = s.read(ctx, func(r Recorded) error {
		last = r
		return nil
	}, selected+`where stream = $1 order by version desc limit 1`, stream)
	if err != nil {
		return Recorded{}, fmt.Errorf("table: load %s: %w", stream, err)
	}
	return last, nil
}

// All calls f for each event of the table, in the order of their positions. It ends with the error of f.
func (s *Store) All(ctx context.Context, f func(Recorded) error) error {
	if err := s.read(ctx, f, selected+`order by position`); err != nil {
		return fmt.Errorf("table: read: %w", err)
	}
	return nil
}

// read calls f for each row of a query, as the rows come in.
func (s *Store) read(ctx context.Context, f func(Recorded) error, query string, args ...any) error {
	rows, err := s.pool.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := s.scan(rows)
		if err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (s *Store) scan(rows pgx.Rows) (r Recorded, err error) {
	var data, about []byte
	if err := rows.Scan(&r.Position, &r.Stream, &r.Version, &r.Type, &data, &about, &r.Time); err != nil {
		return Recorded{}, err
	}
	var meta metadata
	if err := json.Unmarshal(about, &meta); err != nil {
		return Recorded{}, fmt.Errorf("%s version %d: metadata: %w", r.Stream, r.Version, err)
	}
	r.ID, r.Correlation = meta.ID, meta.Correlation
	if r.Event, err = s.decode(r.Type, data); err != nil {
		return Recorded{}, fmt.Errorf("%s version %d: %w", r.Stream, r.Version, err)
	}
	return r, nil
}
