// Package table is what most people keep events in: a table of Postgres, by pgx. The figures of bench stand Runnel beside it. It
// is written for them, and it is what is used: whoever has such a table should find their own here.
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
// Data and metadata are jsonb, because that is what guides and libraries have: they can be asked for in SQL. With bytea
// instead, 16 goroutines that append durably did so at the same rate.
//
// # How it is used
//
//	append       one insert of all its rows: one statement, one round trip, one transaction
//	load         select by stream, ordered by version
//	read of all  one select ordered by position, whose rows are decoded as they come in; pages of 5,000 are no faster
//
// # Fairness
//
// Libraries and guides differ in details. Where they do, this package does what is faster:
//
//   - The head of the stream is not read before an append: the unique constraint alone finds the conflict.
//   - Statements are prepared once for each connection, of which there are enough for the server to commit many at a time.
//   - Several events are one insert. A pgx.Batch of inserts, and unnest of arrays, are no faster.
//   - The server is reached over a unix socket, and sorts text by its bytes (locale C).
//
// [Start] starts a server with the settings that it comes with, fsync among them. [Config.AsyncCommit] shows what is left of an
// append without waiting for the disk. Who has a server of their own names it with RUNNEL_BENCH_POSTGRES.
//
// # Caveats
//
// What is missing is missing in what it stands for. Positions are given out when rows are inserted, not when they are
// committed, so a reader that follows the table by position may pass over rows that are committed late. A library that
// keeps it from doing so serialises the appends, or reads behind them. An append that expects a version that the stream has
// not yet reached leaves a gap.
package table
