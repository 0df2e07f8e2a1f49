package reactor_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/eventstore"
	"github.com/runnel-go/runnel/eventstoretest"
	"github.com/runnel-go/runnel/reactor"
)

var errDown = errors.New("down")

func fails(context.Context) error    { return errDown }
func succeeds(context.Context) error { return nil }

func newBreaker(t *testing.T, cfg *reactor.BreakerConfig) *reactor.Breaker {
	t.Helper()
	b, err := reactor.NewBreaker("webhook", cfg)
	require.NoError(t, err)
	return b
}

func TestABreakerOpensAfterFailuresInARowAndClosesAfterASuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, &reactor.BreakerConfig{Failures: 3, Cooldown: time.Minute})
		for range 5 { // a success in between begins the count anew
			require.ErrorIs(t, b.Do(t.Context(), fails), errDown)
			require.NotErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
			require.NoError(t, b.Do(t.Context(), succeeds))
		}
		for range 2 {
			require.NotErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
		}
		require.Equal(t, reactor.BreakerClosed, b.State())
		err := b.Do(t.Context(), fails)
		require.ErrorIs(t, err, reactor.ErrOpen, "the failure that opens it says so")
		require.ErrorIs(t, err, errDown)
		require.Equal(t, reactor.BreakerOpen, b.State())

		for range 3 { // probes fail
			var open *reactor.OpenError
			require.ErrorAs(t, b.Do(t.Context(), succeeds), &open, "no call is made")
			require.NoError(t, open.Err)
			wait := time.Until(open.Until)
			require.GreaterOrEqual(t, wait, 30*time.Second)
			require.LessOrEqual(t, wait, time.Minute)
			<-time.After(wait)
			require.Equal(t, reactor.BreakerHalfOpen, b.State())
			require.ErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
			require.Equal(t, reactor.BreakerOpen, b.State())
		}
		<-time.After(time.Minute)
		require.NoError(t, b.Do(t.Context(), succeeds))
		require.Equal(t, reactor.BreakerClosed, b.State())
	})
}

func TestAHalfOpenBreakerLetsOneCallThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Minute})
		require.ErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
		<-time.After(time.Minute)
		back := make(chan struct{})
		var probe sync.WaitGroup
		probe.Go(func() {
			if err := b.Do(t.Context(), func(context.Context) error { <-back; return nil }); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		var open *reactor.OpenError
		require.ErrorAs(t, b.Do(t.Context(), succeeds), &open)
		require.True(t, open.Until.After(time.Now()))
		require.Equal(t, reactor.BreakerHalfOpen, b.State())
		close(back)
		probe.Wait()
		require.NoError(t, b.Do(t.Context(), succeeds))
	})
}

func TestWhatABreakerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Minute})
		refused := errors.New("no such customer")
		require.ErrorIs(t, b.Do(t.Context(), func(context.Context) error { return reactor.Permanent(refused) }), refused)
		require.Equal(t, reactor.BreakerClosed, b.State(), "the downstream has answered")

		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		require.NotErrorIs(t, b.Do(canceled, fails), reactor.ErrOpen, "the caller gave up")
		require.Equal(t, reactor.BreakerClosed, b.State())

		require.PanicsWithValue(t, "oh", func() { _ = b.Do(t.Context(), func(context.Context) error { panic("oh") }) })
		require.Equal(t, reactor.BreakerOpen, b.State(), "a panic is a failure")

		<-time.After(time.Minute)
		require.ErrorIs(t, b.Do(canceled, fails), errDown)
		require.Equal(t, reactor.BreakerHalfOpen, b.State(), "a probe that was given up says nothing")
		require.NoError(t, b.Do(t.Context(), succeeds))

		slow, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, b.Do(slow, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }), reactor.ErrOpen)
	})
}

func TestACallBegunBeforeTheBreakerOpenedSaysNothingAboutTheTimeAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Minute})
		late, answers := make(chan error), make(chan error)
		for range 2 {
			go func() { answers <- b.Do(t.Context(), func(context.Context) error { return <-late }) }()
		}
		synctest.Wait()
		require.ErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
		late <- nil
		require.NoError(t, <-answers)
		require.Equal(t, reactor.BreakerOpen, b.State())
		late <- errDown
		require.ErrorIs(t, <-answers, reactor.ErrOpen)
	})
}

