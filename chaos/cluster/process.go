package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs beside this one.
type process struct {
	name  string
	cmd   *exec.Cmd
	line  *firstLine
	input io.Closer
	ended chan struct{} // closed when it has ended
}

// firstLine is a writer that says when a whole line has come.
type firstLine struct {
	once sync.Once
	came chan struct{}
}

func (f *firstLine) Write(p []byte) (int, error) {
	if bytes.ContainsRune(p, '\n') {
		f.once.Do(func() { close(f.came) })
	}
	return len(p), nil
}

// startProcess starts a program that writes its log to a file. The program is killed when ctx ends. Its standard input
// stays open until it ends, or until this program does.
func startProcess(ctx context.Context, name, log string, env []string, path string, args ...string) (*process, error) {
	file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // the process has its own descriptor
	p := &process{name: name, line: &firstLine{came: make(chan struct{})}, ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, path, args...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.line, file
	if p.input, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends with the process
		defer close(p.ended)
		_ = p.cmd.Wait() // how it ended is in its log
	}()
	return p, nil
}

// awaitLine waits until the process has printed a line, by which it says that it is up.
func (p *process) awaitLine(ctx context.Context, atMost time.Duration) error {
	overdue := time.NewTimer(atMost)
	defer overdue.Stop()
	select {
	case <-p.line.came:
		return nil
	case <-p.ended:
		return fmt.Errorf("%s ended before it was up: %s", p.name, p.cmd.ProcessState)
	case <-overdue.C:
		return fmt.Errorf("%s is not up after %s", p.name, atMost)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// running reports whether the process runs. A frozen process does.
func (p *process) running() bool {
	if p == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// kill ends the process at once, as a crash does, and returns when it is gone.
func (p *process) kill() {
	if p != nil {
		_ = p.cmd.Process.Kill() // fails only if it is gone
		<-p.ended
	}
}

// end sends a signal and waits until the process has ended.
func (p *process) end(ctx context.Context, s syscall.Signal, atMost time.Duration) error {
	if err := p.signal(s); err != nil {
		return err
	}
	return p.awaitEnd(ctx, atMost)
}

// awaitEnd waits until the process has ended by itself.
func (p *process) awaitEnd(ctx context.Context, atMost time.Duration) error {
	overdue := time.NewTimer(atMost)
	defer overdue.Stop()
	select {
	case <-p.ended:
		return nil
	case <-overdue.C:
		p.kill()
		return fmt.Errorf("%s has not ended after %s", p.name, atMost)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (p *process) signal(s syscall.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("send %s to %s: %w", s, p.name, err)
	}
	return nil
}

// pause waits for some time, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// await asks again and again until the answer is yes. It returns an error after some time.
func await(ctx context.Context, what string, atMost time.Duration, ready func() bool) error {
	deadline := time.Now().Add(atMost)
	for !ready() {
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(deadline):
			return fmt.Errorf("%s: not after %s", what, atMost)
		}
		pause(ctx, 20*time.Millisecond)
	}
	return nil
}
