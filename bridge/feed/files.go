package feed

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"outbridge/bridge"
)

// Coding is a content coding (RFC 9110 §8.4.1) that renderings are kept in.
type Coding string

// The codings, by their names in HTTP.
const (
	Identity Coding = ""
	Gzip     Coding = "gzip"
	Zstd     Coding = "zstd"
)

var extensions = map[Coding]string{Identity: "", Gzip: ".gz", Zstd: ".zst"}

// SweepEvery is how often Run sweeps: the longest that a file of a feed stays behind that somebody else has ended.
const SweepEvery = time.Minute

// Files keeps the last rendering of each feed in files, one for each coding, so that serving is copying a file. The
// files' time is the rendering's Last-Modified. A file's name says which feed it is of and all that the feed's row holds
// (owner), and which state of its calendars (Rendering.Tag). The methods may be called concurrently, also by several
// processes with one folder.
type Files struct {
	Dir   string // made when missing; it may be deleted at any time
	Store Store
	Now   func() time.Time    // nil: time.Now
	Took  func(time.Duration) // is told how long each rendering took; nil: nobody looks
	Log   *slog.Logger        // nil: slog.Default

	mu     sync.Mutex
	making map[bridge.FeedID]*sync.Mutex

	rendering chan struct{} // one for each rendering that is being made
}

// maxRenderings are made at once, each with the state of two compressors.
const maxRenderings = 2

func (f *Files) now() time.Time {
	if f.Now != nil {
		return f.Now()
	}
	return time.Now()
}

// owner begins the name of every file of a feed as it is. Another address and every change make it another one, so that no
// file from before is ever found, and a sweep knows it.
func owner(feed bridge.Feed) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %q %v %s %+v %d", feed.Salt, feed.Name, feed.Calendars, feed.Detail, feed.Options, feed.Changed.Unix()))
	return fmt.Sprintf("%d-%s-", feed.ID, hex.EncodeToString(sum[:8]))
}

func (f *Files) path(r Rendering, as Coding) string {
	return filepath.Join(f.Dir, r.owner+r.Tag+".ics"+extensions[as])
}

// Modified is when r came to be what it is, in whole seconds, and whether it is made; where it is not, the time may rise.
func (f *Files) Modified(r Rendering) (at time.Time, made bool) {
	info, err := os.Stat(f.path(r, Identity))
	if err != nil {
		return r.modified, false
	}
	return info.ModTime().Truncate(time.Second), true
}

// errPublished: something was published while a rendering was made, so it may hold half of it.
var errPublished = errors.New("the calendars have changed meanwhile")

// Open opens the file of a rendering, made now where it is missing. What it returns is a later rendering than r where the
// calendars, or the feed, have changed meanwhile; the errors are those of Files.Rendering and ErrGone.
func (f *Files) Open(ctx context.Context, r Rendering, as Coding) (*os.File, Rendering, error) {
	file, err := f.open(ctx, r, as)
	for again := 0; errors.Is(err, errPublished) && again < 3; again++ {
		if r, err = f.present(ctx, r.feed); err == nil {
			file, err = f.open(ctx, r, as)
		}
	}
	return file, r, err
}

// open renders a feed once at a time, however many ask.
func (f *Files) open(ctx context.Context, r Rendering, as Coding) (*os.File, error) {
	if file, err := os.Open(f.path(r, as)); err == nil {
		return file, nil
	}
	f.mu.Lock()
	if f.making == nil {
		f.making, f.rendering = map[bridge.FeedID]*sync.Mutex{}, make(chan struct{}, maxRenderings)
	}
	if f.making[r.feed.ID] == nil {
		f.making[r.feed.ID] = new(sync.Mutex)
	}
	one := f.making[r.feed.ID]
	f.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	if file, err := os.Open(f.path(r, as)); err == nil {
		return file, nil
	}
	select {
	case f.rendering <- struct{}{}:
		defer func() { <-f.rendering }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	begin := time.Now()
	if err := f.render(ctx, r); err != nil {
		return nil, fmt.Errorf("render feed: %w", err)
	}
	if f.Took != nil {
		f.Took(time.Since(begin))
	}
	file, err := os.Open(f.path(r, as))
	if errors.Is(err, fs.ErrNotExist) {
		err = errPublished // a sweep has come between: the feed is another by now
	}
	return file, err
}

// render writes the files of r and removes those of the feed's earlier renderings.
func (f *Files) render(ctx context.Context, r Rendering) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	files := map[Coding]*os.File{}
	for as := range extensions {
		file, err := os.CreateTemp(f.Dir, making+"*")
		if err != nil {
			return err
		}
		defer os.Remove(file.Name())
		defer file.Close()
		files[as] = file
	}
	if err := f.write(ctx, r, files); err != nil {
		return err
	}
	// What is read after the writing tells whether the writing saw one state.
	if now, err := f.present(ctx, r.feed); err != nil {
		return err
	} else if now.Tag != r.Tag {
		return errPublished
	}
	old, err := filepath.Glob(filepath.Join(f.Dir, fmt.Sprintf("%d-*.ics*", r.feed.ID)))
	if err != nil {
		return err
	}
	modified := f.after(old, r.modified)
	for as, file := range files {
		if err := errors.Join(file.Close(), os.Chtimes(file.Name(), modified, modified), os.Rename(file.Name(), f.path(r, as))); err != nil {
			return err
		}
	}
	for _, path := range old {
		if !strings.HasPrefix(path, f.path(r, Identity)) {
			_ = os.Remove(path)
		}
	}
	return nil
}

