package aggregate

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/internal/inside"
	"github.com/runnel-go/runnel/internal/plain"
	"github.com/runnel-go/runnel/internal/system"
)

// eventsOf decodes the events of a commit. It passes over the toolkit's own events, unless E includes them.
func eventsOf[E eventstore.Event](c *eventstore.Commit) ([]E, error) {
	events := make([]E, 0, c.Len())
	for recorded := range c.Events() {
		decoded, err := recorded.Decode()
		if err != nil {
			return nil, err
		}
		for _, one := range decoded {
			event, ok := one.(E)
			switch {
			case ok:
				events = append(events, event)
			case !strings.HasPrefix(recorded.Type(), system.Prefix):
				return nil, fmt.Errorf("aggregate: %s version %d at position %d: %w: %q is a %T: no other category may write it here",
					recorded.Stream, recorded.Version(), recorded.Position, ErrForeignEvent, recorded.Type(), one)
			}
		}
	}
	return events, nil
}

// keptTypes returns how the events of E may be kept beside their stored form.
func keptTypes[E eventstore.Event](store *eventstore.Store) map[reflect.Type]plain.Keeping {
	kept := make(map[reflect.Type]plain.Keeping)
	for _, prototype := range eventstore.Inside(inside.Pass{}, store).Prototypes() {
		if _, ok := prototype.(E); ok {
			t := reflect.TypeOf(prototype)
			kept[t] = plain.KeepingOf(t)
		}
	}
	return kept
}

// asStored returns the events of a commit as a load would return them: once for the state, and once for the caller, who
// may change them. Most events are plain: they come back as they were decided and share no memory, so they need not be
// decoded.
func (r *Repository[S, E]) asStored(c *eventstore.Commit, decided []E) (folded, returned []E, err error) {
	keeping := plain.Itself
	if c.Len() != len(decided) {
		keeping = plain.DecodedFor // there are events of the toolkit's own, which E may include
	}
	for _, event := range decided {
		kept, known := r.kept[reflect.TypeOf(event)]
		if !known {
			kept = plain.DecodedFor
		}
		keeping = max(keeping, kept)
	}
	if keeping == plain.Itself {
		return decided, decided, nil
	}
	if folded, err = eventsOf[E](c); err != nil || keeping == plain.Decoded {
		return folded, folded, err
	}
	returned, err = eventsOf[E](c)
	return folded, returned, err
}
