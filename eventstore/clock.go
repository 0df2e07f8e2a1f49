package eventstore

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// maxSkew is how far the clocks of this program and of the servers may differ before anybody cares.
const maxSkew = 5 * time.Second

// clock compares the clock of this program with the servers'. Each look at the log tells the servers' time.
type clock struct {
	heard  atomic.Pointer[heardTime]
	skewed atomic.Bool // the logger knows that the clocks differ
}

// heardTime is what a server said about the time.
type heardTime struct {
	server time.Time
	at     time.Time     // when that was, by this program's clock and by the time that it has run
	doubt  time.Duration // how long the server may have said it before or after that
}

// skew returns how far this program's clock is ahead of the servers', or 0 if that is less than maxSkew or not known.
// It notices at once that this program's clock was set.
func (c *clock) skew() time.Duration {
	h := c.heard.Load()
	if h == nil {
		return 0
	}
	now := time.Now()
	skew := now.Round(0).Sub(h.server) - now.Sub(h.at)
	if skew.Abs()-h.doubt <= maxSkew {
		return 0
	}
	return skew
}

// hearTime takes note of the servers' time in an answer to a question. The logger is told when the clocks begin to
// differ, and when they agree again.
func (c *conn) hearTime(ctx context.Context, asked, server time.Time) {
	if server.IsZero() {
		return
	}
	doubt := time.Since(asked) / 2
	c.clock.heard.Store(&heardTime{server: server, at: asked.Add(doubt), doubt: doubt})
	skew := c.clock.skew()
	switch was := c.clock.skewed.Swap(skew != 0); {
	case skew != 0 && !was:
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "the clocks of this program and of the servers differ: deadlines of sagas wait until both have passed them",
			slog.String("store", c.store), slog.Duration("ahead", skew))
	case skew == 0 && was:
		c.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "the clocks of this program and of the servers agree again", slog.String("store", c.store))
	}
}
