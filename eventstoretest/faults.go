package eventstoretest

import (
	"encoding/json"
	"strings"
	"sync"
	"time"
)

// faults are the present faults of a proxy.
type faults struct {
	// deciding makes one predicate run at a time, so that a test may use a plain
	// counter or its own random source in one. It is not mu: a predicate may
	// switch faults itself.
	deciding sync.Mutex

	mu           sync.Mutex
	cut          bool
	delay        time.Duration
	acks         int
	acksWhere    func() bool
	replies      func(subject string, payload []byte) bool
	requests     func(subject string, payload []byte) bool
	silenced     []string
	twice        bool
	rewriteInfo  func(info []byte) []byte
	edit         func(*frame) // what the client sends; set before the first connection
	droppedSoFar int
}

// DropAcks drops the next n acknowledgements of publishes: the message is
// stored, and its publisher never hears of it. Errors and other answers pass.
// In an atomic batch only the answer to the commit is one. Zero stops it.
func (p *Proxy) DropAcks(n int) {
	p.set(func(f *faults) { f.acks = n })
}

// DropAcksWhere drops each acknowledgement of a publish for which the function
// returns true, at random for example. Nil stops it.
func (p *Proxy) DropAcksWhere(drop func() bool) {
	p.set(func(f *faults) { f.acksWhere = drop })
}

// DropReplies drops every message to the client for which the function returns
// true: answers to requests, whatever their inbox prefix, and messages of
// subscriptions and consumers. The payload is without headers and must not be
// kept or changed. Nil stops it.
func (p *Proxy) DropReplies(drop func(subject string, payload []byte) bool) {
	p.set(func(f *faults) { f.replies = drop })
}

// Duplicate makes every message of a JetStream consumer arrive twice, one right
// after the other, as a redelivery may. False stops it.
func (p *Proxy) Duplicate(on bool) {
	p.set(func(f *faults) { f.twice = on })
}

// DropRequests drops every publish and request of the client for which the
// function returns true, before the server sees it. The payload is without
// headers and must not be kept or changed. Nil stops it.
func (p *Proxy) DropRequests(drop func(subject string, payload []byte) bool) {
	p.set(func(f *faults) { f.requests = drop })
}

// Silence drops every publish and request of the client on the given subjects,
// which may hold the wildcards * and >; without any, on all subjects. PING and
// PONG pass, so that client and server take the connection for healthy. It
// replaces an earlier Silence.
func (p *Proxy) Silence(subjects ...string) {
	if len(subjects) == 0 {
		subjects = []string{">"}
	}
	p.set(func(f *faults) { f.silenced = subjects })
}

// Resume ends Silence. Dropped messages stay lost.
func (p *Proxy) Resume() {
	p.set(func(f *faults) { f.silenced = nil })
}

// Delay holds every frame back for d, in each direction, so that a round trip
// takes 2d longer. Frames keep their order, and throughput stays. Zero stops it.
func (p *Proxy) Delay(d time.Duration) {
	p.set(func(f *faults) { f.delay = d })
}

// RewriteInfo changes the JSON of the INFO line with which the server
// introduces itself: its version, its maximal payload, its name. It takes
// effect with the next connection; Cut and Heal bring that about. Nil stops it.
func (p *Proxy) RewriteInfo(edit func(info []byte) []byte) {
	p.set(func(f *faults) { f.rewriteInfo = edit })
}

// Dropped returns how many frames the proxy has dropped so far, acknowledgements,
// other messages and publishes together.
func (p *Proxy) Dropped() int {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	return p.faults.droppedSoFar
}

func (p *Proxy) set(change func(*faults)) {
	p.faults.mu.Lock()
	defer p.faults.mu.Unlock()
	change(&p.faults)
}

// dueIn returns how long a frame that arrives now is held back.
func (f *faults) dueIn() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.delay
}

// copies returns how often a frame that passes is written.
func (f *faults) copies(fr *frame) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.twice && fr.isMessage() && strings.HasPrefix(fr.reply(), "$JS.ACK.") {
		return 2
	}
	return 1
}

// fromServer decides about one frame on its way to the client.
func (f *faults) fromServer(fr *frame) (pass bool, err error) {
	f.deciding.Lock()
	defer f.deciding.Unlock()
	f.mu.Lock()
	acks, acksWhere, replies, edit := f.acks, f.acksWhere, f.replies, f.rewriteInfo
	f.mu.Unlock()
	switch {
	case fr.op == "INFO":
		return true, fr.rewriteInfo(edit)
	case !fr.isMessage():
		return true, nil
	case (acks > 0 || acksWhere != nil) && fr.isAck() && (f.takeAck() || acksWhere != nil && acksWhere()):
	case replies != nil && replies(fr.subject(), fr.payload()):
	default:
		return true, nil
	}
	f.count()
	return false, nil
}

// fromClient decides about one frame on its way to the server.
func (f *faults) fromClient(fr *frame) (pass bool, err error) {
	if f.edit != nil {
		f.edit(fr)
	}
	if !fr.isPublish() {
		return true, nil
	}
	f.deciding.Lock()
	defer f.deciding.Unlock()
	f.mu.Lock()
	requests, silenced := f.requests, f.silenced
	f.mu.Unlock()
	drop := requests != nil && requests(fr.subject(), fr.payload())
	for _, pattern := range silenced {
		drop = drop || matches(pattern, fr.subject())
	}
	if drop {
		f.count()
	}
	return !drop, nil
}

// takeAck uses up one of the acknowledgements to drop, if there is one.
func (f *faults) takeAck() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.acks <= 0 {
		return false
	}
	f.acks--
	return true
}

func (f *faults) count() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.droppedSoFar++
}

// matches reports whether a subject matches a pattern with NATS wildcards.
func matches(pattern, subject string) bool {
	for {
		want, patternRest, patternMore := strings.Cut(pattern, ".")
		got, subjectRest, subjectMore := strings.Cut(subject, ".")
		switch {
		case want == ">" && !patternMore:
			return true
		case want != "*" && want != got, patternMore != subjectMore:
			return false
		case !patternMore:
			return true
		}
		pattern, subject = patternRest, subjectRest
	}
}

// ServerVersion is an edit for [Proxy.RewriteInfo]: the server says that it is
// of another version, such as "2.11.4".
func ServerVersion(version string) func(info []byte) []byte {
	return func(info []byte) []byte {
		var fields map[string]any
		if err := json.Unmarshal(info, &fields); err != nil {
			return info // cannot be: the proxy has decoded it before
		}
		fields["version"] = version
		edited, err := json.Marshal(fields)
		if err != nil {
			return info // cannot be: it came from JSON
		}
		return edited
	}
}
