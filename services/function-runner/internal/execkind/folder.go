package execkind

import (
	"io/fs"
	"os"
	"path/filepath"
)

const folderMode = 0o700

// newFolder makes a fresh folder that only this user can look into, whatever the umask is.
func newFolder() (string, error) {
	folder, err := os.MkdirTemp("", "breaker-exec-")
	if err != nil {
		return "", err
	}
	if err := os.Chmod(folder, folderMode); err != nil {
		return "", err
	}
	return folder, nil
}

// removeFolder removes it with all that is in it, and no link is followed. What cannot be
// removed stays: the work is done, and its result counts.
func removeFolder(folder string) {
	if os.RemoveAll(folder) == nil {
		return
	}
	// Nobody but root removes what lies in folders that are closed or read-only.
	_ = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			_ = os.Chmod(path, folderMode)
		}
		return nil
	})
	_ = os.RemoveAll(folder)
}
