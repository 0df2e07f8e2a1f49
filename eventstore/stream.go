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
// from [Store.Load], [Store.Head] and [Commit.Head].
//
// A head that another made is allowed: the zero Head, one made or changed by hand, one of another stream, and one that another
// Store gave. The append then asks the stream's leader first, which costs one more round trip. It takes the head that the
// leader knows where that has the same version and, unless it is 0, the same position. Else it ends with a [ConflictError].
type Head struct {
	Version  Version  // of the stream's last event
	Position Position // of the last message on the stream's subject

	// links are the positions of the stream's last commits, newest first, at most maxLinks.
	links []Position
	end   streamEnd

	// checked is when the leader said that the stream is empty; the zero time where it was not asked.
	checked time.Time

	given given
}

// given says which store gave a head, of which stream, and what its exported fields were then.
type given struct {
	origin   *origin // nil for a head made by hand
	stream   StreamID
	version  Version
	position Position
}

// origin stands for one Store in the heads that it gave. It holds no more than a name, so that heads can be compared and
// printed.
type origin struct{ store string }

// give seals a head of a stream.
func (o *origin) give(stream StreamID, h Head) Head {
	h.given = given{origin: o, stream: stream, version: h.Version, position: h.Position}
	return h
}

// gave reports whether the head is as it was given for the stream. The unexported fields of any other are not to be used.
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

// standsAt reports whether a position that somebody has is where the stream stands: 0 where it is not known, that of its last commit,
// or that of the last message on its subject, which may be no commit.
func (h Head) standsAt(position Position) bool {
	return position == 0 || position == h.Position || len(h.links) > 0 && position == h.links[0]
}

// linksAfter gives the links of what comes behind a commit at a position, which has links itself.
func linksAfter(position Position, before []Position) []Position {
	links := make([]Position, 1, maxLinks)
	links[0] = position
	return append(links, before[:min(len(before), maxLinks-1)]...)
}

// CheckCategory says whether category can be one: 1 to 64 letters, digits, - or _. The error matches ErrInvalidID.
func CheckCategory(category string) error {
	if err := token.CheckName(category); err != nil {
		return fmt.Errorf("%w: category: %w", ErrInvalidID, err)
	}
	return nil
}
