package web

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// coding is a content coding (RFC 9110 §8.4.1) that renderings are kept in; "" is identity.
type coding string

const (
	identity  coding = ""
	gzipped   coding = "gzip"
	zstandard coding = "zstd"
)

var extensions = map[coding]string{identity: "", gzipped: ".gz", zstandard: ".zst"}

// feedCache keeps the last rendering of each feed in files, one for each coding, so that serving is copying a file. The
// files' time is the rendering's Last-Modified.
type feedCache struct {
	dir   string
	store Store
	// present is the source as it is by now; errGone where the feed is removed or has another address.
	present func(context.Context, bridge.Feed) (feedSource, error)
	clock   func() time.Time
	took    func(time.Duration) // is told how long each rendering took; nil: nobody looks

	mu     sync.Mutex
	making map[bridge.FeedID]*sync.Mutex
	swept  sync.Once
}

func (c *feedCache) path(src feedSource, as coding) string {
	return filepath.Join(c.dir, fmt.Sprintf("%d-%s.ics%s", src.feed.ID, src.tag, extensions[as]))
}

// rendered is when the rendering of src came to be what it is; ok is whether there is one.
func (c *feedCache) rendered(src feedSource) (at time.Time, ok bool) {
	info, err := os.Stat(c.path(src, identity))
	if err != nil {
		return src.modified, false
	}
	return info.ModTime().Truncate(time.Second), true
}

// open opens the rendering, made now where it is missing. A feed is rendered once at a time.
func (c *feedCache) open(ctx context.Context, src feedSource, as coding) (*os.File, error) {
	if f, err := os.Open(c.path(src, as)); err == nil {
		return f, nil
	}
	c.mu.Lock()
	if c.making == nil {
		c.making = map[bridge.FeedID]*sync.Mutex{}
	}
	if c.making[src.feed.ID] == nil {
		c.making[src.feed.ID] = new(sync.Mutex)
	}
	one := c.making[src.feed.ID]
	c.mu.Unlock()
	one.Lock()
	defer one.Unlock()
	if f, err := os.Open(c.path(src, as)); err == nil {
		return f, nil
	}
	begin := time.Now()
	if err := c.render(ctx, src); err != nil {
		return nil, fmt.Errorf("render feed: %w", err)
	}
	if c.took != nil {
		c.took(time.Since(begin))
	}
	return os.Open(c.path(src, as))
}

// errPublished: something was published while a rendering was made, so it may hold half of it.
var errPublished = errors.New("the calendars have changed meanwhile")

// errGone: the feed was removed, or got another address, since it was asked for.
var errGone = errors.New("the feed is gone")

func (c *feedCache) render(ctx context.Context, src feedSource) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	c.swept.Do(func() { c.sweep(ctx) })
	files := map[coding]*os.File{}
	for as := range extensions {
		f, err := os.CreateTemp(c.dir, "making-*")
		if err != nil {
			return err
		}
		defer os.Remove(f.Name())
		defer f.Close()
		files[as] = f
	}
	zip := gzip.NewWriter(files[gzipped])
	// One goroutine and a window of a megabyte, so that many renderings at once stay small.
	zst, err := zstd.NewWriter(files[zstandard], zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return err
	}
	err = convert.WriteFeed(io.MultiWriter(files[identity], zip, zst), src.info, func() iter.Seq2[[]byte, error] { return c.objects(ctx, src) })
	if err := errors.Join(err, zip.Close(), zst.Close()); err != nil {
		return err
	}
	if now, err := c.present(ctx, src.feed); err != nil {
		return err
	} else if now.tag != src.tag {
		return errPublished
	}

	old, err := c.files(src.feed.ID)
	if err != nil {
		return err
	}
	modified := src.modified
	for _, path := range old {
		// Where there was another rendering, readers may know its time, and this one is later.
		modified = latest(modified, c.clock().Truncate(time.Second))
		if info, err := os.Stat(path); err == nil {
			modified = latest(modified, info.ModTime().Truncate(time.Second).Add(time.Second))
		}
	}
	for as, f := range files {
		if err := errors.Join(f.Close(), os.Chtimes(f.Name(), modified, modified), os.Rename(f.Name(), c.path(src, as))); err != nil {
			return err
		}
	}
	for _, path := range old {
		if !strings.HasPrefix(path, c.path(src, identity)) {
			_ = os.Remove(path)
		}
	}
	return nil
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func (c *feedCache) files(id bridge.FeedID) ([]string, error) {
	return filepath.Glob(filepath.Join(c.dir, fmt.Sprintf("%d-*.ics*", id)))
}

