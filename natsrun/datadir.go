package natsrun

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// A dataDir is a data directory whose lock this process holds.
type dataDir struct {
	path string
	lock *os.File
	self *os.File // the directory, locked as well, because the lock file can be deleted while it is held
}

// lockDataDir creates the directory if it does not exist, and takes its lock. It opens the lock file for writing, so it
// also finds out if the directory cannot be written.
func lockDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, unusable(path, err)
	}
	lock, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, unusable(path, err)
	}
	err = tryLock(lock)
	if err == nil {
		err = writePID(lock)
	}
	if errors.Is(err, ErrDataDirInUse) {
		return nil, errors.Join(inUse(path, readPID(lock)), lock.Close())
	}
	if err != nil {
		return nil, errors.Join(unusable(path, err), lock.Close())
	}
	self, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(unusable(path, err), lock.Close())
	}
	// Any other error is of a system that locks no directories.
	if err := tryLock(self); errors.Is(err, ErrDataDirInUse) {
		return nil, errors.Join(inUse(path, 0), self.Close(), lock.Close())
	}
	return &dataDir{path: path, lock: lock, self: self}, nil
}

func unusable(path string, err error) error {
	return fmt.Errorf("natsrun: data directory %s: %w: create it, or make it writable for this process", path, err)
}

func inUse(path string, pid int) error {
	holder := "another process"
	if pid != 0 {
		holder = fmt.Sprintf("process %d", pid)
	}
	return fmt.Errorf("%w: %s holds %s: stop that process, or choose another directory", ErrDataDirInUse, holder, path)
}

// close releases the lock. It leaves the file, because two processes could otherwise lock two files of one
// name.
func (d *dataDir) close() error { return errors.Join(d.self.Close(), d.lock.Close()) }

// writePID writes the holder's process id for the error message of others. The lock does not depend on it.
func writePID(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// readPID returns the holder's process id, or 0 if the holder has not written it yet.
func readPID(lock *os.File) int {
	text, err := io.ReadAll(io.NewSectionReader(lock, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0
	}
	return pid
}

// storeLimit returns the server's MaxStore: want, or what the directory holds plus 90 % of the free space. The
// server counts what it recovers against the limit. So a limit of the free space alone would refuse every message
// once the store is larger than the rest of the disk. If the free space is not known, storeLimit returns 0, the
// server's default.
func (d *dataDir) storeLimit(want int64, freeSpace func(string) (int64, bool)) (int64, error) {
	if want > 0 {
		return want, nil
	}
	free, known := freeSpace(d.path)
	if !known {
		return 0, nil
	}
	used, err := d.used()
	if err != nil {
		return 0, unusable(d.path, err)
	}
	return max(1, used+free/10*9), nil
}

// openDisk opens the file system of the server's files. It may be another file system than the data directory's own.
func (d *dataDir) openDisk(open func(string) (fileSystem, error)) (fileSystem, error) {
	store := filepath.Join(d.path, server.JetStreamStoreDir)
	if err := os.MkdirAll(store, 0o700); err != nil {
		return nil, err
	}
	return open(store)
}

// used returns how many bytes the directory's files have.
func (d *dataDir) used() (int64, error) {
	var bytes int64
	err := filepath.WalkDir(d.path, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	return bytes, err
}
