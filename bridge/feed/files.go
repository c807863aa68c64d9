package feed

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
// (owner), which state of its calendars, and which octets (Rendering.Tag). Where no file can be written, a feed is
// rendered whenever its calendars or the feed change, to know its tag, and for every reader who needs its octets. The
// methods may be called concurrently, also by several processes with one folder.
type Files struct {
	Dir   string // made when missing; it may be deleted at any time
	Store Store
	Now   func() time.Time    // nil: time.Now
	Took  func(time.Duration) // is told how long each rendering took; nil: nobody looks
	Log   *slog.Logger        // nil: slog.Default

	mu     sync.Mutex
	making map[bridge.FeedID]*sync.Mutex
	made   map[bridge.FeedID]made
	broken bool          // no file could be written the last time
	turns  chan struct{} // one for each rendering that is being made
}

// made is what is known of the last rendering of a feed.
type made struct {
	owner, state, tag string
	modified          time.Time
	streamed          bool   // there is no file
	stamps            stamps // where it is streamed
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
	return filepath.Join(f.Dir, r.owner+r.state+r.Tag+".ics"+extensions[as])
}

// errPublished: something was published while a rendering was made, so it may hold half of it.
var errPublished = errors.New("the calendars have changed meanwhile")

// Rendering is what the feed is now. Where it is another than before, or it is not known what it was, it is rendered. The
// errors are ErrNoCalendars, ErrNotReady, ErrGone and those of the Store.
func (f *Files) Rendering(ctx context.Context, feed bridge.Feed) (Rendering, error) {
	r, err := f.rendering(ctx, feed)
	if err != nil || f.find(&r) {
		return r, err
	}
	return f.make(ctx, r)
}

// Content is the octets of a rendering in a coding. The caller closes it.
type Content struct {
	Rendering
	File *os.File // nil: Stream writes them

	files *Files
	as    Coding
}

// Close closes the file.
func (c *Content) Close() error {
	if c.File == nil {
		return nil
	}
	return c.File.Close()
}

// Stream renders the feed to w, where it has no file. After an error w has got something else than the Rendering.
func (c *Content) Stream(ctx context.Context, w io.Writer) error {
	sum := sha256.New()
	if err := c.files.write(ctx, c.Rendering, map[Coding]io.Writer{c.as: w}, sum); err != nil {
		return fmt.Errorf("render feed: %w", err)
	}
	if tagOf(sum) != c.Tag {
		return errPublished
	}
	return nil
}

// Open opens what Rendering has found, in a coding. What it returns is of a later rendering than r where the calendars, or
// the feed, have changed meanwhile; the errors are those of Files.Rendering.
func (f *Files) Open(ctx context.Context, r Rendering, as Coding) (*Content, error) {
	for again := 0; ; again++ {
		f.mu.Lock()
		streamed := f.made[r.feed.ID].streamed && f.made[r.feed.ID].tag == r.Tag
		f.mu.Unlock()
		if streamed {
			return &Content{Rendering: r, files: f, as: as}, nil
		}
		file, err := os.Open(f.path(r, as))
		if err == nil {
			return &Content{Rendering: r, File: file}, nil
		}
		if again == 3 {
			return nil, err
		}
		// It was deleted, or there is a later one.
		f.mu.Lock()
		delete(f.made, r.feed.ID)
		f.mu.Unlock()
		if r, err = f.present(ctx, r.feed); err == nil {
			r, err = f.make(ctx, r)
		}
		if err != nil {
			return nil, err
		}
	}
}

// find completes r where it is made.
func (f *Files) find(r *Rendering) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.made[r.feed.ID]
	if m.state != r.state {
		paths, _ := filepath.Glob(filepath.Join(f.Dir, r.owner+r.state+"*.ics"))
		if len(paths) != 1 {
			return false
		}
		m = made{owner: r.owner, state: r.state, tag: tagIn(paths[0])}
		for _, extension := range extensions {
			info, err := os.Stat(paths[0] + extension)
			if err != nil {
				return false
			}
			m.modified = info.ModTime().Truncate(time.Second)
		}
		f.keep(r.feed.ID, m)
	}
	r.Tag, r.Modified, r.stamps = m.tag, m.modified, m.stamps
	return true
}

