package eventstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
)

// truth is what was acknowledged, by stream and in the order of the log.
type truth struct {
	streams map[eventstore.StreamID][]numbered
	all     []numbered
}

// write fills a store: streams of one commit and of several, transactions among them.
func write(t testing.TB, store *eventstore.Store) truth {
	t.Helper()
	told := truth{streams: make(map[eventstore.StreamID][]numbered)}
	heads := make(map[eventstore.StreamID]eventstore.Head)
	n := int64(0)
	one := func(ids ...string) {
		writes := make([]eventstore.Write, len(ids))
		for i, id := range ids {
			n++
			writes[i] = eventstore.Write{Stream: account(id), Expected: heads[account(id)], Events: []eventstore.Event{numbered{n}}}
			told.streams[account(id)] = append(told.streams[account(id)], numbered{n})
			told.all = append(told.all, numbered{n})
		}
		commits, err := store.AppendAll(t.Context(), writes...)
		require.NoError(t, err)
		for _, c := range commits {
			heads[c.Stream] = c.Head()
		}
	}
	for _, id := range []string{"once", "a", "b", "a", "several", "b", "a", "several", "twice", "a", "several", "b", "twice", "several"} {
		one(id)
	}
	one("a", "both")
	one("several")
	return told
}

// witness asks everything of a store and compares every answer with the truth.
type witness struct {
	t        *testing.T
	told     truth
	what     string
	salvage  bool     // Open reported it, so the rest is shorter than the truth
	reported []string // the reads that reported the damage
}

// same compares an answer with the truth.
func (w *witness) same(want, have []numbered, what string) {
	w.t.Helper()
	if w.salvage && len(have) < len(want) {
		want = want[:len(have)]
	}
	if len(want) > 0 || len(have) > 0 {
		require.Equalf(w.t, want, have, "%s: %s has another history; told so far: %v", w.what, what, w.reported)
	}
}

// tell takes an error as a report of damage, and fails the test on any other.
func (w *witness) tell(who string, err error) bool {
	if err == nil {
		return false
	}
	require.Truef(w.t, errors.Is(err, eventstore.ErrCorrupt) || errors.Is(err, eventstore.ErrLogRewound), "%s: %s: %v", w.what, who, err)
	if !slices.Contains(w.reported, who) {
		w.reported = append(w.reported, who)
	}
	return true
}

func (w *witness) open(js jetstream.JetStream) *eventstore.Store {
	open := func(salvage bool) (*eventstore.Store, error) {
		return eventstore.Open(w.t.Context(), js, "bank", []eventstore.Event{numbered{}}, &eventstore.Config{Salvage: salvage})
	}
	store, err := open(false)
	if w.salvage = w.tell("Open", err); w.salvage {
		store, err = open(true)
		require.NoError(w.t, err, w.what)
	}
	return store
}

// read loads every stream and reads the log: each answer is the whole truth, or reports damage.
func (w *witness) read(store *eventstore.Store) {
	for stream, want := range w.told.streams {
		history, err := store.Load(w.t.Context(), stream)
		if w.tell("load", err) {
			continue
		}
		w.same(want, values(w.t, history.Commits), stream.String())
	}
	var all []numbered
	for c, err := range store.Log(w.t.Context()) {
		if w.tell("All", err) {
			w.same(w.told.all[:len(all)], all, "the log's begin")
			return
		}
		all = append(all, values(w.t, []*eventstore.Commit{c})...)
	}
	w.same(w.told.all, all, "the log")
}

func (w *witness) verify(store *eventstore.Store) {
	_, err := store.Verify(w.t.Context(), nil)
	w.tell("Verify", err)
}

// append tries to begin each stream anew, and to go on where its load says it is.
func (w *witness) append(store *eventstore.Store) {
	for stream, want := range w.told.streams {
		_, err := store.Append(w.t.Context(), stream, eventstore.Head{}, numbered{-1})
		require.Errorf(w.t, err, "%s: a second history of %s begins", w.what, stream)
		history, err := store.Load(w.t.Context(), stream)
		if w.tell("load", err) {
			continue
		}
		c, err := store.Append(w.t.Context(), stream, history.Head, numbered{-2})
		if err == nil {
			require.Equalf(w.t, eventstore.Version(len(want)+1), c.First, "%s: %s is forked", w.what, stream)
		}
	}
}

func values(t testing.TB, commits []*eventstore.Commit) (all []numbered) {
	t.Helper()
	for _, c := range commits {
		for recorded := range c.Events() {
			event, err := recorded.Decode()
			require.NoError(t, err)
			all = append(all, event[0].(numbered))
		}
	}
	return all
}

// examine opens the store and asks everything of it. It returns the reads that reported the damage. If none did, all
// answers were the truth.
func examine(t *testing.T, js jetstream.JetStream, told truth, what string) []string {
	t.Helper()
	w := &witness{t: t, told: told, what: what}
	store := w.open(js)
	w.read(store)
	w.verify(store)
	w.append(store)
	require.NoError(t, store.Close())
	return w.reported
}

