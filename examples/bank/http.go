package main

import (
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/runnel-go/runnel/natsrun"
)

// server is the bank's HTTP interface.
type server struct {
	bank    *Bank
	health  func() natsrun.Health
	token   string // required of requests, or ""
	today   func() string
	log     *slog.Logger
	streams chan struct{} // holds one token for each client of /events
	closing chan struct{} // closed when the server shuts down

	readTime time.Duration // for which a read waits for the position that it asks for
}

// maxStreams limits the clients of /events, because each one needs consumers on the server.
const maxStreams = 100

func newServer(bank *Bank, rt *natsrun.Runtime, token string) *server {
	return &server{
		bank: bank, health: rt.Health, token: token, log: bank.log,
		today:   bank.today,
		streams: make(chan struct{}, maxStreams),
		closing: make(chan struct{}),

		readTime: readTime,
	}
}

// How long the parts of a request may take. A write waits up to writeTime for the store, and for nothing else. A read
// waits up to readTime for the views.
const (
	headerTime   = 5 * time.Second
	requestTime  = 10 * time.Second
	answerTime   = 30 * time.Second
	idleTime     = 2 * time.Minute
	writeTime    = 2 * time.Second
	ackTime      = writeTime / 4 // of one try, because a server that ceases to lead may not answer
	readTime     = 5 * time.Second
	shutdownTime = 5 * time.Second
)

// endpoint answers a request, or returns an error, which problemOf turns into an answer.
type endpoint func(w http.ResponseWriter, r *http.Request) error

// route is a path with its endpoints by method. The endpoint of GET also answers HEAD.
type route struct {
	path    string
	public  bool // needs no token
	methods map[string]endpoint
}

func (s *server) routes() []route {
	get := func(e endpoint) map[string]endpoint { return map[string]endpoint{http.MethodGet: e} }
	post := func(e endpoint) map[string]endpoint { return map[string]endpoint{http.MethodPost: e} }
	return []route{
		{path: "/accounts", methods: map[string]endpoint{http.MethodGet: s.listAccounts, http.MethodPost: s.openAccount}},
		{path: "/accounts/{id}", methods: get(s.showAccount)},
		{path: "/accounts/{id}/statement", methods: get(s.showStatement)},
		{path: "/accounts/{id}/deposits", methods: post(s.deposit)},
		{path: "/accounts/{id}/withdrawals", methods: post(s.withdraw)},
		{path: "/transfers", methods: post(s.transfer)},
		{path: "/payments", methods: map[string]endpoint{http.MethodGet: s.listPayments, http.MethodPost: s.orderPayment}},
		{path: "/payments/{id}", methods: get(s.showPayment)},
		{path: "/payments/{id}/answer", methods: post(s.answerPayment)},
		{path: "/payments/{id}/retry", methods: post(s.retryPayment)},
		{path: "/payments/{id}/resolve", methods: post(s.resolvePayment)},
		{path: "/payments/{id}/cancel", methods: post(s.cancelPayment)},
		{path: "/turnover/{day}", methods: get(s.showTurnover)},
		{path: "/events", methods: get(s.streamChanges)},
		{path: "/healthz", public: true, methods: get(s.live)},
		{path: "/readyz", public: true, methods: get(s.ready)},
		{path: "/{$}", public: true, methods: get(pageFile("index.html"))},
		{path: "/app.js", public: true, methods: get(pageFile("app.js"))},
		{path: "/bank.js", public: true, methods: get(pageFile("bank.js"))},
		{path: "/payments.js", public: true, methods: get(pageFile("payments.js"))},
		{path: "/style.css", public: true, methods: get(pageFile("style.css"))},
		{path: "/icon.svg", public: true, methods: get(pageFile("icon.svg"))},
	}
}

// handler returns the whole interface: the checks that each request passes in order, and the routes.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.Handle(route.path, s.answer(func(w http.ResponseWriter, r *http.Request) error {
			if !route.public {
				if err := s.authorize(r); err != nil {
					return err
				}
			}
			return route.serve(w, r)
		}))
	}
	mux.Handle("/", s.answer(func(http.ResponseWriter, *http.Request) error {
		return newProblem(http.StatusNotFound, "there is nothing under this path")
	}))
	crossOrigin := http.NewCrossOriginProtection()
	return s.answer(func(w http.ResponseWriter, r *http.Request) error {
		setSecurityHeaders(w.Header())
		if err := s.checkHost(r); err != nil {
			return err
		}
		if err := crossOrigin.Check(r); err != nil {
			return newProblem(http.StatusForbidden, "a page of another origin sent this")
		}
		mux.ServeHTTP(w, r)
		return nil
	})
}

// answer returns the handler of an endpoint.
func (s *server) answer(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := e(w, r); err != nil {
			writeProblem(w, r, s.log, err)
		}
	})
}

func (t route) serve(w http.ResponseWriter, r *http.Request) error {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if e, ok := t.methods[method]; ok {
		return e(w, r)
	}
	allowed := make([]string, 0, len(t.methods)+1)
	for m := range t.methods {
		allowed = append(allowed, m)
		if m == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	slices.Sort(allowed)
	p := newProblem(http.StatusMethodNotAllowed, "this path takes %s", strings.Join(allowed, ", "))
	p.header = map[string]string{"Allow": strings.Join(allowed, ", ")}
	return p
}

// live answers that the process runs.
func (s *server) live(w http.ResponseWriter, _ *http.Request) error {
	writeLive(w)
	return nil
}

// writeLive answers with the number of goroutines. A number that grows for hours shows a leak.
func writeLive(w http.ResponseWriter) {
	writeJSON(w, "application/json", http.StatusOK, struct {
		Status     string `json:"status"`
		Goroutines int    `json:"goroutines"`
	}{"live", runtime.NumGoroutine()})
}

// ready answers whether bookings can be taken and read, what is in the way, and which failures a stored booking
// survives. It takes two seconds at most.
func (s *server) ready(w http.ResponseWriter, r *http.Request) error {
	answer := struct {
		Ready bool `json:"ready"`
		natsrun.Health
		Survives  string   `json:"survives"`
		Building  []string `json:"building,omitempty"`  // the views that cannot be read yet
		Reason    string   `json:"reason,omitempty"`    // why nothing can be stored
		ClockSkew string   `json:"clockSkew,omitempty"` // how far this clock is ahead of the servers', if it is wrong
	}{Health: s.health(), Building: s.bank.building()}
	answer.Survives = answer.Durability.String()
	// The leader of all of JetStream may be missing while the log has one.
	if answer.State == natsrun.Connected && (answer.JetStream || !answer.Durability.Embedded) {
		skew, err := s.bank.store.Health(r.Context())
		if err != nil {
			answer.Reason = err.Error()
		}
		if skew != 0 {
			answer.ClockSkew = skew.String()
		}
		answer.Ready = err == nil && len(answer.Building) == 0
	}
	status := http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, "application/json", status, answer)
	return nil
}
