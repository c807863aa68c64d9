package web

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"outbridge/bridge"
	"outbridge/bridge/feed"
	"outbridge/caldav/negotiate"
)

// feed serves /feeds/SECRET.ics. A reader that has the current version gets a 304, and nothing is rendered for it.
func (h *Handler) feed(w http.ResponseWriter, r *http.Request) {
	h.crossOriginHeaders(w.Header(), r)
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
	if err == nil && h.Served != nil && !h.Served(row.User) {
		err = bridge.ErrNotFound
	}
	if errors.Is(err, bridge.ErrNotFound) {
		RefusedSignIn(h.log(), r, "feed", row.User)
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
		h.crossOriginHeaders(w.Header(), r)
		w.Header().Set("Retry-After", readerNextTime)
		plainText(w, http.StatusServiceUnavailable, "This feed has too many readers at once.\n")
	case r.Context().Err() == nil:
		h.log().Error("feed", "feed", row.ID, "err", without(secretsOf(r), err.Error()))
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

// serveFeed returns no error after it has written something.
func (h *Handler) serveFeed(w http.ResponseWriter, r *http.Request, row bridge.Feed) error {
	now, err := h.Feeds.Rendering(r.Context(), row)
	if err != nil {
		return err
	}
	as := feed.Coding(negotiate.Coding(r.Header, string(feed.Zstd), string(feed.Gzip)))
	switch (negotiate.State{ETag: now.Tag, Modified: now.Modified}).Check(r) {
	case http.StatusNotModified:
		validators(w.Header(), now, as)
		w.WriteHeader(http.StatusNotModified)
		return nil
	case http.StatusPreconditionFailed:
		plainText(w, http.StatusPreconditionFailed, "The feed has changed.\n")
		return nil
	}
	content, err := h.Feeds.Open(r.Context(), now, as)
	if err != nil {
		return err
	}
	defer content.Close()
	head := w.Header()
	validators(head, content.Rendering, as)
	head.Set("Content-Type", "text/calendar; charset=utf-8")
	head.Set("Content-Disposition", mime.FormatMediaType("inline", map[string]string{"filename": fileName(content.Name)}))
	if as != feed.Identity {
		head.Set("Content-Encoding", string(as))
	}
	if content.File != nil {
		info, err := content.File.Stat()
		if err != nil {
			return err
		}
		head.Set("Content-Length", fmt.Sprint(info.Size()))
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	if !h.readers.enter(row.ID, content.File == nil) {
		return errReaders
	}
	defer h.readers.leave(row.ID, content.File == nil)
	w.WriteHeader(http.StatusOK)
	if content.File != nil {
		_ = sendFile(w, content.File)
	} else if err := content.Stream(r.Context(), newPacedWriter(w)); err != nil {
		if r.Context().Err() == nil {
			h.log().Warn("feed broken off", "feed", row.ID, "err", err)
		}
		panic(http.ErrAbortHandler) // an answer that ended well would be taken for the whole feed
	}
	return nil
}

// validators sets the headers that a 304 has too (RFC 9110 §15.4.5). The tag is strong, so each coding has its own (§8.8.1);
// conditions are held against all of them.
func validators(head http.Header, now feed.Rendering, as feed.Coding) {
	tag := now.Tag
	if as != feed.Identity {
		tag += "-" + string(as)
	}
	head.Set("Cache-Control", "private, max-age=300")
	head["Vary"] = append(head["Vary"], "Accept-Encoding")
	head.Set("X-Robots-Tag", "noindex")
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("ETag", `"`+tag+`"`)
	head.Set("Last-Modified", now.Modified.UTC().Format(http.TimeFormat))
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
