package web

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/feed"
	"outbridge/caldav/negotiate"
)

// feed serves /feeds/SECRET.ics. A reader that has the current version gets a 304, and nothing is rendered for it.
func (h *Handler) feed(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// Thunderbird tries a PUT to find out whether it may write.
		w.Header().Set("Allow", "GET, HEAD, OPTIONS")
		if r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusOK)
			return
		}
		plainText(w, http.StatusMethodNotAllowed, "Feeds are read-only.\n")
		return
	}
	secret, ok := strings.CutSuffix(r.PathValue("name"), ".ics")
	if !ok {
		plainText(w, http.StatusNotFound, "There is no such feed.\n")
		return
	}
	row, err := h.Store.FeedBySecret(r.Context(), secret)
	if errors.Is(err, bridge.ErrNotFound) {
		plainText(w, http.StatusNotFound, "There is no such feed.\n")
		return
	}
	if err == nil {
		err = h.serveFeed(w, r, row)
	}
	switch {
	case err == nil:
	case errors.Is(err, feed.ErrGone):
		plainText(w, http.StatusNotFound, "There is no such feed.\n")
	case errors.Is(err, feed.ErrNoCalendars):
		unavailable(w, "The calendars of this feed no longer exist in Outlook.")
	case errors.Is(err, feed.ErrNotReady):
		unavailable(w, "This feed is not ready yet: the first sync has not finished.")
	case errors.Is(err, errReaders):
		clear(w.Header())
		w.Header().Set("Retry-After", readerNextTime)
		plainText(w, http.StatusServiceUnavailable, "This feed has too many readers at once.\n")
	case r.Context().Err() == nil:
		h.log().Error("feed", "feed", row.ID, "err", err)
		unavailable(w, "This feed is not available at the moment.")
	}
}

// errReaders: as many are being sent the feed, or any feed, as may be.
var errReaders = errors.New("too many readers")

// unavailable answers any failure with 503: after a 4xx Thunderbird and others drop a calendar for good.
func unavailable(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "300")
	plainText(w, http.StatusServiceUnavailable, why+"\n")
}

// serveFeed writes nothing before an error.
func (h *Handler) serveFeed(w http.ResponseWriter, r *http.Request, row bridge.Feed) error {
	now, err := h.Feeds.Rendering(r.Context(), row)
	if err != nil {
		return err
	}
	modified, made := h.Feeds.Modified(now)
	state := negotiate.State{ETag: now.Tag}
	if made { // it is not known before the first rendering
		state.Modified = modified
	}
	switch state.Check(r) {
	case http.StatusNotModified:
		validators(w.Header(), now.Tag, modified)
		w.WriteHeader(http.StatusNotModified)
		return nil
	case http.StatusPreconditionFailed:
		plainText(w, http.StatusPreconditionFailed, "The feed has changed.\n")
		return nil
	}
	as := feed.Coding(negotiate.Coding(r.Header, string(feed.Zstd), string(feed.Gzip)))
	f, now, err := h.Feeds.Open(r.Context(), now, as)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := w.Header()
	validators(head, now.Tag, info.ModTime())
	head.Set("Content-Type", "text/calendar; charset=utf-8")
	head.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": fileName(now.Name)}))
	if as != feed.Identity {
		head.Set("Content-Encoding", string(as))
	}
	head.Set("Content-Length", fmt.Sprint(info.Size()))
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if !h.readers.enter(row.ID) {
		return errReaders
	}
	defer h.readers.leave(row.ID)
	w.WriteHeader(http.StatusOK)
	_ = sendFile(w, f)
	return nil
}

// validators sets the headers that a 304 has too (RFC 9110 §15.4.5).
func validators(head http.Header, tag string, modified time.Time) {
	head.Set("Cache-Control", "private, max-age=300")
	head.Set("Vary", "Accept-Encoding")
	head.Set("X-Robots-Tag", "noindex")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("ETag", `"`+tag+`"`)
	head.Set("Last-Modified", modified.UTC().Format(http.TimeFormat))
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
