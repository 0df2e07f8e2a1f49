// Package table is what most people use for event sourcing: one table of events in Postgres, with a unique version in each
// stream. The figures of bench stand Runnel beside it.
//
//	position | stream     | version | type           | data   | metadata | recorded_at
//	       1 | account-42 |       1 | account.booked | {...}  | {...}    | ...
//	       2 | account-42 |       2 | account.booked | {...}  | {...}    | ...
//	           unique (stream, version)
//
// # How it is used
//
//	append      one insert of all events, which the unique constraint refuses where the stream has moved
//	load        a select of the stream, in the order of its versions
//	replay      a select of everything, in the order of positions
//
// Data and metadata are jsonb, which is what guides and libraries take, since it can be queried. A statement is prepared
// once for each connection, by pgx, and takes one round trip over a unix socket. Positions are given before a transaction commits,
// so a reader that goes on from the last position it has seen may skip one that was committed later; what this takes to be put
// right, a lock or a gap table, is not here and not measured.
//
// [Start] runs a Postgres of its own with its defaults, which include a sync before each commit returns. It groups the commits
// that wait.
package table
