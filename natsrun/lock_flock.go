//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package natsrun

import (
	"errors"
	"os"
	"syscall"
)

// tryLock locks the file until it is closed or the process ends. If the lock is taken, it returns ErrDataDirInUse at
// once. The lock belongs to the open file, so a second one in this process is refused as well.
func tryLock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EWOULDBLOCK):
			return ErrDataDirInUse
		default:
			return err
		}
	}
}
