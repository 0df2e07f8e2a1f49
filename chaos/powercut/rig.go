package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// errUnfit means that the machine cannot do it.
var errUnfit = errors.New("this machine cannot run it")

// The sizes of the images. Both files have holes, so they take only the space of the written data.
const (
	outerSize = "8G"
	innerSize = "2G"
)

// rig is the stack of file systems.
type rig struct {
	dir     string
	mounted []string // mount points, in the order of their mounting
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// live is where the server under load has its data.
func (r *rig) live() string { return r.path("inner") }

// newRig makes the file systems in a new folder below dir. It returns an error that matches errUnfit if that is
// not possible here. Close removes everything.
func newRig(ctx context.Context, dir string) (_ *rig, err error) {
	if err := fit(); err != nil {
		return nil, err
	}
	folder, err := os.MkdirTemp(dir, "powercut-")
	if err != nil {
		return nil, err
	}
	r := &rig{dir: folder}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.close(ctx))
		}
	}()
	steps := []func() error{
		func() error { return run(ctx, "truncate", "-s", outerSize, r.path("outer.img")) },
		func() error { return run(ctx, "mkfs.xfs", "-q", "-m", "reflink=1", r.path("outer.img")) },
		func() error { return r.mount(ctx, r.path("outer.img"), "outer") },
		func() error { return run(ctx, "truncate", "-s", innerSize, r.path("outer/inner.img")) },
		func() error { return run(ctx, "mkfs.ext4", "-q", "-F", r.path("outer/inner.img")) },
		func() error { return r.mount(ctx, r.path("outer/inner.img"), "inner") },
		func() error { return r.try(ctx) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnfit, err)
		}
	}
	return r, nil
}

// fit returns an error that names the missing programs or rights.
func fit() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%w: it needs Linux, this is %s", errUnfit, runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: it needs root, to mount images", errUnfit)
	}
	for _, program := range []string{"mkfs.xfs", "mkfs.ext4", "mount", "umount", "losetup", "cp", "truncate", "sync"} {
		if _, err := exec.LookPath(program); err != nil {
			advice := ""
			if program == "mkfs.xfs" {
				advice = ": install xfsprogs"
			}
			return fmt.Errorf("%w: %s is missing%s", errUnfit, program, advice)
		}
	}
	return nil
}

func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// mount goes on when ctx ends: a mount that is half done would stay.
func (r *rig) mount(ctx context.Context, image, name string) error {
	ctx = context.WithoutCancel(ctx)
	point := r.path(name)
	if err := os.Mkdir(point, 0o700); err != nil {
		return err
	}
	if err := run(ctx, "mount", "-o", "loop", image, point); err != nil {
		_ = run(ctx, "umount", "-l", point) // mount may have been interrupted after its work
		return errors.Join(err, os.Remove(point))
	}
	r.mounted = append(r.mounted, point)
	return nil
}

// patience bounds the wait for a file system that is in use.
const patience = 5 * time.Second

// unmount removes a mount point. If a file system stays in use, because a server has not closed a file that it
// removed, it is detached. Then it ends with this process.
func (r *rig) unmount(ctx context.Context, point string) error {
	ctx = context.WithoutCancel(ctx)
	overdue := time.After(patience)
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for late := false; run(ctx, "umount", point) != nil; {
		if late {
			if err := run(ctx, "umount", "-l", point); err != nil {
				return err
			}
			break
		}
		select {
		case <-again.C:
		case <-overdue:
			late = true
		}
	}
	r.mounted = slices.DeleteFunc(r.mounted, func(p string) bool { return p == point })
	return os.Remove(point)
}

// cut copies the content of the disk at this instant, and mounts the copy. Release unmounts and removes it.
func (r *rig) cut(ctx context.Context) (dir string, release func() error, err error) {
	image := r.path("outer/cut.img")
	if err := run(ctx, "cp", "--reflink=always", r.path("outer/inner.img"), image); err != nil {
		return "", nil, err
	}
	if err := r.mount(ctx, image, "cut"); err != nil {
		return "", nil, errors.Join(err, os.Remove(image))
	}
	dir = r.path("cut")
	return dir, func() error { return errors.Join(r.unmount(ctx, dir), os.Remove(image)) }, nil
}

// try makes a cut of nothing, to find out whether the kernel can.
func (r *rig) try(ctx context.Context) error {
	_, release, err := r.cut(ctx)
	if err != nil {
		return err
	}
	return release()
}

// close unmounts everything, the last mount first, and removes the folder. If it cannot unmount everything, the
// folder stays.
func (r *rig) close(ctx context.Context) error {
	for _, point := range slices.Backward(slices.Clone(r.mounted)) {
		if err := r.unmount(ctx, point); err != nil {
			return fmt.Errorf("unmount and remove %s yourself: %w", r.dir, err)
		}
	}
	return os.RemoveAll(r.dir)
}

// writeBack makes the kernel write the live file system back at an interval until ctx ends, and nobody waits
// for it. If it has to spare the log, it writes everything back once, and then the buckets alone, because
// kernels write files in any order.
func (r *rig) writeBack(ctx context.Context, every time.Duration, spareLog bool) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	args := []string{"-f", r.live()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = run(ctx, "sync", args...) // it fails when ctx ends, or a file was removed
		if spareLog {
			args = r.bucketFiles()
		}
	}
}

// bucketFiles are the files of the KV buckets of the server under load.
func (r *rig) bucketFiles() []string {
	var all []string
	for _, pattern := range []string{"*", "msgs/*.blk"} {
		// The pattern is valid, so there is no error.
		found, _ := filepath.Glob(filepath.Join(r.live(), "data", "jetstream", "$G", "streams", "KV_*", pattern))
		all = append(all, found...)
	}
	return all
}
