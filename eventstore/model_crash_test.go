//go:build unix

package eventstore_test

import (
	"cmp"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
)

// TestAStoreBehavesAsAListOfCommitsWhenItsServerIsKilled is the machine of model_test.go over a server that dies by
// SIGKILL, between writes and in the middle of them.
func TestAStoreBehavesAsAListOfCommitsWhenItsServerIsKilled(t *testing.T) {
	proptest.Runs(t, 3)
	process := eventstoretest.NewProcess(t, t.TempDir())
	checkStores(t, process, process.Proxy(t), func(m *logModel, actions map[string]func(*rapid.T)) {
		actions["crash under way"] = m.crashUnderWay
	})
}

// crashUnderWay kills the server while each of some streams is written by one writer, who goes on until all is stored.
func (m *logModel) crashUnderWay(rt *rapid.T) {
	if m.restarts == maxRestarts {
		rt.Skip("often enough")
	}
	m.restarts++
	const appends = 10
	streams := someStreams.Draw(rt, "streams")
	commits := make([][]*eventstore.Commit, len(streams))
	errs := make([]error, len(streams))
	var first, all sync.WaitGroup
	first.Add(len(streams))
	for w, stream := range streams {
		head := m.head(stream)
		all.Go(func() {
			for i := range appends {
				c, err := m.store.Append(m.t.Context(), stream, head, deposited{int64(i)})
				if i == 0 {
					first.Done()
				}
				if errs[w] = err; err != nil {
					return
				}
				commits[w], head = append(commits[w], c), c.Head()
			}
		})
	}
	first.Wait()
	m.server.Restart()
	all.Wait()
	for _, err := range errs {
		require.NoError(rt, err)
	}
	byPosition := slices.Concat(commits...)
	slices.SortFunc(byPosition, func(a, b *eventstore.Commit) int { return cmp.Compare(a.Position, b.Position) })
	for _, c := range byPosition {
		ofStream := commits[slices.Index(streams, c.Stream)]
		event := deposited{int64(slices.Index(ofStream, c))}
		m.stored([]eventstore.Write{{Events: []eventstore.Event{event}}}, []*eventstore.Commit{c})
	}
}
