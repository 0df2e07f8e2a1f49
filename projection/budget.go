package projection

import (
	"sync"
	"time"
)

const (
	// batchBytes is how large the documents of a batch may be together before it is written, with one unit more. The
	// server holds 128 MiB of a stream's messages that it has not stored yet, and drops what is beyond.
	batchBytes = 16 << 20
	// leastBytes is how large they may be over the slowest link. Writes of less say nothing about the link.
	leastBytes = 64 << 10
)

// budget is how many bytes of documents a batch may have. No sign of life can be written while a batch is sent, so a
// slow link gets smaller batches: of half a heartbeat each, as fast as the last write was. Otherwise another instance
// would take over in the middle of each write. A budget outlives the sessions of its worker.
type budget struct {
	atMost time.Duration // that a write should take

	mu    sync.Mutex // guards bytes
	bytes int
}

func newBudget(heartbeat time.Duration) *budget {
	return &budget{atMost: max(heartbeat/2, 1), bytes: batchBytes}
}

// limit returns how many bytes a batch may have.
func (b *budget) limit() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// note takes note of how long a write took for its bytes. One that was not stored may have needed longer. The budget
// shrinks at once, and grows slowly.
func (b *budget) note(size int, took time.Duration, stored bool) {
	if size < leastBytes {
		return
	}
	affordable := int(float64(size) * float64(b.atMost) / float64(max(took, 1)))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case took > b.atMost && stored:
		b.bytes = max(min(b.bytes, affordable), leastBytes)
	case took > b.atMost:
		b.bytes = max(min(b.bytes, affordable)/2, leastBytes)
	case stored && affordable > b.bytes:
		b.bytes = min(b.bytes+b.bytes/4, affordable, batchBytes)
	}
}
