// Package abreast does several things that wait for a server at the same time.
package abreast

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// most is how many things are done at the same time.
const most = 16

// Do calls do(i) for each i below n, some of them at the same time, and waits for all. It gives the first i, in the order of
// the numbers, whose call failed, with its error. A call that panics makes Do panic, once all have ended, with a text that
// holds the call's stack. A single call is made on the caller's goroutine.
func Do(n int, do func(i int) error) (first int, err error) {
	if n == 1 {
		return 0, do(0)
	}
	errs, panics := make([]error, n), make([]string, n)
	free := make(chan struct{}, most)
	var all sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		all.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panics[i] = fmt.Sprintf("%v\n\n%s", p, debug.Stack())
				}
				<-free
			}()
			errs[i] = do(i)
		})
	}
	all.Wait()
	for i := range n {
		if panics[i] != "" {
			panic(panics[i])
		}
		if errs[i] != nil {
			return i, errs[i]
		}
	}
	return n, nil
}
