package jsapi

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/runnel-go/runnel/internal/backoff"
)

// A server that is cut off from the other servers of its cluster keeps its clients, because their connections are
// sound. They cannot reach a leader. An election looks the same, and then it would not help to leave:
//
//	a reply is missing, or calls fail -> a leader replies here and hears a majority -> stay
//	                                  -> none does -> ask through the other servers -> one does there -> go there
//	                                                                                -> none does -> stay
const (
	// doubtAfter is how long a reply may be missing before that is looked into.
	doubtAfter = 300 * time.Millisecond
	// lookTime bounds the question through one server, and a connection to it.
	lookTime = time.Second
	// heardWithin is within what time a leader must have heard of a majority. The replicas answer each second. A leader
	// that was cut off does not hear of them, and takes ten seconds to give its place up.
	heardWithin = doubtAfter + lookTime - 50*time.Millisecond
)

// LeaveIfCutOff makes the client's connection leave a server through which the leader of a stream does not answer, or
// hears no majority, if a leader that does answers through another server. It calls tell with the URL of the server
// that it leaves, without secrets. It is called once. Close ends it.
func (c *Client) LeaveIfCutOff(stream string, tell func(server string)) {
	options := c.nc.Opts
	if !options.AllowReconnect {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.keeper.owned.Go(func() {
		<-c.keeper.quit
		cancel()
	})
	c.keeper.owned.Go(func() {
		for ctx.Err() == nil {
			select {
			case <-c.doubts:
				c.lookElsewhere(ctx, stream, options, tell)
			case <-ctx.Done():
			}
			_ = looks.Wait(ctx, 1) // ended by ctx alone
		}
	})
}

// looks spaces looks at the leader.
var looks = backoff.Policy{Base: time.Second, Max: time.Second}

// doubts holds one if a reply has been missing for a while, or calls fail, and nobody has looked into that.
type doubts chan struct{}

// raise has it looked into.
func (d doubts) raise() {
	select {
	case d <- struct{}{}:
	default:
	}
}

func (c *Client) lookElsewhere(ctx context.Context, stream string, options nats.Options, tell func(server string)) {
	sent := c.Session()
	if !sent.clustered || sent.Connected() != nil || c.leads(ctx, stream) || sent.broken() {
		return
	}
	here := c.nc.ConnectedUrlRedacted()
	var answers atomic.Bool
	var asked sync.WaitGroup
	for _, server := range c.nc.ServerPool() {
		if server.URL.Redacted() == here {
			continue
		}
		asked.Go(func() {
			if c.leadsThrough(ctx, server, stream, options) {
				answers.Store(true)
			}
		})
	}
	asked.Wait()
	if !answers.Load() || sent.broken() {
		return
	}
	tell(here)
	_ = c.nc.ForceReconnect() // fails only if it was closed
}

// leads reports whether the leader of a stream answers on the client's connection, and hears a majority.
func (c *Client) leads(ctx context.Context, stream string) bool {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	info, err := c.LeaderInfo(ctx, stream, "", 0)
	return err == nil && info.Heard < heardWithin
}

// leadsThrough is leads on a connection of its own to another server.
func (c *Client) leadsThrough(ctx context.Context, server nats.Server, stream string, options nats.Options) bool {
	options.Url, options.Servers = server.URL.String(), nil
	options.AllowReconnect, options.RetryOnFailedConnect = false, false
	options.Timeout = lookTime
	options.ClosedCB, options.DisconnectedCB, options.DisconnectedErrCB = nil, nil, nil
	options.ConnectedCB, options.ReconnectedCB, options.ReconnectErrCB = nil, nil, nil
	options.DiscoveredServersCB, options.LameDuckModeHandler = nil, nil
	options.AsyncErrorCB = func(*nats.Conn, *nats.Subscription, error) {}
	nc, err := options.Connect()
	if err != nil {
		return false
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	msg, err := nc.RequestWithContext(ctx, c.prefix+"STREAM.INFO."+stream, nil)
	if err != nil {
		return false
	}
	info, err := readInfo(msg.Data)
	return err == nil && info.Heard < heardWithin
}
