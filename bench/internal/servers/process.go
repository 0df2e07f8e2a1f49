package servers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Process is a server in a process of its own.
type Process struct {
	Servers

	command *exec.Cmd
	stdin   io.WriteCloser
	stdout  *bufio.Reader
}

// serveCommand is the argument that makes this program such a server.
const serveCommand = "serve-for-a-figure"

// NewProcess starts this program again as a server.
func NewProcess(ctx context.Context, dir string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	command := exec.CommandContext(ctx, self, serveCommand, dir)
	command.Stderr = os.Stderr
	stdin, err := command.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := command.Start(); err != nil {
		return nil, err
	}
	p := &Process{command: command, stdin: stdin, stdout: bufio.NewReader(stdout)}
	url, err := p.stdout.ReadString('\n')
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	nc, js, err := connect(strings.TrimSpace(url))
	if err != nil {
		return nil, errors.Join(err, p.end())
	}
	p.Servers = Servers{Name: "a process of its own", Replicas: 1, JS: js, Conn: nc, close: func() error {
		nc.Close()
		return p.end()
	}}
	return p, nil
}

// end closes the server's input, which ends the server.
func (p *Process) end() error { return errors.Join(p.stdin.Close(), p.command.Wait()) }

// Heap returns the number of bytes in use on the server's heap, after the server has dropped what it keeps for
// ten seconds only.
func (p *Process) Heap() (float64, error) {
	if _, err := fmt.Fprintln(p.stdin, "heap"); err != nil {
		return 0, err
	}
	line, err := p.stdout.ReadString('\n')
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(line), 64)
}

// ServeIfAsked is a server until the input ends, if the arguments say so. It answers each line with the size of its
// heap.
func ServeIfAsked(args []string, in io.Reader, out io.Writer) (asked bool, err error) {
	if len(args) != 3 || args[1] != serveCommand {
		return false, nil
	}
	srv, err := start(options("bench", args[2], false))
	if err != nil {
		return true, err
	}
	defer stop([]*server.Server{srv})
	if _, err := fmt.Fprintln(out, srv.ClientURL()); err != nil {
		return true, err
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if _, err := fmt.Fprintln(out, settledHeap()); err != nil {
			return true, err
		}
	}
	return true, lines.Err()
}

// settledHeap waits until the heap has not shrunk for longer than the server's cache keeps unread blocks.
func settledHeap() uint64 {
	const unused = 12
	least := ^uint64(0)
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for quiet := 0; quiet < unused; <-second.C {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if quiet++; m.HeapAlloc < least-least/100 {
			least, quiet = m.HeapAlloc, 0
		}
	}
	return least
}
