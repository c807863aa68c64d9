//go:build unix

package sqlstore

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// handedOverIn are folders that a container's engine makes for one container alone, and mounts its secrets into, with mode 0444
// unless told otherwise: nobody else sees them.
var handedOverIn = []string{"/run/secrets", "/var/run/secrets"}

// exposed reports, by an error, that others may read the key file. A group of this process may read it: that is how Kubernetes
// (fsGroup) and Docker hand over secrets. systemd lets a service's user read a credential by an access control list, whose mask
// shows as the group's bits; no group has them (systemd.exec(5), "Credentials").
func exposed(path string, info fs.FileInfo) error {
	mode := info.Mode().Perm()
	dir := filepath.Dir(path)
	stat, known := info.Sys().(*syscall.Stat_t)
	switch credentials := os.Getenv("CREDENTIALS_DIRECTORY"); {
	case known && stat.Uid == 0 && slices.Contains(handedOverIn, dir):
		return nil
	case mode&0o007 != 0:
		return fmt.Errorf("key file %s may be read by others (mode %04o): run chmod 600 %s, or 640 with a group of outbridge's own", path, mode, path)
	case mode&0o070 == 0, credentials != "" && dir == filepath.Clean(credentials) && mode&0o030 == 0:
		return nil
	case !known || !ourGroup(int(stat.Gid)):
		return fmt.Errorf("key file %s may be read by others (mode %04o, group %d, which outbridge is not in): run chmod 600 %s", path, mode, stat.Gid, path)
	case mode&0o030 != 0:
		return fmt.Errorf("key file %s may be changed by others (mode %04o, group %d): run chmod 640 %s", path, mode, stat.Gid, path)
	}
	return nil
}

func ourGroup(gid int) bool {
	groups, _ := os.Getgroups()
	return gid == os.Getegid() || slices.Contains(groups, gid)
}
