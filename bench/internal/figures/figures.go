// Package figures holds the figures. Each figure is set up once and has cases. In each case Runnel takes turns
// with the ways that it is compared with:
//
//	Runnel      the code of a user of the toolkit
//	nats.go     the same messages, subjects and expectations with the client alone: the limit
//	common way  the first idea: a subject for each event type, atomic batches, an ordered consumer
package figures

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/runnel-go/runnel/bench/internal/common"
	"github.com/runnel-go/runnel/bench/internal/measure"
	"github.com/runnel-go/runnel/bench/internal/servers"
	"github.com/runnel-go/runnel/eventstore"
)

// The names of the ways.
const (
	ours  = "Runnel"
	plain = "nats.go"
	usual = "common way"
)

// Sizes is how large the figures' stores are.
type Sizes struct {
	Stores   []int // messages in the stores that are loaded from
	Replay   int   // events that are replayed
	View     int   // events that a view is built of
	Streams  int   // streams whose memory is measured
	Old      int   // streams that are appended to at random
	Sagas    int   // in each round
	Postgres int   // events that are read beside Postgres
	Deep     bool  // every combination; else the one with most to say
}

// All returns the figures in the order of the page.
func All(sizes Sizes) []measure.Figure {
	return []measure.Figure{
		{
			Name: "append", Title: "Append", Take: sizes.append,
			About: "One append is one commit of 1, 3 or 10 events, onto streams that are in use. nats.go publishes one " +
				"message of the same bytes with the same expectation. It uses PublishMsg from one goroutine, and " +
				"PublishMsgAsync and a wait from several. The server syncs every two minutes unless the case says " +
				"otherwise.",
		},
		{
			Name: "commit-size", Title: "The cost of three events", Take: sizes.commitSize,
			About: "A commit of three events is one message. The common way needs an atomic batch of three.",
		},
		{
			Name: "streams", Title: "New streams and old ones", Take: sizes.streams,
			About: "The first commit of a new stream, and one more on top of any of many streams. In a burst of new streams, " +
				"Runnel asks the leader four times a second whether it knows the stream. nats.go does not ask.",
		},
		{
			Name: "durable", Title: "Durable appends", Take: sizes.durable,
			About: "Appends that are on disk before they are acknowledged, on an embedded server: with group sync, with the " +
				"server's own SyncAlways, and, for comparison, without a sync.",
		},
		{
			Name: "command", Title: "Commands", Take: sizes.command,
			About: "A command on an aggregate whose state is in memory, and a command on an aggregate of ten commits that has " +
				"to be loaded. nats.go publishes what the command appends. If there is something to load, it gets the ten " +
				"messages first.",
		},
		{
			Name: "contended", Title: "Contended appends", Take: sizes.contended,
			About: "Sixteen writers append to one stream as fast as they can, each with its own knowledge of it, as in " +
				"sixteen processes. Only appends that won are counted.",
		},
		{
			Name: "load", Title: "Loads", Take: sizes.load,
			About: "Commits of one event were written round-robin, so the commits of one stream are spread over the whole " +
				"log. nats.go gets the same messages with their headers: the last of the subject, and then the others at " +
				"once. The filtered read is a consumer whose filter is the stream's one subject. In the common way the " +
				"filter is a wildcard, for the event types. The working set are 10,000 streams, picked at random, which " +
				"were loaded once before.",
		},
		{
			Name: "replay", Title: "Replay", Take: sizes.replay,
			About: "All events of the log in order, verified and decoded. nats.go fetches the same messages and does nothing with them.",
		},
		{
			Name: "view", Title: "Building a view", Take: sizes.view,
			About: "A view is built of the whole log, with all its keys in memory. nats.go fetches the same messages; the common way reads " +
				"its own messages and puts the document of each event.",
		},
		{
			Name: "visible", Title: "From append to visible", Take: sizes.visible,
			About: "The time from the start of an append until the view's document is read with that event in it. Beside it " +
				"stand an atomic batch of two messages, which is the server's cost for document and checkpoint, and an " +
				"append and a put.",
		},
		{
			Name: "saga", Title: "Sagas", Take: sizes.saga,
			About: "Sagas of three steps with a command each, 64 at a time: the next is started when one is completed. Then all are " +
				"started at once, so most of them wait for one of 64 workers. nats.go publishes the seven messages that such a saga " +
				"needs, 64 sagas at a time.",
		},
		{
			Name: "memory", Title: "Memory", Take: sizes.memory,
			About: "The growth of the server's heap with streams of one commit, and of the program's heap with aggregates in " +
				"its cache.",
		},
		{
			Name: "allocations", Title: "Allocations", Take: sizes.allocations,
			About: "Allocations of the program for one operation; the server runs in a process of its own.",
		},
	}
}

