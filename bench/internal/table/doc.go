// Package table keeps events in the way that most people do: in a table of Postgres, through pgx. The bench
// measures Runnel beside it. A reader who has such a table should recognize it here.
//
// # What is stored
//
//	events
//	  position  bigserial    primary key             the order of the log
//	  stream    text                                 "account-42"
//	  version   bigint       unique (stream, version): of two writers that saw the same, one gets an error
//	  type      text                                 "account.booked"
//	  data      jsonb                                the event
//	  metadata  jsonb                                {"id": "...", "correlation": "..."}
//	  time      timestamptz  default now()
//
// Data and metadata are jsonb, as in guides and libraries, so that SQL can query them. With bytea instead, 16
// goroutines appended durably at the same rate.
//
// # How it is used
//
//	append       one insert of all its rows: one statement, one round trip, one transaction
//	load         select by stream, ordered by version
//	read of all  one select ordered by position, whose rows are decoded as they come in; pages of 5,000 are no faster
//
// # Fairness
//
// Libraries and guides differ in details. This package always takes the faster way:
//
//   - The head of the stream is not read before an append: the unique constraint alone finds the conflict.
//   - Statements are prepared once for each connection. There are enough connections for the server to commit
//     many transactions at a time.
//   - Several events are one insert. A pgx.Batch of inserts, and unnest of arrays, are no faster.
//   - The server is reached over a unix socket, and sorts text by its bytes (locale C).
//
// [Start] starts a server with its default settings, fsync among them. [Config.AsyncCommit] shows the cost of
// an append without the wait for the disk. RUNNEL_BENCH_POSTGRES names another server to use.
//
// # Caveats
//
// The table lacks what such tables usually lack. Positions are assigned when rows are inserted, not when they
// are committed. So a reader that follows the table by position may pass over rows that are committed late. A
// library that prevents this serialises the appends, or reads behind them. An append that expects a version
// that the stream has not yet reached leaves a gap.
package table
