//go:build !(linux && (amd64 || arm64))

package natsrun

import (
	"fmt"
	"runtime"
)

// openDisk knows no way to sync a file system here.
func openDisk(string) (disk, error) {
	return nil, fmt.Errorf("there is no group sync on %s/%s", runtime.GOOS, runtime.GOARCH)
}
