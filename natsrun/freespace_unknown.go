//go:build !(darwin || dragonfly || freebsd || linux)

package natsrun

// freeSpace returns false, because this system has no portable way to ask for the free space.
func freeSpace(string) (int64, bool) { return 0, false }
