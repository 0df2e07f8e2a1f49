// Package ownkey keeps the idempotency keys of the toolkit apart from those of everybody else.
//
// A program may take keys from strangers, as an HTTP server does with the header Idempotency-Key, and what the toolkit does
// under keys of its own happens in the same streams. So its keys begin with a prefix that aggregate.Key refuses:
//
//	runnel.saga/payment/rent-1/confirm/do      the step "confirm" of the saga payment/rent-1
package ownkey

import "strings"

const prefix = "runnel."

// Key is a key of the toolkit. No program can make one.
type Key struct{ text string }

// Saga gives the key of an effect of a saga.
func Saga(effect string) Key { return Key{text: prefix + "saga/" + effect} }

// String gives the key as it is stored, "" for the zero Key.
func (k Key) String() string { return k.text }

// Reserved reports whether a key of somebody else could be one of the toolkit.
func Reserved(key string) bool { return strings.HasPrefix(key, prefix) }
