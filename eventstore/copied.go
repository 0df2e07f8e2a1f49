package eventstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
)

// Another program may publish a copy of a commit on a subject of the store, with a header that only commits have. The
// copy says versions that the stream has already. The message on top of which it was published tells it from a commit:
//
//	the header expects               the newest link leads   it is
//	nothing                          anywhere                a commit if an import has stored it, else a copy
//	what the newest link leads to    there                   a commit
//	0                                nowhere                 a commit, because nothing is there
//	0                                anywhere                a copy, because nothing was there to follow
//	another message                  anywhere                a copy if a commit below has its version, see original
//
// A copy is damage for readers until an operator accepts it as another program's message.

// errCopied says that a message decodes as a commit, and was not published on top of what it links to.
var errCopied = errors.New("a copy of a commit: it was not published on top of the commit that it follows")

// fits reports whether the header of a message fits the commit in it.
func (d *decoder) fits(header nats.Header, c *Commit) bool {
	expected, ok := expectedBy(header)
	switch {
	case c.isGuard(): // it expects something of another stream, and counts only if its transaction is whole
		return c.Transaction != nil
	case !ok:
		return c.Position <= d.opened.imported
	case expected == 0:
		return len(c.links) == 0
	case len(c.links) > 0 && c.links[0] == expected:
		return true
	}
	_, known := d.originals.Load(c.Position)
	return known
}

// expectedBy returns the position that the last message of the subject must have had, and false if that was not asked.
func expectedBy(header nats.Header) (Position, bool) {
	values := header[jetstream.ExpectedLastSubjSeqHeader]
	if len(values) != 1 || len(header[jetstream.ExpectedLastSubjSeqSubjHeader]) > 0 {
		return 0, false
	}
	expected, err := strconv.ParseUint(values[0], 10, 64)
	return Position(expected), err == nil
}

// original returns the commit in a leader's message whose header does not fit it. If a commit below has its version, it
// returns the error that says that the message is a copy.
func (f *fetcher) original(ctx context.Context, msg jsapi.Message, copied error) (*Commit, error) {
	c, err := f.decoder.decode(new(room), msg.Subject, Position(msg.Sequence), msg.Data)
	if err != nil || c.isGuard() {
		return nil, copied
	}
	expected, ok := expectedBy(msg.Header)
	if ok {
		err = f.onTop(ctx, msg.Subject, c, expected, copied)
	} else {
		err = f.importedSince(ctx, c, copied)
	}
	if err != nil {
		return nil, err
	}
	f.decoder.originals.Store(c.Position, struct{}{})
	f.decoder.seen.see(c)
	return c, nil
}

// onTop returns the error that says that c is a copy if it expects a later message or none, or if a commit below has
// its version.
func (f *fetcher) onTop(ctx context.Context, subject string, c *Commit, expected Position, copied error) error {
	if expected == 0 || expected >= c.Position {
		return copied
	}
	below, err := f.below(ctx, subject, c, expected)
	if err == nil && below != nil && c.First <= below.Last() {
		return copied
	}
	return err
}

// importedSince returns the error that says that c is a copy unless an import has stored it after Open. Then the log
// was replaced, which other checks notice.
func (f *fetcher) importedSince(ctx context.Context, c *Commit, copied error) error {
	info, err := f.conn.api.LeaderInfo(ctx, f.conn.store, "", 0)
	if err == nil && c.Position > importedUpTo(info.Metadata) {
		return copied
	}
	return err
}

// below returns the commit that the header of c expects. If the message there is no commit of the log, because it is
// another program's, was erased or is torn, it returns the first one after the newest link of c, or nil if that is c.
func (f *fetcher) below(ctx context.Context, subject string, c *Commit, expected Position) (*Commit, error) {
	below, err := f.place(ctx, expected)
	if err != nil {
		return nil, err
	}
	if below == nil {
		return nil, errLags // the leader has changed since it had c
	}
	if !below.absent() {
		if whole, err := f.wholeBelow(ctx, below, c); whole || err != nil {
			return below, err
		}
	}
	from := Position(1)
	if len(c.links) > 0 {
		from = c.links[0] + 1
	}
	for ; ; from++ {
		msg, err := f.conn.api.LeaderNext(ctx, f.conn.store, subject, uint64(from))
		if errors.Is(err, jsapi.ErrNotFound) || err == nil && Position(msg.Sequence) >= c.Position {
			return nil, nil
		}
		from = Position(msg.Sequence)
		below, err := f.judge(ctx, msg, err)
		if errors.Is(err, ErrForeign) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if whole, err := f.wholeBelow(ctx, below, c); whole || err != nil {
			return below, err
		}
	}
}

// wholeBelow is whole for a commit below c. If c stands where the transaction of that commit goes on, it is torn.
func (f *fetcher) wholeBelow(ctx context.Context, below, c *Commit) (bool, error) {
	if below.end() >= c.Position {
		return false, nil
	}
	return f.whole(ctx, below)
}
