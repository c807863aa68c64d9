//go:build unix

package sqlstore

import (
	"os"
	"path/filepath"
	"syscall"
)

// OwnLikeFolder gives a file that root has made to the owner of its folder: a command that root runs beside a service
// must leave nothing behind that the service's user cannot open. For anybody else it does nothing.
func OwnLikeFolder(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	folder, ok := info.Sys().(*syscall.Stat_t)
	if !ok || folder.Uid == 0 {
		return nil
	}
	return os.Lchown(path, int(folder.Uid), int(folder.Gid))
}
