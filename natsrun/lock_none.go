//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package natsrun

import "os"

// tryLock does nothing, because the standard library has no lock on this system that ends with the process.
func tryLock(*os.File) error { return nil }
