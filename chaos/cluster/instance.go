package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// instance is one process of the bank. Whether it runs or not, a supervisor watches it.
type instance struct {
	name   string
	binary string
	log    string
	addr   string
	links  []*link // to the nodes
	others string  // the URL of the other banks

	mu      sync.Mutex // guards what follows
	proc    *process
	wanted  bool // it runs, as far as the rig is concerned
	started time.Time

	firstStart time.Time // when the first process was started
}

func (b *instance) url() string { return "http://" + b.addr }

// start starts the process. It does not wait until the bank serves.
func (b *instance) start(ctx context.Context) error {
	urls := make([]string, len(b.links))
	for i, l := range b.links {
		urls[i] = "nats://" + l.addr()
	}
	env := []string{"NATS_URL=" + strings.Join(urls, ","), "SERVICE_NAME=" + b.name, "BANK_OTHER_BANKS=" + b.others, "GRACEFUL_SHUTDOWN_TIMEOUT=5s"}
	proc, err := startProcess(ctx, b.name, b.log, env, b.binary, "serve", "-addr", b.addr, "-answer-within", answerWithin.String())
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proc, b.wanted, b.started = proc, true, time.Now()
	return nil
}

// process returns the current process, or nil if none is wanted.
func (b *instance) process() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.wanted {
		return nil
	}
	return b.proc
}

// release takes the process out of the supervisor's hands.
func (b *instance) release() *process {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wanted = false
	return b.proc
}

func (b *instance) kill()         { b.release().kill() }
func (b *instance) freeze() error { return b.process().signal(syscall.SIGSTOP) }
func (b *instance) thaw() error   { return b.process().signal(syscall.SIGCONT) }

// stop ends the process as an operator does.
func (b *instance) stop(ctx context.Context) error {
	return b.release().end(ctx, syscall.SIGTERM, 15*time.Second)
}

// supervise starts the process again if it ends by itself, which is reported as wrong.
func (b *instance) supervise(ctx context.Context, report *report) {
	for ctx.Err() == nil {
		if p := b.process(); p != nil && !p.running() && b.process() == p && ctx.Err() == nil {
			report.wrongf("ended", "%s ended by itself: %s: %s", b.name, p.cmd.ProcessState, lastLine(b.log))
			if err := b.start(ctx); err != nil {
				report.wrongf("ended", "%s does not start again: %v", b.name, err)
				return
			}
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// lastLine returns the last line of a log.
func lastLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// newInstance makes an instance with links to all nodes. It does not start it.
func newInstance(ctx context.Context, number int, dir, binary, others string, c *cluster) (*instance, error) {
	name := fmt.Sprintf("bank-%d", number)
	ports := freePorts(ctx, 1)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	b := &instance{name: name, binary: binary, log: dir + "/" + name + ".log", addr: "127.0.0.1:" + ports[0], others: others}
	for _, n := range c.nodes {
		l, err := openLink(ctx, n.client)
		if err != nil {
			b.close()
			return nil, err
		}
		b.links = append(b.links, l)
	}
	return b, nil
}

// close ends the process and the links.
func (b *instance) close() {
	if p := b.release(); p != nil {
		p.kill()
	}
	for _, l := range b.links {
		l.close()
	}
}
