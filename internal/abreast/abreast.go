// Package abreast runs several calls at the same time, each of which waits for a server.
package abreast

import (
	"fmt"
	"runtime/debug"
	"sync"
)

// most is the number of calls that run at the same time.
const most = 16

// Do calls do(i) for each i below n, some of them at the same time, and waits for all. It returns the smallest
// i whose call failed, with the error. If a call panics, Do panics after all calls have ended, with a text that
// holds the stack of the call. A single call runs on the caller's goroutine.
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
