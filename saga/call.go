package saga

import (
	"strconv"
	"strings"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/ownkey"
)

// Call says what a Do or an Undo is called for. Its methods return what makes effects count once.
type Call struct {
	store string // the identity of the store with the saga
	saga  eventstore.StreamID
	step  string
	undo  bool
	begun eventstore.Position
	nth   int
}

// Saga is the id of the saga.
func (c Call) Saga() string { return c.saga.ID }

// Step is the name of the step.
func (c Call) Step() string { return c.step }

// Nth returns the call for another command on the same stream, or another effect outside, within one step: the first is
// number 0, which is what an action is given.
func (c Call) Nth(n int) Call {
	c.nth = n
	return c
}

// Key is the idempotency key of the effect: the same at each try and for each runner, another one for each saga,
// step, direction and number. Sagas of two stores may have the same key. It has at most 256 bytes, none of them a blank
// or a control character unless the saga's id has such.
func (c Call) Key() string { return c.key(c.undo) }

// DoKey is the Key of what an Undo undoes: the receiver must refuse it from now on. In a Do it is the Key itself.
func (c Call) DoKey() string { return c.key(false) }

func (c Call) key(undo bool) string {
	key := c.prefix(undo)
	if c.nth != 0 {
		key += "/" + strconv.Itoa(c.nth)
	}
	return key
}

// prefix is the key that all others of the step's direction are below.
func (c Call) prefix(undo bool) string {
	direction := "do"
	if undo {
		direction = "undo"
	}
	return c.saga.Category + "/" + escape.Replace(c.saga.ID) + "/" + c.step + "/" + direction
}

// escape keeps the key of one saga from being below the key of another.
var escape = strings.NewReplacer("%", "%25", "/", "%2F")

// Once is the option that makes a command of this step count once, however often and by whomever the step is tried:
//
//	accounts.Do(ctx, p.From, Reserve{...}, call.Once())
//
// In a Do it sets the command's key, and makes the search for it exact. In an Undo it also closes the keys that Do may
// have used on that stream, so that a Do which is still under way somewhere cannot come after it. So an Undo must have
// a command with Once for every stream that Do may write, even if Do did not come to it.
//
// The aggregate may be in another store than the saga. There the whole stream is searched for the key, unless the
// repository remembers it, so the stream should be short.
//
// In the stream the key is [Call.Key] after "runnel.saga/". No key of a program, or of strangers, can begin so.
func (c Call) Once() aggregate.Option {
	var closes ownkey.Key
	if c.undo {
		closes = ownkey.Saga(c.prefix(false))
	}
	return aggregate.OwnKey(ownkey.Saga(c.Key()), closes, c.store, c.begun)
}
