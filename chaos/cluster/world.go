package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/runnel-go/runnel/examples/bank/otherbank"
)

// world is everything that runs in a case.
type world struct {
	dir      string
	bank     string // the program
	natsd    string // likewise
	cluster  *cluster
	others   *otherbank.Bank
	address  string // of the other banks
	load     *load
	report   *report
	mounted  []string           // file systems
	maxStore string             // of each server; "" for its default
	began    time.Time          // when the fault began
	stop     context.CancelFunc // of the context under which everything runs
	running  sync.WaitGroup
	turn     atomic.Int64 // of the banks, for clients that use any

	mu    sync.Mutex // guards what follows
	banks []*instance
	looks map[string][]look
}

// programs are the paths of what the rig runs.
type programs struct{ natsd, older, bank string }

// newWorld starts servers, other banks and banks, and waits until all banks are ready. They run until close, or until
// ctx ends, which stop ends.
func newWorld(ctx context.Context, stop context.CancelFunc, dir string, p programs, t trial) (w *world, err error) {
	w = &world{dir: dir, bank: p.bank, natsd: p.natsd, stop: stop, report: &report{}, looks: make(map[string][]look)}
	w.load = newLoad(w)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	if t.fault.prepare != nil {
		if err := t.fault.prepare(ctx, w); err != nil {
			return w, err
		}
	}
	first := p.natsd
	if t.fault.older {
		first = p.older
	}
	if w.cluster, err = startCluster(ctx, dir, first, t.nodes, w.maxStore); err != nil {
		return w, err
	}
	if err := w.startOthers(ctx); err != nil {
		return w, err
	}
	for range t.banks {
		if _, err := w.addBank(ctx); err != nil {
			return w, err
		}
	}
	for _, b := range w.instances() {
		client := &http.Client{Timeout: time.Second}
		if err := await(ctx, b.name+" is ready", upTime, func() bool { return ask(ctx, client, b).ready }); err != nil {
			return w, fmt.Errorf("%w: %s", err, lastLine(b.log))
		}
	}
	return w, nil
}

// startOthers serves the other banks. They send their answers to whichever bank has its turn.
func (w *world) startOthers(ctx context.Context) error {
	answers := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: w.anyInstance().addr})
		},
		ErrorHandler: func(rw http.ResponseWriter, _ *http.Request, _ error) { rw.WriteHeader(http.StatusBadGateway) },
	}
	front, err := w.serve(ctx, answers)
	if err != nil {
		return err
	}
	w.others, err = otherbank.New(&otherbank.Config{Answers: front, Behave: otherbank.ByBank})
	if err != nil {
		return err
	}
	if w.address, err = w.serve(ctx, w.others); err != nil {
		return err
	}
	w.running.Go(func() { _ = w.others.Run(ctx) }) // it ends with ctx
	return nil
}

// serve serves until ctx ends, and returns the URL.
func (w *world) serve(ctx context.Context, handler http.Handler) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: attemptTime}
	w.running.Go(func() {
		<-ctx.Done()
		_ = server.Close() // nobody waits for its answers any more
	})
	w.running.Go(func() { _ = server.Serve(listener) }) // it ends with the close
	return "http://" + listener.Addr().String(), nil
}

// addBank starts one more bank. It does not wait until the bank serves.
func (w *world) addBank(ctx context.Context) (*instance, error) {
	b, err := newInstance(ctx, len(w.instances())+1, w.dir, w.bank, w.address, w.cluster)
	if err != nil {
		return nil, err
	}
	if err := b.start(ctx); err != nil {
		b.close()
		return nil, err
	}
	b.firstStart = time.Now()
	w.mu.Lock()
	w.banks = append(w.banks, b)
	w.mu.Unlock()
	w.running.Go(func() { b.supervise(ctx, w.report) })
	w.running.Go(func() { w.watch(ctx, b) })
	return b, nil
}

func (w *world) instances() []*instance {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.banks)
}

// anyInstance returns one bank after the other.
func (w *world) anyInstance() *instance {
	banks := w.instances()
	return banks[int(w.turn.Add(1))%len(banks)]
}

// close ends everything and removes mounts.
func (w *world) close() error {
	w.stop()
	for _, b := range w.instances() {
		b.close()
	}
	if w.cluster != nil {
		w.cluster.close()
	}
	w.running.Wait()
	var errs []error
	for _, at := range w.mounted {
		errs = append(errs, unmount(at))
	}
	return errors.Join(errs...)
}

// newDir makes an empty folder for a case.
func newDir(parent, name string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}
