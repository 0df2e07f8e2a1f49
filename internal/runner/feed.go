package runner

import (
	"context"
	"io"
	"iter"
	"sync"
)

// Feed sends the items of an iterator over a channel, so that its reader can wait for other events as well.
type Feed[T any] struct {
	Items <-chan T // closed at the end, after which Err says why
	err   error
	stop  func()
}

// Read starts a goroutine that reads an iterator, up to ahead items in advance. The caller must call Stop.
func Read[T any](ctx context.Context, items func(context.Context) iter.Seq2[T, error], ahead int) *Feed[T] {
	ctx, cancel := context.WithCancel(ctx)
	sink := make(chan T, ahead)
	var reader sync.WaitGroup
	f := &Feed[T]{Items: sink, stop: func() { cancel(); reader.Wait() }}
	reader.Go(func() {
		defer close(sink)
		f.err = send(ctx, items, sink)
	})
	return f
}

func send[T any](ctx context.Context, items func(context.Context) iter.Seq2[T, error], sink chan<- T) error {
	for item, err := range items(ctx) {
		if err != nil {
			return err
		}
		select {
		case sink <- item:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return io.ErrUnexpectedEOF
}

// Err returns the error that ended the feed, or io.ErrUnexpectedEOF if the iterator ended without one. Call it only
// after Items was closed.
func (f *Feed[T]) Err() error { return f.err }

// Stop ends the goroutine and waits for it.
func (f *Feed[T]) Stop() { f.stop() }
