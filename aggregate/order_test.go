package aggregate_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/runnel-go/runnel/aggregate"
	"github.com/runnel-go/runnel/eventstore"
)

// answered is the answer to one command of a client.
type answered struct {
	state    balance
	version  eventstore.Version
	rejected bool
}

// moment is the state of the model: the balance and version that some order of the commands has led to.
type moment struct {
	state   balance
	version eventstore.Version
}

// account is an account to which commands come one at a time.
var account = porcupine.Model{
	Init: func() any { return moment{} },
	Step: func(at, input, output any) (bool, any) {
		now, got := at.(moment), output.(answered)
		decided, err := input.(aggregate.Command[balance, event]).Decide(now.state)
		if err != nil {
			return got.rejected, now
		}
		for _, e := range decided {
			now = moment{now.state.Evolve(e), now.version + 1}
		}
		return got == answered{state: now.state, version: now.version}, now
	},
}

// client sends commands one after the other through a repository of its own, as a process of its own would.
func client(
	t *testing.T, store *eventstore.Store, number int, id string, commands []aggregate.Command[balance, event], began time.Time,
) (all []porcupine.Operation) {
	t.Helper()
	accounts, err := aggregate.New(store, "account", balance{}, nil)
	if err != nil {
		t.Error(err)
		return nil
	}
	for _, command := range commands {
		sent := time.Since(began)
		result, err := accounts.Do(t.Context(), id, command)
		got := answered{state: result.State, version: result.Version, rejected: errors.Is(err, aggregate.ErrRejected)}
		if err != nil && !got.rejected {
			t.Errorf("%T is not answered: %v", command, err)
		}
		all = append(all, porcupine.Operation{
			ClientId: number, Input: command, Call: int64(sent), Output: got, Return: int64(time.Since(began)),
		})
	}
	return all
}

// The answers to clients that send commands at the same time are the answers of some order of the commands, in which no
// command is answered before it was sent (linearizability; Herlihy and Wing, 1990).
func TestAnswersToTwoClientsFitSomeOrder(t *testing.T) {
	store, trials := open(t), 0
	commands := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) aggregate.Command[balance, event] {
		amount := rapid.Int64Range(0, 3).Draw(rt, "amount")
		if rapid.Bool().Draw(rt, "withdraw") {
			return withdraw{amount}
		}
		return deposit{amount}
	}), 1, 4)
	rapid.Check(t, func(rt *rapid.T) {
		trials++
		id, began := fmt.Sprint(trials), time.Now()
		var answers [2][]porcupine.Operation
		var clients sync.WaitGroup
		for i := range 2 {
			drawn := commands.Draw(rt, "commands")
			clients.Go(func() { answers[i] = client(t, store, i, id, drawn, began) })
		}
		clients.Wait()
		all := slices.Concat(answers[0], answers[1])
		require.Truef(rt, porcupine.CheckOperations(account, all), "no order of the commands has these answers: %+v", all)
	})
}
