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

// serve serves until ctx ends. It waits for servers that do not answer at the start.
func (env environment) serve(ctx context.Context, data string, cfg service) int {
	runtime, err := env.runtimeConfig(data)
	if err != nil {
		return env.fail(err)
	}
	front, err := listen(ctx, cfg.addr, runtime.Logger)
	if err != nil {
		return env.fail(err)
	}
	for {
		err := natsrun.Run(ctx, runtime, func(ctx context.Context, rt *natsrun.Runtime) error {
			return onBank(ctx, rt, runtime.Logger, &Terms{Within: cfg.within}, func(ctx context.Context, rt *natsrun.Runtime, bank *Bank) error {
				return env.serveBank(ctx, rt, bank, front, cfg)
			})
		})
		if ctx.Err() != nil || !passes(err) || !front.open() {
			if err = errors.Join(err, front.close(ctx)); err != nil {
				return env.fail(err)
			}
			return exitOK
		}
		front.waits(err)
		again := time.NewTimer(time.Second)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
		}
	}
}

// serveBank runs everything that works on the bank, and answers for it.
func (env environment) serveBank(ctx context.Context, rt *natsrun.Runtime, bank *Bank, front *front, cfg service) (err error) {
	fraud, err := openFraud(ctx, bank.store, cfg.webhook, nil, bank.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, fraud.Close()) }()
	group := rt.NewGroup()
	if err := bank.findOthers(ctx, group, cfg, front.listener.Addr()); err != nil {
		return err
	}
	bank.log.Info("durability", slog.String("grade", rt.Durability(0).String()))
	if _, err := fmt.Fprintf(env.stdout, "listening on http://%s\n", front.listener.Addr()); err != nil {
		return err
	}
	bank.addViews(group)
	group.Add("fraud", fraud.Run)
	bank.addPayments(group)
	group.Add("http", func(ctx context.Context) error { return front.serve(ctx, newServer(bank, rt, cfg.token)) })
	return group.Run(ctx)
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
	return env.withRuntime(ctx, data, func(ctx context.Context, rt *natsrun.Runtime, log *slog.Logger) error {
		return onBank(ctx, rt, log, terms, program)
	})
}

// onBank opens the bank, runs a program on it, and closes it.
func onBank(
	ctx context.Context, rt *natsrun.Runtime, log *slog.Logger, terms *Terms, program func(context.Context, *natsrun.Runtime, *Bank) error,
) (err error) {
	bank, err := openBank(ctx, rt, log, terms)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bank.Close()) }()
	return program(ctx, rt, bank)
}

// withRuntime runs a program on the server of a data directory, or on the servers that the environment names.
func (env environment) withRuntime(ctx context.Context, data string, program func(context.Context, *natsrun.Runtime, *slog.Logger) error) int {
	cfg, err := env.runtimeConfig(data)
	if err != nil {
		return env.fail(err)
	}
	err = natsrun.Run(ctx, cfg, func(ctx context.Context, rt *natsrun.Runtime) error { return program(ctx, rt, cfg.Logger) })
	if err != nil {
		return env.fail(err)
	}
	return exitOK
}

// runtimeConfig returns the settings of the environment, for the server of a data directory unless they name servers.
func (env environment) runtimeConfig(data string) (*natsrun.Config, error) {
	cfg, err := natsrun.FromEnv(env.lookup)
	if err != nil {
		return nil, err
	}
	cfg.DataDir = data
	cfg.ServiceName = cmp.Or(cfg.ServiceName, "bank")
	cfg.Logger, err = env.newLogger(cfg.ServiceName)
	return cfg, err
}

func (env environment) fail(err error) int {
	_, _ = fmt.Fprintln(env.stderr, err)
	return exitFailed
}