// keep needs f.mu.
func (f *Files) keep(id bridge.FeedID, m made) {
	if f.made == nil {
		f.made = map[bridge.FeedID]made{}
	}
	f.made[id] = m
}

// tagIn is the tag in the name of an uncompressed file.
func tagIn(path string) string {
	name := strings.TrimSuffix(filepath.Base(path), ".ics")
	return name[max(0, len(name)-tagSize):]
}

const tagSize = 32 // hex digits

func tagOf(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil))[:tagSize] }

// make renders a feed once at a time, however many ask, and again where something was published in between.
func (f *Files) make(ctx context.Context, r Rendering) (Rendering, error) {
	f.mu.Lock()
	if f.making == nil {
		f.making, f.turns = map[bridge.FeedID]*sync.Mutex{}, make(chan struct{}, maxRenderings)
	}
	if f.making[r.feed.ID] == nil {
		f.making[r.feed.ID] = new(sync.Mutex)
	}
	one := f.making[r.feed.ID]
	f.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	if f.find(&r) {
		return r, nil
	}
	select {
	case f.turns <- struct{}{}:
		defer func() { <-f.turns }()
	case <-ctx.Done():
		return r, ctx.Err()
	}
	begin := time.Now()
	err := f.render(ctx, &r)
	for again := 0; errors.Is(err, errPublished) && again < 3; again++ {
		if r, err = f.present(ctx, r.feed); err == nil {
			err = f.render(ctx, &r)
		}
	}
	if errors.Is(err, ErrGone) || errors.Is(err, ErrNoCalendars) || errors.Is(err, ErrNotReady) {
		return r, err
	}
	if err != nil {
		return r, fmt.Errorf("render feed: %w", err)
	}
	if f.Took != nil {
		f.Took(time.Since(begin))
	}
	return r, nil
}

// unwritable is an error of the files, after which a feed is streamed.
type unwritable struct{ error }

func (u unwritable) Unwrap() error { return u.error }

type fileWriter struct{ *os.File }

func (w fileWriter) Write(b []byte) (int, error) {
	n, err := w.File.Write(b)
	if err != nil {
		err = unwritable{err}
	}
	return n, err
}

// render completes r: it writes its files and removes those of the feed's earlier renderings, or finds out the tag alone
// where no files can be written.
func (f *Files) render(ctx context.Context, r *Rendering) error {
	old, err := filepath.Glob(filepath.Join(f.Dir, fmt.Sprintf("%d-*.ics*", r.feed.ID)))
	if err != nil {
		return err
	}
	f.mu.Lock()
	last := f.made[r.feed.ID]
	f.mu.Unlock()
	var former string // file of the rendering before this one
	for _, path := range old {
		if strings.HasPrefix(filepath.Base(path), r.owner) && strings.HasSuffix(path, ".ics") {
			former = path
		}
	}
	modified := f.after(old, last, r.modified)
	if last.owner != r.owner {
		last = made{}
	}
	if !last.streamed && former != "" {
		last = made{tag: tagIn(former), modified: modified}
		if info, err := os.Stat(former); err == nil {
			last.modified = info.ModTime().Truncate(time.Second)
		}
		if r.reduces() {
			last.stamps = readStamps(former)
		}
	}
	r.stamps = last.stamps
	at := func(tag string) time.Time {
		if tag == last.tag {
			return last.modified
		}
		return modified
	}
	err = f.renderFiles(ctx, r, at)
	f.writable(err)
	now := made{owner: r.owner, state: r.state}
	switch {
	case errors.As(err, new(unwritable)):
		sum, all := sha256.New(), &stampCollector{all: stamps{}}
		to := map[Coding]io.Writer{}
		if r.reduces() {
			to[Identity], now.stamps = all, all.all
		}
		if err := f.write(ctx, *r, to, sum); err != nil {
			return err
		}
		if err := f.still(ctx, *r); err != nil {
			return err
		}
		now.streamed, r.Tag = true, tagOf(sum)
		r.Modified = at(r.Tag)
	case err != nil:
		return err
	default:
		for _, path := range old {
			if !strings.HasPrefix(path, f.path(*r, Identity)) {
				_ = os.Remove(path)
			}
		}
	}
	now.tag, now.modified = r.Tag, r.Modified
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keep(r.feed.ID, now)
	return nil
}

