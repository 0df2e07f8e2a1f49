package main

import (
	"context"
	"errors"
	"net"
	"net/http"

	"github.com/runnel-go/runnel/examples/bank/otherbank"
	"github.com/runnel-go/runnel/natsrun"
)

// stub stands for the other banks if there are no real ones. It serves package otherbank on this machine.
type stub struct {
	*otherbank.Bank
	listener net.Listener
}

// openStub opens a stub that sends its answers to the bank's listener.
func openStub(ctx context.Context, own net.Addr, cfg otherbank.Config) (*stub, error) {
	cfg.Answers = urlOf(own)
	banks, err := otherbank.New(&cfg)
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &stub{Bank: banks, listener: listener}, nil
}

// urlOf returns the URL under which this machine reaches a listener.
func urlOf(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		addr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: tcp.Port}
	}
	return "http://" + addr.String()
}

// addTo adds the stub to a group, and returns its URL.
func (s *stub) addTo(group *natsrun.Group) (url string) {
	group.Add("other banks", s.serve)
	group.Add("other banks' answers", s.Run)
	return urlOf(s.listener.Addr())
}

// serve serves until ctx ends.
func (s *stub) serve(ctx context.Context) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: headerTime}
	served := make(chan error, 1)
	go func() { served <- server.Serve(s.listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	err := server.Close()
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
