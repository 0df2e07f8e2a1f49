package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// diskFaults are the faults of the servers' files.
func diskFaults() []*fault {
	return []*fault{
		{
			name: "wipe a follower", does: "a follower is killed, loses its files, and starts again", nodes: []int{3}, banks: []int{1, 2},
			begin: onNode(follower, wipeNode, startNode), gap: lateBound,
		},
		{
			name: "wipe the leader", does: "the leader is killed, loses its files, and starts again", nodes: []int{3}, banks: []int{1, 2},
			hold: electionHold, begin: onNode(leader, wipeNode, startNode),
		},
		{
			name: "fill the leader's disk", does: "the leader's file system is full; then there is room and it is restarted",
			nodes: []int{1, 3}, banks: []int{1, 2}, root: true, hold: electionHold,
			prepare: smallDisks, begin: onNode(leader, fillDisk, emptyDisk),
		},
		{
			name: "fill a follower's disk", does: "the same with a follower", nodes: []int{3}, banks: []int{2}, root: true,
			prepare: smallDisks, begin: onNode(follower, fillDisk, emptyDisk),
		},
	}
}

func wipeNode(_ context.Context, c *cluster, at int) error {
	c.nodes[at].kill()
	return os.RemoveAll(c.nodes[at].store)
}

// smallDisks mounts a small file system for each node, before the nodes start.
func smallDisks(ctx context.Context, w *world) error {
	for i := range 3 {
		at := filepath.Join(w.dir, nodeName(i))
		if err := os.MkdirAll(at, 0o700); err != nil {
			return err
		}
		if out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", at).CombinedOutput(); err != nil {
			return fmt.Errorf("mount %s: %w: %s", at, err, out)
		}
		w.mounted = append(w.mounted, at)
	}
	// The server refuses to store more than three quarters of the space that it sees at the start. It is told that
	// there is more, so that the disk is full first.
	w.maxStore = "16GB"
	return nil
}

// unmount removes a mounted file system.
func unmount(at string) error {
	if out, err := exec.CommandContext(context.Background(), "umount", at).CombinedOutput(); err != nil {
		return fmt.Errorf("umount %s: %w: %s", at, err, out)
	}
	return nil
}

// filler is the file that fills a disk.
const filler = "filler"

// fillDisk writes a file until there is no room.
func fillDisk(_ context.Context, c *cluster, at int) error {
	file, err := os.Create(filepath.Join(c.nodes[at].store, filler))
	if err != nil {
		return err
	}
	for size := 1 << 20; size >= 1<<10; size /= 2 {
		for {
			if _, err := file.Write(make([]byte, size)); err != nil {
				break // there is no room for this much
			}
		}
	}
	return file.Close()
}

// emptyDisk makes room, and restarts the server, which stores nothing until then.
func emptyDisk(ctx context.Context, c *cluster, at int) error {
	if err := os.Remove(filepath.Join(c.nodes[at].store, filler)); err != nil {
		return err
	}
	c.nodes[at].kill()
	return startNode(ctx, c, at)
}
