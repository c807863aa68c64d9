package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// obstacle is one thing in the way of using a file, and the facts that tell how to get past it.
type obstacle struct {
	path     string // the file or folder that is in the way
	what     hindrance
	who      userID // who cannot use it
	owner    userID
	mode     fs.FileMode
	foreign  []string // of hindranceRefused: what has to change its owner, path first
	mount    string   // of hindranceReadOnly: the mount point
	disk     disk     // of hindranceFull
	toPass   bool     // only the way to something below it is refused
	readOnly bool     // reading would do
}

type hindrance int

const (
	hindranceRefused  hindrance = iota + 1 // by owner and mode
	hindranceHidden                        // refused although owner and mode allow it
	hindranceReadOnly                      // the file system is mounted so
	hindranceFull
	hindranceMissing // the folder is
	hindranceKind    // a folder where a file should be, or the reverse
)

// userID is a user and a group by their numbers.
type userID struct {
	uid, gid int
	groups   []int
	service  bool // the user of a service that root looks after, and not of this process
}

func (u userID) String() string {
	name := ""
	if one, err := user.LookupId(strconv.Itoa(u.uid)); err == nil {
		name = one.Username + ", "
	}
	return fmt.Sprintf("%suid %d, gid %d", name, u.uid, u.gid)
}

func (u userID) in(gid int) bool {
	for _, g := range u.groups {
		if g == gid {
			return true
		}
	}
	return u.gid == gid
}

// mayByMode reports whether owner and mode let u do all of want: the bits 4 (read), 2 (write) and 1 (search).
func (u userID) mayByMode(owner userID, mode fs.FileMode, want fs.FileMode) bool {
	switch {
	case u.uid == 0:
		return true
	case u.uid == owner.uid:
		return mode>>6&want == want
	case u.in(owner.gid):
		return mode>>3&want == want
	}
	return mode&want == want
}

// Error says in one line what is in the way.
func (o *obstacle) Error() string {
	who := "outbridge runs as " + o.who.String()
	if o.who.service {
		who = "the service runs as " + o.who.String()
	}
	is := fmt.Sprintf("%s belongs to %s and has mode %04o", o.path, o.owner, o.mode.Perm())
	switch o.what {
	case hindranceRefused:
		verb := "write to it"
		switch {
		case o.toPass:
			verb = "reach what is in it"
		case o.readOnly:
			verb = "read it"
		}
		return fmt.Sprintf("%s, and %s, which cannot %s", is, who, verb)
	case hindranceHidden:
		return fmt.Sprintf("%s, and %s: that would do, but the system refuses it all the same", is, who)
	case hindranceReadOnly:
		return fmt.Sprintf("%s is on a file system that is mounted read-only (%s)", o.path, o.mount)
	case hindranceFull:
		return fmt.Sprintf("the disk of %s is full: %s", o.path, o.disk)
	case hindranceMissing:
		return fmt.Sprintf("the folder %s does not exist", o.path)
	}
	return fmt.Sprintf("%s is not what it should be: a folder where a file belongs, or the reverse", o.path)
}

// fix is what to do, with the command.
func (o *obstacle) fix() string {
	to := fmt.Sprintf("%d:%d", o.who.uid, o.who.gid)
	switch o.what {
	case hindranceRefused:
		switch {
		case o.toPass:
			return fmt.Sprintf("Let it through, `chmod o+x %s` as root, or use another folder.", quoted(o.path))
		case o.owner.uid == o.who.uid && o.mode.IsDir():
			return fmt.Sprintf("Run `chmod u+rwx %s`.", quoted(o.path))
		case o.owner.uid == o.who.uid:
			return fmt.Sprintf("Run `chmod u+rw %s`.", quoted(o.path))
		}
		return fmt.Sprintf("Give it to that user: run `chown %s %s` as root; or run outbridge as uid %d. In a container the volume has to belong to the container's user.", to, quoted(o.foreign...), o.owner.uid)
	case hindranceHidden:
		return fmt.Sprintf("Look for an access control list (`getfacl %s`), a rule of SELinux or AppArmor, or a limit of the service (ReadWritePaths= of systemd).", quoted(o.path))
	case hindranceReadOnly:
		return fmt.Sprintf("Mount it writable: `mount -o remount,rw %s` as root. In a container mount a volume there without :ro. If it has become read-only by itself, the disk has errors: see `dmesg`.", quoted(o.mount))
	case hindranceFull:
		return fmt.Sprintf("Make room: `df -h %[1]s` and `df -i %[1]s` show the disk, `du -xh --max-depth=1 %[1]s` what takes it. The database is not damaged; what was there is kept and served, and the next sync goes on.", quoted(o.path))
	case hindranceMissing:
		return fmt.Sprintf("Create it: `install -d -m 0700 -o %d -g %d %s`, or correct the path in the configuration.", o.who.uid, o.who.gid, quoted(o.path))
	}
	return "Correct the path in the configuration, or move that away."
}

