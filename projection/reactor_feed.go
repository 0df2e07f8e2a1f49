package projection

import (
	"context"
	"io"
	"iter"
	"sync"
)

// feed is what an iterator gives, on a channel.
type feed[T any] struct {
	items chan T
	err   error  // why items was closed; read after
	stop  func() // ends the reader and waits for it
}

// source reads an iterator on a goroutine of its own, some items ahead. The caller stops it.
func source[T any](ctx context.Context, items func(context.Context) iter.Seq2[T, error], ahead int) *feed[T] {
	ctx, cancel := context.WithCancel(ctx)
	var reader sync.WaitGroup
	f := &feed[T]{items: make(chan T, ahead), stop: func() { cancel(); reader.Wait() }}
	reader.Go(func() {
		defer close(f.items)
		for item, err := range items(ctx) {
			if err != nil {
				f.err = err
				return
			}
			select {
			case f.items <- item:
			case <-ctx.Done():
				f.err = context.Cause(ctx)
				return
			}
		}
		f.err = io.ErrUnexpectedEOF // unreachable: what is read so ends with an error
	})
	return f
}
