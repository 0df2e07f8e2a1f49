package table

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
)

// Append stores events on top of the version that it expects. That is 0 for a new stream, and otherwise the
// result of the load or the append before. Append returns the version of the last event. All events are stored
// or none. If the stream has moved, Append returns a [ConflictError]. After any other error the events may be
// stored.
func (s *Store) Append(ctx context.Context, stream string, expected int64, events ...Event) (last int64, err error) {
	if len(events) == 0 {
		return expected, nil
	}
	values, err := rows(stream, expected, events)
	if err != nil {
		return 0, fmt.Errorf("table: append %s: %w", stream, err)
	}
	if _, err := s.pool.Exec(ctx, insert(len(events)), values...); err != nil {
		return 0, failure(stream, expected, err)
	}
	return expected + int64(len(events)), nil
}

// columns is the number of columns that an append writes.
const columns = 5

// insert is the statement that stores so many rows in one round trip and one transaction. A connection prepares
// it once for each number of rows.
func insert(rows int) string {
	var b strings.Builder
	b.WriteString("insert into events (stream, version, type, data, metadata) values ")
	for i := range rows {
		if i > 0 {
			b.WriteString(", ")
		}
		first := i*columns + 1
		fmt.Fprintf(&b, "($%d, $%d, $%d, $%d, $%d)", first, first+1, first+2, first+3, first+4)
	}
	return b.String()
}

// rows returns the values for insert.
func rows(stream string, expected int64, events []Event) ([]any, error) {
	values := make([]any, 0, columns*len(events))
	meta := metadata{}
	for i, event := range events {
		data, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		meta.ID = uuid.NewString()
		if meta.Correlation == "" {
			meta.Correlation = meta.ID
		}
		about, err := json.Marshal(meta)
		if err != nil {
			return nil, err
		}
		values = append(values, stream, expected+int64(i)+1, event.EventType(), data, about)
	}
	return values, nil
}

// ErrConflict means that a stream had moved, and that nothing was stored. See [ConflictError].
var ErrConflict = errors.New("conflict")

// ConflictError says that a stream was not where an append expected it. It matches [ErrConflict]. Load the stream
// again, decide again, append again.
type ConflictError struct {
	Stream   string
	Expected int64
	Err      error // what the server said
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("table: append %s: expected version %d: load it and decide again: %v", e.Stream, e.Expected, e.Err)
}

// Is reports whether target is ErrConflict.
func (e *ConflictError) Is(target error) bool { return target == ErrConflict }

// Unwrap returns the error of the server.
func (e *ConflictError) Unwrap() error { return e.Err }

// uniqueViolation is the code of Postgres for a row that already exists. Only (stream, version) can cause it.
const uniqueViolation = "23505"

func failure(stream string, expected int64, err error) error {
	var said *pgconn.PgError
	if errors.As(err, &said) && said.Code == uniqueViolation {
		return &ConflictError{Stream: stream, Expected: expected, Err: err}
	}
	return fmt.Errorf("table: append %s: %w", stream, err)
}
