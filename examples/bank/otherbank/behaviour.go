package otherbank

import (
	"encoding/binary"
	"hash/fnv"
	"maps"
	"slices"
	"strings"
)

// Behaviour is how one payment is treated.
type Behaviour string

// The behaviours.
const (
	Prompt Behaviour = "prompt" // pays and answers
	Slow   Behaviour = "slow"   // is long in taking it, pays, and is long in answering
	Flaky  Behaviour = "flaky"  // fails, then does it and says that it failed, then is Prompt; with its cancel too
	Twice  Behaviour = "twice"  // pays, and answers twice
	Down   Behaviour = "down"   // fails each time it is to take it
	Reject Behaviour = "reject" // says no at once
	Refuse Behaviour = "refuse" // takes it, does not pay, and answers so
	Silent Behaviour = "silent" // pays, and never answers
	Lost   Behaviour = "lost"   // takes it, does not pay, and never answers
	Late   Behaviour = "late"   // pays, and answers so only once it was cancelled
	Gone   Behaviour = "gone"   // pays, and does not even take its cancel
)

// Behaviours are all there are.
func Behaviours() []Behaviour {
	return []Behaviour{Prompt, Slow, Flaky, Twice, Down, Reject, Refuse, Silent, Lost, Late, Gone}
}

// pays reports whether the payee gets the money.
func (b Behaviour) pays() bool {
	return b != Down && b != Reject && b != Refuse && b != Lost
}

// Shares say how large a part of all payments is treated in some way, from 0 to 1 altogether. The others are Prompt.
type Shares map[Behaviour]float64

// Troubled are shares of which 10 % fail and 5 % are never answered in time, and others are paid with some trouble.
func Troubled() Shares {
	return Shares{
		Down: 0.03, Reject: 0.03, Refuse: 0.04, // fail
		Silent: 0.02, Lost: 0.01, Late: 0.02, // are silent
		Flaky: 0.05, Twice: 0.05, // come to a good end
	}
}

// Mix treats payments at random, by a hash of the seed and the payment's id.
func Mix(seed uint64, shares Shares) func(Payment) Behaviour {
	order := slices.Sorted(maps.Keys(shares))
	return func(p Payment) Behaviour {
		at := share(seed, p.ID)
		for _, behaviour := range order {
			if at -= shares[behaviour]; at < 0 {
				return behaviour
			}
		}
		return Prompt
	}
}

// share gives a number from 0 to 1, 1 not included, that is always the same for a seed and an id.
func share(seed uint64, id string) float64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, seed)) // a hash takes everything
	_, _ = h.Write([]byte(id))
	n := h.Sum64()
	n ^= n >> 33 // fnv leaves the upper bits of short ids alike; this is the mix of MurmurHash3
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	return float64(n>>11) / (1 << 53)
}

// ByBank treats a payment as the name of the bank it goes to says, so that whoever orders it decides: a payment to the bank
// "silent" is Silent. Banks of other names are Prompt.
func ByBank(p Payment) Behaviour {
	if b := Behaviour(strings.ToLower(p.Bank)); slices.Contains(Behaviours(), b) {
		return b
	}
	return Prompt
}
