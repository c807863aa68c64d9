package web

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"time"

	"outbridge/bridge"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Metrics counts what a bridge does, in the exposition format of Prometheus. Make it with NewMetrics; a nil *Metrics
// counts nothing. Labels are accounts, path segments of calendars and small fixed sets, never a title or a secret.
type Metrics struct {
	// Store counts what a calendar holds; Log gets its errors. Both have to be set before the first round.
	Store interface {
		Counts(ctx context.Context, id bridge.CalendarID) (bridge.Counts, error)
	}
	Log *slog.Logger
	// Shared: how accounts and their calendars are is what Tell has told, since rounds are done on other machines too.
	Shared bool

	registry *prometheus.Registry

	graphRequests  *prometheus.CounterVec // account, operation, code
	graphSeconds   *prometheus.HistogramVec
	graphThrottled *prometheus.CounterVec
	graphRetries   *prometheus.CounterVec

	rounds       *prometheus.CounterVec // account, result
	roundSeconds *prometheus.HistogramVec
	state        *prometheus.GaugeVec // account, state
	tokenExpires *prometheus.GaugeVec // account
	lastSuccess  *prometheus.GaugeVec // account, calendar
	failed       *prometheus.GaugeVec
	incomplete   *prometheus.GaugeVec
	changed      *prometheus.CounterVec
	removed      *prometheus.CounterVec
	objects      *prometheus.GaugeVec
	losses       *prometheus.GaugeVec

	writes     *prometheus.CounterVec // account, operation, state
	writeMails *prometheus.CounterVec // account
	writesWait *prometheus.GaugeVec

	credential  *prometheus.GaugeVec // kind
	httpSeconds *prometheus.HistogramVec
	renders     prometheus.Histogram
	push        *prometheus.CounterVec // result

	mu    sync.Mutex
	known map[string]map[string]bool // account → path segments of its calendars
	last  map[string]time.Time       // account → end of its last round here
	told  map[string]bool            // accounts that Tell has told of
}

var stateCodes = []string{bridge.StateNew, bridge.StateOK, bridge.StateSignIn, bridge.StateDenied, bridge.StateConfiguration, bridge.StateUnavailable, bridge.StateError}

