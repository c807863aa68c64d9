//go:build unix

package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownID is who this process is.
func ownID() userID {
	groups, _ := os.Getgroups()
	return userID{uid: os.Geteuid(), gid: os.Getegid(), groups: groups}
}

// ownerOf is whose a file is.
func ownerOf(info fs.FileInfo) (userID, bool) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return userID{}, false
	}
	return userID{uid: int(stat.Uid), gid: int(stat.Gid)}, true
}

// permitted reports whether this process may do all of want (4, 2 and 1, as in a mode).
func permitted(path string, want uint32) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, want, unix.AT_EACCESS) == nil
}

// onReadOnly reports whether the file system of the path is mounted read-only.
func onReadOnly(path string) bool {
	return unix.Faccessat(unix.AT_FDCWD, path, unix.W_OK, unix.AT_EACCESS) == unix.EROFS
}

// mountPoint is the topmost folder of the file system that the path is on.
func mountPoint(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	device := func(path string) (uint64, bool) {
		info, err := os.Stat(path)
		if err != nil {
			return 0, false
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(stat.Dev), true
	}
	here, ok := device(abs)
	for ok && abs != filepath.Dir(abs) {
		above, known := device(filepath.Dir(abs))
		if !known || above != here {
			break
		}
		abs = filepath.Dir(abs)
	}
	return abs
}
