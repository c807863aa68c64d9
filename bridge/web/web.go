// Package web serves everything over HTTP that is not DAV: the pages, feeds, Graph's notifications, health checks and
// metrics.
//
// It knows neither Graph nor SQL: it reads what is published in Store, and signs accounts in through Accounts.
//
// Who may have which page is in routes; see access. Pages are rendered here and work without scripts; the calendar is drawn by FullCalendar where there are some. Invariants:
//   - Every page needs a session, except the front page, sign-in, setup and one-time links.
//   - A page that does not state who may have it is refused. A person has what belongs to them. Administrators have the state of every
//     account, and of accounts that belong to others no event, nor what would lead to one, unless that is switched on; then each
//     look is recorded.
//   - A form is answered with a redirect once it has changed something, so that a reload changes nothing.
//   - A secret is shown on one page, for a minute, to the session whose form made it, and that page is never cached.
//   - A request from another origin changes nothing.
//   - Only Edge decides who is asking and whether the request could be read on the way.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"path"
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
	History(ctx context.Context, id bridge.CalendarID, limit int) ([]bridge.History, error)
	Intents(ctx context.Context, id bridge.AccountID, limit int) ([]bridge.Intent, error)
	WriteHold(ctx context.Context, id bridge.AccountID) (bridge.WriteHold, error)
	SetWriteHold(ctx context.Context, id bridge.AccountID, h bridge.WriteHold) error
	ObjectLosses(ctx context.Context, o bridge.Object) ([]bridge.EventLoss, error)
	Differences(ctx context.Context, id bridge.CalendarID) ([]bridge.Difference, error)
	Object(ctx context.Context, id bridge.CalendarID, name string) (bridge.Object, error)
	bridge.ObjectLister
	AddPassword(ctx context.Context, user, label string, at time.Time) (bridge.Password, string, error)
	Passwords(ctx context.Context, user string) ([]bridge.Password, error)
	RevokePassword(ctx context.Context, user string, id int64) error
	bridge.FeedStore
	bridge.AdministratorStore
	bridge.TicketStore
	bridge.PeopleStore
	bridge.RecordStore
	bridge.BriefStore
	bridge.LeaseStore
	// AccountByIdentity finds the account of a person of the directory, or bridge.ErrNotFound; see bridge.DirectoryStore.
	AccountByIdentity(ctx context.Context, tenant, objectID string) (bridge.Account, error)
	Ping(ctx context.Context) error
}

// Handler serves everything that is not DAV, behind an Edge. Store and Feeds are required.
type Handler struct {
	Store     Store
	Feeds     *feed.Files // of the same Store
	PublicURL string      // address that clients use, as shown on the pages; it may have a path, which requests come without
	Version   string
	Language  *Language        // where a browser names none that there is; nil: English
	Accounts  Accounts         // nil: the front page is the only page
	Origins   Origins          // nil: the pages of events do not tell where these come from
	SetupCode string           // needed to set the administrator's password as long as there is none; "": it cannot be set
	Now       func() time.Time // nil: time.Now
	Log       *slog.Logger     // nil: slog.Default
	// Zone finds a time zone by its TZID or by the name that somebody entered; the Location's own name is an IANA name.
	// nil: time.LoadLocation, which knows IANA names only.
	Zone func(name string) (*time.Location, bool)

	// Served reports whether the user's account is in the configuration, or was added on the pages; there is no feed of
	// others, whatever is stored of them. nil: all are served.
	Served func(user string) bool

	// Microsoft signs people in to the pages. nil: nobody signs in there.
	Microsoft Microsoft
	// Connect lets everybody whom Microsoft admits connect their own mailbox.
	Connect bool
	// Organization: an account that belongs to nobody is nobody's, also not the administrators'.
	Organization bool
	// SeeEvents lets administrators read events of accounts that belong to others. Each look is recorded.
	SeeEvents bool

	// FeedOrigins are the origins whose scripts may read feeds, in lower case, or "*" for all.
	FeedOrigins []string
	// Notify takes the notifications that Graph posts to /graph/notify, and must not block. nil: that URL does not exist.
	Notify func([]bridge.Notification)
	// Metrics are served at /metrics: to requests with MetricsToken or, if that is "", to this machine. nil: that URL does
	// not exist.
	Metrics      *Metrics
	MetricsToken string
	// Attempts counts guesses of passwords on all machines. nil: this is the only one, which counts in memory.
	Attempts bridge.AttemptStore
	// Machines counts the servers that use the database now. nil: this is the only one.
	Machines func(ctx context.Context) (int, error)
	// Disk is the room for the database. nil: it is not checked.
	Disk func() (Disk, error)

	// Notices are the notifications about trouble. nil: the pages have none.
	Notices Notices
	// StaleAfter is the age from which on a calendar is shown as out of date. 0, or nil: none is.
	StaleAfter func() time.Duration
	// Live is what rounds are at. nil: nobody watches.
	Live *Live

	mux         *http.ServeMux
	patterns    []string // of everything that is served
	templates   map[*Language]*templates
	assets      map[string]asset
	crossOrigin *http.CrossOriginProtection
	guesses     limiter
	refusals    limiter // of refused sign-ins that are recorded: anybody can cause them
	flows       flows
	deliveries  chan struct{} // one for each of Graph's deliveries that is being read
	making      chan struct{} // one for each page that is being made
	watching    chan struct{} // one for each page that is kept up to date
	readers     readers
}

