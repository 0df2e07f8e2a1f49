package eventstore

import (
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/internal/msgpack"
)

// reader reads what commits and archives are made of.
type reader struct{ msgpack.Reader }

func (r *reader) uuid() uuid.UUID {
	b := r.Bytes()
	if len(b) != len(uuid.UUID{}) {
		r.Fail(fmt.Errorf("id of %d bytes instead of 16", len(b)))
		return uuid.UUID{}
	}
	return uuid.UUID(b)
}

// links reads links into the room of a commit.
func (r *reader) links(m *room) []Position {
	n := r.Array()
	if n > maxLinks {
		r.Fail(fmt.Errorf("%d links, at most %d are written", n, maxLinks))
	}
	if r.Err != nil || n == 0 {
		return nil
	}
	links := m.links[:n]
	for i := range links {
		links[i] = Position(r.Uint())
		if i == 0 {
			continue
		}
		if links[i] == 0 || links[i] >= links[i-1] {
			r.Fail(errors.New("links do not fall"))
			return nil
		}
		links[i] = links[i-1] - links[i]
	}
	return links
}

// events reads the events, whose data stands in body.
func (r *reader) events(body []byte, known *registry, m *room) []event {
	n := r.Array()
	if r.Err != nil || n == 0 {
		return nil
	}
	events := m.roomFor(n)
	for i := range events {
		if fields := r.Array(); fields != 2 {
			r.Fail(fmt.Errorf("event has %d fields instead of 2", fields))
		}
		if name := r.Bytes(); i > 0 && string(name) == events[i-1].kind.name {
			events[i].kind = events[i-1].kind
		} else {
			events[i].kind = known.named(name)
		}
		data := r.Bytes()
		to := len(body) - len(r.Rest)
		events[i].from, events[i].to = uint32(to-len(data)), uint32(to)
	}
	return events
}
