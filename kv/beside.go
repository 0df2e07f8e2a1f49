package kv

import (
	"context"
	"slices"

	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/jsapi"
)

// Beside returns a bucket for documents of another type. They are kept beside the documents of the given bucket, in the
// same JetStream stream and with the same codec. List and Watch of one bucket do not show the documents of the other.
// Beside asks no server. The bucket beside is closed with the given bucket. Programs cannot call Beside: see package
// internal/inside.
//
// It returns an error that matches ErrEncode if the codec would lose something of type U.
func Beside[U, T any](bucket *Bucket[T], place inside.Place) (*Bucket[U], error) {
	docs, err := documentsOf[U](bucket.core.codec)
	if err != nil {
		return nil, &Error{Op: "open", Bucket: bucket.core.bucket, Key: place.Prefix(), Reason: ErrEncode, Err: err}
	}
	return &Bucket[U]{core: &core{shared: bucket.core.shared, documents: docs, place: place.Prefix()}}, nil
}

// Join returns a batch for the documents of a bucket beside. Its writes become part of the given batch: Commit of
// either stores all writes or none. One goroutine at a time uses both. Commit fails if the two buckets are not kept
// in the same JetStream stream. Programs cannot call Join: see package internal/inside.
func Join[U, T any](_ inside.Pass, batch *Batch[T], bucket *Bucket[U]) *Batch[U] {
	w := batch.writes
	if w.core.stream != bucket.core.stream {
		w.fail(&Error{Op: "join", Bucket: bucket.core.bucket, Err: errOtherBucket})
	}
	return &Batch[U]{core: bucket.core, writes: w}
}

// PutEncoded is Put of a batch with a document that Encode of inside.Bucket has returned. Programs cannot call it: see
// package internal/inside.
func PutEncoded[T any](_ inside.Pass, batch *Batch[T], key string, document []byte) {
	subject, err := batch.core.subject("batch put", key)
	batch.writes.add("batch put", write{key: batch.core.place + key, subject: subject, data: document}, err)
}

// Inside returns what a bucket does for this module alone. It is safe for concurrent use. Programs cannot call
// Inside: see package internal/inside.
func Inside[T any](_ inside.Pass, bucket *Bucket[T]) inside.Bucket[T] {
	return insider[T]{core: bucket.core}
}

// insider implements inside.Bucket. Its other methods are in bulk.go and torn.go.
type insider[T any] struct{ core *core }

func (i insider[T]) Encode(key string, value T) ([]byte, error) {
	w, err := i.core.newWrite("encode", key, &value, unconditional())
	if err != nil {
		return nil, err
	}
	if limit, fits := i.core.fits(w, w.overhead(true)); !fits { // as in a batch, which adds more headers
		return w.data, i.core.tooLarge("encode", w.key, len(w.data), limit)
	}
	return w.data, nil
}

func (i insider[T]) Into(key string, found *inside.Found[T]) inside.Reading {
	subject, err := i.core.subject("get", key)
	return inside.Reading{Subject: subject, Err: err, Take: func(m jsapi.Message) error {
		entry, err := decode[T](i.core, "get", key, m)
		*found = inside.Found[T]{Value: entry.Value, Revision: entry.Revision, Time: entry.Time}
		return err
	}}
}

func (i insider[T]) GetMany(ctx context.Context, since uint64, keys ...string) (map[string]inside.Found[T], error) {
	entries, err := getMany[T](ctx, i.core, since, keys)
	found := make(map[string]inside.Found[T], len(entries))
	for key, entry := range entries {
		found[key] = inside.Found[T]{Value: entry.Value, Revision: entry.Revision, Time: entry.Time}
	}
	return found, err
}

func (i insider[T]) Read(ctx context.Context, readings ...inside.Reading) error {
	subjects := make([]string, len(readings))
	for n, r := range readings {
		if r.Err != nil {
			return r.Err
		}
		subjects[n] = r.Subject
	}
	found, whole, err := i.core.many(ctx, subjects)
	if err == nil && !whole {
		err = errTooMuch
	}
	if err != nil {
		return i.core.readError("get", "", err)
	}
	for _, m := range found {
		n := slices.Index(subjects, m.Subject)
		if n < 0 || deleted(m.Header) {
			continue
		}
		if err := readings[n].Take(m); err != nil {
			return err
		}
	}
	return nil
}
