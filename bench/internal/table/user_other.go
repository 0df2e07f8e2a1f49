//go:build !unix

package table

import (
	"errors"
	"syscall"
)

// unprivileged says that no server is started here.
func unprivileged() (attributes *syscall.SysProcAttr, own func(dir string) error, err error) {
	return nil, nil, errors.New("a server is started on Unix only: start one and name it with " + EnvURL)
}
