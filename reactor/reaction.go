package reactor

import (
	"context"
	"fmt"
	"reflect"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
)

// Reaction says what is done when an event of one type has happened. [On] makes reactions.
type Reaction struct {
	prototype func() (eventstore.Event, error)
	react     func(ctx context.Context, event eventstore.Event, recorded eventstore.Recorded) error
}

// On makes the reaction to events of type E:
//
//	reactor.On(func(ctx context.Context, e Withdrawn, r eventstore.Recorded) error {
//		return mail.Send(ctx, e.Amount, r.EventID())
//	})
//
// It is called at least once for each event, and may be called again for one that it has handled: see the package
// documentation. It must end when its context does. An error, or a panic, makes the event's stream wait; see
// [Permanent] and [Breaker]. Its appends with that context carry the event's correlation and trace, and the event's id
// as causation.
func On[E eventstore.Event](react func(ctx context.Context, event E, recorded eventstore.Recorded) error) Reaction {
	return Reaction{
		prototype: func() (eventstore.Event, error) {
			t := reflect.TypeFor[E]()
			if t.Kind() == reflect.Interface || t.Kind() == reflect.Pointer {
				return nil, fmt.Errorf("%w: for %s: write it for the event's own struct type", ErrInvalid, t)
			}
			return *new(E), nil
		},
		react: func(ctx context.Context, event eventstore.Event, recorded eventstore.Recorded) error {
			return react(ctx, event.(E), recorded)
		},
	}
}

// reactionsByType indexes reactions by the name of their event, as the store knows it, and returns the names in the
// log under which such events may stand.
func reactionsByType(store *eventstore.Store, reactions []Reaction) (byType map[string]Reaction, decodes map[string]bool, err error) {
	if len(reactions) == 0 {
		return nil, nil, fmt.Errorf("%w: a reactor has one reaction at least", ErrInvalid)
	}
	byType, decodes = make(map[string]Reaction, len(reactions)), make(map[string]bool)
	for i, reaction := range reactions {
		if reaction.prototype == nil {
			return nil, nil, fmt.Errorf("%w: reaction %d is empty: make it with On", ErrInvalid, i)
		}
		event, err := reaction.prototype()
		if err != nil {
			return nil, nil, err
		}
		name, err := eventstore.Inside(inside.Pass{}, store).TypeOf(event)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		if _, twice := byType[name]; twice {
			return nil, nil, fmt.Errorf("%w: two reactions to %q: put what both do into one, or make two reactors", ErrInvalid, name)
		}
		byType[name] = reaction
		for _, stored := range eventstore.Inside(inside.Pass{}, store).StoredAs(name) {
			decodes[stored] = true
		}
	}
	return byType, decodes, nil
}
