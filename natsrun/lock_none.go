//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package natsrun

import "os"

// tryLock does nothing: the standard library has no lock here that ends with
// the process.
func tryLock(*os.File) error { return nil }
