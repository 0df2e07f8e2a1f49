package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// upTime is how long a process may take to come up.
const upTime = 30 * time.Second

// node is one server, whether its process runs or not.
type node struct {
	name   string
	binary string
	log    string
	store  string // its folder
	client string // its address for clients
	args   []string
	proc   *process
}

// start starts the server. It returns when clients can connect.
func (n *node) start(ctx context.Context) error {
	proc, err := startProcess(ctx, n.name, n.log, nil, n.binary, n.args...)
	if err != nil {
		return err
	}
	n.proc = proc
	return proc.awaitLine(ctx, upTime)
}

func (n *node) kill()         { n.proc.kill() }
func (n *node) freeze() error { return n.proc.signal(syscall.SIGSTOP) }
func (n *node) thaw() error   { return n.proc.signal(syscall.SIGCONT) }

// retire ends the server in lame duck mode, as for an upgrade.
func (n *node) retire(ctx context.Context) error { return n.proc.end(ctx, syscall.SIGUSR2, upTime) }

// stop ends the server as an operator does: it closes its files.
func (n *node) stop(ctx context.Context) error {
	_ = n.proc.input.Close() // by which the server is told; it fails only if it is closed
	return n.proc.awaitEnd(ctx, upTime)
}

// cluster is the servers, the links between them, and a connection of the rig itself, which goes around all links.
type cluster struct {
	nodes  []*node
	routes map[[2]int]*link // from one node to another
	admin  *nats.Conn
	js     jetstream.JetStream
}

// startCluster starts servers, and waits until they take streams.
func startCluster(ctx context.Context, dir, binary string, size int, maxStore string) (_ *cluster, err error) {
	c := &cluster{routes: make(map[[2]int]*link)}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	ports := freePorts(ctx, 2*size)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i := range size {
		name := nodeName(i)
		n := &node{
			name: name, binary: binary, log: filepath.Join(dir, name+".log"), store: filepath.Join(dir, name),
			client: "127.0.0.1:" + ports[i],
		}
		n.args = []string{"-js", "-sd", n.store, "-a", "127.0.0.1", "-p", ports[i], "-n", name}
		if maxStore != "" {
			config := filepath.Join(dir, name+".conf")
			if err := os.WriteFile(config, []byte("jetstream { max_file_store: "+maxStore+" }\n"), 0o600); err != nil {
				return nil, err
			}
			n.args = append(n.args, "-c", config)
		}
		if size > 1 {
			routes, err := c.openRoutes(ctx, i, ports[size:])
			if err != nil {
				return nil, err
			}
			n.args = append(n.args, "-cluster_name", "rig", "-cluster", "nats-route://127.0.0.1:"+ports[size+i],
				// Nodes tell each other this address. Nobody listens there, so they keep to the links.
				"-cluster_advertise", "127.0.0.1:1", "-no_advertise", "-routes", strings.Join(routes, ","))
		}
		c.nodes = append(c.nodes, n)
	}
	for _, n := range c.nodes {
		if err := os.MkdirAll(n.store, 0o700); err != nil {
			return nil, err
		}
		if err := n.start(ctx); err != nil {
			return nil, err
		}
	}
	return c, c.connect(ctx)
}

// openRoutes opens the links from a node to all others, and returns their URLs.
func (c *cluster) openRoutes(ctx context.Context, from int, ports []string) (urls []string, err error) {
	for to, port := range ports {
		if to == from {
			continue
		}
		l, err := openLink(ctx, "127.0.0.1:"+port)
		if err != nil {
			return nil, err
		}
		c.routes[[2]int{from, to}] = l
		urls = append(urls, "nats-route://"+l.addr())
	}
	return urls, nil
}

// connect opens the rig's own connection and waits until a stream can be made.
func (c *cluster) connect(ctx context.Context) (err error) {
	urls := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		urls[i] = "nats://" + n.client
	}
	c.admin, err = nats.Connect(strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.PingInterval(time.Second), nats.ReconnectBufSize(-1))
	if err != nil {
		return err
	}
	if c.js, err = jetstream.New(c.admin); err != nil {
		return err
	}
	return await(ctx, "a stream on all nodes", upTime, func() bool {
		asked, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := c.js.CreateStream(asked, jetstream.StreamConfig{Name: "probe", Replicas: len(c.nodes), Storage: jetstream.MemoryStorage})
		return err == nil && c.js.DeleteStream(asked, "probe") == nil
	})
}

// leader returns the index of the node that leads the log.
func (c *cluster) leader(ctx context.Context) (leader int, err error) {
	if len(c.nodes) == 1 {
		return 0, nil
	}
	err = await(ctx, "a leader of the log", upTime, func() bool {
		info := c.info(ctx)
		if info == nil {
			return false
		}
		for i, n := range c.nodes {
			if n.name == info.Leader {
				leader = i
				return true
			}
		}
		return false
	})
	return leader, err
}

// caughtUp waits until all nodes have the whole log.
func (c *cluster) caughtUp(ctx context.Context) error {
	if len(c.nodes) == 1 {
		return nil
	}
	return await(ctx, "all nodes have the whole log", time.Minute, func() bool {
		info := c.info(ctx)
		if info == nil || info.Leader == "" || len(info.Replicas) != len(c.nodes)-1 {
			return false
		}
		for _, peer := range info.Replicas {
			if !peer.Current || peer.Offline {
				return false
			}
		}
		return true
	})
}

func (c *cluster) info(ctx context.Context) *jetstream.ClusterInfo {
	asked, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	stream, err := c.js.Stream(asked, logStream)
	if err != nil {
		return nil
	}
	return stream.CachedInfo().Cluster
}

// close ends everything.
func (c *cluster) close() {
	if c.admin != nil {
		c.admin.Close()
	}
	for _, n := range c.nodes {
		n.proc.kill()
	}
	for _, l := range c.routes {
		l.close()
	}
}

// The ports of servers and banks lie below those that the kernel chooses for connections and links, so that nobody else
// takes one while its process is down.
const (
	firstPort = 10_000
	lastPort  = 30_000
)

// freePorts returns ports that were free just now.
func freePorts(ctx context.Context, count int) (ports []string) {
	for len(ports) < count && ctx.Err() == nil {
		port := strconv.Itoa(firstPort + rand.IntN(lastPort-firstPort))
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:"+port)
		if err != nil {
			continue
		}
		defer func() { _ = listener.Close() }()
		ports = append(ports, port)
	}
	return ports
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }
