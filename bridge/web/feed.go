package web

import (
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// feedFormat is part of every feed's tag: raise it when the same objects are to be rendered differently.
const feedFormat = "1"

// feed serves /feeds/SECRET.ics. The answer to a reader that has the present state is a 304 without any rendering.
func (h *Handler) feed(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// Thunderbird tries to PUT to find out whether it may write.
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		plain(w, http.StatusMethodNotAllowed, "A feed can only be read.\n")
		return
	}
	secret, ok := strings.CutSuffix(r.PathValue("name"), ".ics")
	if !ok {
		plain(w, http.StatusNotFound, "There is no such feed.\n")
		return
	}
	feed, err := h.Store.FeedBySecret(r.Context(), secret)
	if errors.Is(err, bridge.ErrNotFound) {
		plain(w, http.StatusNotFound, "There is no such feed.\n")
		return
	}
	if err == nil {
		err = h.serveFeed(w, r, feed)
	}
	if err != nil && r.Context().Err() == nil {
		h.log().Error("feed", "feed", feed.ID, "err", err)
		unavailable(w, "The feed cannot be read at the moment.")
	}
}

// unavailable is the answer to any trouble: Thunderbird and others drop a calendar for good after a 4xx.
func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "300")
	plain(w, http.StatusServiceUnavailable, why+"\n")
}