// write renders r once, into all codings.
func (f *Files) write(ctx context.Context, r Rendering, files map[Coding]*os.File) error {
	zip := gzip.NewWriter(files[Gzip])
	// One goroutine and a window of a megabyte, so that many renderings at once stay small.
	zst, err := zstd.NewWriter(files[Zstd], zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	err = writeFeed(io.MultiWriter(files[Identity], zip, zst), r.info, func() iter.Seq2[[]byte, error] { return r.objects(ctx, f.Store) })
	return errors.Join(err, zip.Close(), zst.Close())
}

// after is the time of a rendering that comes after the old files of its feed: readers may know their time, and this one
// is later. Without old files it is modified.
func (f *Files) after(old []string, modified time.Time) time.Time {
	for _, path := range old {
		modified = latest(modified, f.now().Truncate(time.Second))
		if info, err := os.Stat(path); err == nil {
			modified = latest(modified, info.ModTime().Truncate(time.Second).Add(time.Second))
		}
	}
	return modified
}

// making begins the name of a file that is being written.
const making = "making-"

// Sweep deletes every file that is of no feed as it is now, and what a crash has left half written. Whoever removes, rotates or
// changes a feed calls it afterwards.
func (f *Files) Sweep(ctx context.Context) error {
	// In this order: a file that is there before the feeds are read is of one of them, or of one that is no more.
	entries, err := os.ReadDir(f.Dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep feeds: %w", err)
	}
	feeds, err := f.Store.Feeds(ctx, "")
	if err != nil {
		return fmt.Errorf("sweep feeds: %w", err)
	}
	living := map[string]bool{}
	for _, feed := range feeds {
		living[owner(feed)] = true
	}
	for _, e := range entries {
		if dead(e, living) {
			if e := os.Remove(filepath.Join(f.Dir, e.Name())); e != nil && !errors.Is(e, fs.ErrNotExist) {
				err = errors.Join(err, e)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("sweep feeds: %w", err)
	}
	return nil
}

// dead is whether a file is one of ours and of no use. Whatever else lies in the folder is somebody else's.
func dead(e fs.DirEntry, living map[string]bool) bool {
	if strings.HasPrefix(e.Name(), making) {
		info, err := e.Info()
		return err == nil && time.Since(info.ModTime()) > time.Hour // a rendering takes seconds
	}
	name, _, ours := strings.Cut(e.Name(), ".ics")
	id, _, named := strings.Cut(name, "-")
	_, err := strconv.ParseInt(id, 10, 64)
	return ours && named && err == nil && !living[name[:strings.LastIndex(name, "-")+1]]
}

// Run sweeps at once and every SweepEvery, until ctx ends: of feeds that other processes have ended, that went with their
// account, or that were ended in the moment in which they were rendered.
func (f *Files) Run(ctx context.Context) error {
	tick := time.NewTicker(SweepEvery)
	defer tick.Stop()
	for {
		if err := f.Sweep(ctx); err != nil && ctx.Err() == nil {
			f.log().Warn("files of feeds that are gone stay for now", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (f *Files) log() *slog.Logger {
	if f.Log != nil {
		return f.Log
	}
	return slog.Default()
}
