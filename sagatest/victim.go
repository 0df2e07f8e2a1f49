package sagatest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/system"
)

// The ways in which a process is struck. A dead process sends nothing any more. A frozen one sends later what it was
// about to send.
const (
	dies    = "dies"
	freezes = "freezes"
)

// never is the point of a process without faults.
const never = ""

// Prefixes of the names of points.
const (
	message      = "message to "
	listener     = "message of the listener to "
	beforeEffect = "before "
	afterEffect  = "after "
)

// victim is a process that is struck when it reaches a point. It is behind a proxy of its own.
type victim struct {
	proxy  *eventstoretest.Proxy
	at     string
	how    string
	struck chan struct{} // closed when it has happened
	thaw   chan struct{} // closed when the process comes back

	mu     sync.Mutex // guards what follows, and the closing of thaw
	ready  bool       // it has opened all that it needs
	points []string   // the points that it reached
	times  map[string]int
}

func newVictim(proxy *eventstoretest.Proxy, store string, at, how string) *victim {
	v := &victim{proxy: proxy, at: at, how: how, struck: make(chan struct{}), thaw: make(chan struct{}), times: make(map[string]int)}
	proxy.DropRequests(func(subject string, _ []byte) bool {
		if point := pointOf(subject, store); point != "" {
			v.pass(point)
		}
		return v.dead()
	})
	return v
}

// pointOf returns the point at which a message is sent, or "" for none. Points are messages to the log of the
// sagas and to the logs of further stores, whose names begin with the name of the first. Messages of the
// listener that brings awaited events are points as well.
func pointOf(subject, store string) string {
	if key, isListener := strings.CutPrefix(subject, "$KV."+store+"_control.reactor."); isListener {
		return listener + key
	}
	rest, isLog := strings.CutPrefix(subject, store)
	other, to, _ := strings.Cut(rest, ".")
	if !isLog || to == "" || to == system.Category+".probe" {
		return "" // no stream stores the question of Open, so it is not a point
	}
	if other != "" {
		to = strings.TrimLeft(other, "-") + "." + to
	}
	return message + to
}

// pass notes a point, and strikes the process if it has to. A frozen process stays in it. Points are numbered
// for each kind, so that a claim that is renewed on a slow machine does not change the numbers of other points.
func (v *victim) pass(kind string) {
	v.mu.Lock()
	if !v.ready {
		v.mu.Unlock()
		return
	}
	v.times[kind]++
	point := fmt.Sprintf("%s, %d", kind, v.times[kind])
	if !strings.HasPrefix(kind, listener) || v.times[kind] <= heard {
		v.points = append(v.points, point)
	}
	if point == v.at {
		close(v.struck)
	}
	v.mu.Unlock()
	if v.how == freezes && closed(v.struck) {
		<-v.thaw
	}
}

// heard is the number of messages of one kind of the listener that are points. The listener sends more as time
// goes by.
const heard = 2

// begin says that the process has opened all that it needs. Messages before that are not points, because a
// process that dies then has done nothing yet.
func (v *victim) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.ready = true
}

// effect notes a point outside the log. A dead process does nothing there. A nil victim is a process without
// faults.
func (v *victim) effect(point string) {
	if v == nil {
		return
	}
	v.pass(point)
	if v.dead() {
		<-v.thaw
	}
}

// dead reports whether the process sends nothing.
func (v *victim) dead() bool { return v.how == dies && closed(v.struck) && !closed(v.thaw) }

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// await waits until the process is struck, and reports that. It also returns when the saga has ended without
// reaching the point, because the number of points varies: a slow machine renews a claim here and there.
func (v *victim) await(ctx context.Context, ended func() bool) (struck bool) {
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-v.struck:
			return true
		case <-ctx.Done():
			return false
		case <-again.C:
			if ended() {
				return closed(v.struck)
			}
		}
	}
}

// revive brings the process back to life, and sends the messages that it held back.
func (v *victim) revive() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !closed(v.thaw) {
		close(v.thaw)
	}
}

// came returns the points that the process reached.
func (v *victim) came() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.points)
}
