package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/caldav/negotiate"
)

// feedFormat is part of every feed's tag: raise it when the same objects are to be rendered differently.
const feedFormat = "2"

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
	if errors.Is(err, errGone) {
		plain(w, http.StatusNotFound, "There is no such feed.\n")
		return
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
	modified, made := h.cache.rendered(src)
	state := negotiate.State{ETag: src.tag}
	if made { // the time of a rendering is not known before
		state.Modified = modified
	}
	switch state.Check(r) {
	case http.StatusNotModified:
		src.validators(w.Header(), modified)
		w.WriteHeader(http.StatusNotModified)
		return nil
	case http.StatusPreconditionFailed:
		plain(w, http.StatusPreconditionFailed, "The feed is in another state.\n")
		return nil
	}
	as := coding(negotiate.Coding(r.Header, string(zstandard), string(gzipped)))
	f, err := h.cache.open(r.Context(), src, as)
	for again := 0; errors.Is(err, errPublished) && again < 3; again++ {
		if src, err = h.present(r.Context(), feed); err == nil {
			f, err = h.cache.open(r.Context(), src, as)
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
	src.validators(head, info.ModTime())
	head.Set("Content-Type", "text/calendar; charset=utf-8")
	head.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": fileName(src.info.Name)}))
	if as != identity {
		head.Set("Content-Encoding", string(as))
	}
	head.Set("Content-Length", fmt.Sprint(info.Size()))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = io.Copy(w, f) // an error here is a reader who has gone
	}
	return nil
}

// validators sets the headers that a 304 has as well (RFC 9110 §15.4.5).
func (src feedSource) validators(head http.Header, modified time.Time) {
	head.Set("Cache-Control", "private, max-age=300")
	head.Set("Vary", "Accept-Encoding")
	head.Set("X-Robots-Tag", "noindex")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("ETag", `"`+src.tag+`"`)
	head.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
}

// feedSource is what a rendering is made from.
type feedSource struct {
	feed     bridge.Feed
	cals     []bridge.Calendar
	info     convert.FeedInfo
	window   convert.Span
	synced   bool      // there is something to show, if only that the calendars are empty
	modified time.Time // whole seconds
	tag      string    // changes exactly when the rendering may
}

// present is source, of the feed as it is by now; errGone where it is removed or has another address.
func (h *Handler) present(ctx context.Context, feed bridge.Feed) (feedSource, error) {
	list, err := h.Store.Feeds(ctx, feed.User)
	if err != nil {
		return feedSource{}, err
	}
	for _, f := range list {
		if f.ID == feed.ID && bytes.Equal(f.Salt, feed.Salt) {
			return h.source(ctx, f)
		}
	}
	return feedSource{}, errGone
}

func (h *Handler) source(ctx context.Context, feed bridge.Feed) (feedSource, error) {
	src := feedSource{feed: feed, modified: latest(feed.Created, feed.Changed)}
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
	missing := false     // a calendar is in the midst of its first round
	var oldest time.Time // of the last good rounds
	sum := sha256.New()
	for _, c := range all {
		if len(feed.Calendars) > 0 && !slices.Contains(feed.Calendars, c.ID) {
			continue
		}
		src.cals = append(src.cals, c)
		published := c.Rev > 0 || !c.Good.IsZero()
		src.synced = src.synced || published
		missing = missing || !published && c.Fault == (bridge.Fault{})
		src.modified = latest(src.modified, c.Modified)
		if !c.Good.IsZero() && (oldest.IsZero() || c.Good.Before(oldest)) {
			oldest = c.Good
		}
		fmt.Fprintf(sum, " %s %d %q", c.Epoch, c.Rev, c.Owner)
	}
	// In the first round of all, calendars come one after another; a feed with some of them is not shown. Later a new
	// calendar, and one that fails for good, keeps nobody from the others.
	src.synced = src.synced && !(missing && a.State.Code == bridge.StateNew)
	now := h.now()
	src.window = feed.Window(now)
	src.info = feedInfo(a, src, oldest, now)
	fmt.Fprintf(sum, " %s %d %x %s %+v %d %q %v", feedFormat, feed.ID, feed.Salt, feed.Detail, feed.Options, feed.Changed.Unix(), src.info, src.window)
	src.tag = hex.EncodeToString(sum.Sum(nil))[:32]
	return src, nil
}

// stale is how old the last good round of a calendar may be before the feed says so.
const stale = 24 * time.Hour

// feedInfo is what a feed says of itself. It changes with what it is made from alone: not even an outage, however long,
// makes it another at every poll.
func feedInfo(a bridge.Account, src feedSource, oldest, now time.Time) convert.FeedInfo {
	info := convert.FeedInfo{Name: src.feed.Name, Color: "#0078D4"}
	if src.feed.Detail == bridge.DetailFull {
		info.Description = "A copy of an Outlook calendar, to read only."
	}
	if len(src.cals) > 0 && src.cals[0].Color != "" {
		info.Color = src.cals[0].Color
	}
	if info.Name == "" && len(src.cals) == 1 && src.feed.Detail == bridge.DetailFull { // a calendar's name may tell what is in it
		info.Name = src.cals[0].DisplayName
	}
	if info.Name == "" {
		info.Name = src.feed.User
	}
	if _, zone, ok := convert.LoadZone(a.Settings.Zone); ok {
		info.Zone = zone
	}
	if !oldest.IsZero() && now.Sub(oldest) > stale {
		info.Description = "Outlook could not be read since " + oldest.UTC().Format("2 January 2006, 15:04") + " UTC; this is how it was then."
	}
	return info
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
