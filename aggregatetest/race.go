package aggregatetest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// answer is what a client was told.
type answer struct {
	decision string
	version  eventstore.Version // 0 for a rejection
	state    string             // "" for a rejection
}

// moment is the state of the model: where an order of commands has led to.
type moment[S any] struct {
	state   S
	version eventstore.Version
}

// race lets two clients send their commands at once, and looks for an order of them that gives the same answers
// (linearizability; Herlihy and Wing, 1990).
func (l *lab[S, E]) race(ctx context.Context, given []E, one, other []aggregate.Command[S, E]) *fault {
	id, h := l.next(), l.domain.begin()
	if f := l.domain.fold(h, given, false); f != nil {
		return f
	}
	if f := l.given(ctx, id, given); f != nil {
		return f
	}
	begin, answers, errs := time.Now(), [2][]porcupine.Operation{}, [2]error{}
	var clients sync.WaitGroup
	for i, commands := range [2][]aggregate.Command[S, E]{one, other} {
		clients.Go(func() { answers[i], errs[i] = l.client(ctx, i, id, commands, begin) })
	}
	clients.Wait()
	for _, err := range errs {
		if err != nil {
			return unfit(lawOrder, err)
		}
	}
	all := slices.Concat(answers[0], answers[1])
	if porcupine.CheckOperations(l.model(moment[S]{h.state(), eventstore.Version(len(given))}), all) {
		return nil
	}
	return broken(lawOrder, "no order of the commands gives these answers:\n%s", l.tell(all))
}

// client sends commands one after the other, through a repository of its own, as another process would.
func (l *lab[S, E]) client(
	ctx context.Context, number int, id string, commands []aggregate.Command[S, E], begin time.Time,
) (operations []porcupine.Operation, err error) {
	repository, err := aggregate.New(l.store, category, l.domain.initial, nil)
	if err != nil {
		return nil, err
	}
	for _, command := range commands {
		sent := time.Since(begin)
		result, err := repository.Do(ctx, id, command)
		decided, err := decisionOf(result, err)
		if err != nil {
			return nil, err
		}
		told := answer{decision: decided.text(l.domain.writer)}
		if decided.err == nil {
			told.version, told.state = result.Version, form(result.State)
		}
		operations = append(operations, porcupine.Operation{
			ClientId: number, Input: command, Call: int64(sent), Output: told, Return: int64(time.Since(begin)),
		})
	}
	return operations, nil
}

// model is an aggregate to which commands come one at a time.
func (l *lab[S, E]) model(begin moment[S]) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return begin },
		Step: func(at, command, told any) (bool, any) {
			next, want := l.step(at.(moment[S]), command.(aggregate.Command[S, E]))
			return told.(answer) == want, next
		},
		Equal: func(a, b any) bool { return form(a) == form(b) },
	}
}

func (l *lab[S, E]) step(at moment[S], command aggregate.Command[S, E]) (moment[S], answer) {
	decided, f := l.domain.decide(at.state, command)
	for _, event := range decided.events {
		if f == nil {
			at.state, f = l.domain.evolve(at.state, event)
			at.version++
		}
	}
	switch {
	case f != nil:
		return at, answer{decision: f.why}
	case decided.err != nil:
		return at, answer{decision: decided.text(l.domain.writer)}
	}
	return at, answer{decision: decided.text(l.domain.writer), version: at.version, state: form(at.state)}
}

// tell shows the commands of both clients with their answers.
func (l *lab[S, E]) tell(all []porcupine.Operation) string {
	var text strings.Builder
	for _, op := range all {
		told := op.Output.(answer)
		decided := strings.ReplaceAll(told.decision, "\n", ", ")
		if told.version > 0 {
			decided = fmt.Sprintf("version %d: %s", told.version, decided)
		}
		fmt.Fprintf(&text, "client %d, from %v to %v: %s: %s\n",
			op.ClientId+1, time.Duration(op.Call), time.Duration(op.Return), l.domain.writer.Line(op.Input), decided)
	}
	return strings.TrimSuffix(text.String(), "\n")
}
