//go:build !(linux && (amd64 || arm64))

package natsrun

import (
	"fmt"
	"runtime"
)

// openDisk returns an error, because this system has no way to sync a file system that reports failures.
func openDisk(string) (fileSystem, error) {
	return nil, fmt.Errorf("there is no group sync on %s/%s", runtime.GOOS, runtime.GOARCH)
}
