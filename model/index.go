package main

import "hash/maphash"

// index finds the number of a state. It is a hash table with open addressing; an entry holds a part of the hash and
// the number plus one.
type index[S comparable] struct {
	seed    maphash.Seed
	entries []uint64
	used    int
}

func newIndex[S comparable]() index[S] {
	return index[S]{seed: maphash.MakeSeed(), entries: make([]uint64, 1<<10)}
}

// find returns the number of a state, and whether the state had one. Else it has the next number from now on.
func (x *index[S]) find(all []S, s S) (id int, seen bool) {
	if 2*x.used >= len(x.entries) {
		x.grow()
	}
	hash := maphash.Comparable(x.seed, s)
	const part = 0xffffffff << 32
	at := x.start(hash)
	for ; x.entries[at] != 0; at = (at + 1) & (len(x.entries) - 1) {
		entry := x.entries[at]
		if id := int(uint32(entry)) - 1; entry&part == hash&part && all[id] == s {
			return id, true
		}
	}
	x.entries[at] = hash&part | uint64(len(all)+1)
	x.used++
	return len(all), false
}

// start returns where the search for a hash begins. It needs no more than the part of the hash that an entry holds.
func (x *index[S]) start(hash uint64) int {
	return int(hash>>32*0x9e3779b97f4a7c15>>24) & (len(x.entries) - 1)
}

func (x *index[S]) grow() {
	old := x.entries
	x.entries = make([]uint64, 2*len(old))
	for _, entry := range old {
		if entry == 0 {
			continue
		}
		at := x.start(entry)
		for x.entries[at] != 0 {
			at = (at + 1) & (len(x.entries) - 1)
		}
		x.entries[at] = entry
	}
}
