// Bank is the example of Runnel: a bank with accounts, transfers and statements, as one binary with its own NATS.
//
//	go run ./examples/bank                    serve on http://127.0.0.1:8080, keep everything in ./data
//	go run ./examples/bank import DIR         book the real ledger in DIR
//	go run ./examples/bank orders DIR         pay that ledger's standing orders to other banks, some of which fail
//	go run ./examples/bank audit DIR          compare the log with that ledger, row by row
//	go run ./examples/bank backup FILE        write everything to a file, from which restore makes the bank again
//
// Begin to read here:
//
//	events.go, domain.go   the business, without a word about storage
//	bank.go, views.go      the store, the repositories and the views
//	payment.go             pays to other banks, step by step and back
//	fraud.go               reacts to odd withdrawals
//	http_write.go          runs the commands for HTTP
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], environment{lookup: os.LookupEnv, stdout: os.Stdout, stderr: os.Stderr})
	stop()
	os.Exit(code)
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // also if an audit found something wrong
	exitUsage  = 2
)

// run is the program without the process around it.
func run(ctx context.Context, args []string, env environment) int {
	command, err := parseArgs(args, env)
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(env.stderr, err)
		return exitUsage
	case command == nil:
		return exitOK // the help was printed
	}
	return command(ctx)
}
