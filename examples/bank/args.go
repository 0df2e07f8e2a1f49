package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// environment is what the process passes to the program.
type environment struct {
	lookup         func(name string) (string, bool)
	stdout, stderr io.Writer
}

// A command is a sub-command with its arguments. It returns the process's exit code.
type command func(ctx context.Context) int

const usage = `Bank is the example of Runnel: accounts, transfers and statements, events kept in NATS JetStream.

  bank [serve] [--addr HOST:PORT] [--answer-within TIME] [--data DIR]
                                                 serve the page and the HTTP interface
  bank import DIR [--data DIR]                   book the ledger in DIR; may be interrupted and run again
  bank audit DIR [--data DIR]                    compare all bookings with the ledger in DIR
  bank orders DIR [--seed N] [--answer-within TIME] [--data DIR]
                                                 carry out the standing orders in DIR, to banks with faults; may be
                                                 interrupted and run again
  bank rebuild VIEW [--json] [--data DIR]        build balances, statements or turnover again while the old build serves
  bank replay [--from TIME] [--type T,...] [--account ID] [--data DIR]
                                                 print events of the log
  bank parked [VIEW] [--replay KEY] [--discard KEY] [--data DIR]
                                                 list keys that could not be folded, or fold one again
  bank backup FILE [--data DIR]                  write everything to a new file
  bank restore FILE [--data DIR]                 make a bank from a backup; may be interrupted and run again

Run "bank serve --help" for the flags and the environment.
`

const environmentUsage = `
Environment:
  NATS_URL                   use these NATS servers; empty: a server inside this process, which keeps its files in --data
  BANK_TOKEN                 bearer token that requests must have; required on other addresses than loopback
  BANK_FRAUD_WEBHOOK         URL to which odd withdrawals are reported; empty: they are only logged
  BANK_OTHER_BANKS           URL to which payments to other banks are sent; empty: a stub inside this process
  LOG_LEVEL                  debug, info, warn or error; empty: info
  SERVICE_NAME, GRACEFUL_SHUTDOWN_TIMEOUT, MAX_RECONNECT_ATTEMPTS, JETSTREAM_SYNC: see package natsrun
`

// parseArgs returns the command for the arguments. If they ask for help, it prints the help and returns nil. Its
// errors say how the program is used.
func parseArgs(args []string, env environment) (command, error) {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	} else if len(args) == 1 && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
		name = "help"
	}
	switch name {
	case "help":
		_, err := fmt.Fprint(env.stdout, usage)
		return nil, err
	case "serve":
		return parseServe(args, env)
	case "import":
		return parsePath(name, args, env, whichFolder, env.importFolder)
	case "audit":
		return parsePath(name, args, env, whichFolder, env.auditFolder)
	case "backup":
		return parsePath(name, args, env, "which file? It is made", env.backupFile)
	case "restore":
		return parsePath(name, args, env, "which file? A backup made it", env.restoreFile)
	case "orders":
		return parseOrders(args, env)
	case "rebuild":
		return parseRebuild(args, env)
	case "replay":
		return parseReplay(args, env)
	case "parked":
		return parseParked(args, env)
	}
	return nil, fmt.Errorf("bank: unknown sub-command %q: bank --help says which there are", name)
}

func parseServe(args []string, env environment) (command, error) {
	flags, data := newFlags("serve")
	var cfg service
	flags.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "address to listen on; port 0 takes any that is free")
	flags.DurationVar(&cfg.within, "answer-within", time.Minute, "how long another bank may take to answer a payment")
	rest, help, err := parseFlags(flags, args, env.stdout)
	if err != nil || help {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, usageError("serve", fmt.Errorf("surplus argument %q", rest[0]))
	}
	cfg.token, _ = env.lookup("BANK_TOKEN")
	cfg.webhook, _ = env.lookup("BANK_FRAUD_WEBHOOK")
	cfg.others, _ = env.lookup("BANK_OTHER_BANKS")
	if err := cfg.check(); err != nil {
		return nil, usageError("serve", err)
	}
	return func(ctx context.Context) int { return env.serve(ctx, *data, cfg) }, nil
}

// check returns an error if a setting cannot be used.
func (s service) check() error {
	if s.token == "" && !isLoopback(s.addr) {
		return fmt.Errorf("--addr %s is open to others: set BANK_TOKEN, or listen on 127.0.0.1", s.addr)
	}
	if s.within <= 0 {
		return fmt.Errorf("--answer-within %s: it must be above zero", s.within)
	}
	return errors.Join(checkWebhook(s.webhook), checkOthers(s.others))
}

const whichFolder = "which folder? It has the files account.asc and trans.asc"

// parsePath parses the arguments of a sub-command that works on one folder or one file.
func parsePath(name string, args []string, env environment, which string, do func(ctx context.Context, data, path string) int) (command, error) {
	flags, data := newFlags(name)
	rest, help, err := parseFlags(flags, args, env.stdout)
	switch {
	case err != nil || help:
		return nil, err
	case len(rest) == 0:
		return nil, usageError(name, errors.New(which))
	case len(rest) > 1:
		return nil, usageError(name, fmt.Errorf("surplus argument %q", rest[1]))
	}
	return func(ctx context.Context) int { return do(ctx, *data, rest[0]) }, nil
}

func newFlags(name string) (flags *flag.FlagSet, data *string) {
	flags = flag.NewFlagSet("bank "+name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // parseFlags returns the errors and prints the help
	return flags, flags.String("data", "./data", "directory of the server inside this process")
}

// parseFlags parses flags before, between and after the other arguments, which it returns.
func parseFlags(flags *flag.FlagSet, args []string, stdout io.Writer) (rest []string, help bool, err error) {
	for len(args) > 0 {
		err := flags.Parse(args)
		if errors.Is(err, flag.ErrHelp) {
			printHelp(flags, stdout)
			return nil, true, nil
		}
		if err != nil {
			return nil, false, usageError(strings.TrimPrefix(flags.Name(), "bank "), err)
		}
		if args = flags.Args(); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	return rest, false, nil
}

func printHelp(flags *flag.FlagSet, w io.Writer) {
	_, _ = fmt.Fprintf(w, "%s\nFlags of %s:\n", usage, flags.Name())
	flags.SetOutput(w)
	flags.PrintDefaults()
	_, _ = fmt.Fprint(w, environmentUsage)
}

func usageError(name string, err error) error {
	return fmt.Errorf("bank %s: %w\nbank %s --help says how it is used", name, err, name)
}

// isLoopback reports whether only this machine can connect to an address.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // net.Listen refuses it with a better text
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
