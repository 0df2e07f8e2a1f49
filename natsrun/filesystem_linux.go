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

// An openFolder stands for its file system. If the kernel fails to write while the folder is open, the next syncfs
// reports it.
type openFolder struct{ file *os.File }

// openDisk opens the file system of a folder. If group sync is not possible there, it returns an error that says why.
func openDisk(dir string) (fileSystem, error) {
	if err := checkKernel(); err != nil {
		return nil, err
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return nil, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if !reachesDisk(fs) {
		return nil, fmt.Errorf("the file system of %s (type %#x) is not ext4, XFS or Btrfs", dir, fs.Type)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return &openFolder{folder}, nil
}

// reachesDisk reports whether syncfs(2) on a file system is known to reach the disk and to report failures. Other file
// systems are on another machine, have no disk, or do not report failures below them, as overlayfs.
func reachesDisk(fs syscall.Statfs_t) bool {
	const ext, xfs, btrfs = 0xEF53, 0x58465342, 0x9123683E
	return fs.Type == ext || fs.Type == xfs || fs.Type == btrfs
}

// checkKernel refuses kernels before 5.8, because their syncfs does not report failed writes.
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
		return fmt.Errorf("syncfs of kernel %s does not report failed writes, kernels from 5.8 on do", release.String())
	}
	return nil
}

// reportsFailures reports whether syncfs of a kernel release reports failed writes.
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

func (f *openFolder) sync() error {
	for {
		_, _, errno := syscall.Syscall(sysSyncfs, f.file.Fd(), 0, 0)
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

func (f *openFolder) close() error { return f.file.Close() }
