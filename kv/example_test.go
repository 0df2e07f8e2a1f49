package kv_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/kv"
)

type Balance struct {
	Cents int `json:"cents"`
}

func Example() {
	ctx := context.Background()
	js, stop := connect()
	defer stop()

	balances, err := kv.Open[Balance](ctx, js, "balances", nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	first, err := balances.Create(ctx, "anna@example.com", Balance{Cents: 1200})
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := balances.Update(ctx, "anna@example.com", Balance{Cents: 900}, first); err != nil {
		fmt.Println(err)
		return
	}
	_, err = balances.Update(ctx, "anna@example.com", Balance{Cents: 800}, first)
	if conflict, ok := errors.AsType[*kv.ConflictError](err); ok {
		fmt.Println("conflict: expected", conflict.Expected, "actual", conflict.Actual)
	}
	anna, err := balances.Get(ctx, "anna@example.com")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(anna.Key, anna.Value.Cents)
	if err := balances.Close(); err != nil {
		fmt.Println(err)
		return
	}
	// Output:
	// conflict: expected 1 actual 2
	// anna@example.com 900
}

func ExampleBucket_Batch() {
	ctx := context.Background()
	js, stop := connect()
	defer stop()
	balances, err := kv.Open[Balance](ctx, js, "balances", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	anna, err := balances.Create(ctx, "anna", Balance{Cents: 1200})
	if err != nil {
		fmt.Println(err)
		return
	}

	transfer := balances.Batch()
	transfer.Create("bob", Balance{Cents: 300})
	transfer.Update("anna", Balance{Cents: 900}, anna)
	revision, err := transfer.Commit(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("anna is at revision", revision)

	late := balances.Batch()
	late.Put("bob", Balance{Cents: 1500})
	late.Update("anna", Balance{}, anna) // her balance has changed, so bob gets nothing
	_, err = late.Commit(ctx)
	fmt.Println("conflict:", errors.Is(err, kv.ErrConflict))

	for entry, err := range balances.List(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.Key, entry.Value.Cents)
	}
	// Output:
	// anna is at revision 3
	// conflict: true
	// bob 300
	// anna 900
}

func ExampleBucket_Modify() {
	ctx := context.Background()
	js, stop := connect()
	defer stop()
	balances, err := kv.Open[Balance](ctx, js, "balances", nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	deposit := func(b Balance, found bool) (Balance, error) {
		fmt.Println("found:", found)
		return Balance{Cents: b.Cents + 100}, nil
	}
	for range 2 {
		b, _, err := balances.Modify(ctx, "42", deposit)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(b.Cents)
	}
	// Output:
	// found: false
	// 100
	// found: true
	// 200
}

func ExampleBucket_Watch() {
	ctx := context.Background()
	js, stop := connect()
	defer stop()
	balances, err := kv.Open[Balance](ctx, js, "balances", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := balances.Put(ctx, "42.eur", Balance{Cents: 900}); err != nil {
		fmt.Println(err)
		return
	}

	for change, err := range balances.Watch(ctx, "42.*") {
		if err != nil {
			fmt.Println(err)
			return
		}
		switch {
		case change.Synced:
			fmt.Println("that is all for now")
			if err := balances.Delete(ctx, "42.eur"); err != nil {
				fmt.Println(err)
				return
			}
		case change.Deleted:
			fmt.Println(change.Key, "deleted")
			return
		default:
			fmt.Println(change.Key, change.Value.Cents)
		}
	}
	// Output:
	// 42.eur 900
	// that is all for now
	// 42.eur deleted
}

// connect starts a server for one example; a program connects to one with nats.Connect.
func connect() (js jetstream.JetStream, stop func()) {
	dir, err := os.MkdirTemp("", "kv-example-")
	if err != nil {
		log.Fatal(err)
	}
	srv, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	srv.Start()
	nc, err := nats.Connect("", nats.InProcessServer(srv), nats.ReconnectBufSize(-1))
	if err != nil {
		log.Fatal(err)
	}
	js, err = jetstream.New(nc)
	if err != nil {
		log.Fatal(err)
	}
	return js, func() {
		nc.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		if err := os.RemoveAll(dir); err != nil {
			log.Fatal(err)
		}
	}
}
