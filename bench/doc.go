// Command bench measures Runnel beside plain nats.go, which is the limit of server and client, and beside the
// code that people write first.
//
//	make bench           everything, in stores of up to ten million commits
//	make bench-quick     the same in small stores and short rounds
//	make bench-postgres  the figures that have a Postgres table beside them
//
// It starts its own servers in temporary folders. Each figure is a file of results/, taken from one set-up. A
// figure is not taken again on the same machine by the same program, so an interrupted run goes on with the
// figure that it was at. From the files the command writes the page results/full/README.md with its plots.
//
// Package internal/measure explains how a figure is taken, and internal/figures holds the figures. The file
// docs/performance.md explains what they mean.
package main