func TestACallThatDoesNotReturnIsGivenUp(t *testing.T) {
	for name, half := range map[string]bool{"while closed": false, "while half-open": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Minute})
				if half {
					require.ErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
					<-time.After(time.Minute)
				}
				begun, before := time.Now(), b.State()
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				back, answer := make(chan struct{}), make(chan error, 1)
				release := sync.OnceFunc(func() { close(back) })
				defer release()
				go func() { answer <- b.Do(ctx, func(context.Context) error { <-back; return nil }) }()
				<-time.After(20*time.Second - 1)
				require.Equal(t, before, b.State(), "it may still return")
				<-time.After(time.Second)
				require.Equal(t, reactor.BreakerOpen, b.State(), "it has failed")
				var open *reactor.OpenError
				require.ErrorAs(t, b.Do(t.Context(), succeeds), &open)
				require.WithinRange(t, open.Until, begun.Add(50*time.Second), begun.Add(80*time.Second))
				release()
				require.NoError(t, <-answer)
				require.Equal(t, reactor.BreakerOpen, b.State(), "what it returns says nothing about the time after")
				<-time.After(time.Minute)
				require.NoError(t, b.Do(t.Context(), succeeds))
				require.Equal(t, reactor.BreakerClosed, b.State())
			})
		})
	}
}

func TestACallThatIsCanceledAndDoesNotReturnIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Minute})
		require.ErrorIs(t, b.Do(t.Context(), fails), reactor.ErrOpen)
		<-time.After(time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		back, answer := make(chan struct{}), make(chan error, 1)
		release := sync.OnceFunc(func() { close(back) })
		defer release()
		go func() { answer <- b.Do(ctx, func(context.Context) error { <-back; return errDown }) }()
		<-time.After(time.Second)
		cancel()
		<-time.After(2 * time.Second)
		require.NoError(t, b.Do(t.Context(), succeeds), "another call is let through")
		require.Equal(t, reactor.BreakerClosed, b.State())
		release()
		require.ErrorIs(t, <-answer, errDown)
		require.Equal(t, reactor.BreakerClosed, b.State())
	})
}

// spiteful is an error that harms a caller that asks what it is.
type spiteful struct{ harm func() }

func (spiteful) Error() string { return "no answer" }

func (s spiteful) As(any) bool {
	s.harm()
	return false
}

// The breaker asks the error of a call whether it is permanent, which calls a method of the user.
func TestAnErrorOfACallLeavesItsBreakerUsable(t *testing.T) {
	for name, harm := range map[string]func(){"panics": func() { panic("no luck") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			b := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Millisecond})
			require.Error(t, b.Do(t.Context(), fails))
			eventually(t, func() bool { return b.State() == reactor.BreakerHalfOpen }, "it lets a call through")
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				defer func() { _ = recover() }()
				_ = b.Do(t.Context(), func(context.Context) error { return spiteful{harm} })
			}()
			<-ended
			eventually(t, func() bool { return b.Do(t.Context(), succeeds) == nil }, "it lets another call through")
		})
	}
	b := newBreaker(t, nil)
	ended := make(chan error, 1)
	go func() {
		ended <- b.Do(t.Context(), func(context.Context) error { return spiteful{func() { b.State() }} })
	}()
	select {
	case err := <-ended:
		require.ErrorContains(t, err, "no answer")
	case <-time.After(20 * time.Second):
		t.Fatal("the breaker waits for itself")
	}
}

// The one call that is let through to a downstream never returns. The other streams do not wait for it.
func TestStreamsGoOnBehindACallThatNeverReturns(t *testing.T) {
	store := open(t)
	breaker := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: 4 * time.Millisecond})
	goOn, ended := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	cfg := quick()
	cfg.Timeout = 20 * time.Millisecond
	mails := newReactor(t, store, cfg, reactor.On(func(ctx context.Context, _ deposited, _ eventstore.Recorded) error {
		return breaker.Do(ctx, func(context.Context) error {
			switch calls.Add(1) {
			case 1:
				return errDown
			case 2:
				defer close(ended)
				<-goOn
			}
			return nil
		})
	}))
	react(t, mails)
	t.Cleanup(func() {
		close(goOn)
		<-ended
	})
	deposit(t, store, "a", 1)
	deposit(t, store, "b", 1)
	require.Equal(t, 1, settled(t, mails, deposit(t, store, "c", 1)).Parked)
	require.Equal(t, reactor.BreakerClosed, breaker.State())
}

