// Package inside names what packages eventstore and kv do for the other packages of this module. Programs cannot import
// it, so they cannot call the functions that take one of its types.
//
// A view keeps its documents, its checkpoint and its parked keys in one JetStream stream, so that one batch writes all
// of them. Only the documents have keys of the user. All others have keys that no document can have:
//
//	document 42                            $KV.<bucket>.42
//	the document checkpoint of Single()    $KV.<bucket>.=checkpoint
//	the document 42 of Named("parked")     $KV.<bucket>.=parked.42
package inside

import (
	"context"
	"time"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Pass is an argument of the functions of packages eventstore and kv that programs cannot call.
type Pass struct{}

// Place names the keys of documents that are kept beside the documents of a bucket. The encoding of keys continues "="
// with an upper-case digit, a dot or nothing. So a lower-case letter after it marks a key that no document of the
// bucket has.
type Place struct{ prefix string }

// Single returns the place of documents that are single. Each key must begin with a lower-case letter and have no dot.
func Single() Place { return Place{prefix: "="} }

// Named returns a place for any number of documents under any keys. The name must consist of lower-case letters.
func Named(name string) Place { return Place{prefix: "=" + name + "."} }

// Prefix returns what stands before the keys of the place.
func (p Place) Prefix() string { return p.prefix }

// Bucket is what a bucket of package kv does for this module alone. It is safe for concurrent use.
type Bucket[T any] interface {
	// Encode returns a document as a write stores it. kv.PutEncoded takes it. It asks no server. It returns an
	// error that matches kv.ErrInvalidKey, kv.ErrEncode or kv.ErrTooLarge if no write could store the document.
	Encode(key string, value T) ([]byte, error)
	// Bulk returns a Bulk for the bucket. It asks no server and needs no Close.
	Bulk() Bulk[T]
	// Into returns how Read reads a document. Read sets found if the document exists, and leaves it alone if it does
	// not.
	Into(key string, found *Found[T]) Reading
	// Read reads documents of this bucket and of the buckets beside it, as they were at one point in time: it sees a
	// batch whole or not at all. Any replica may answer. The error matches kv.ErrInvalidKey, kv.ErrDecode,
	// kv.ErrNoBucket, kv.ErrRefused or kv.ErrUnavailable.
	Read(ctx context.Context, readings ...Reading) error
	// GetMany is GetMany of a kv.Bucket, answered by replicas that have the bucket up to a revision.
	GetMany(ctx context.Context, since uint64, keys ...string) (map[string]Found[T], error)
	// Torn reports whether the newest message of the bucket belongs to a batch whose end is missing. A power cut does
	// that on a server that holds the only replica and does not sync each write. Torn returns the revision of that
	// message, or 0 if the bucket is whole. The error matches kv.ErrRefused or kv.ErrUnavailable, or is the cause of
	// ctx.
	//
	// A torn batch is seen only until somebody writes on top of it. So a caller that writes batches asks before the
	// first one, and again after each loss of its connection. The older documents are overwritten. The caller must
	// build all documents again, in another bucket.
	Torn(ctx context.Context) (revision uint64, err error)
}

// Bulk writes many documents one after the other and does not wait for each answer, so it is several times as fast as
// Put. No other writer may use the bucket meanwhile. After an error some of the documents are stored and some are not,
// so the caller must write all of them again. A Bulk is used by one goroutine.
type Bulk[T any] interface {
	// Put sends a document, whatever is stored under its key. It blocks while too many writes are without an answer. It
	// fails like Put of a kv.Bucket, perhaps for an earlier document. Each later call returns the same error.
	Put(ctx context.Context, key string, value T) error
	// Flush blocks until everything that was put is stored. It returns the error of the first write that is not stored.
	Flush(ctx context.Context) error
}

// Found is a document that was read. The zero Found means that there is no document.
type Found[T any] struct {
	Value    T
	Revision uint64 // never 0 if there is a document
	Time     time.Time
}

// Reading is one document for Bucket.Read. Bucket.Into returns it.
type Reading struct {
	Subject string
	Err     error // why the key has no subject
	Take    func(jsapi.Message) error
}
