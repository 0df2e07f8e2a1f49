package saga_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/internal/proptest"
	"github.com/runnel-go/runnel/saga"
)

// letters stand for the events of a saga's history in the words of its state machine. Claims stand between the letters.
var letters = map[string]string{
	"saga.started": "S", "saga.step.begun": "b", "saga.step.failed": "f", "saga.step.done": "d", "saga.deadline.passed": "p",
	"saga.completed": "C", "saga.compensating": "Z", "saga.undo.begun": "u", "saga.undo.failed": "v", "saga.undone": "w",
	"saga.compensated": "M", "saga.stuck": "K", "saga.retried": "r", "saga.resolved": "R",
	"saga.claimed": "", "saga.released": "", "saga.event.received": "",
}

// words are the histories of sagas that have ended, as the picture in the package documentation has them.
var words = regexp.MustCompile(`^S(b(f|p|Kr)*d)*(C|b(f|p|Kr)*KR|(b(f|p|Kr)*K?)?Z(u(v|Kr)*w)*(M|u(v|Kr)*KR))$`)

// plan is a definition as it was drawn: for each step what it is, and how its tries end before they succeed.
type plan struct {
	kinds []string // do, plain, pivot, await, pause
	ends  map[string][]string
}

func drawPlan(t *rapid.T) plan {
	p := plan{ends: make(map[string][]string)}
	pivot := false
	for i := range rapid.IntRange(1, 4).Draw(t, "steps") {
		kinds := []string{"do", "do", "plain", "await", "pause", "pivot"}
		if pivot {
			kinds = []string{"pivot", "pause"}
		}
		kind := rapid.SampledFrom(kinds).Draw(t, "kind")
		pivot = pivot || kind == "pivot"
		p.kinds = append(p.kinds, kind)
		for _, direction := range []string{"do", "undo"} {
			end := rapid.SampledFrom([]string{"fails", "fails", "panics", "is permanent"})
			p.ends[fmt.Sprintf("s%d/%s", i, direction)] = rapid.SliceOfN(end, 0, 4).Draw(t, direction)
		}
	}
	return p
}

// world ends tries as it was drawn.
type world struct {
	mu   sync.Mutex
	ends map[string][]string
}

func (w *world) act(_ context.Context, call saga.Call, p payment) (payment, error) {
	key := call.Step() + "/do"
	if call.Key() != call.DoKey() {
		key = call.Step() + "/undo"
	}
	w.mu.Lock()
	end := "succeeds"
	if left := w.ends[key]; len(left) > 0 {
		end, w.ends[key] = left[0], left[1:]
	}
	w.mu.Unlock()
	switch end {
	case "fails":
		return p, errors.New(end)
	case "is permanent":
		return p, saga.Permanent(errors.New(end))
	case "panics":
		panic(end)
	}
	p.Notes = append(slices.Clip(p.Notes), key)
	return p, nil
}

func (p plan) define(t testing.TB, name string, w *world) *saga.Definition[payment] {
	retry := saga.Retry{Tries: 3, Backoff: time.Millisecond, MaxBackoff: time.Millisecond}
	goOn := func(p payment) (payment, error) { return p, nil }
	var parts []saga.Part[payment]
	for i, kind := range p.kinds {
		step := fmt.Sprintf("s%d", i)
		switch kind {
		case "do":
			parts = append(parts, saga.Step(step, w.act).Undo(w.act).Retry(retry))
		case "plain":
			parts = append(parts, saga.Step(step, w.act).NoUndo().Retry(retry))
		case "pivot":
			parts = append(parts, saga.Step(step, w.act).Retriable().Retry(retry))
		case "await":
			parts = append(parts, saga.Await(step, onAnswer()).Within(30*time.Millisecond))
		case "pause":
			parts = append(parts, saga.Await[payment](step).Within(time.Millisecond).Else(goOn))
		}
	}
	return define(t, name, parts...)
}

func TestEveryHistoryIsAWordOfTheStateMachine(t *testing.T) {
	js := eventstoretest.JetStream(t, eventstoretest.Memory())
	b := openBank(t, js)
	runs := 0
	proptest.Runs(t, 25)
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		p := drawPlan(rt)
		operations := rapid.SliceOfN(rapid.SampledFrom([]string{"cancel", "retry", "yes", "no", "restart", "wait"}), 0, 6).Draw(rt, "operations")
		t.Run("", func(t *testing.T) {
			defer func() {
				if t.Failed() {
					rt.Fail()
				}
			}()
			requireWord(t, p, live(t, b, fmt.Sprintf("machine-%d", runs), p, operations))
		})
	})
}

// live runs a saga of a plan in two runners, while others do something to it, until it has ended.
func live(t *testing.T, b *bank, name string, p plan, operations []string) saga.Instance[payment] {
	w := &world{ends: make(map[string][]string)}
	for key, ends := range p.ends {
		w.ends[key] = slices.Clone(ends)
	}
	definition := p.define(t, name, w)
	cfg := &saga.Config{Claim: 200 * time.Millisecond}
	m := open(t, b, definition, cfg)
	other := open(t, b, definition, cfg)
	stop := run(t, m)
	run(t, other)
	id := name
	_, err := m.Start(t.Context(), id, payment{})
	require.NoError(t, err)
	for _, operation := range operations {
		switch operation {
		case "cancel":
			err = m.Cancel(t.Context(), id, "changed my mind")
		case "retry":
			err = m.Retry(t.Context(), id)
		case "yes", "no":
			b.answer(t, id, operation == "yes")
		case "restart":
			stop()
			stop = run(t, m)
		case "wait":
			_, err = m.Wait(soon(t), id)
		}
		if !errors.Is(err, saga.ErrState) {
			require.NoError(t, err)
		}
	}
	for {
		in, err := m.Wait(soon(t), id)
		require.NoError(t, err)
		if in.State.Final() {
			return in
		}
		if in.Failures%2 == 0 { // some are mended by hand, others by another try
			require.NoError(t, m.Resolve(t.Context(), id, "by hand"))
		} else {
			require.NoError(t, m.Retry(t.Context(), id))
		}
	}
}

// requireWord holds a history against the state machine, and its steps against their order.
func requireWord(t *testing.T, p plan, in saga.Instance[payment]) {
	t.Helper()
	word := ""
	var begun, undone []string
	for i, entry := range in.History {
		letter, known := letters[entry.Type]
		require.True(t, known)
		require.EqualValues(t, i+1, entry.Version)
		word += letter
		switch entry.Type {
		case "saga.step.begun":
			begun = append(begun, entry.Step)
		case "saga.undo.begun":
			undone = append(undone, entry.Step)
		}
	}
	require.Regexp(t, words, word, "%v", p)
	var undo []string
	for i, step := range begun {
		require.Equal(t, in.Steps[i].Name, step, "in order")
		if p.kinds[i] == "do" {
			undo = append(undo, step)
		}
	}
	if in.State == saga.StateCompleted {
		require.Len(t, begun, len(p.kinds))
		require.Empty(t, undone)
	}
	if in.State == saga.StateCompensated {
		slices.Reverse(undo)
		require.Equal(t, undo, undone, "all that began, the last first: %s", word)
		require.NotContains(t, p.kinds[:len(begun)], "pivot", "there is no way back from it")
	}
	require.False(t, strings.Contains(word, "C") && strings.Contains(word, "M"))
}