// NewMetrics makes empty metrics for a program of that version, and includes those of the process and the Go runtime.
func NewMetrics(version string) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), known: map[string]map[string]bool{}, last: map[string]time.Time{}}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "outbridge", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "outbridge", Name: name, Help: help}, labels)
		m.registry.MustRegister(v)
		return v
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "outbridge", Name: name, Help: help, Buckets: buckets}, labels)
		m.registry.MustRegister(v)
		return v
	}
	m.graphRequests = counter("graph_requests_total", "HTTP requests to Microsoft Graph, by operation and status of the response (0: there was none).", "account", "operation", "code")
	m.graphSeconds = histogram("graph_request_seconds", "Time from sending a request to Microsoft Graph to the last byte of the response.", prometheus.ExponentialBuckets(0.025, 2, 12), "operation")
	m.graphThrottled = counter("graph_throttled_total", "Responses from Microsoft Graph that asked to slow down, including those inside a batch.", "account")
	m.graphRetries = counter("graph_retries_total", "HTTP requests to Microsoft Graph that were sent again after a failure.", "account")
	m.rounds = counter("rounds_total", "Syncs of an account that ended, by result: good or failed.", "account", "result")
	m.roundSeconds = histogram("round_seconds", "Time that a sync of an account took.", prometheus.ExponentialBuckets(0.05, 3, 10), "account")
	m.state = gauge("account_state", "1 for the state that the account is in, 0 for the others.", "account", "state")
	m.tokenExpires = gauge("access_token_expiry_timestamp_seconds", "When the account's access token expires. It is renewed a few minutes before: a time in the past means that renewing failed.", "account")
	m.lastSuccess = gauge("calendar_last_success_timestamp_seconds", "End of the calendar's last good sync.", "account", "calendar")
	m.failed = gauge("calendar_failed", "1 if the calendar's last sync failed.", "account", "calendar")
	m.incomplete = gauge("calendar_incomplete", "1 if Microsoft Graph does not list what begins after the calendar's window, so that such events may be missing.", "account", "calendar")
	m.changed = counter("changed_objects_total", "Objects that changed for clients, including removed ones.", "account", "calendar")
	m.removed = counter("removed_objects_total", "Objects that were removed for clients.", "account", "calendar")
	m.objects = gauge("calendar_objects", "Objects that clients see.", "account", "calendar")
	m.losses = gauge("calendar_losses", "Differences to Outlook: what could not be carried over to iCalendar.", "account", "calendar")
	m.writes = counter("writes_total", "Changes by calendar programs that have ended, by operation (put, delete, move) and state: done, refused, failed, or unknown where it may have been done.", "account", "operation", "state")
	m.writeMails = counter("write_mails_total", "Recipients that changes by calendar programs have made Outlook mail to.", "account")
	m.writesWait = gauge("writes_waiting", "Changes by calendar programs that are not finished in Outlook.", "account")
	m.credential = gauge("credential_expiry_timestamp_seconds", "When the app's own credential expires, if known.", "kind")
	m.httpSeconds = histogram("http_request_seconds", "Time to answer requests, by part (dav, feed, page, webhook, health, metrics), method and status.", prometheus.ExponentialBuckets(0.001, 4, 8), "part", "method", "status")
	m.push = counter("push_messages_total", "WebDAV-Push messages, by result.", "result")
	m.renders = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "outbridge", Name: "feed_render_seconds",
		Help: "Time to render a feed. Feeds are rendered after a calendar has changed, not on every request.", Buckets: prometheus.ExponentialBuckets(0.005, 4, 8)})
	info := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "outbridge", Name: "build_info", Help: "1, with the version as a label.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	info.Set(1)
	m.registry.MustRegister(m.renders, info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// GraphRequest is an HTTP request to Microsoft Graph, or a refused request inside a batch.
type GraphRequest struct {
	Operation string
	Status    int // 0: there was no response
	Took      time.Duration
	Throttled bool
	Again     bool // sent again after a failure
	Part      bool // of a batch, which is counted as a request of its own
}

// Requested counts a request to Microsoft Graph for an account.
func (m *Metrics) Requested(account string, r GraphRequest) {
	if m == nil {
		return
	}
	if r.Throttled {
		m.graphThrottled.WithLabelValues(account).Inc()
	}
	if r.Part {
		return
	}
	m.graphRequests.WithLabelValues(account, r.Operation, strconv.Itoa(r.Status)).Inc()
	m.graphSeconds.WithLabelValues(r.Operation).Observe(r.Took.Seconds())
	if r.Again {
		m.graphRetries.WithLabelValues(account).Inc()
	}
}

// Served counts a request that was answered. part and method must come from small fixed sets.
func (m *Metrics) Served(part, method string, status int, took time.Duration) {
	if m != nil {
		m.httpSeconds.WithLabelValues(part, method, strconv.Itoa(status)).Observe(took.Seconds())
	}
}

// Rendered counts the rendering of a feed.
func (m *Metrics) Rendered(took time.Duration) {
	if m != nil {
		m.renders.Observe(took.Seconds())
	}
}

// Pushed counts a WebDAV-Push message; result is "sent", "failed", or "dropped" where the subscription is gone.
func (m *Metrics) Pushed(result string) {
	if m != nil {
		m.push.WithLabelValues(result).Inc()
	}
}

// CredentialExpires sets when a credential of the app expires; kind is "certificate" or "client secret".
func (m *Metrics) CredentialExpires(kind string, at time.Time) {
	if m != nil {
		m.credential.WithLabelValues(kind).Set(float64(at.Unix()))
	}
}

// Wrote counts a client's write, once it has ended.
func (m *Metrics) Wrote(i bridge.Intent) {
	if m == nil || i.State == bridge.IntentOpen {
		return
	}
	m.writes.WithLabelValues(i.User, i.Operation, i.State).Inc()
	m.writeMails.WithLabelValues(i.User).Add(float64(i.Mails))
}

// WritesWait sets how many of an account's writes have not ended.
func (m *Metrics) WritesWait(account string, n int) {
	if m != nil && !m.Shared {
		m.writesWait.WithLabelValues(account).Set(float64(n))
	}
}

// Round counts a round that has ended. How many objects and losses there are now is read from Store, unless that is told for all machines.
func (m *Metrics) Round(ctx context.Context, report bridge.Report) {
	if m == nil {
		return
	}
	result := "good"
	if report.Err != nil {
		result = "failed"
	}
	m.rounds.WithLabelValues(report.Account, result).Inc()
	m.roundSeconds.WithLabelValues(report.Account).Observe(report.Seconds)
	for _, c := range report.Calendars {
		m.changed.WithLabelValues(report.Account, c.Name).Add(float64(c.Changed))
		m.removed.WithLabelValues(report.Account, c.Name).Add(float64(c.Removed))
	}
	m.mu.Lock()
	m.last[report.Account] = time.Now()
	m.mu.Unlock()
	if !report.TokenExpires.IsZero() {
		m.tokenExpires.WithLabelValues(report.Account).Set(float64(report.TokenExpires.Unix()))
	}
	if m.Shared {
		return
	}
	m.setState(report.Account, report.State)
	var names []string
	for _, c := range report.Calendars {
		names = append(names, c.Name)
	}
	fresh := m.calendars(report.Account, names)
	for _, c := range report.Calendars {
		f := bridge.CalendarFigures{ID: c.ID, Name: c.Name, Good: c.Good, Failed: c.Fault != (bridge.Fault{}), Incomplete: c.Incomplete}
		if c.Changed > 0 || fresh[c.Name] {
			if counts, err := m.Store.Counts(ctx, c.ID); err != nil {
				m.Log.ErrorContext(ctx, "count objects for the metrics", "account", report.Account, "calendar", c.Calendar, "err", err)
			} else {
				f.Counts = &bridge.ShownCounts{Objects: counts.Objects, Losses: counts.Losses}
			}
		}
		m.setCalendar(report.Account, f)
	}
}

// metrics serves the metrics to requests with the token. If none is set, it serves them to this machine, and only while
// public_url is on it: behind a proxy every request seems to come from this machine. Like pages, they are for hosts of ours
// alone: a site that points its own name here could read them in the administrator's browser.
func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) {
	if !h.ourHost(r) {
		plainText(w, http.StatusMisdirectedRequest, r.Host+" is not the address of this bridge.\n")
		return
	}
	if h.MetricsToken != "" {
		want, have := sha256.Sum256([]byte("Bearer "+h.MetricsToken)), sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(have[:], want[:]) != 1 {
			plainText(w, http.StatusForbidden, "Metrics need the token in metrics_token_file, as Authorization: Bearer TOKEN.\n")
			return
		}
	} else if public, err := url.Parse(h.PublicURL); err != nil || !Loopback(public.Hostname()) || !ClientOf(r).Local {
		plainText(w, http.StatusForbidden, "Without a token, metrics are only served to this machine, and only while public_url is on it: set metrics_token_file in the configuration.\n")
		return
	}
	back, ok := h.pageTurn(r.Context())
	if !ok {
		unavailable(w, "Too much is asked for at once.")
		return
	}
	defer back()
	h.Metrics.Handler().ServeHTTP(w, r)
}
