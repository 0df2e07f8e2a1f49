package aggregate

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/system"
)

// minSecret is the least number of bytes of a secret. Less than 128 bits can be found by trying.
const minSecret = 16

// Unique keeps values, such as e-mail addresses, to one owner each. It is safe for concurrent use.
//
// Each value is a stream of its own. The stream's id is the value or, with a secret, the value's HMAC. Every append
// promises that only one of two claims at the start of a stream succeeds, so there is no index that could fall behind.
// A claim is one operation of a transaction with the aggregate that the value belongs to:
//
//	emails, err := aggregate.NewUnique(store, "email", secret, nil)
//	err = aggregate.Transact(ctx, store, nil,
//		customers.On(id, Register{...}), emails.Claim("anna@example.com", id))
//
// A change of the value releases the old one and claims the new one:
//
//	err = aggregate.Transact(ctx, store, nil,
//		customers.On(id, ChangeEmail{...}), emails.Release(before, id), emails.Claim(after, id))
//
// A value can take part in a transaction once, so before and after must differ there. Such a transaction costs as much
// as any other, about 4 ms on one replica with file storage. All other commands on the customer cost nothing more.
//
// Values are compared byte by byte. The caller decides whether Anna@example.com and anna@example.com are the same, and
// which Unicode form is used, before it claims a value. That decision can hardly be changed later.
//
// The secret can hardly be changed either: under another secret all values are free, and nothing here would notice. To
// change it, claim each value again in a new category, from a list that the program keeps elsewhere. Meanwhile, claim
// new values in both categories in each transaction. Anybody with the secret and the log can check whether a guessed
// value is claimed. Once the secret is gone, nobody can. So there is no need to erase a value's stream, after which
// nobody could claim the value again.
type Unique struct {
	values   *Repository[ownership, ownershipEvent]
	category string
	secret   []byte // nil for none
}

// ownership is the state of a value.
type ownership struct{ Owner string }

// ownershipEvent is implemented by [system.ValueClaimed] and [system.ValueReleased].
type ownershipEvent interface {
	eventstore.Event
	OwnedBy() string
}

// Evolve returns the value's new owner.
func (ownership) Evolve(e ownershipEvent) ownership { return ownership{Owner: e.OwnedBy()} }

// NewUnique returns the unique values of a category of streams. Nothing else may write these streams.
//
// If values are personal, give a secret: at least 16 random bytes, the same in all programs that use the category. Then
// neither the log nor an error of Unique shows a value. With a nil secret, the value itself is the stream's id, of 1 to
// 256 bytes of UTF-8, and errors name it.
//
// NewUnique returns an error that matches eventstore.ErrInvalidID for a wrong category, or ErrInvalid for a secret that
// is too short or a Config that cannot be used. It does not talk to the server.
func NewUnique(store *eventstore.Store, category string, secret []byte, cfg *Config) (*Unique, error) {
	if secret != nil && len(secret) < minSecret {
		return nil, fmt.Errorf("aggregate: unique values of category %s: %w: the secret has %d bytes, at least %d are needed: "+
			"set it, or give nil to store the values as they are", category, ErrInvalid, len(secret), minSecret)
	}
	values, err := New(store, category, ownership{}, cfg)
	if err != nil {
		return nil, err
	}
	return &Unique{values: values, category: category, secret: bytes.Clone(secret)}, nil
}

// Claim returns the operation that makes a value an owner's. The owner is any text that is not empty, such as the id
// of an aggregate. The operation is rejected with an error that matches ErrTaken if the value has another owner. It
// decides nothing if the value already is the owner's. With an empty value or owner, Transact returns an error that
// matches eventstore.ErrInvalidID.
func (u *Unique) Claim(value, owner string) Operation {
	return u.operation(value, owner, claimValue{Category: u.category, Owner: owner})
}

// Release returns the operation that frees a value. The operation is rejected with an error that matches ErrTaken if
// the value has another owner. It decides nothing if the value already is free. With an empty value or owner, Transact
// returns an error that matches eventstore.ErrInvalidID.
func (u *Unique) Release(value, owner string) Operation {
	return u.operation(value, owner, releaseValue{Category: u.category, Owner: owner})
}

// Owner returns the owner of a value at the leader's newest version, or false if the value is free. It blocks and fails
// like [Repository.Load]. For an empty value the error matches eventstore.ErrInvalidID.
func (u *Unique) Owner(ctx context.Context, value string) (owner string, ok bool, err error) {
	if value == "" {
		return "", false, u.invalid("no value may be empty")
	}
	result, err := u.values.Load(ctx, u.id(value))
	return result.State.Owner, result.State.Owner != "", err
}

// id returns the stream's id for a value: the value itself, or the whole HMAC-SHA256 of category and value. So two
// values never share a stream, and the same value in two categories has unrelated ids.
func (u *Unique) id(value string) string {
	if u.secret == nil {
		return value
	}
	mac := hmac.New(sha256.New, u.secret)
	mac.Write([]byte(u.category + "\x00" + value)) // never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (u *Unique) invalid(what string) error {
	return fmt.Errorf("aggregate: unique values of category %s: %w: %s", u.category, eventstore.ErrInvalidID, what)
}

func (u *Unique) operation(value, owner string, command Command[ownership, ownershipEvent]) Operation {
	op := &uniqueOp{Op: u.values.On(u.id(value), command)}
	if value == "" || owner == "" {
		op.invalid = u.invalid("neither a value nor an owner may be empty")
	}
	return op
}

// uniqueOp is an operation on one value. It fails if its arguments were wrong.
type uniqueOp struct {
	*Op[ownership, ownershipEvent]

	invalid error
}

func (op *uniqueOp) begin(ctx context.Context, store *eventstore.Store, keyed bool) error {
	if op.invalid != nil {
		return op.invalid
	}
	return op.Op.begin(ctx, store, keyed)
}

type claimValue struct{ Category, Owner string }

// Decide lets the owner take a free value.
func (c claimValue) Decide(o ownership) ([]ownershipEvent, error) {
	switch o.Owner {
	case "":
		return []ownershipEvent{system.ValueClaimed{Owner: c.Owner}}, nil
	case c.Owner:
		return nil, nil
	default:
		return nil, &TakenError{Category: c.Category, Owner: o.Owner}
	}
}

type releaseValue struct{ Category, Owner string }

// Decide lets only the owner release the value.
func (c releaseValue) Decide(o ownership) ([]ownershipEvent, error) {
	switch o.Owner {
	case c.Owner:
		return []ownershipEvent{system.ValueReleased{Owner: c.Owner}}, nil
	case "":
		return nil, nil
	default:
		return nil, &TakenError{Category: c.Category, Owner: o.Owner}
	}
}
