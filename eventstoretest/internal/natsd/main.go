//go:build unix

// Natsd is the nats-server that eventstoretest.Process runs as a process of its
// own. It takes nats-server's command line, prints its client URL on standard output when
// clients can connect, and ends when its standard input does, so that it
// cannot outlive the test that started it. At SIGUSR2 it ends in lame duck mode.
// With -accounts each user name has an account of its own, which is made when it
// first connects to the server.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// How long a server in lame duck mode waits before it sends its clients away, and for how long it does so.
// nats-server takes ten seconds and two minutes.
const (
	lameDuckGrace = 200 * time.Millisecond
	lameDuckTime  = time.Second
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "natsd:", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stdout io.Writer) error {
	flags := flag.NewFlagSet("natsd", flag.ContinueOnError)
	usage := func() { flags.Usage() }
	withAccounts := flags.Bool("accounts", false, "give each user name an account of its own")
	opts, err := server.ConfigureOptions(flags, args, usage, usage, usage)
	if err != nil {
		return fmt.Errorf("read the command line: %w", err)
	}
	opts.NoSigs = true
	opts.LameDuckGracePeriod, opts.LameDuckDuration = lameDuckGrace, lameDuckTime
	users := &accounts{}
	if *withAccounts {
		opts.CustomClientAuthentication = users
	}
	node, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start a server: %w", err)
	}
	users.node = node
	node.ConfigureLogger()
	node.Start()
	defer node.WaitForShutdown()
	defer node.Shutdown()
	if !node.ReadyForConnections(30 * time.Second) {
		return errors.New("the server takes no connections after 30 seconds")
	}
	if _, err := fmt.Fprintln(stdout, node.ClientURL()); err != nil {
		return fmt.Errorf("tell the address: %w", err)
	}
	return await(node, stdin)
}

// await waits until the server is to end.
func await(node *server.Server, stdin io.Reader) error {
	retire := make(chan os.Signal, 1)
	signal.Notify(retire, syscall.SIGUSR2)
	closed := make(chan error, 1)
	go func() { // which ends with the process
		_, err := io.Copy(io.Discard, stdin)
		closed <- err
	}()
	select {
	case <-retire:
		node.LameDuckShutdown()
	case err := <-closed:
		if err != nil {
			return fmt.Errorf("wait for the end of standard input: %w", err)
		}
	}
	return nil
}

// accounts lets every client in. One with a user name gets the account of that name, without any limits.
type accounts struct{ node *server.Server }

// Check implements [server.Authentication].
func (a *accounts) Check(client server.ClientAuthentication) bool {
	name := client.GetOpts().Username
	if name == "" {
		return true
	}
	account, created := a.node.LookupOrRegisterAccount(name)
	if created && account.EnableJetStream(nil, nil) != nil {
		return false
	}
	client.RegisterUser(&server.User{Username: name, Account: account})
	return true
}
