//go:build unix

package table

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// Postgres refuses to run as root. Its package makes a user for it; nobody is there always.
func other() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("a user to run Postgres as: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

// handOver gives a folder to the user that Postgres runs as.
func handOver(dir string) error {
	who, err := other()
	if err != nil || who == nil {
		return err
	}
	return os.Chown(dir, int(who.Uid), int(who.Gid))
}

// runAsOther makes a command run as that user. Its failure to find one was handOver's.
func runAsOther(command *exec.Cmd) {
	if who, err := other(); err == nil {
		command.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	}
}