// A reaction returns an error of the breaker that it has kept, and makes no call.
func TestAnErrorThatIsKeptIsNoReasonToWaitForABreaker(t *testing.T) {
	store := open(t)
	breaker := newBreaker(t, &reactor.BreakerConfig{Failures: 1, Cooldown: time.Millisecond})
	kept := breaker.Do(t.Context(), fails)
	require.ErrorIs(t, kept, reactor.ErrOpen)
	eventually(t, func() bool { return breaker.State() == reactor.BreakerHalfOpen }, "it lets a call through")
	var calls atomic.Int64
	mails := newReactor(t, store, quick(), reactor.On(func(context.Context, deposited, eventstore.Recorded) error {
		calls.Add(1)
		return kept
	}))
	react(t, mails)
	require.Equal(t, 1, settled(t, mails, deposit(t, store, "a", 1)).Parked)
	require.Equal(t, int64(4), calls.Load())
	require.Equal(t, 4, parkedList(t, mails)[0].Attempts)
}

// A webhook is away for far longer than retries would last.
func TestNothingIsParkedWhileADownstreamIsAway(t *testing.T) {
	store := open(t)
	var down atomic.Bool
	var mu sync.Mutex
	received := map[string]int{} // by event id
	webhook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		received[r.Header.Get("Idempotency-Key")]++
	}))
	defer webhook.Close()
	breaker := newBreaker(t, &reactor.BreakerConfig{Failures: 2, Cooldown: 4 * time.Millisecond})
	var probes atomic.Int64
	post := func(ctx context.Context, r eventstore.Recorded) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, webhook.URL, http.NoBody)
		if err != nil {
			return reactor.Permanent(err)
		}
		request.Header.Set("Idempotency-Key", r.EventID())
		response, err := webhook.Client().Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			probes.Add(1)
			return errDown
		}
		return nil
	}
	unhurried := newJournal()
	mails := newReactor(t, store, quick(),
		reactor.On(func(ctx context.Context, _ withdrawn, r eventstore.Recorded) error {
			return breaker.Do(ctx, func(ctx context.Context) error { return post(ctx, r) })
		}), unhurried.reaction())
	react(t, mails)

	down.Store(true)
	const streams = 20
	for id := range streams {
		_, err := store.Append(t.Context(), eventstore.StreamID{Category: "hooked", ID: string(rune('a' + id))}, eventstore.Head{}, withdrawn{1}, withdrawn{2})
		require.NoError(t, err)
	}
	last := deposit(t, store, "x", 1, 1)
	eventually(t, func() bool { return len(unhurried.of("x")) == 2 }, "what does not use the breaker goes on")
	eventually(t, func() bool { return probes.Load() > 50 }, "it is tried again and again")
	eventually(t, func() bool {
		status, err := mails.Status(t.Context())
		require.NoError(t, err)
		require.Zero(t, status.Parked)
		return status.Held["webhook"] == streams
	}, "all wait for the breaker")
	require.NotEqual(t, reactor.BreakerClosed, breaker.State())

	down.Store(false)
	require.Zero(t, settled(t, mails, last).Parked)
	require.Equal(t, reactor.BreakerClosed, breaker.State())
	require.Len(t, received, 2*streams)
	for id, times := range received {
		require.Equal(t, 1, times, id)
	}
}

func TestAReactorWaitsForABreakerAsLongAsItTakes(t *testing.T) {
	eventstoretest.Bubble(t, func(t *testing.T) {
		store := open(t)
		breaker := newBreaker(t, nil)
		back := time.Now().Add(20 * time.Minute)
		var calls, handled int // the reactions of one stream never overlap
		mails := newReactor(t, store, nil, reactor.On(func(ctx context.Context, _ deposited, _ eventstore.Recorded) error {
			return breaker.Do(ctx, func(context.Context) error {
				calls++
				if time.Now().Before(back) {
					return errDown
				}
				handled++
				return nil
			})
		}))
		stop := react(t, mails)
		last := deposit(t, store, "a", 1, 2, 3)
		<-time.After(21 * time.Minute)
		synctest.Wait()
		status, err := mails.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, last, status.Position)
		require.Zero(t, status.Parked)
		stop()
		require.Equal(t, 3, handled)
		require.InDelta(t, 1200/22.5, calls, 25, "one probe for each cool-down")
	})
}

func TestTheErrorOfABreakerSaysWhenToTryAgain(t *testing.T) {
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	open := &reactor.OpenError{Breaker: "mail", Until: until, Err: errors.New("refused")}
	require.ErrorContains(t, open, "mail fails: try again at 2026-01-02T03:04:05Z: refused")
	require.ErrorIs(t, open, reactor.ErrOpen)
}
