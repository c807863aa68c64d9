package main

import "golang.org/x/sys/unix"

// diskOf is the room on the disk of a folder.
func diskOf(folder string) (disk, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return disk{}, err
	}
	unit := uint64(max(s.Frsize, 1))
	return disk{Folder: folder, Free: s.Bavail * unit, Size: s.Blocks * unit, Inodes: s.Ffree, counted: s.Files > 0, unknown: s.Blocks == 0}, nil
}

// hasACL reports whether a file has an access control list beside its mode.
func hasACL(path string) bool {
	n, err := unix.Getxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}
