package eventstore

import (
	"fmt"
	"strings"
	"time"

	"github.com/runnel-go/runnel/internal/token"
)

// Version numbers the events of one stream from 1, without gaps. 0 is the version of a stream without events.
type Version uint64

// Position is where a commit stands in its store: the sequence of its message. Positions rise, but not all concern
// every reader, so their differences mean nothing. 0 is before the first commit.
type Position uint64

// StreamID names a stream. The category says what kind of thing the stream is the history of, and the id says which
// one.
type StreamID struct {
	Category string // 1 to 64 letters, digits, - or _
	ID       string // any UTF-8 of 1 to 256 bytes
}

// String returns category/id, for people. The id is not escaped.
func (s StreamID) String() string { return s.Category + "/" + s.ID }

// subject is the stream's literal subject.
func (s StreamID) subject(store string) (string, error) {
	if err := checkCategory(s.Category); err != nil {
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

// Head is where a stream stands, as an append expects it. The zero Head means a stream without events. Heads come from
// [Store.Load], [Store.Head] and [Commit.Head].
//
// Any other head is allowed as well: one that was made or changed by hand, one of another stream, and one that another
// Store returned. For such a head, and for the zero Head, the append first asks the stream's leader, which is one more
// round trip. It takes the leader's head if that has the same version and, unless it is 0, the same position. Otherwise
// it ends with a [ConflictError].
type Head struct {
	Version  Version  // of the stream's last event
	Position Position // of the last message on the stream's subject

	// links are the positions of the stream's last commits, newest first, at most maxLinks.
	links []Position
	end   streamEnd

	// checked is when the leader said that the stream is empty, or the zero time if it was not asked.
	checked time.Time

	given given
}

// given says which store returned a head, for which stream, and what its exported fields were then.
type given struct {
	origin   *origin // nil for a head made by hand
	stream   StreamID
	version  Version
	position Position
}

// origin stands for one Store in the heads that it returned. It holds only a name, so that heads can be compared and
// printed.
type origin struct{ store string }

// give seals a head of a stream.
func (o *origin) give(stream StreamID, h Head) Head {
	h.given = given{origin: o, stream: stream, version: h.Version, position: h.Position}
	return h
}

// gave reports whether the head is as it was sealed for the stream. The unexported fields of any other head must not be
// used.
func (o *origin) gave(stream StreamID, h *Head) bool {
	return h.given == given{origin: o, stream: stream, version: h.Version, position: h.Position}
}

// streamEnd says whether, and how, a stream has ended.
type streamEnd uint8

const (
	streamOpen streamEnd = iota
	streamClosed
	streamErased
)

// endOf returns what the last event of a commit makes of its stream.
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

// standsAt reports whether a position is where the stream stands. It may be 0 if it is not known, the position of the
// last commit, or the position of the last message on its subject, which may be another program's.
func (h Head) standsAt(position Position) bool {
	return position == 0 || position == h.Position || len(h.links) > 0 && position == h.links[0]
}

// linksAfter returns the links of a commit that follows one at a position. before are the links of that one.
func linksAfter(position Position, before []Position) []Position {
	links := make([]Position, 1, maxLinks)
	links[0] = position
	return append(links, before[:min(len(before), maxLinks-1)]...)
}

// checkCategory returns an error that matches ErrInvalidID unless category has 1 to 64 letters, digits, - or _.
func checkCategory(category string) error {
	if err := token.CheckName(category); err != nil {
		return fmt.Errorf("%w: category: %w", ErrInvalidID, err)
	}
	return nil
}
