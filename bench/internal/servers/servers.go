// Package servers starts the servers of the figures: a server embedded in this process, a server behind TCP,
// three replicas, and a server in a process of its own, with its own memory and allocations.
package servers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/natsrun"
)

// Servers is one server or a cluster, with a connection.
type Servers struct {
	Name     string
	Replicas int
	JS       jetstream.JetStream
	Conn     *nats.Conn

	close func() error
}

// Close ends the connection and the servers.
func (s *Servers) Close() error { return s.close() }

// Embedded starts a server as natsrun does, and connects to it without a port.
func Embedded(ctx context.Context, dir string, sync natsrun.SyncMode) (*Servers, error) {
	rt, err := natsrun.Open(ctx, &natsrun.Config{DataDir: dir, Sync: sync, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &Servers{Name: "embedded", Replicas: 1, JS: rt.Commands(), Conn: rt.Conn(), close: func() error {
		return rt.Close(context.WithoutCancel(ctx))
	}}, nil
}

// TCP starts a server in this process and connects to its port.
func TCP(dir string, syncAlways bool) (*Servers, error) {
	srv, err := start(options("bench", dir, syncAlways))
	if err != nil {
		return nil, err
	}
	return dial("TCP", 1, srv)
}

const loopback = "127.0.0.1"

// ready bounds the time in which servers must answer and elect a leader.
const ready = 30 * time.Second

// Cluster starts three servers in this process and connects to all of them.
func Cluster(dir string, syncAlways bool) (*Servers, error) {
	const nodes = 3
	ports, err := freePorts(nodes)
	if err != nil {
		return nil, err
	}
	var routes []*url.URL
	for _, port := range ports {
		routes = append(routes, &url.URL{Scheme: "nats-route", Host: fmt.Sprintf("%s:%d", loopback, port)})
	}
	var all []*server.Server
	for i, port := range ports {
		name := fmt.Sprintf("node-%d", i+1)
		o := options(name, filepath.Join(dir, name), syncAlways)
		o.Cluster = server.ClusterOpts{Name: "bench", Host: loopback, Port: port}
		o.Routes = routes
		srv, err := start(o)
		if err != nil {
			stop(all)
			return nil, err
		}
		all = append(all, srv)
	}
	if err := waitForLeader(all); err != nil {
		stop(all)
		return nil, err
	}
	return dial("three replicas", nodes, all...)
}

func options(name, dir string, syncAlways bool) *server.Options {
	return &server.Options{
		ServerName: name, Host: loopback, Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, NoSystemAccount: true,
		JetStream: true, StoreDir: dir, SyncAlways: syncAlways,
	}
}

func start(o *server.Options) (*server.Server, error) {
	if o.Cluster.Name != "" {
		o.NoSystemAccount = false // its members talk in it
	}
	srv, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	srv.Start()
	if !srv.ReadyForConnections(ready) {
		stop([]*server.Server{srv})
		return nil, errors.New("the server is not ready in time")
	}
	return srv, nil
}

func stop(all []*server.Server) {
	for _, srv := range all {
		srv.Shutdown()
	}
	for _, srv := range all {
		srv.WaitForShutdown()
	}
}

func dial(name string, replicas int, all ...*server.Server) (*Servers, error) {
	nc, js, err := connect(all[0].ClientURL())
	if err != nil {
		stop(all)
		return nil, err
	}
	return &Servers{Name: name, Replicas: replicas, JS: js, Conn: nc, close: func() error {
		nc.Close()
		stop(all)
		return nil
	}}, nil
}

// connect makes a connection that an event store accepts, because it keeps nothing to send later.
func connect(url string) (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(url, nats.ReconnectBufSize(-1), nats.MaxReconnects(-1))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, err
	}
	return nc, js, nil
}

func waitForLeader(all []*server.Server) error {
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for deadline := time.Now().Add(ready); time.Now().Before(deadline); <-poll.C {
		current := 0
		for _, srv := range all {
			if srv.JetStreamIsCurrent() {
				current++
			}
		}
		if current == len(all) {
			return nil
		}
	}
	return errors.New("the cluster elects no leader in time")
}

// freePorts holds each port until all are found, so that they differ.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.ParseIP(loopback)})
		if err != nil {
			return nil, err
		}
		defer func() { _ = l.Close() }()
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			ports = append(ports, addr.Port)
		}
	}
	return ports, nil
}
