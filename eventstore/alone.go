package eventstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/internal/jsapi"
	"github.com/runnel-go/runnel/internal/system"
)

// A store's own stream must take what is published for the store, and no other stream may. Its reads must be answered
// by that stream, too. The server keeps the subjects of two streams apart only within one account and one domain. So
// the store checks for itself:
//
//	Open          replies come to a subject of the store         refused: the name is the prefix of an inbox
//	              another stream has taken the subjects          refused by the server, and the store names the stream
//	              Config.Reads leads to another stream           refused, and again whenever a reader begins
//	              two streams answer one question                refused: domains, imported services
//	append        another stream acknowledges                    the verdict, even if our own stream was faster
//	check         the connection leads to another domain         the verdict

// codeSubjectsOverlap is a code of the server for which jetstream has no name.
const codeSubjectsOverlap jetstream.ErrorCode = 10065

// probeWait is how long Open waits for the answer of another domain, which may be far away.
const probeWait = 100 * time.Millisecond

// reserved are first levels of subjects on which NATS itself sends replies.
var reserved = []string{"_INBOX", "_R_", "_GR_"}

// checkInbox refuses a name under which replies would be stored. Replies come to <prefix>.<id> and
// <prefix>.<id>.<number>, and a store takes all subjects of three levels that begin with its name.
func checkInbox(name string, conns ...*nats.Conn) error {
	if slices.Contains(reserved, name) {
		return fmt.Errorf("%w: store name: NATS sends replies on subjects that begin with %s: choose another", ErrInvalidID, name)
	}
	for _, nc := range conns {
		first, rest, _ := strings.Cut(strings.TrimSuffix(nc.Opts.InboxPrefix, "."), ".")
		if first == name && !strings.Contains(rest, ".") {
			return fmt.Errorf("%w: store name: replies to this connection come to %s.>, and would be stored: "+
				"choose another name, or another nats.CustomInboxPrefix", ErrInvalidID, strings.TrimSuffix(nc.Opts.InboxPrefix, "."))
		}
	}
	return nil
}

// checkReads makes sure that Config.Reads leads to the store's own stream, and not to a copy or to another of its name.
func (c *conn) checkReads(ctx context.Context) error {
	if c.reads == c.api {
		return nil
	}
	have, err := c.reads.LeaderInfo(ctx, c.store, "", 0)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return c.otherReads("it leads to a server, account or domain that has no stream " + c.store)
	}
	if err != nil {
		return err
	}
	switch identity := have.Metadata[metaIdentity]; {
	case identity != c.opened.identity:
		return c.otherReads("it leads to another store of this name, " + identity)
	case have.Domain != c.opened.domain:
		return c.otherReads(fmt.Sprintf("it leads to the stream of JetStream domain %q instead of %q", have.Domain, c.opened.domain))
	case have.Created.Equal(c.opened.created):
		return nil
	}
	// The stream may have been made anew since the store was opened.
	own, err := c.api.LeaderInfo(ctx, c.store, "", 0)
	if err == nil && !have.Created.Equal(own.Created) {
		err = c.otherReads("it leads to a copy of the store, made at " + have.Created.Format(time.RFC3339Nano))
	}
	return err
}

func (c *conn) otherReads(what string) error {
	return otherStream(c.store, fmt.Errorf("%w: Config.Reads is not on the connection's own stream: %s", jsapi.ErrOtherStream, what))
}

// overlapping names the stream that has taken the store's subjects, if the server refused to make the store's stream
// because of it.
func (c *conn) overlapping(ctx context.Context, err error) error {
	var refused *jetstream.APIError
	if !errors.As(err, &refused) || refused.ErrorCode != codeSubjectsOverlap {
		return err
	}
	other, findErr := c.js.StreamNameBySubject(ctx, c.store+".*.*")
	if findErr != nil {
		return errors.Join(err, findErr)
	}
	return otherStream(c.store, fmt.Errorf("%w: stream %s takes subjects of %s.*.*: %w", jsapi.ErrOtherStream, other, c.store, err))
}

// compareAlone is compareOpened that also asks which streams take what is published for the store. No stream stores the
// question. If there are domains, it waits for the answer of one that is further away. A later answer is found by the
// next check.
func (t *trust) compareAlone(ctx context.Context) error {
	if err := t.conn.api.Probe(t.conn.store + "." + system.Category + ".probe"); err != nil {
		return err
	}
	if err := t.compareOpened(ctx); err != nil {
		return err
	}
	other := t.conn.api.Other
	if t.conn.opened.domain != "" {
		other = func() error { return t.conn.api.AwaitOther(ctx, probeWait) }
	}
	err := other()
	if errors.Is(err, jsapi.ErrOtherStream) {
		err = otherStream(t.conn.store, err)
	}
	return err
}
