//go:build darwin || dragonfly || freebsd || linux

package natsrun

import "syscall"

// freeSpace returns how many bytes this process may still write to the file system of dir, and false if that is not
// known.
func freeSpace(dir string) (int64, bool) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0, false
	}
	return asInt64(fs.Bavail) * asInt64(fs.Bsize), true
}

// asInt64 converts a field of Statfs_t. The type of the fields depends on the system.
func asInt64[T ~int32 | ~uint32 | ~int64 | ~uint64](v T) int64 { return int64(v) }
