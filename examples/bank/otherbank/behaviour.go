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
	Slow   Behaviour = "slow"   // takes the payment late, pays, and answers late
	Flaky  Behaviour = "flaky"  // fails, then succeeds but reports a failure, then is Prompt; the same with its cancel
	Twice  Behaviour = "twice"  // pays, and answers twice
	Down   Behaviour = "down"   // fails each time it is asked
	Reject Behaviour = "reject" // refuses at once
	Refuse Behaviour = "refuse" // takes the payment, does not pay, and answers so
	Silent Behaviour = "silent" // pays, and never answers
	Lost   Behaviour = "lost"   // takes the payment, does not pay, and never answers
	Late   Behaviour = "late"   // pays, and answers so only after the payment was cancelled
	Gone   Behaviour = "gone"   // pays, and does not take the cancel
)

// Behaviours returns all behaviours.
func Behaviours() []Behaviour {
	return []Behaviour{Prompt, Slow, Flaky, Twice, Down, Reject, Refuse, Silent, Lost, Late, Gone}
}

// pays reports whether the payee gets the money.
func (b Behaviour) pays() bool {
	return b != Down && b != Reject && b != Refuse && b != Lost
}

// Shares say which share of all payments is treated in some way. Each is between 0 and 1, and so is their sum. All
// other payments are Prompt.
type Shares map[Behaviour]float64

// Troubled returns shares by which 10 % of the payments fail and 5 % are never answered in time. Other payments are
// paid after some trouble.
func Troubled() Shares {
	return Shares{
		Down: 0.03, Reject: 0.03, Refuse: 0.04, // fail
		Silent: 0.02, Lost: 0.01, Late: 0.02, // are silent
		Flaky: 0.05, Twice: 0.05, // are paid after some trouble
	}
}

// Mix returns a function that treats payments at random, by a hash of the seed and the id of the payment.
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

// share returns a number from 0 to 1, without 1, that is always the same for a seed and an id.
func share(seed uint64, id string) float64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, seed)) // a hash returns no error
	_, _ = h.Write([]byte(id))
	n := h.Sum64()
	n ^= n >> 33 // the mix of MurmurHash3, because the upper bits of fnv are alike for short ids
	n *= 0xff51afd7ed558ccd
	n ^= n >> 33
	return float64(n>>11) / (1 << 53)
}

// ByBank treats a payment as the name of its bank says, so that the customer decides: a payment to the bank "silent"
// is Silent. Payments to banks with other names are Prompt.
func ByBank(p Payment) Behaviour {
	if b := Behaviour(strings.ToLower(p.Bank)); slices.Contains(Behaviours(), b) {
		return b
	}
	return Prompt
}
