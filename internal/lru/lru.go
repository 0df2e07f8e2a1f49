// Package lru keeps the values that were used last.
package lru

import (
	"container/list"
	"iter"
)

// Cache keeps up to a number of values by key, and drops the value that was not used for the longest time. It
// is not safe for concurrent use.
type Cache[K comparable, V any] struct {
	size   int
	byKey  map[K]*list.Element
	recent *list.List // of *item[K, V], most recently used in front
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// New returns a Cache for size values. A Cache of size 0 keeps nothing.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: size, byKey: make(map[K]*list.Element), recent: list.New()}
}

// Get returns the value of a key, and makes it the most recently used value.
func (c *Cache[K, V]) Get(key K) (V, bool) {
	element, ok := c.byKey[key]
	if !ok {
		var zero V
		return zero, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(*item[K, V]).value, true
}

// Put keeps a value under a key.
func (c *Cache[K, V]) Put(key K, value V) { c.Push(key, value) }

// Push is Put that also returns the value that it had to drop, if any.
func (c *Cache[K, V]) Push(key K, value V) (droppedKey K, dropped V, ok bool) {
	if c.size <= 0 {
		return key, value, true
	}
	if element, known := c.byKey[key]; known {
		element.Value.(*item[K, V]).value = value
		c.recent.MoveToFront(element)
		return droppedKey, dropped, false
	}
	c.byKey[key] = c.recent.PushFront(&item[K, V]{key: key, value: value})
	if c.recent.Len() <= c.size {
		return droppedKey, dropped, false
	}
	oldest := c.recent.Remove(c.recent.Back()).(*item[K, V])
	delete(c.byKey, oldest.key)
	return oldest.key, oldest.value, true
}

// All yields the values that are kept, the most recently used first.
func (c *Cache[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for e := c.recent.Front(); e != nil; e = e.Next() {
			if it := e.Value.(*item[K, V]); !yield(it.key, it.value) {
				return
			}
		}
	}
}

// Len returns the number of values that are kept.
func (c *Cache[K, V]) Len() int { return c.recent.Len() }
