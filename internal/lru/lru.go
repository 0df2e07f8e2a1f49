// Package lru keeps the values used last.
package lru

import "container/list"

// Cache keeps up to a number of values by key and drops the one that was not used for longest. It is not safe for
// concurrent use.
type Cache[K comparable, V any] struct {
	size   int
	byKey  map[K]*list.Element
	recent *list.List // of *item[K, V], most recently used in front
}

type item[K comparable, V any] struct {
	key   K
	value V
}

// New gives a Cache of that size. One of size 0 keeps nothing.
func New[K comparable, V any](size int) *Cache[K, V] {
	return &Cache[K, V]{size: size, byKey: make(map[K]*list.Element), recent: list.New()}
}

// Get gives the value of a key, which then is the most recently used one.
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
func (c *Cache[K, V]) Put(key K, value V) {
	if c.size <= 0 {
		return
	}
	if element, ok := c.byKey[key]; ok {
		element.Value.(*item[K, V]).value = value
		c.recent.MoveToFront(element)
		return
	}
	c.byKey[key] = c.recent.PushFront(&item[K, V]{key: key, value: value})
	if c.recent.Len() > c.size {
		oldest := c.recent.Remove(c.recent.Back()).(*item[K, V])
		delete(c.byKey, oldest.key)
	}
}

// Len is how many values are kept.
func (c *Cache[K, V]) Len() int { return c.recent.Len() }
