// Package ownkey keeps the idempotency keys of the toolkit apart from the keys of programs.
//
// A program may take keys from strangers, as an HTTP server does with the header Idempotency-Key. The toolkit
// uses keys of its own in the same streams. So its keys begin with a prefix that aggregate.Key refuses:
//
//	runnel.saga/payment/rent-1/confirm/do      the step "confirm" of the saga payment/rent-1
package ownkey

import "strings"

const prefix = "runnel."

// Key is a key of the toolkit. No program can make one.
type Key struct{ text string }

// Saga returns the key of an effect of a saga.
func Saga(effect string) Key { return Key{text: prefix + "saga/" + effect} }

// From returns a key as it is stored in another store than the saga's, which has that identity: the sagas of two stores
// may have one name. It is "" for the zero Key.
func (k Key) From(store string) string {
	if k.text == "" {
		return ""
	}
	return prefix + "saga/" + store + "/" + strings.TrimPrefix(k.text, prefix+"saga/")
}

// String returns the key as it is stored, or "" for the zero Key.
func (k Key) String() string { return k.text }

// Reserved reports whether the toolkit could have made a key.
func Reserved(key string) bool { return strings.HasPrefix(key, prefix) }
