//go:build linux && (amd64 || arm64)

package natsrun

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// fileSystem is a file system, held by an open folder of it. What the kernel
// fails to write while the folder is open, its next syncfs says.
type fileSystem struct{ folder *os.File }

// openDisk opens the file system of a folder, or says why group sync cannot be
// had there.
func openDisk(dir string) (disk, error) {
	if err := checkKernel(); err != nil {
		return nil, err
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if !honest(fs) {
		return nil, fmt.Errorf("the file system of %s (type %#x) is not ext4, XFS or Btrfs", dir, fs.Type)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &fileSystem{folder}, nil
}

// honest reports whether syncfs(2) on a file system is known to reach the disk
// and to tell what failed. Others leave it to a server elsewhere, have no disk,
// or, like overlayfs, do not pass on what failed below them.
func honest(fs syscall.Statfs_t) bool {
	const ext, xfs, btrfs = 0xEF53, 0x58465342, 0x9123683E
	return fs.Type == ext || fs.Type == xfs || fs.Type == btrfs
}

// checkKernel refuses kernels before 5.8, whose syncfs does not tell that
// writing back has failed.
func checkKernel() error {
	var name syscall.Utsname
	if err := syscall.Uname(&name); err != nil {
		return os.NewSyscallError("uname", err)
	}
	var release strings.Builder
	for _, c := range name.Release {
		if c == 0 {
			break
		}
		release.WriteByte(byte(c))
	}
	if !reportsFailures(release.String()) {
		return fmt.Errorf("kernel %s does not tell of failed writes in syncfs, 5.8 does", release.String())
	}
	return nil
}

func reportsFailures(release string) bool {
	majorText, rest, _ := strings.Cut(release, ".")
	minorText, _, _ := strings.Cut(rest, ".")
	minorText, _, _ = strings.Cut(minorText, "-")
	major, err := strconv.Atoi(majorText)
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(minorText)
	return err == nil && (major > 5 || major == 5 && minor >= 8)
}

func (fs *fileSystem) sync() error {
	for {
		_, _, errno := syscall.Syscall(sysSyncfs, fs.folder.Fd(), 0, 0)
		switch {
		case errors.Is(errno, syscall.EINTR):
			continue
		case errno != 0:
			return os.NewSyscallError("syncfs", errno)
		default:
			return nil
		}
	}
}

func (fs *fileSystem) close() error { return fs.folder.Close() }