func (h *Handler) serveFeed(w http.ResponseWriter, r *http.Request, feed bridge.Feed) error {
	src, err := h.source(r.Context(), feed)
	if err != nil {
		return err
	}
	if len(src.cals) == 0 && len(feed.Calendars) > 0 {
		unavailable(w, "The calendars of this feed are gone from Outlook.")
		return nil
	}
	if !src.synced {
		unavailable(w, "The feed is not ready yet: its first sync is not complete.")
		return nil
	}
	if notModified(r, src.tag, src.modified) {
		src.validators(w.Header())
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	packed := acceptsGzip(r)
	f, err := h.cache.open(r.Context(), src, packed)
	for again := 0; errors.Is(err, errPublished) && again < 3; again++ {
		if src, err = h.source(r.Context(), feed); err == nil {
			f, err = h.cache.open(r.Context(), src, packed)
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := w.Header()
	src.validators(head)
	head.Set("Content-Type", "text/calendar; charset=utf-8")
	head.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": fileName(src.info.Name)}))
	if packed {
		head.Set("Content-Encoding", "gzip")
	}
	head.Set("Content-Length", fmt.Sprint(info.Size()))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, f) // an error here is a reader who has gone
	}
	return nil
}

// validators sets the headers that a 304 has as well (RFC 9110 §15.4.5).
func (src feedSource) validators(head http.Header) {
	head.Set("Cache-Control", "private, max-age=300")
	head.Set("Vary", "Accept-Encoding")
	head.Set("X-Robots-Tag", "noindex")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("ETag", `"`+src.tag+`"`)
	head.Set("Last-Modified", src.modified.UTC().Format(http.TimeFormat))
}

// feedSource is what a rendering is made from.
type feedSource struct {
	feed     bridge.Feed
	cals     []bridge.Calendar
	info     convert.FeedInfo
	synced   bool      // there is something to show, if only that the calendars are empty
	modified time.Time // whole seconds
	tag      string    // changes exactly when the rendering may
}

func (h *Handler) source(ctx context.Context, feed bridge.Feed) (feedSource, error) {
	src := feedSource{feed: feed, modified: feed.Created}
	a, err := h.Store.Account(ctx, feed.User)
	if errors.Is(err, bridge.ErrNotFound) {
		return src, nil
	}
	if err != nil {
		return src, err
	}
	all, err := h.Store.Calendars(ctx, a.ID)
	if err != nil {
		return src, err
	}
	missing := false // a calendar is in the midst of its first round
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %d %s %q %x", feedFormat, feed.ID, feed.Detail, feed.Name, feed.Salt)
	for _, c := range all {
		if len(feed.Calendars) > 0 && !slices.Contains(feed.Calendars, c.ID) {
			continue
		}
		src.cals = append(src.cals, c)
		published := c.Rev > 0 || !c.Good.IsZero()
		src.synced = src.synced || published
		missing = missing || !published && c.Fault == ""
		if c.Modified.After(src.modified) {
			src.modified = c.Modified
		}
		fmt.Fprintf(sum, " %s %d %q %s", c.Epoch, c.Rev, c.DisplayName, c.Color)
	}
	// In the first round of all, calendars come one after another; a feed with some of them is not shown. Later a new
	// calendar, and one that fails for good, keeps nobody from the others.
	src.synced = src.synced && !(missing && a.State.Code == bridge.StateNew)
	src.tag = hex.EncodeToString(sum.Sum(nil))[:32]
	src.info = convert.FeedInfo{Name: feed.Name}
	if len(src.cals) == 1 {
		src.info.Color = src.cals[0].Color
		if src.info.Name == "" && feed.Detail == bridge.DetailFull { // a calendar's name may tell what is in it
			src.info.Name = src.cals[0].DisplayName
		}
	}
	if src.info.Name == "" {
		src.info.Name = feed.User
	}
	return src, nil
}

func fileName(name string) string {
	name = strings.Map(func(c rune) rune {
		if c < ' ' || strings.ContainsRune(`/\:*?"<>|`, c) {
			return '_'
		}
		return c
	}, name)
	return name + ".ics"
}

// notModified reads If-None-Match (RFC 9110 §13.1.2), forgiving what proxies and servers put around a tag when they
// compress, and If-Modified-Since where there is no tag.
func notModified(r *http.Request, tag string, modified time.Time) bool {
	if header := r.Header.Values("If-None-Match"); len(header) > 0 {
		for part := range strings.SplitSeq(strings.Join(header, ","), ",") {
			part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
			part = strings.Trim(part, `"\`)
			for _, suffix := range []string{"-gzip", ";gz", "-br", "-zstd"} {
				part = strings.TrimSuffix(part, suffix)
			}
			if part == "*" || part == tag {
				return true
			}
		}
		return false
	}
	since, err := http.ParseTime(r.Header.Get("If-Modified-Since"))
	return err == nil && !modified.Truncate(time.Second).After(since)
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept-Encoding"), ","), ",") {
		coding, q, _ := strings.Cut(strings.ToLower(strings.ReplaceAll(part, " ", "")), ";")
		if (coding == "gzip" || coding == "*") && q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000" {
			return true
		}
	}
	return false
}

// feedCache keeps the last rendering of each feed in files, plain and packed, so that serving is copying a file.
type feedCache struct {
	dir    string
	store  Store
	source func(context.Context, bridge.Feed) (feedSource, error)

	mu     sync.Mutex
	making map[bridge.FeedID]*sync.Mutex
}

func (c *feedCache) path(src feedSource, packed bool) string {
	name := fmt.Sprintf("%d-%s.ics", src.feed.ID, src.tag)
	if packed {
		name += ".gz"
	}
	return filepath.Join(c.dir, name)
}

// open opens the rendering, made now where it is missing. A feed is rendered once at a time.
func (c *feedCache) open(ctx context.Context, src feedSource, packed bool) (*os.File, error) {
	if f, err := os.Open(c.path(src, packed)); err == nil {
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
	if f, err := os.Open(c.path(src, packed)); err == nil {
		return f, nil
	}
	if err := c.render(ctx, src); err != nil {
		return nil, fmt.Errorf("render feed: %w", err)
	}
	return os.Open(c.path(src, packed))
}

// errPublished: something was published while a rendering was made, so it may hold half of it.
var errPublished = errors.New("the calendars have changed meanwhile")

func (c *feedCache) render(ctx context.Context, src feedSource) error {
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return err
	}
	plain, err := os.CreateTemp(c.dir, "making-*")
	if err != nil {
		return err
	}
	defer os.Remove(plain.Name())
	defer plain.Close()
	packed, err := os.CreateTemp(c.dir, "making-*")
	if err != nil {
		return err
	}
	defer os.Remove(packed.Name())
	defer packed.Close()

	zip := gzip.NewWriter(packed)
	err = convert.WriteFeed(io.MultiWriter(plain, zip), src.info, func() iter.Seq2[[]byte, error] { return c.objects(ctx, src) })
	if err := errors.Join(err, zip.Close(), plain.Close(), packed.Close()); err != nil {
		return err
	}
	if now, err := c.source(ctx, src.feed); err != nil {
		return err
	} else if now.tag != src.tag {
		return errPublished
	}
	old, err := filepath.Glob(filepath.Join(c.dir, fmt.Sprintf("%d-*.ics*", src.feed.ID)))
	if err != nil {
		return err
	}
	for _, path := range old {
		_ = os.Remove(path)
	}
	return errors.Join(os.Rename(plain.Name(), c.path(src, false)), os.Rename(packed.Name(), c.path(src, true)))
}

// objects yields the octets of every object of the feed, reduced to its detail.
func (c *feedCache) objects(ctx context.Context, src feedSource) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for data, err := range Objects(ctx, c.store, src.cals) {
			if err == nil && src.feed.Detail != bridge.DetailFull {
				data, err = reduce(data, src.feed)
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
	return distinct(stored(ctx, store, cals))
}

func stored(ctx context.Context, store bridge.ObjectStore, cals []bridge.Calendar) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for _, cal := range cals {
			for o, err := range bridge.Objects(ctx, store, cal.ID, bridge.ObjectQuery{WithData: true}) {
				if !yield(o.Data, err) || err != nil {
					return
				}
			}
		}
	}
}