// quoted is paths as a shell takes them.
func quoted(paths ...string) string {
	list := make([]string, len(paths))
	for i, p := range paths {
		if list[i] = p; strings.ContainsAny(p, " \t\n\"'\\$`!*?&;|<>(){}[]#~") {
			list[i] = "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
		}
	}
	return strings.Join(list, " ")
}

// disk is the room on a file system, in octets.
type disk struct {
	Folder string `json:"folder"`
	Free   uint64 `json:"free_bytes"` // for others than root
	Size   uint64 `json:"size_bytes"`
	// Inodes is how many more files there can be, as far as the file system counts them.
	Inodes  uint64 `json:"-"`
	counted bool
	unknown bool // a file system that does not tell its size
}

const (
	diskFull = 1 << 20  // with less, SQLite can write nothing of any size
	diskLow  = 64 << 20 // and the size of the database, which an upgrade copies
)

func (d disk) full() bool { return !d.unknown && d.Free < diskFull || d.counted && d.Inodes == 0 }

// low reports whether the disk is about to be full, beside a database of that size.
func (d disk) low(database int64) bool {
	return !d.unknown && d.Free < diskLow+uint64(max(database, 0))
}

func (d disk) String() string {
	if d.counted && d.Inodes == 0 && d.Free >= diskFull {
		return fmt.Sprintf("%s of %s are free, but no file can be added (no inodes)", mib(d.Free), mib(d.Size))
	}
	return fmt.Sprintf("%s of %s are free", mib(d.Free), mib(d.Size))
}

