// Package service runs the two services that are measured over HTTP, each in a process of its own:
//
//	bank     examples/bank, with an embedded server that syncs before it acknowledges
//	table    one handler that answers a deposit as the bank does, over a table of Postgres
//
// Both take POST /accounts/{id}/deposits with the body of the bank, check it, decide on the account's last event, and
// answer with the entry. Neither keeps a client waiting for anything but its own commit.
package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Process is a service that runs.
type Process struct {
	URL string // of the service, without a slash at the end

	command *exec.Cmd
}

const (
	announced = "listening on "  // begins the line with which a service says where it listens
	endTime   = 15 * time.Second // for which a service may take to end
)

// Bank builds the bank with the Go command, and starts it with its data in a folder.
func Bank(ctx context.Context, dir string) (*Process, error) {
	binary := filepath.Join(dir, "bank")
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-o", binary, "github.com/runnel-go/runnel/examples/bank")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the bank in the folder of this module, or of the bench: %w: %s", err, said)
	}
	return start(exec.CommandContext(ctx, binary, "serve", "--addr", "127.0.0.1:0", "--data", filepath.Join(dir, "data")),
		"LOG_LEVEL=error", "NATS_URL=", "JETSTREAM_SYNC=group", "BANK_TOKEN=")
}

// start starts a service, and waits until it says where it listens.
func start(command *exec.Cmd, env ...string) (*Process, error) {
	command.Env = append(os.Environ(), env...)
	command.Stderr = os.Stderr
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGINT) }
	command.WaitDelay = endTime
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &Process{command: command}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	url, found := strings.CutPrefix(strings.TrimSpace(line), announced)
	if err != nil || !found {
		return nil, errors.Join(fmt.Errorf("%s said %q instead of where it listens", command.Path, line), err, p.Close())
	}
	p.URL = url
	return p, nil
}

// Close ends the service.
func (p *Process) Close() error {
	if err := p.command.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.command.Wait()
}
