package web

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// metrics shows the metrics to whoever has the token, where there is one, and otherwise to this machine alone, while the
// bridge serves nobody else: behind a proxy everybody seems to be this machine.
func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) {
	if h.MetricsToken != "" {
		want, have := sha256.Sum256([]byte("Bearer "+h.MetricsToken)), sha256.Sum256([]byte(r.Header.Get("Authorization")))
		if subtle.ConstantTimeCompare(have[:], want[:]) != 1 {
			plain(w, http.StatusForbidden, "The metrics need the token of metrics_token_file, as Authorization: Bearer TOKEN.\n")
			return
		}
	} else if public, err := url.Parse(h.PublicURL); err != nil || !Loopback(public.Hostname()) || !ClientOf(r).Local {
		plain(w, http.StatusForbidden, "The metrics are for this machine alone while public_url is on it: set metrics_token_file in the configuration to read them otherwise.\n")
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

// part is what a request is counted as.
func (e *Edge) part(r *http.Request) string {
	switch path := r.URL.Path; {
	case path == "/metrics":
		return "metrics"
	case path == "/healthz" || path == "/readyz":
		return "health"
	case strings.HasPrefix(path, "/feeds/"):
		return "feed"
	case strings.HasPrefix(path, "/graph/"):
		return "webhook"
	case e.DAV != nil && e.DAV(r):
		return "dav"
	}
	return "page"
}

// knownMethod keeps the methods of the metrics a small set, whatever clients send.
func knownMethod(m string) string {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "REPORT", "MKCALENDAR", "MKCOL", "MOVE", "COPY", "LOCK", "UNLOCK":
		return m
	}
	return "other"
}

// countedAnswer remembers its status.
type countedAnswer struct {
	http.ResponseWriter
	status int
	begun  bool
}

func (a *countedAnswer) WriteHeader(status int) {
	if !a.begun && status >= 200 {
		a.status, a.begun = status, true
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *countedAnswer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// ReadFrom lets the server copy files, feeds above all, without a detour.
func (a *countedAnswer) ReadFrom(r io.Reader) (int64, error) {
	a.begun = true
	return io.Copy(a.ResponseWriter, r)
}

func (a *countedAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