func mib(n uint64) string {
	if n >= 10<<30 {
		return fmt.Sprintf("%.0f GiB", float64(n)/(1<<30))
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// databaseDisk is the disk of the database, as far as the system tells.
func (c *config) databaseDisk() (disk, error) {
	if c.onServer() {
		return disk{}, errors.ErrUnsupported // the server's own
	}
	return diskOf(filepath.Dir(absolute(c.Database)))
}

// absolute is the path as a command takes it anywhere.
func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// webDisk is databaseDisk for the pages.
func (c *config) webDisk() (web.Disk, error) {
	d, err := c.databaseDisk()
	if err == nil && d.unknown {
		err = errors.ErrUnsupported
	}
	return web.Disk{Free: d.Free, Size: d.Size, Full: d.full()}, err
}

// databaseSize is how large the database is; 0 if there is none.
func (c *config) databaseSize() int64 {
	info, err := os.Stat(c.Database)
	if err != nil {
		return 0
	}
	return info.Size()
}

// keeper is the user whose the data in the folder is to be: this process's, or, if that is root, the folder's owner, as whom
// a service then runs.
func keeper(folder string) userID {
	me := ownID()
	if me.uid != 0 {
		return me
	}
	info, err := os.Stat(folder)
	if err != nil {
		return me
	}
	owner, ok := ownerOf(info)
	if !ok || owner.uid == 0 {
		return me
	}
	owner.service, owner.groups = true, []int{owner.gid}
	if u, err := user.LookupId(strconv.Itoa(owner.uid)); err == nil {
		if gid, err := strconv.Atoi(u.Gid); err == nil {
			owner.gid = gid
		}
		if ids, err := u.GroupIds(); err == nil {
			for _, id := range ids {
				if gid, err := strconv.Atoi(id); err == nil {
					owner.groups = append(owner.groups, gid)
				}
			}
		}
	}
	return owner
}

// inTheWay finds what keeps the database's folder and files from being written; nil if nothing does. It changes nothing.
func (c *config) inTheWay() []*obstacle {
	if c.onServer() {
		return nil
	}
	database, feeds := absolute(c.Database), absolute(c.feedCache())
	folder := filepath.Dir(database)
	who := keeper(folder)
	if o := reach(folder, who); o != nil {
		return []*obstacle{o}
	}
	info, err := os.Stat(folder)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return []*obstacle{{path: folder, what: hindranceMissing, who: who}}
	case err != nil:
		return nil
	case !info.IsDir():
		return []*obstacle{{path: folder, what: hindranceKind, who: who}}
	}
	var list []*obstacle
	var first *obstacle // the one that names all that belongs to somebody else
	for _, path := range []string{folder, database, database + "-wal", database + "-shm", database + ".lock", feeds} {
		o := check(path, who, path == folder || path == feeds)
		switch {
		case o == nil:
		case o.what == hindranceReadOnly:
			return []*obstacle{o} // for all of them
		case first != nil && len(o.foreign) > 0:
			first.foreign = append(first.foreign, o.path)
		default:
			if list = append(list, o); len(o.foreign) > 0 {
				first = o
			}
		}
	}
	if d, err := diskOf(folder); err == nil && d.full() {
		list = append(list, &obstacle{path: folder, what: hindranceFull, who: who, disk: d})
	}
	return list
}

// reach finds the first folder on the way to the path that who may not pass.
func reach(path string, who userID) *obstacle {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil
	}
	var way []string
	for dir := filepath.Dir(abs); ; dir = filepath.Dir(dir) {
		way = append(way, dir)
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for i := len(way) - 1; i >= 0; i-- {
		info, err := os.Stat(way[i])
		if err != nil {
			return nil
		}
		owner, ok := ownerOf(info)
		if !ok {
			return nil
		}
		if !may(way[i], info, who, owner, 1) {
			return &obstacle{path: way[i], what: hindranceRefused, who: who, owner: owner, mode: info.Mode(), toPass: true}
		}
	}
	return nil
}

// check finds what keeps who from reading and writing what is at the path; a path that does not exist is no obstacle.
func check(path string, who userID, isFolder bool) *obstacle {
	info, err := os.Stat(path)
	if err != nil {
		return nil
	}
	if info.IsDir() != isFolder {
		return &obstacle{path: path, what: hindranceKind, who: who}
	}
	owner, ok := ownerOf(info)
	if !ok {
		return nil
	}
	if onReadOnly(path) {
		return &obstacle{path: path, what: hindranceReadOnly, who: who, owner: owner, mode: info.Mode(), mount: mountPoint(path)}
	}
	want := fs.FileMode(6)
	if isFolder {
		want = 7
	}
	if may(path, info, who, owner, want) {
		return nil
	}
	o := &obstacle{path: path, what: hindranceRefused, who: who, owner: owner, mode: info.Mode()}
	switch {
	case who.mayByMode(owner, info.Mode(), want):
		o.what = hindranceHidden
	case owner.uid != who.uid:
		o.foreign = []string{path}
	}
	return o
}

// may reports whether who may do all of want with what is at the path. For this process the system itself is asked, which knows
// access control lists; a list that others have is not read, and taken to allow it.
func may(path string, info fs.FileInfo, who, owner userID, want fs.FileMode) bool {
	if !who.service {
		return permitted(path, uint32(want))
	}
	return who.mayByMode(owner, info.Mode(), want) || hasACL(path)
}

// tryToWrite writes a file of some size into the folder and removes it: only that finds quotas, and what no mode shows.
func tryToWrite(folder string, who userID) *obstacle {
	f, err := os.CreateTemp(folder, ".outbridge-doctor-*")
	if err == nil {
		_, err = f.Write(make([]byte, 128<<10))
		err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	}
	if err == nil {
		return nil
	}
	o := obstacleOf(err)
	if o != nil {
		o.path, o.who = folder, who
	}
	return o
}

// obstacleOf is the obstacle that an error of the file system is about; nil if it is about something else.
func obstacleOf(err error) *obstacle {
	var o *obstacle
	if errors.As(err, &o) {
		return o
	}
	path := ""
	var one *fs.PathError
	var two *os.LinkError
	switch {
	case errors.As(err, &one):
		path = one.Path
	case errors.As(err, &two):
		path = two.New
	default:
		return nil
	}
	me := ownID()
	path = absolute(path)
	folder := path
	if info, statErr := os.Stat(path); statErr != nil || !info.IsDir() {
		folder = filepath.Dir(path)
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		d, _ := diskOf(folder)
		return &obstacle{path: folder, what: hindranceFull, who: me, disk: d}
	case errors.Is(err, syscall.EROFS):
		return &obstacle{path: path, what: hindranceReadOnly, who: me, mount: mountPoint(folder)}
	case !errors.Is(err, fs.ErrPermission):
		return nil
	}
	if o := reach(path, me); o != nil {
		return o
	}
	at := path
	info, statErr := os.Stat(path)
	if statErr != nil { // it was to be made
		at = folder
		if info, statErr = os.Stat(folder); statErr != nil {
			return nil
		}
	}
	owner, ok := ownerOf(info)
	if !ok {
		return nil
	}
	want := fs.FileMode(4) // secrets and the configuration are only read
	if info.IsDir() {
		want = 7
	}
	o = &obstacle{path: at, what: hindranceRefused, who: me, owner: owner, mode: info.Mode(), readOnly: !info.IsDir()}
	switch {
	case me.mayByMode(owner, info.Mode(), want):
		o.what = hindranceHidden
	case owner.uid != me.uid:
		o.foreign = []string{at}
	}
	return o
}

// explained is err, of opening the database, with what is in the way of it.
func (c *config) explained(err error) error {
	var file *sqlstore.FileError
	if err == nil || obstacleOf(err) == nil && !errors.As(err, &file) {
		return err
	}
	if file != nil && (file.Trouble == sqlstore.Damaged || file.Trouble == sqlstore.Foreign || file.Trouble == sqlstore.Newer) {
		return err
	}
	if list := c.inTheWay(); len(list) > 0 {
		return fmt.Errorf("%w: %w", err, list[0])
	}
	return err
}
