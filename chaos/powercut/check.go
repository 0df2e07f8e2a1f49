package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/natsrun"
	"github.com/runnel-go/runnel/projection"
)

// checkTimeout bounds the check of one copy, so that a hang is found.
const checkTimeout = 3 * time.Minute

// finding is the result for one copy of the disk.
type finding struct {
	looked, lost int // acknowledged commits
	torn         int // commits of torn transactions that the store passed over
	tornView     int // batches of the view that were torn
	reported     []error
	wrong        []string // violations
}

func (f *finding) wrongf(format string, args ...any) {
	f.wrong = append(f.wrong, fmt.Sprintf(format, args...))
}

// check looks at a copy of the disk.
//
//	start a server -> open the store -> refused: it is reported; open it read-only
//	    -> read the log, load its streams: lost commits, halves of transactions
//	    -> marks and checkpoints that know more: were they heard?
//	    -> accept the loss, run the view until it has caught up: refused: it is reported
//	    -> compare the view with the log -> one more transaction
type check struct {
	finding
	runtime *natsrun.Runtime
	store   *eventstore.Store
	log     seen
	said    bool // the store or the view refused the log
}

// inspect returns the finding for a data directory, which should hold all acked commits.
func inspect(ctx context.Context, dir string, acked []ack) (f finding, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, checkTimeout, errors.New("the check has not ended in time"))
	defer cancel()
	c := &check{finding: finding{looked: len(acked)}}
	if c.runtime, err = natsrun.Open(ctx, config(dir, natsrun.SyncNone)); err != nil {
		c.wrongf("no server starts: %v", err)
		return c.finding, nil
	}
	defer func() { err = errors.Join(err, c.runtime.Close(context.WithoutCancel(ctx))) }()
	known, err := marks(ctx, c.runtime.Commands())
	if err != nil {
		return c.finding, err
	}
	lost, err := c.open(ctx)
	if err != nil {
		c.wrongf("the store does not open: %v", err)
		return c.finding, nil
	}
	defer func() { err = errors.Join(err, c.store.Close()) }()
	if err := c.read(ctx, acked); err != nil {
		return c.finding, err
	}
	if err := c.goOn(ctx, lost); err != nil {
		c.wrongf("going on: %v", err)
	}
	for _, m := range known {
		if c.log.lacks(m) && !c.said {
			c.wrongf("silent: %s is at position %d, commit %s, which the log lacks", m.where, m.Position, m.Commit)
		}
	}
	return c.finding, nil
}

// open opens the store. If the store is refused, it opens it for reading only.
func (c *check) open(ctx context.Context) (lost *eventstore.LogRewoundError, err error) {
	c.store, err = openStore(ctx, c.runtime, false)
	if err == nil {
		return nil, nil
	}
	if !c.report(err) {
		return nil, err
	}
	errors.As(err, &lost)
	c.store, err = openStore(ctx, c.runtime, true)
	return lost, err
}

// report notes whether the error says that the log is refused.
func (c *check) report(err error) bool {
	for _, loud := range []error{eventstore.ErrLogRewound, eventstore.ErrCorrupt, projection.ErrOtherStore} {
		if errors.Is(err, loud) {
			c.said = true
			c.reported = append(c.reported, err)
			return true
		}
	}
	return false
}

// seen is the result of a read of the whole log.
type seen struct {
	identity  string
	at        map[eventstore.Position]uuid.UUID
	streams   map[eventstore.StreamID][]uuid.UUID
	documents map[string]balance
	end       eventstore.Position // of the last commit that was read
}

// lacks reports whether a mark or checkpoint names a commit that the log does not have.
func (s *seen) lacks(m mark) bool {
	return m.Store != s.identity || s.at[m.Position].String() != m.Commit
}

// read reads the log and its streams, and looks for the acknowledged commits.
func (c *check) read(ctx context.Context, acked []ack) error {
	c.log = seen{
		identity: c.store.Identity(), at: make(map[eventstore.Position]uuid.UUID),
		streams: make(map[eventstore.StreamID][]uuid.UUID), documents: make(map[string]balance),
	}
	half := newHalves("the log")
	for commit, err := range c.store.Log(ctx) {
		if err != nil {
			if c.report(err) {
				return nil
			}
			return err
		}
		amount, err := amountOf(commit)
		if err != nil {
			return err
		}
		half.add(commit, amount)
		c.log.at[commit.Position] = commit.ID
		c.log.streams[commit.Stream] = append(c.log.streams[commit.Stream], commit.ID)
		c.log.documents[key(commit.Stream)] = c.log.documents[key(commit.Stream)].add(amount)
		c.log.end = commit.Position
	}
	c.wrong = append(c.wrong, half.wrong()...)
	c.torn = int(c.store.Counters().Torn)
	for _, a := range acked {
		if c.log.at[a.position] != a.id {
			c.lost++
		}
	}
	return c.load(ctx)
}

// load loads all parties and some accounts, and compares them with the log.
func (c *check) load(ctx context.Context) error {
	half := newHalves("the loads of streams")
	for n := range movers * ownParties {
		if err := c.loadOne(ctx, stream(parties, n), half); err != nil {
			return err
		}
	}
	c.wrong = append(c.wrong, half.wrong()...)
	for n := range appenders {
		if err := c.loadOne(ctx, stream(accounts, n*ownAccounts), newHalves("")); err != nil {
			return err
		}
	}
	return nil
}

func (c *check) loadOne(ctx context.Context, id eventstore.StreamID, half *halves) error {
	history, err := c.store.Load(ctx, id)
	if err != nil {
		if c.report(err) {
			return nil
		}
		return fmt.Errorf("load %s: %w", id, err)
	}
	want := c.log.streams[id]
	if len(history.Commits) != len(want) {
		c.wrongf("the log has %d commits of %s, a load %d", len(want), id, len(history.Commits))
		return nil
	}
	for i, commit := range history.Commits {
		amount, err := amountOf(commit)
		if err != nil {
			return err
		}
		half.add(commit, amount)
		if commit.ID != want[i] {
			c.wrongf("%s: commit %d is %s in the log and %s in a load", id, i, want[i], commit.ID)
		}
	}
	return nil
}

// halves looks for transactions with a missing part.
type halves struct {
	where string
	found map[uuid.UUID]*half
}

type half struct {
	commits, count int
	sum            int64
}

func newHalves(where string) *halves { return &halves{where: where, found: make(map[uuid.UUID]*half)} }

func (h *halves) add(c *eventstore.Commit, amount int64) {
	if c.Transaction == nil {
		return
	}
	one := h.found[c.Transaction.ID]
	if one == nil {
		one = &half{count: c.Transaction.Count}
		h.found[c.Transaction.ID] = one
	}
	one.commits++
	one.sum += amount
}

func (h *halves) wrong() (wrong []string) {
	for id, one := range h.found {
		if one.commits != one.count || one.sum != 0 {
			wrong = append(wrong, fmt.Sprintf("half: %s has %d of %d commits of transaction %s, %d in sum", h.where, one.commits, one.count, id, one.sum))
		}
	}
	return wrong
}
