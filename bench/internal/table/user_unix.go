//go:build unix

package table

import (
	"errors"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// unprivileged says which user runs the server, and makes a folder belong to that user. The server has a
// process group of its own, so that an interrupt from the terminal reaches only this program.
func unprivileged() (attributes *syscall.SysProcAttr, own func(dir string) error, err error) {
	if os.Geteuid() != 0 {
		return &syscall.SysProcAttr{Setpgid: true}, func(string) error { return nil }, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		uid, gid, err := ids(name)
		if err != nil {
			continue // there is no such user
		}
		return &syscall.SysProcAttr{Setpgid: true, Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}},
			func(dir string) error { return os.Chown(dir, uid, gid) }, nil
	}
	return nil, nil, errors.New("it does not run as root, and there is neither a user postgres nor nobody: run it as another user")
}

func ids(name string) (uid, gid int, err error) {
	found, err := user.Lookup(name)
	if err != nil {
		return 0, 0, err
	}
	if uid, err = strconv.Atoi(found.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(found.Gid)
	return uid, gid, err
}
