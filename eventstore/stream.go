package eventstore

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnel-go/runnel/internal/token"
)

// Version numbers the events of one stream from 1, without gaps. 0 is the version of a stream without events.
type Version uint64

// Position is where a commit stands in its store: the sequence of its message. Positions rise, but not all are of
// interest to every reader, so nothing may be concluded from their differences. 0 is before the first commit.
type Position uint64

// StreamID names a stream: the category says what kind of thing it is the history of, the id which one.
type StreamID struct {
	Category string // 1 to 64 letters, digits, - or _
	ID       string // any UTF-8 of 1 to 256 bytes
}

// String gives category/id, for people. The id is not escaped.
func (s StreamID) String() string { return s.Category + "/" + s.ID }

// subject is the stream's literal subject.
func (s StreamID) subject(store string) (string, error) {
	if err := CheckCategory(s.Category); err != nil {
		return "", err
	}
	id, err := token.Encode(s.ID)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrInvalidID, err)
	}
	return store + "." + s.Category + "." + id, nil
}

// parseSubject is the inverse of StreamID.subject.
func parseSubject(store, subject string) (StreamID, error) {
	category, id, ok := "", "", false
	if rest, found := strings.CutPrefix(subject, store+"."); found {
		category, id, ok = strings.Cut(rest, ".")
	}
	if !ok || token.CheckName(category) != nil {
		return StreamID{}, fmt.Errorf("subject %q is not a stream's of store %q", subject, store)
	}
	id, err := token.Decode(id)
	if err != nil {
		return StreamID{}, fmt.Errorf("subject %q: %w", subject, err)
	}
	return StreamID{Category: category, ID: id}, nil
}

// Head is where a stream stands, as an append expects it. The zero Head is that of a stream without events. Heads come
// from [Store.Load], [Store.Head] and [Commit.Head]; one made by hand, the zero Head among them, is allowed and makes the
// append look the rest up first, which costs one more round trip.
type Head struct {
	Version  Version  // of the stream's last event
	Position Position // of the last message on the stream's subject

	// links are the positions of the stream's last commits, newest first, at most maxLinks.
	links []Position
	end   streamEnd

	// checked is when the leader said that the stream is empty; the zero time where it was not asked.
	checked time.Time
}

// streamEnd says whether, and how, a stream has ended.
type streamEnd uint8

const (
	streamOpen streamEnd = iota
	streamClosed
	streamErased
)

// endOf gives what the last event of a commit makes of its stream.
func endOf(last event) streamEnd {
	switch last.kind.name {
	case StreamClosed{}.EventType():
		return streamClosed
	case StreamErased{}.EventType():
		return streamErased
	default:
		return streamOpen
	}
}

// Closed reports whether the stream was closed, so that nothing can be appended to it.
func (h Head) Closed() bool { return h.end != streamOpen }

// after is the head once a commit was stored on top of h.
func (h Head) after(position Position, events int) Head {
	links := make([]Position, 1, maxLinks)
	links[0] = position
	return Head{
		Version:  h.Version + Version(events),
		Position: position,
		links:    append(links, h.links[:min(len(h.links), maxLinks-1)]...),
	}
}

// CheckCategory says whether category can be one: 1 to 64 letters, digits, - or _. The error matches ErrInvalidID.
func CheckCategory(category string) error {
	if err := token.CheckName(category); err != nil {
		return fmt.Errorf("%w: category: %w", ErrInvalidID, err)
	}
	return nil
}
