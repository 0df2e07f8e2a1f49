// Command bench measures Runnel beside plain nats.go, which is what server and client can do, and beside what is written first.
//
//	make bench           everything, in stores of up to ten million commits
//	make bench-quick     the same in small stores and short rounds
//	make bench-postgres  the figures that have a Postgres table beside them
//
// It starts its own servers in temporary folders. Each figure is a file of results/, taken from one set-up, and is not taken again on
// the same machine by the same program: an interrupted run goes on where it was. From the files it writes the page
// results/full/README.md with its plots.
//
// How a figure is taken is told in internal/measure, what is measured in internal/figures, and what the figures mean in
// docs/performance.md.
package main