// ForgetFeed deletes what the folder of rendered feeds, a Handler's CacheDir, keeps of a feed. It is for a feed that was
// removed or has got a new address.
func ForgetFeed(dir string, id bridge.FeedID) error {
	list, err := (&feedCache{dir: dir}).files(id)
	for _, path := range list {
		if e := os.Remove(path); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	if err != nil {
		return fmt.Errorf("forget feed: %w", err)
	}
	return nil
}

// forgetting is a store whose feeds leave nothing behind in the folder of rendered ones.
type forgetting struct {
	Store
	dir string
}

func (s forgetting) RotateFeed(ctx context.Context, user string, id bridge.FeedID) (string, error) {
	secret, err := s.Store.RotateFeed(ctx, user, id)
	if err == nil {
		err = ForgetFeed(s.dir, id)
	}
	return secret, err
}

func (s forgetting) RemoveFeed(ctx context.Context, user string, id bridge.FeedID) error {
	if err := s.Store.RemoveFeed(ctx, user, id); err != nil {
		return err
	}
	return ForgetFeed(s.dir, id)
}

// sweep removes what a crash has left and what is of feeds that are no more. It fails in silence: it is tidying.
func (c *feedCache) sweep(ctx context.Context) {
	feeds, err := c.store.Feeds(ctx, "")
	if err != nil {
		return
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		id, rest, _ := strings.Cut(e.Name(), "-")
		n, err := strconv.ParseInt(id, 10, 64)
		gone := err == nil && strings.Contains(rest, ".ics") && !slices.ContainsFunc(feeds, func(f bridge.Feed) bool { return f.ID == bridge.FeedID(n) })
		if info, err := e.Info(); err == nil && id == "making" && time.Since(info.ModTime()) > time.Hour {
			gone = true
		}
		if gone {
			_ = os.Remove(filepath.Join(c.dir, e.Name()))
		}
	}
}

// objects yields the octets of every object of the feed, as far as its options and its detail show them.
func (c *feedCache) objects(ctx context.Context, src feedSource) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		q := bridge.ObjectQuery{WithData: true}
		w := src.window
		if !w.Start.IsZero() {
			q.Start = w.Start.AddDate(0, 0, -2)
		}
		if !w.End.IsZero() {
			q.End = w.End.AddDate(0, 0, 2)
		}
		owners := map[bridge.CalendarID]string{}
		for _, cal := range src.cals {
			owners[cal.ID] = cal.Owner
		}
		shows := src.shows()
		for o, err := range distinct(stored(ctx, c.store, src.cals, q)) {
			var data []byte
			if err == nil {
				shows.filter.Owner = owners[o.Calendar]
				data, err = shows.object(o)
			}
			if err == nil && data == nil {
				continue
			}
			if !yield(data, err) || err != nil {
				return
			}
		}
	}
}

// Objects yields the octets of every object of some calendars, in a stable order and a few at a time, each with a UID
// of its own.
func Objects(ctx context.Context, store bridge.ObjectStore, cals []bridge.Calendar) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for o, err := range distinct(stored(ctx, store, cals, bridge.ObjectQuery{WithData: true})) {
			if !yield(o.Data, err) || err != nil {
				return
			}
		}
	}
}

func stored(ctx context.Context, store bridge.ObjectStore, cals []bridge.Calendar, q bridge.ObjectQuery) iter.Seq2[bridge.Object, error] {
	return func(yield func(bridge.Object, error) bool) {
		for _, cal := range cals {
			for o, err := range bridge.Objects(ctx, store, cal.ID, q) {
				o.Calendar = cal.ID
				if !yield(o, err) || err != nil {
					return
				}
			}
		}
	}
}
