package jsapi

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// ErrReplicaSilent means that a replica did not reply as soon as others do. It matches ErrNoReply.
var ErrReplicaSilent = fmt.Errorf("%w: a replica is silent", ErrNoReply)

// A cluster chooses the replica that answers a direct get, and goes on choosing one that stands still. After another
// had become leader, half of the gets went there for as long as was measured, 14 seconds. So they are given up soon.
const (
	// replicaTime is the least time that a replica has for a reply.
	replicaTime = 200 * time.Millisecond
	// replicaFactor is how many times as long as the last reply a replica may take.
	replicaFactor = 4
)

// replicaTime is how long to wait for the reply to a direct get. There is nobody else to ask if one server is alone.
func (s *Session) replicaTime() time.Duration {
	if !s.clustered {
		return getTimeout
	}
	return min(max(replicaTime, replicaFactor*time.Duration(s.requests.took.Load())), getTimeout)
}

// latency is how long the last reply took, in nanoseconds, or 0 for no more than a beat.
type latency struct{ atomic.Int64 }

// Latency is how long the last reply took, or 0 if it came at once.
func (r *requests) Latency() time.Duration { return time.Duration(r.took.Load()) }

// beat notes that a reply came within a beat.
func (l *latency) beat() {
	if l.Load() != 0 { // or all callers would write to the same memory
		l.Store(0)
	}
}

// isSilence reports whether a wait for a replica has ended for nothing but the time.
func (s *Session) isSilence(err error) bool {
	return s.clustered && errors.Is(err, ErrNoReply) && !errors.Is(err, errInterrupted) && !s.broken()
}
