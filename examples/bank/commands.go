package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/natsrun"
)

// service holds the settings of serve.
type service struct {
	addr, token     string
	webhook, others string // URLs, or ""
	within          time.Duration
}

// serve serves until ctx ends.
func (env environment) serve(ctx context.Context, data string, cfg service) int {
	return env.withBank(ctx, data, &Terms{Within: cfg.within}, func(ctx context.Context, rt *natsrun.Runtime, bank *Bank) (err error) {
		fraud, err := openFraud(ctx, bank.store, cfg.webhook, nil, bank.log)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, fraud.Close()) }()
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.addr)
		if err != nil {
			return fmt.Errorf("bank: %w: choose another --addr", err)
		}
		defer func() { _ = listener.Close() }() // if the server has not started
		group := rt.NewGroup()
		if err := bank.findOthers(ctx, group, cfg, listener.Addr()); err != nil {
			return err
		}
		bank.log.Info("durability", slog.String("grade", rt.Durability(0).String()))
		if _, err := fmt.Fprintf(env.stdout, "listening on http://%s\n", listener.Addr()); err != nil {
			return err
		}
		bank.addViews(group)
		group.Add("fraud", fraud.Run)
		bank.addPayments(group)
		group.Add("http", func(ctx context.Context) error { return newServer(bank, rt, cfg.token).run(ctx, listener) })
		return group.Run(ctx)
	})
}

// The stub of the other banks takes so long, so that people can watch.
const (
	stubDelay = 3 * time.Second
	stubSlow  = 5 * time.Second
)

// findOthers sets where payments are sent to. If no URL is configured, it adds a stub of the other banks to the
// group.
func (b *Bank) findOthers(ctx context.Context, group *natsrun.Group, cfg service, own net.Addr) error {
	if cfg.others != "" {
		b.others = newOthers(cfg.others)
		return nil
	}
	stub, err := openStub(ctx, own, otherbank.Config{
		Token: cfg.token, Behave: otherbank.ByBank, Delay: stubDelay, Slow: stubSlow, Logger: b.log,
	})
	if err != nil {
		return err
	}
	b.others = newOthers(stub.addTo(group))
	return nil
}

// importFolder books the ledger in a folder.
func (env environment) importFolder(ctx context.Context, data, dir string) int {
	return env.toTheEnd(ctx, data, func(ctx context.Context, _ *natsrun.Runtime, bank *Bank) error {
		return bank.importLedger(ctx, os.DirFS(dir), env.stderr)
	})
}

// errAudit ends an audit that found something wrong and has printed it.
var errAudit = errors.New("the log, the ledger and the views do not agree: see the output above")

// auditFolder compares the log with the ledger in a folder. The views run until it is done.
func (env environment) auditFolder(ctx context.Context, data, dir string) int {
	return env.toTheEnd(ctx, data, func(ctx context.Context, rt *natsrun.Runtime, bank *Bank) error {
		running, done := context.WithCancel(ctx)
		defer done()
		group := rt.NewGroup()
		bank.addViews(group)
		group.Add("audit", func(ctx context.Context) error {
			defer done()
			wrong, err := bank.audit(ctx, os.DirFS(dir), env.stdout)
			if err == nil && wrong > 0 {
				err = errAudit
			}
			return err
		})
		if err := group.Run(running); err != nil {
			return err
		}
		return context.Cause(ctx)
	})
}

// backupFile writes a backup to a file.
func (env environment) backupFile(ctx context.Context, data, path string) int {
	return env.toTheEnd(ctx, data, func(ctx context.Context, _ *natsrun.Runtime, bank *Bank) error {
		return bank.backup(ctx, path, env.stderr)
	})
}

// restoreFile makes a bank from a backup. It does not open a bank first, because that would create an empty one.
func (env environment) restoreFile(ctx context.Context, data, path string) int {
	return env.ending(func(end func()) int {
		return env.withRuntime(ctx, data, func(ctx context.Context, rt *natsrun.Runtime, _ *slog.Logger) error {
			err := restore(ctx, rt, path, env.stderr)
			if err == nil {
				end()
			}
			return err
		})
	})
}

// toTheEnd is withBank for a program that ends by itself. It reports a failure if the program was interrupted.
func (env environment) toTheEnd(ctx context.Context, data string, program func(context.Context, *natsrun.Runtime, *Bank) error) int {
	return env.toTheEndOn(ctx, data, nil, program)
}

// toTheEndOn is toTheEnd with terms of payments.
func (env environment) toTheEndOn(
	ctx context.Context, data string, terms *Terms, program func(context.Context, *natsrun.Runtime, *Bank) error,
) int {
	return env.ending(func(end func()) int {
		return env.withBank(ctx, data, terms, func(ctx context.Context, rt *natsrun.Runtime, bank *Bank) error {
			err := program(ctx, rt, bank)
			if err == nil {
				end()
			}
			return err
		})
	})
}

// ending runs a program that calls end when it has finished. It reports a failure if the program was interrupted.
func (env environment) ending(run func(end func()) int) int {
	ended := false
	code := run(func() { ended = true })
	if code == exitOK && !ended {
		return env.fail(errors.New("bank: interrupted: run it again"))
	}
	return code
}

// withBank runs a program on the bank of a data directory, or of the servers that the environment names.
func (env environment) withBank(
	ctx context.Context, data string, terms *Terms, program func(context.Context, *natsrun.Runtime, *Bank) error,
) int {
	return env.withRuntime(ctx, data, func(ctx context.Context, rt *natsrun.Runtime, log *slog.Logger) (err error) {
		bank, err := openBank(ctx, rt, log, terms)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, bank.Close()) }()
		return program(ctx, rt, bank)
	})
}

// withRuntime runs a program on the server of a data directory, or on the servers that the environment names.
func (env environment) withRuntime(ctx context.Context, data string, program func(context.Context, *natsrun.Runtime, *slog.Logger) error) int {
	cfg, err := natsrun.FromEnv(env.lookup)
	if err != nil {
		return env.fail(err)
	}
	cfg.DataDir = data
	cfg.ServiceName = cmp.Or(cfg.ServiceName, "bank")
	if cfg.Logger, err = env.newLogger(cfg.ServiceName); err != nil {
		return env.fail(err)
	}
	err = natsrun.Run(ctx, cfg, func(ctx context.Context, rt *natsrun.Runtime) error { return program(ctx, rt, cfg.Logger) })
	if err != nil {
		return env.fail(err)
	}
	return exitOK
}

func (env environment) fail(err error) int {
	_, _ = fmt.Fprintln(env.stderr, err)
	return exitFailed
}
