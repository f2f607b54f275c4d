//go:build unix

package fleet

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrInUse says that another process runs on the data folder.
var ErrInUse = errors.New("the data folder is in use")

// folderLock keeps a data folder for one process.
type folderLock struct{ file *os.File }

// lockFolder takes the folder, making it if needed. It fails with ErrInUse and the other's
// process id when it is taken.
func lockFolder(dir string) (*folderLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the data folder's lock: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer file.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock the data folder %s: %w", dir, err)
		}
		return nil, fmt.Errorf("%w: %s is held by %s; stop that process, or choose another folder with --dir", ErrInUse, dir, holder(file))
	}
	// The file stays when the process ends; what it says counts only while it is locked.
	err = file.Truncate(0)
	if err == nil {
		_, err = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("write the data folder's lock: %w", err), file.Close())
	}
	return &folderLock{file}, nil
}

func holder(file *os.File) string {
	raw, err := io.ReadAll(io.LimitReader(file, 32))
	pid := strings.TrimSpace(string(raw))
	if err != nil || pid == "" {
		return "another process"
	}
	return "process " + pid
}

// release gives the folder back.
func (l *folderLock) release() error { return l.file.Close() }