// writable logs that files can, or cannot, be written any more.
func (f *Files) writable(err error) {
	broken := errors.As(err, new(unwritable))
	f.mu.Lock()
	changed := broken != f.broken && (err == nil || broken)
	if changed {
		f.broken = broken
	}
	f.mu.Unlock()
	switch {
	case changed && broken:
		f.log().Error("files of feeds cannot be written, so feeds are made again for every reader", "err", err)
	case changed:
		f.log().Info("files of feeds can be written again")
	}
}

// renderFiles writes the files of r. modified is asked for their time.
func (f *Files) renderFiles(ctx context.Context, r *Rendering, modified func(tag string) time.Time) error {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return unwritable{err}
	}
	files, writers := map[Coding]*os.File{}, map[Coding]io.Writer{}
	for as := range extensions {
		file, err := os.CreateTemp(f.Dir, making+"*")
		if err != nil {
			return unwritable{err}
		}
		defer os.Remove(file.Name())
		defer file.Close()
		files[as], writers[as] = file, fileWriter{file}
	}
	sum := sha256.New()
	if err := f.write(ctx, *r, writers, sum); err != nil {
		return err
	}
	if err := f.still(ctx, *r); err != nil {
		return err
	}
	tag := tagOf(sum)
	r.Tag, r.Modified = tag, modified(tag)
	for as, file := range files {
		if err := errors.Join(file.Close(), os.Chtimes(file.Name(), r.Modified, r.Modified), os.Rename(file.Name(), f.path(*r, as))); err != nil {
			return unwritable{err}
		}
	}
	return nil
}

// still is errPublished where the feed is another than r by now: what is read after the writing tells whether the writing
// saw one state.
func (f *Files) still(ctx context.Context, r Rendering) error {
	now, err := f.present(ctx, r.feed)
	if err == nil && now.state != r.state {
		err = errPublished
	}
	return err
}

// write renders r once, into the codings that are asked for and into identity, without a coding.
func (f *Files) write(ctx context.Context, r Rendering, to map[Coding]io.Writer, identity io.Writer) error {
	all := []io.Writer{identity}
	var packers []io.Closer
	if w := to[Identity]; w != nil {
		all = append(all, w)
	}
	if w := to[Gzip]; w != nil {
		zip := gzip.NewWriter(w)
		all, packers = append(all, zip), append(packers, zip)
	}
	if w := to[Zstd]; w != nil {
		// One goroutine and a window of a megabyte, so that many renderings at once stay small.
		zst, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
		if err != nil {
			return err
		}
		all, packers = append(all, zst), append(packers, zst)
	}
	err := writeFeed(io.MultiWriter(all...), r.info, func() iter.Seq2[[]byte, error] { return r.objects(ctx, f.Store) })
	for _, p := range packers {
		err = errors.Join(err, p.Close())
	}
	return err
}

// after is the time of a rendering that comes after the old files of its feed, or after the last one that was streamed:
// readers may know their time, and this one is later. Without any it is modified.
func (f *Files) after(old []string, last made, modified time.Time) time.Time {
	later := func(than time.Time) {
		modified = latest(modified, latest(f.now().Truncate(time.Second), than.Truncate(time.Second).Add(time.Second)))
	}
	for _, path := range old {
		if info, err := os.Stat(path); err == nil {
			later(info.ModTime())
		}
	}
	if !last.modified.IsZero() {
		later(last.modified)
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
	living := f.forget(feeds)
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

// forget forgets renderings of feeds that are gone, and returns the owners of those that are not.
func (f *Files) forget(feeds []bridge.Feed) (living map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	living, ids := map[string]bool{}, map[bridge.FeedID]bool{}
	for _, feed := range feeds {
		living[owner(feed)], ids[feed.ID] = true, true
	}
	for id := range f.made {
		if !ids[id] {
			delete(f.made, id)
		}
	}
	return living
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
