package jsapi

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// keeper is the goroutine of a Client. It makes the calls that may wait for the connection's lock, so that no
// caller waits: it asks the connection after each change of its status, and ends subscriptions. It ends with
// the Client or with the connection.
type keeper struct {
	alarm chan nats.Status // changes of the status
	wake  chan struct{}    // holds one if there are chores
	quit  chan struct{}
	owned sync.WaitGroup
	once  sync.Once

	mu     sync.Mutex // guards the fields below
	chores []func()
	ended  bool
}

// start starts the keeper of the connection that r uses.
func (k *keeper) start(r *requests) {
	k.wake, k.quit = make(chan struct{}, 1), make(chan struct{})
	k.alarm = r.nc.StatusChanged()
	k.owned.Go(func() {
		defer r.nc.RemoveStatusListener(k.alarm)
		for k.keepOn(r) {
			k.work(false)
		}
		k.work(true)
	})
}

// keepOn waits for work, and returns false if no more comes.
func (k *keeper) keepOn(r *requests) bool {
	select {
	case <-k.quit:
		return false
	case <-k.wake:
		return true
	case <-k.alarm:
		r.asking.Lock()
		defer r.asking.Unlock()
		return !r.ask().closed
	}
}

// later leaves a call to the keeper. After the Client or its connection was closed, it makes the call at once.
func (k *keeper) later(chore func()) {
	k.mu.Lock()
	ended := k.ended
	if !ended {
		k.chores = append(k.chores, chore)
	}
	k.mu.Unlock()
	if ended {
		chore()
		return
	}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// work makes the calls that were left to the keeper. At the end it runs for the last time.
func (k *keeper) work(end bool) {
	k.mu.Lock()
	chores := k.chores
	k.chores, k.ended = nil, end
	k.mu.Unlock()
	for _, chore := range chores {
		chore()
	}
}

// stop ends the keeper and waits for it.
func (k *keeper) stop() {
	k.once.Do(func() { close(k.quit) })
	k.owned.Wait()
}
