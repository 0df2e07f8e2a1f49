// Package inside names what package kv does for the other packages of this module. Programs cannot import it, so they
// cannot call the functions of kv that take one of its types.
//
// The documents of a view and what there is to say about them are kept in one JetStream stream, so that one batch
// writes both. What is said has types of its own, and keys that no document can have:
//
//	document 42                            $KV.<bucket>.42
//	the document checkpoint of Single()    $KV.<bucket>.=checkpoint
//	the document 42 of Named("parked")     $KV.<bucket>.=parked.42
package inside

import (
	"context"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Pass is an argument of the functions of package kv that programs cannot call.
type Pass struct{}

// Place says where documents of another type are kept beside those of a bucket. The encoding of keys continues "="
// with an upper-case digit, a dot or nothing. So a lower-case letter behind it marks a key that no document of the
// bucket has.
type Place struct{ prefix string }

// Single returns the place of documents that are single. Each key must begin with a lower-case letter and have no dot.
func Single() Place { return Place{prefix: "="} }

// Named returns a place for any number of documents under any keys. The name must begin with a lower-case letter and
// consist of lower-case letters.
func Named(name string) Place { return Place{prefix: "=" + name + "."} }

// Prefix returns what stands before the keys of the place.
func (p Place) Prefix() string { return p.prefix }

// Bucket is what a bucket of package kv does for this module alone. It is safe for concurrent use.
type Bucket[T any] interface {
	// Check returns the size in bytes of a document when it is encoded. It asks no server. It returns an error that
	// matches kv.ErrInvalidKey, kv.ErrEncode or kv.ErrTooLarge if no write could store the document.
	Check(key string, value T) (size int, err error)
	// Bulk begins to write many documents.
	Bulk() Bulk[T]
	// Into returns how Read reads a document: found is set if the document exists, and left alone if it does not.
	Into(key string, found *Found[T]) Reading
	// Read reads documents of this bucket and of those beside it, as they were at one point in time: it sees an atomic
	// batch whole or not at all. Any replica may answer. The error matches kv.ErrInvalidKey, kv.ErrDecode,
	// kv.ErrUnavailable or kv.ErrNoBucket.
	Read(ctx context.Context, readings ...Reading) error
	// Torn reports whether the newest message of the bucket belongs to an atomic batch whose end is missing. A power
	// cut does that on a server that holds the only replica and does not sync each write. Torn returns the revision
	// of that message, or 0 if the bucket is whole. The error matches kv.ErrRefused or kv.ErrUnavailable, or is the
	// cause of ctx.
	//
	// A torn batch is seen only until somebody writes on top of it. So a caller that writes batches asks before the
	// first one, and again after each loss of its connection. What the documents were before is lost: build them
	// anew, in another bucket.
	Torn(ctx context.Context) (revision uint64, err error)
}

// Bulk writes many documents one after the other and does not wait for each answer, so it is several times as fast
// as Put. No other writer may use the bucket meanwhile. After an error it is not known which of the documents are
// stored, so the caller must begin again from the start. A Bulk is for one goroutine.
type Bulk[T any] interface {
	// Put sends a document, whatever is stored under its key. It blocks while too many writes are without an answer.
	// The error may be that of an earlier write, and every later call returns it again. It is one that Put of a
	// kv.Bucket returns.
	Put(ctx context.Context, key string, value T) error
	// Flush blocks until everything that was put is stored. It returns the error of the first write that is not.
	Flush(ctx context.Context) error
}

// Found is a document that was read. The zero value says that there is none.
type Found[T any] struct {
	Value    T
	Revision uint64 // never 0
}

// Reading is one document that Bucket.Read is to read. Bucket.Into returns it.
type Reading struct {
	Subject string
	Err     error // why the key has no subject
	Take    func(jsapi.Message) error
}
