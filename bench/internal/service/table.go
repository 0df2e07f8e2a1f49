package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/runnel-go/runnel/bench/internal/table"
)

// serveCommand is the argument that makes this program the service over a table.
const serveCommand = "serve-a-table"

// Table starts this program again as the service over a table of the Postgres at a URL.
func Table(ctx context.Context, url string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(exec.CommandContext(ctx, self, serveCommand, url))
}

// ServeIfAsked is the service until it is interrupted, if the arguments say so.
func ServeIfAsked(args []string, out io.Writer) (asked bool, err error) {
	if len(args) != 3 || args[1] != serveCommand {
		return false, nil
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return true, serve(ctx, args[2], out)
}

// conns is the number of connections of the service to Postgres.
const conns = 32

func serve(ctx context.Context, url string, out io.Writer) (err error) {
	store, err := table.Open(ctx, url, &table.Config{Conns: conns}, table.TypeOf[deposited]())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close(context.WithoutCancel(ctx))) }()
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("POST /accounts/{id}/deposits", deposits{store})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(out, "%shttp://%s\n", announced, listener.Addr()); err != nil {
		return err
	}
	<-ctx.Done()
	err = server.Shutdown(context.WithoutCancel(ctx))
	if ended := <-served; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	return err
}

// deposited is the event of a deposit.
type deposited struct {
	Amount, Balance int64 // hundredths
	Text, Date      string
}

// EventType is its name in the table.
func (deposited) EventType() string { return "account.deposited" }

// entry is the answer to a deposit.
type entry struct {
	Account string `json:"account"`
	Version int64  `json:"version"`
	Kind    string `json:"kind"`
	Amount  string `json:"amount"`
	Balance string `json:"balance"`
	Date    string `json:"date"`
	Text    string `json:"text,omitempty"`
}

// deposits answers POST /accounts/{id}/deposits. An account is open from its first deposit on.
type deposits struct{ store *table.Store }

func (d deposits) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Amount string `json:"amount"`
		Text   string `json:"text"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	amount, err := strconv.ParseFloat(body.Amount, 64)
	if err != nil || amount <= 0 {
		http.Error(w, "amount: must be above zero", http.StatusUnprocessableEntity)
		return
	}
	event := deposited{Amount: int64(math.Round(amount * 100)), Text: body.Text, Date: time.Now().Format(time.DateOnly)}
	version, err := d.book(r.Context(), r.PathValue("id"), &event)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("ETag", strconv.Quote(strconv.FormatInt(version, 10)))
	err = json.NewEncoder(w).Encode(entry{
		Account: r.PathValue("id"), Version: version, Kind: "deposited",
		Amount: decimal(event.Amount), Balance: decimal(event.Balance), Date: event.Date, Text: event.Text,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// book appends the event on top of the account's last one, and again if another was faster.
func (d deposits) book(ctx context.Context, account string, event *deposited) (version int64, err error) {
	for {
		last, err := d.store.Last(ctx, account)
		if err != nil {
			return 0, err
		}
		before, _ := last.Event.(deposited)
		event.Balance = before.Balance + event.Amount
		version, err := d.store.Append(ctx, account, last.Version, *event)
		if !errors.Is(err, table.ErrConflict) {
			return version, err
		}
	}
}

func decimal(hundredths int64) string {
	return fmt.Sprintf("%d.%02d", hundredths/100, hundredths%100)
}