// Handler returns the http.Handler. Call it once.
func (h *Handler) Handler() http.Handler {
	h.mux = http.NewServeMux()
	h.making = make(chan struct{}, maxPages)
	h.watching = make(chan struct{}, maxWatching)
	h.handle("/feeds/{name}", h.feed)
	if h.Notify != nil {
		h.deliveries = make(chan struct{}, maxDeliveries)
		h.handle("POST /graph/notify", h.notify)
	}
	if h.Metrics != nil {
		h.handle("/metrics", h.metrics)
	}
	h.handle("GET /healthz", h.healthy)
	h.handle("GET /readyz", h.ready)
	h.handle("GET /robots.txt", robots)
	h.pages()
	unknown := h.anybody(func(*visit) error { return bridge.ErrNotFound })
	unread := h.anybody(func(v *visit) error {
		v.fail(http.StatusMethodNotAllowed, &Problem{"Nothing can be read at this address.", "It only takes what a form sends."})
		return nil
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would redirect what is not clean, and does not know of the base.
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			unknown(w, r)
			return
		}
		refusal := h.refusal(r)
		switch {
		case refusal.code == http.StatusNotFound:
			unknown(w, r)
		case refusal.code == http.StatusMethodNotAllowed && (r.Method == http.MethodGet || r.Method == http.MethodHead):
			w.Header().Set("Allow", refusal.header.Get("Allow"))
			unread(w, r)
		default:
			h.mux.ServeHTTP(w, r)
		}
	})
}

// refusal is how the mux would answer a request for which nothing of ours is there; the zero value if something is.
func (h *Handler) refusal(r *http.Request) onlyHead {
	var head onlyHead
	if answer, pattern := h.mux.Handler(r); pattern == "" {
		answer.ServeHTTP(&head, r)
	}
	return head
}

// onlyHead is a ResponseWriter that keeps no body.
type onlyHead struct {
	header http.Header
	code   int
}

func (s *onlyHead) Header() http.Header {
	if s.header == nil {
		s.header = http.Header{}
	}
	return s.header
}

func (s *onlyHead) Write(b []byte) (int, error) { return len(b), nil }

func (s *onlyHead) WriteHeader(code int) { s.code = code }

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}

func (h *Handler) zone(name string) (*time.Location, bool) {
	if h.Zone != nil {
		return h.Zone(name)
	}
	loc, err := time.LoadLocation(name)
	return loc, err == nil && name != ""
}

func (h *Handler) log() *slog.Logger {
	if h.Log != nil {
		return h.Log
	}
	return slog.Default()
}

// healthy tells that the process is running.
func (h *Handler) healthy(w http.ResponseWriter, r *http.Request) {
	plainText(w, http.StatusOK, "ok\n")
}

// ready tells whether the bridge can do its work: the database can be read, and there is room to write to it.
func (h *Handler) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := h.Store.Ping(ctx); err != nil {
		h.log().Error("not ready", "err", err)
		w.Header().Set("Retry-After", "10")
		plainText(w, http.StatusServiceUnavailable, "the database does not answer\n")
		return
	}
	if h.Disk != nil {
		if d, err := h.Disk(); err == nil && d.Full {
			h.log().Error("not ready: the disk of the database is full", "free", d.Free, "size", d.Size)
			w.Header().Set("Retry-After", "60")
			plainText(w, http.StatusServiceUnavailable, "the disk of the database is full: nothing can be synced until there is room\n")
			return
		}
	}
	text := "ok\n"
	if h.Machines != nil {
		if n, err := h.Machines(ctx); err == nil && n == 1 {
			text += "1 machine\n"
		} else if err == nil {
			text += fmt.Sprintf("%d machines\n", n)
		}
	}
	plainText(w, http.StatusOK, text)
}

// robots allows everything: Google refuses to subscribe to a feed that robots.txt disallows, and feeds are protected by the
// secret in their address.
func robots(w http.ResponseWriter, r *http.Request) {
	plainText(w, http.StatusOK, "User-agent: *\nDisallow:\n")
}

func plainText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text))
}