func written(t *testing.T, options ...eventstoretest.Option) (disk, truth) {
	t.Helper()
	server := eventstoretest.NewServer(t, append(options, eventstoretest.Memory())...)
	js := server.JetStream(t)
	store, err := eventstore.Open(t.Context(), js, "bank", []eventstore.Event{numbered{}}, nil)
	require.NoError(t, err)
	told := write(t, store)
	require.NoError(t, store.Close())
	js.Conn().Close()
	return keep(t, server), told
}

func TestOneFlippedBitIsToldOf(t *testing.T) {
	disk, told := written(t)
	all := records(t, disk.files, "bank")
	var several []record
	for _, r := range all {
		if r.subject == "bank.account.several" {
			several = append(several, r)
		}
	}
	cases := map[string]record{
		"first of several": several[0], "a middle one": several[2], "the last of several, and of the log": several[len(several)-1],
		"the only one of a stream": all[0], "in a transaction": all[len(all)-3], "at a transaction's end": all[len(all)-2],
	}
	for name, r := range cases {
		for _, part := range []struct {
			name string
			at   int
		}{{"data", r.data + 30}, {"subject", recordHead + len("bank.account.")}, {"sequence", 4}, {"length", 0}} {
			for _, index := range []bool{true, false} {
				what := fmt.Sprintf("%s: a bit of the %s flipped, index %t", name, part.name, index)
				t.Run(what, func(t *testing.T) {
					disk.restore(t)
					r.in(disk).flip(t, part.at, 0)
					if !index {
						dropIndex(t, disk.server.StoreDir(), "bank")
					}
					disk.server.Restart()
					reported := examine(t, disk.server.JetStream(t), told, what)
					require.NotEmpty(t, reported)
					t.Log(reported)
				})
			}
		}
	}
}

// in is the record in the files that the server works with.
func (r record) in(d disk) record {
	r.file = d.server.StoreDir() + r.file[len(d.files):]
	return r
}

// flips is how many random bits are flipped; RUNNEL_FLIPS sets it.
func flips() int {
	if n, err := strconv.Atoi(os.Getenv("RUNNEL_FLIPS")); err == nil {
		return n
	}
	return 20
}

func TestAnyFlippedBitIsToldOfOrHarmless(t *testing.T) {
	disk, told := written(t)
	all := records(t, disk.files, "bank")
	first, parts := make(map[string]int), make(map[string]int)
	for i := range flips() {
		r := all[rand.IntN(len(all))]
		at, bit, index := rand.IntN(r.length), uint(rand.IntN(8)), i%2 == 0
		for at >= 7 && at < 12 {
			// A sequence of billions makes the server loop for as many when it loads the block: it does not come up,
			// and nothing it says can be wrong.
			at = rand.IntN(r.length)
		}
		what := fmt.Sprintf("bit %d of byte %d (%s) of position %d flipped, index %t", bit, at, r.part(at), r.sequence, index)
		disk.restore(t)
		r.in(disk).flip(t, at, bit)
		if !index {
			dropIndex(t, disk.server.StoreDir(), "bank")
		}
		disk.server.Restart()
		reported := examine(t, disk.server.JetStream(t), told, what)
		if len(reported) == 0 {
			t.Log("harmless: ", what)
			reported = []string{"harmless"}
		}
		first[reported[0]]++
		parts[r.part(at)]++
	}
	t.Logf("told of first by: %v; flipped in: %v", first, parts)
}

// A block is 4 MiB. The server drops the messages after a flipped bit up to the end of the block. So the log goes on
// after the hole, and its end looks right.
func TestAHoleInsideTheLogIsRefused(t *testing.T) {
	server := eventstoretest.NewServer(t, eventstoretest.Memory())
	store, err := eventstore.Open(t.Context(), server.JetStream(t), "bank", events, nil)
	require.NoError(t, err)
	large := strings.Repeat("x", 900_000)
	for i := range 7 {
		_, err := store.Append(t.Context(), account(strconv.Itoa(i)), eventstore.Head{}, opened{large})
		require.NoError(t, err)
	}
	require.NoError(t, store.Close())
	disk := keep(t, server)
	all := records(t, disk.files, "bank")
	require.NotEqual(t, all[1].file, all[6].file, "several blocks")
	cut(t, disk, all[1])

	js := server.JetStream(t)
	_, err = eventstore.Open(t.Context(), js, "bank", events, nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.ErrorContains(t, err, "positions are missing")
	store, err = eventstore.Open(t.Context(), js, "bank", events, &eventstore.Config{Salvage: true})
	require.NoError(t, err)
	defer store.Close()
	report, err := store.Verify(t.Context(), nil)
	require.ErrorIs(t, err, eventstore.ErrCorrupt)
	require.Equal(t, "missing", report.Faults[0].Kind)
	require.Equal(t, eventstore.Position(2), report.Faults[0].Position)
	require.Greater(t, report.Faults[0].Last, eventstore.Position(2), "the rest of the block is gone too")
	t.Log(report)
}
