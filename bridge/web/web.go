// Package web is all HTTP of the bridge that is not DAV: feeds, health, and the pages.
//
// It knows nothing of Graph or SQL; it reads what bridge.Store publishes, and signs accounts in by way of Accounts.
//
// The pages are rendered here, with one style sheet and next to no script, and belong to one administrator. Invariants:
//   - A page that shows or changes anything needs a session; only the front page, the sign-in, the set-up and one-time
//     links do not.
//   - A secret is shown once, on the answer to the form that made it, which nobody may store.
//   - A request that changes something and comes from another origin does nothing.
//   - Who asks, and whether the way here was safe, is decided by Edge alone.
package web

import (
	"context"
	"html/template"
	"log/slog"
	"net/http"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/feed"
)

// Store is what the pages and feeds read.
type Store interface {
	Account(ctx context.Context, name string) (bridge.Account, error)
	Calendars(ctx context.Context, id bridge.AccountID) ([]bridge.Calendar, error)
	Counts(ctx context.Context, id bridge.CalendarID) (bridge.Counts, error)
	EventLosses(ctx context.Context, id bridge.CalendarID, limit int) ([]bridge.EventLoss, error)
	bridge.ObjectStore
	bridge.PasswordStore
	bridge.FeedStore
	bridge.AdministratorStore
	bridge.TicketStore
	Ping(ctx context.Context) error
}

// Handler serves everything that is not DAV, behind an Edge. Store and Feeds are required.
type Handler struct {
	Store     Store
	Feeds     *feed.Files // of the same Store
	PublicURL string      // origin that clients use, shown on the pages
	Version   string
	Accounts  Accounts         // nil: there are no pages but the front page
	SetupCode string           // lets whoever has it set the administrator's password while there is none; "": nobody
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default

	// Notify takes what Graph tells of changes, at /graph/notify, and must not block. nil: there is no such page.
	Notify func([]bridge.Notification)
	// Metrics are shown at /metrics to whoever has MetricsToken or, where that is "", to this machine. nil: there is no such
	// page.
	Metrics      *Metrics
	MetricsToken string

	mux         *http.ServeMux
	templates   map[string]*template.Template
	assets      map[string]asset
	crossOrigin *http.CrossOriginProtection
	guesses     limiter
	flows       flows
	deliveries  chan struct{} // one for each of Graph's deliveries that is being read
	making      chan struct{} // one for each page that is being made
	readers     readers
}

// Handler returns the http.Handler. Call it once.
func (h *Handler) Handler() http.Handler {
	h.mux = http.NewServeMux()
	h.making = make(chan struct{}, maxPages)
	h.mux.HandleFunc("/feeds/{name}", h.feed)
	if h.Notify != nil {
		h.deliveries = make(chan struct{}, maxDeliveries)
		h.mux.HandleFunc("POST /graph/notify", h.notify)
	}
	if h.Metrics != nil {
		h.mux.HandleFunc("/metrics", h.metrics)
	}
	h.mux.HandleFunc("GET /healthz", h.healthy)
	h.mux.HandleFunc("GET /readyz", h.ready)
	h.mux.HandleFunc("GET /robots.txt", robots)
	h.pages()
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
