package natsrun

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// A dataDir is a data directory that this process holds.
type dataDir struct {
	path string
	lock *os.File
}

// openDataDir creates the directory if need be and takes its lock. Opening the
// lock file for writing is also what finds a directory that cannot be written.
func openDataDir(path string) (*dataDir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, &DataDirError{Dir: path, Err: err}
	}
	lock, err := os.OpenFile(filepath.Join(path, "LOCK"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, &DataDirError{Dir: path, Err: err}
	}
	if err := tryLock(lock); err != nil {
		refused := &DataDirError{Dir: path, Err: err}
		if errors.Is(err, ErrDataDirInUse) {
			refused.PID = readPID(lock)
		}
		return nil, errors.Join(refused, lock.Close())
	}
	if err := writePID(lock); err != nil {
		return nil, errors.Join(&DataDirError{Dir: path, Err: err}, lock.Close())
	}
	return &dataDir{path: path, lock: lock}, nil
}

// close gives the directory up. The file stays: removing it would let two
// processes lock two files of one name.
func (d *dataDir) close() error { return d.lock.Close() }

// writePID leaves the holder's id for the message to whoever is refused. It
// decides nothing.
func writePID(lock *os.File) error {
	if err := lock.Truncate(0); err != nil {
		return err
	}
	_, err := lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func readPID(lock *os.File) int {
	text, err := io.ReadAll(io.NewSectionReader(lock, 0, 32))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0 // the holder has the lock and has not yet written its id
	}
	return pid
}

// storeLimit returns the server's MaxStore: want, or what the directory holds
// plus 90 % of what is free. The server counts what it recovers against the
// limit, so a limit of the free space alone would refuse every message once the
// store is larger than the rest of the disk. It returns 0, the server's own
// default, where the free space is not known.
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
		return 0, &DataDirError{Dir: d.path, Err: err}
	}
	return max(1, used+free/10*9), nil
}

// disk opens the file system that the server stores on, which may be another
// than that of the data directory itself.
func (d *dataDir) disk(open func(string) (disk, error)) (disk, error) {
	store := filepath.Join(d.path, server.JetStreamStoreDir)
	if err := os.MkdirAll(store, 0o700); err != nil {
		return nil, err
	}
	return open(store)
}

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
