package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// progress shows how far an import has come. On a terminal it draws a bar over itself, elsewhere it writes a line
// every few seconds.
type progress struct {
	w     io.Writer
	total int
	bar   bool
	begun time.Time

	found  atomic.Int64 // events that were there before
	booked atomic.Int64 // events that were booked now

	stop    chan struct{}
	stopped sync.WaitGroup
}

// startProgress shows progress on w until finish. It starts a goroutine, which finish ends.
func startProgress(w io.Writer, total int) *progress {
	p := &progress{w: w, total: total, bar: isTerminal(w), begun: time.Now(), stop: make(chan struct{})}
	every := 2 * time.Second
	if p.bar {
		every = 100 * time.Millisecond
	}
	p.stopped.Go(func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-ticker.C:
				p.draw()
			}
		}
	})
	return p
}

// add counts events that were found in the log or are booked now.
func (p *progress) add(events int, found bool) {
	if found {
		p.found.Add(int64(events))
		return
	}
	p.booked.Add(int64(events))
}

// finish ends the goroutine and returns the result in words.
func (p *progress) finish() string {
	close(p.stop)
	p.stopped.Wait()
	p.draw()
	if p.bar {
		_, _ = fmt.Fprintln(p.w)
	}
	took := time.Since(p.begun)
	return fmt.Sprintf("%d events booked in %.1f s, %.0f events/s, %d were there before",
		p.booked.Load(), took.Seconds(), p.rate(), p.found.Load())
}

func (p *progress) rate() float64 {
	return float64(p.booked.Load()) / max(time.Since(p.begun).Seconds(), 0.001)
}

const barWidth = 40

// draw shows the present state. It ignores errors, because they must not stop the work.
func (p *progress) draw() {
	done := int(p.found.Load() + p.booked.Load())
	share := float64(done) / float64(max(p.total, 1))
	text := fmt.Sprintf("%3.0f %% %d/%d events, %.0f events/s", 100*share, done, p.total, p.rate())
	if !p.bar {
		_, _ = fmt.Fprintln(p.w, text)
		return
	}
	full := min(int(share*barWidth), barWidth)
	_, _ = fmt.Fprintf(p.w, "\r[%s%s] %s ", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), text)
}

// isTerminal reports whether w is a terminal.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
