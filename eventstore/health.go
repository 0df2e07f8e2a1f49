package eventstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/control"
	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/kvstream"
)

const (
	// probeKey is the key in the control bucket under which a message is stored to see whether anything can be stored.
	probeKey = "probe"
	// probeTime bounds one probe. A probe that is as old answers further questions.
	probeTime = time.Second
	// unheard is how long the log's leader may hear nothing of a majority of its replicas. They answer each second.
	unheard = 2 * time.Second
)

// Health asks the log's leader and stores a small message beside the log, unless an append of this store began within
// the last half second and was acknowledged. It blocks for a second at most, so it notices within two seconds that
// nothing can be stored, and that something can be again. It asks the servers once a second at most, however often it
// is called, and otherwise returns what it found last.
//
// Skew is how far the clock of this program is ahead of the servers', or 0 if the two differ by less than five seconds.
// While they differ by more, deadlines of sagas wait until both clocks have passed them.
//
// The error says why nothing can be stored. It matches ErrUnavailable if the servers do not answer or do not store, or
// if the leader of the log has heard nothing from a majority of its replicas for two seconds. It matches ErrDisk if the
// disk has failed, and ErrLogRewound, ErrCorrupt or ErrSettings if everything that the store does fails. If ctx ends
// before there is an answer, the error is its cause.
//
// Without the control bucket, or without permission to write to it, only the leader is asked. A log that has come to
// Config.MaxBytes is not noticed.
func (s *Store) Health(ctx context.Context) (skew time.Duration, err error) {
	err = s.prober.ask(ctx, s.probe)
	return s.conn.clock.skew(), err
}

// prober makes one probe for all callers that ask within a second.
type prober struct {
	probes shared

	mu    sync.Mutex // guards the fields below
	next  time.Time  // when the next probe may begin
	found error      // by the last probe
}

// ask returns what a probe finds that is not older than probeTime. Callers wait for the probe that is under way.
func (p *prober) ask(ctx context.Context, probe func(ctx context.Context) error) error {
	if recent, found := p.last(); recent {
		return found
	}
	_, err := p.probes.join(ctx, func(ctx context.Context) error {
		if recent, found := p.last(); recent {
			return found
		}
		timed, cancel := context.WithTimeoutCause(ctx, probeTime, jsapi.ErrNoReply)
		defer cancel()
		found := probe(timed)
		if ctx.Err() == nil { // callers that have left must not make others believe that nothing is stored
			p.note(found)
		}
		return found
	})
	return err
}

// last reports whether the last probe is not older than probeTime, and returns what it found.
func (p *prober) last() (recent bool, found error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().Before(p.next), p.found
}

func (p *prober) note(found error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.found, p.next = found, time.Now().Add(probeTime)
}

// probe returns nil if the log has a leader, and messages are stored and come to disk.
func (s *Store) probe(ctx context.Context) error {
	if err := s.conn.verdict.get(); err != nil {
		return err
	}
	if err := s.conn.api.Session().Connected(); err != nil {
		return because("health of "+s.conn.store, err)
	}
	// The message beside the log goes to another leader and other replicas, so an append says more.
	if s.writer.storesSince(time.Now().Add(-probeTime/2)) && s.conn.hopeless() == nil {
		return s.conn.synced(s.conn.disk.Sync(ctx))
	}
	info, _, err := s.trust.lookAtLog(ctx, nil)
	if isDamage(err) {
		return err
	}
	if err != nil {
		return because("health of "+s.conn.store, err)
	}
	if info.Heard > unheard {
		return fmt.Errorf("eventstore: health of %s: %w: %s leads the log and hears nothing from most of its replicas", s.conn.store, ErrUnavailable, info.Leader)
	}
	subject := kvstream.Subject(control.Bucket(s.conn.store), probeKey)
	_, err = s.conn.js.Publish(ctx, subject, []byte("{}"), jetstream.WithRetryAttempts(0))
	// Without the permission or the bucket, the leader's answer is all that can be had.
	if err != nil && s.conn.api.Denied(subject) == nil && !s.lacksControl(ctx, err) {
		return fmt.Errorf("eventstore: health of %s: %w: a message beside the log was not stored: %w", s.conn.store, ErrUnavailable, err)
	}
	return s.conn.synced(s.conn.disk.Sync(ctx))
}

// lacksControl reports whether a message was not stored because there is no control bucket: the account has no room for
// it, or somebody has deleted it. A bucket without a leader does not answer either.
func (s *Store) lacksControl(ctx context.Context, err error) bool {
	if !errors.Is(err, jetstream.ErrNoStreamResponse) {
		return false
	}
	_, err = s.conn.api.LeaderInfo(ctx, kvstream.Name(control.Bucket(s.conn.store)), "", 0)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}