// Booked is the event that is written everywhere.
type Booked struct {
	Amount, Balance int64
	Text            string
}

// EventType is its name in the log.
func (Booked) EventType() string { return "account.booked" }

var booked = Booked{Amount: 1250, Balance: 104_250, Text: "a booking of some length"}

func events(n int) []eventstore.Event {
	all := make([]eventstore.Event, n)
	for i := range all {
		all[i] = booked
	}
	return all
}

func account(i int) eventstore.StreamID {
	return eventstore.StreamID{Category: "account", ID: strconv.Itoa(i)}
}

// open opens a store that is closed when the figure is taken.
func open(ctx context.Context, run *measure.Run, on *servers.Servers, name string) (*eventstore.Store, error) {
	store, err := eventstore.Open(ctx, on.JS, name, []eventstore.Event{Booked{}}, &eventstore.Config{Replicas: on.Replicas})
	if err == nil {
		run.Cleanup(store.Close)
	}
	return store, err
}

// openCommon opens a store that is kept in the common way.
func openCommon(ctx context.Context, on *servers.Servers, name string) (*common.Store, error) {
	return common.Open(ctx, on.JS, name, on.Replicas, jetstream.FileStorage, common.TypeOf[Booked]())
}

func commonEvents(n int) []common.Event {
	all := make([]common.Event, n)
	for i := range all {
		all[i] = booked
	}
	return all
}

// commonAccount is the common way's name of account(i).
func commonAccount(i int) string { return "account." + strconv.Itoa(i) }

// Links make a commit longer. The first commit of a stream has none, and no commit has more than 16.
const (
	newStream   = 0
	streamInUse = 16
)

// payload returns the stored bytes of a commit with so many events, on a stream with so many commits.
func payload(ctx context.Context, on *servers.Servers, store *eventstore.Store, n, commits int) ([]byte, error) {
	id := eventstore.StreamID{Category: "payload", ID: strconv.Itoa(n)}
	commit, err := store.Append(ctx, id, eventstore.Head{}, events(n)...)
	for range commits {
		if err != nil {
			break
		}
		commit, err = store.Append(ctx, id, commit.Head(), events(n)...)
	}
	if err != nil {
		return nil, err
	}
	stream, err := on.JS.Stream(ctx, store.Name())
	if err != nil {
		return nil, err
	}
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		msg, err := stream.GetMsg(ctx, uint64(commit.Position))
		if err == nil {
			return msg.Data, nil
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, err
		}
		<-again.C // any replica may answer, and it does not have it yet
	}
}

// during lets goroutines do one thing over and over for the length of a round, and counts.
func during(round time.Duration, goroutines int, one func(g int) error) (measure.Sample, error) {
	begun := time.Now()
	var count atomic.Int64
	err := parallel(goroutines, func(g int) error {
		n := 0
		defer func() { count.Add(int64(n)) }()
		for time.Since(begun) < round {
			if err := one(g); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	return measure.Sample{Count: int(count.Load()), Time: time.Since(begun)}, err
}

// timing does one thing over and over for the length of a round, and takes the time of each.
func timing(round time.Duration, one func() error) (measure.Sample, error) {
	var sample measure.Sample
	for begun := time.Now(); time.Since(begun) < round; {
		start := time.Now()
		if err := one(); err != nil {
			return sample, err
		}
		sample.Times = append(sample.Times, time.Since(start))
	}
	return sample, nil
}

// parallel runs f in goroutines, waits for all of them, and returns the first error.
func parallel(goroutines int, f func(g int) error) error {
	if goroutines == 1 {
		return f(0)
	}
	errs := make([]error, goroutines)
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() { errs[g] = f(g) })
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// fillers is how many goroutines fill a store.
const fillers = 64

// each runs f once for each i below n, from 64 goroutines.
func each(n int, f func(i int) error) error {
	var next atomic.Int64
	return parallel(fillers, func(int) error {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			if err := f(i); err != nil {
				return err
			}
		}
		return nil
	})
}
