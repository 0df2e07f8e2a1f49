package abreast_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/runnel-go/runnel/internal/abreast"
)

func TestTheFirstErrorIsTheFirstInOrder(t *testing.T) {
	for range 100 {
		done := make([]bool, 40)
		first, err := abreast.Do(len(done), func(i int) error {
			done[i] = true
			if i == 7 || i == 8 || i == 39 {
				return fmt.Errorf("call %d", i)
			}
			return nil
		})
		require.EqualError(t, err, "call 7")
		require.Equal(t, 7, first)
		require.NotContains(t, done, false, "all were waited for")
	}
	first, err := abreast.Do(0, func(int) error { return errors.New("called") })
	require.NoError(t, err)
	require.Zero(t, first)
}

func TestCallsAreMadeAtTheSameTimeAndNotTooMany(t *testing.T) {
	var mu sync.Mutex
	now, highest := 0, 0
	together := make(chan struct{})
	_, err := abreast.Do(100, func(int) error {
		mu.Lock()
		now++
		highest = max(highest, now)
		if now == 16 {
			select {
			case <-together:
			default:
				close(together)
			}
		}
		mu.Unlock()
		<-together // each waits until as many run as may
		mu.Lock()
		defer mu.Unlock()
		now--
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, 16, highest)
}

func TestAPanicReachesTheCaller(t *testing.T) {
	ended := make([]bool, 20)
	defer func() {
		text := fmt.Sprint(recover())
		require.Contains(t, text, "of call 3")
		require.Contains(t, text, "abreast_test.go", "with its stack")
		ended[3] = true
		require.NotContains(t, ended, false, "all were waited for")
	}()
	_, _ = abreast.Do(len(ended), func(i int) error {
		if i == 3 {
			panic("of call 3")
		}
		ended[i] = true
		return nil
	})
}
