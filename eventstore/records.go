package eventstore

import (
	"context"
	"sync"
)

// records is how far one of the streams is known in which the toolkit keeps records for all readers.
type records struct {
	mu   sync.Mutex
	head Head
}

// refresh calls add, with the lock held, for each event that came since the last time, and returns the stream's head.
// It looks at the log no further, because a look at the log asks for the records.
func (r *records) refresh(ctx context.Context, f *fetcher, stream StreamID, add func(*Commit, Event) error) (Head, error) {
	r.mu.Lock()
	known := r.head.Version
	r.mu.Unlock()
	history, err := f.load(ctx, nil, stream, readOptions{from: known + 1, leader: true})
	if err != nil {
		return Head{}, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range history.Commits {
		for recorded := range c.Events() {
			decoded, err := recorded.Decode()
			if err != nil {
				return Head{}, err
			}
			if err := add(c, decoded[0]); err != nil {
				return Head{}, err
			}
		}
	}
	if history.Head.Version > r.head.Version {
		r.head = history.Head
	}
	return history.Head, nil
}

// upTo is the head of the stream up to which the records are known.
func (r *records) upTo() Head {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.head
}
