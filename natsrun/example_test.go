package natsrun_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/natsrun"
)

// A whole program takes its settings from the environment, ends by a signal, and runs members side by side.
func Example() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	cfg, err := natsrun.FromEnv(os.LookupEnv)
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg.DataDir, err = os.MkdirTemp("", "natsrun")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(cfg.DataDir) }()
	cfg.Logger = slog.New(slog.DiscardHandler)

	err = natsrun.Run(ctx, cfg, func(ctx context.Context, rt *natsrun.Runtime) error {
		group := rt.NewGroup()
		group.Add("tail", func(ctx context.Context) error {
			<-ctx.Done() // a view would run here
			return ctx.Err()
		})
		group.Add("once", func(ctx context.Context) error {
			info, err := rt.Commands().AccountInfo(ctx)
			if err != nil {
				return err
			}
			fmt.Println("streams:", info.Streams)
			stop() // as if somebody had pressed Ctrl-C
			return nil
		})
		return group.Run(ctx)
	})
	fmt.Println("end:", err)
	// Output:
	// streams: 0
	// end: <nil>
}

// Without a URL the server is part of the process and opens no port.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "natsrun")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()

	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Sync: natsrun.SyncAlways, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() {
		if err := rt.Close(context.WithoutCancel(ctx)); err != nil {
			fmt.Println(err)
		}
	}()

	_, err = rt.Commands().CreateStream(ctx, jetstream.StreamConfig{Name: "bank", Subjects: []string{"bank.>"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	ack, err := rt.Commands().Publish(ctx, "bank.account.42", []byte("deposited"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("position", ack.Sequence)
	fmt.Println(rt.Health().State, rt.Health().Ready())
	fmt.Println(rt.Durability(1))
	// Output:
	// position 1
	// connected true
	// embedded server, 1 replica, sync always. Kill: nothing acknowledged is lost, and the store is unavailable until the server is back. Power cut: nothing acknowledged is lost. Lost disk: everything since the last backup may be lost.
}

// FromEnv reports all wrong variables at once, and prints no password.
func ExampleFromEnv() {
	env := map[string]string{
		"NATS_URL":               "http://ada:secret@db:4222",
		"SERVICE_NAME":           "bank",
		"JETSTREAM_SYNC":         "often",
		"MAX_RECONNECT_ATTEMPTS": "0",
	}
	_, err := natsrun.FromEnv(func(name string) (string, bool) {
		value, set := env[name]
		return value, set
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, natsrun.ErrConfig))
	// Output:
	// natsrun: invalid configuration: environment variable NATS_URL is "xxxxx@db:4222": want one or more NATS servers such as nats://host:4222, separated by commas
	// natsrun: invalid configuration: environment variable JETSTREAM_SYNC is "often": want group, always or none
	// natsrun: invalid configuration: environment variable MAX_RECONNECT_ATTEMPTS is "0": want -1 (without end) or at least 1
	// true
}

// A group stops its members in reverse order.
func ExampleGroup() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()

	group := natsrun.Group{Logger: slog.New(slog.DiscardHandler)}
	for _, name := range []string{"views", "sagas", "http"} {
		group.Add(name, func(ctx context.Context) error {
			<-ctx.Done()
			fmt.Println("stopped", name)
			return ctx.Err()
		})
	}
	group.Add("job", func(context.Context) error {
		stop()
		return nil
	})
	fmt.Println(group.Run(ctx))
	// Output:
	// stopped http
	// stopped sagas
	// stopped views
	// <nil>
}
