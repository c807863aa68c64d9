package sqlstore

import "syscall"

// room is how many octets of a folder's disk are free for this process.
func room(folder string) (octets int64, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(folder, &s); err != nil || s.Blocks == 0 {
		return 0, false
	}
	return int64(s.Bavail * uint64(max(s.Frsize, 1))), true
}
