// Package web is all HTTP of the bridge that is not DAV: feeds, health, and the front page.
//
// It knows nothing of Graph or SQL; it reads what bridge.Store publishes.
package web

import (
	"context"
	"embed"
	"html/template"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"outbridge/bridge"
)

//go:embed page.html style.css view.html view.css
var files embed.FS

var page = template.Must(template.ParseFS(files, "page.html"))

// Store is what the pages and feeds read.
type Store interface {
	bridge.AccountStore
	bridge.MirrorStore
	bridge.ObjectStore
	bridge.AccessStore
	Ping(ctx context.Context) error
}

// Handler serves everything that is not DAV. Store and CacheDir are required.
type Handler struct {
	Store     Store
	CacheDir  string // rendered feeds are kept here; made when missing, and may be deleted at any time
	PublicURL string // origin that clients use, shown on the front page
	Version   string
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default

	// Notify takes what Graph tells of changes, at /graph/notify, and must not block. nil: there is no such page.
	Notify func([]bridge.Notification)

	mux   *http.ServeMux
	cache feedCache
}

// Handler returns the http.Handler. Call it once.
func (h *Handler) Handler() http.Handler {
	h.Store = forgetting{h.Store, h.CacheDir}
	h.cache = feedCache{dir: h.CacheDir, store: h.Store, present: h.present, clock: h.now}
	h.mux = http.NewServeMux()
	h.mux.HandleFunc("/feeds/{name}", h.feed)
	if h.Notify != nil {
		h.mux.HandleFunc("POST /graph/notify", h.notify)
	}
	h.mux.HandleFunc("GET /healthz", h.healthy)
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.mux.HandleFunc("GET /robots.txt", robots)
	h.mux.HandleFunc("GET /style.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "style.css") })
	h.mux.HandleFunc("GET /view.css", func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, "view.css") })
	h.mux.HandleFunc("GET /{$}", h.front)
	return h.mux
}

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

func (h *Handler) log() *slog.Logger {
	if h.Log != nil {
		return h.Log
	}
	return slog.Default()
}

// healthy says that the process runs.
func (h *Handler) healthy(w http.ResponseWriter, r *http.Request) {
	plain(w, http.StatusOK, "ok\n")
}

// ready says that requests can be answered: the database reads.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := h.Store.Ping(ctx); err != nil {
		h.log().Error("not ready", "err", err)
		w.Header().Set("Retry-After", "10")
		plain(w, http.StatusServiceUnavailable, "the database does not answer\n")
		return
	}
	plain(w, http.StatusOK, "ok\n")
}

// robots lets everybody in: Google refuses to subscribe to a feed that robots.txt disallows, and the secret in a
// feed's address is what keeps others out.
func robots(w http.ResponseWriter, r *http.Request) {
	plain(w, http.StatusOK, "User-agent: *\nDisallow:\n")
}

func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}

func (h *Handler) front(w http.ResponseWriter, r *http.Request) {
	origin := strings.TrimSuffix(h.PublicURL, "/")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Referrer-Policy", "no-referrer")
	err := page.Execute(w, map[string]string{"Origin": origin, "Host": strings.TrimPrefix(strings.TrimPrefix(origin, "https://"), "http://"), "Version": h.Version})
	if err != nil {
		h.log().Error("front page", "err", err)
	}
}
