package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"outbridge/bridge"
	"outbridge/bridge/feed"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
)

// site is a Handler over real HTTP, with a simulated Outlook behind it.
type site struct {
	testing.TB
	database string
	sim      *graphsim.Server
	box      *graphsim.Mailbox
	store    *countingStore
	cache    string
	url      string
	b        *round.Runner
	m        round.Mailbox
	now      atomic.Pointer[time.Time] // as the Handler sees it; nil: time.Now
}

// countingStore counts the pages of objects that were read.
type countingStore struct {
	*sqlstore.Store
	pages atomic.Int64
	hook  atomic.Pointer[func()] // called before a page is read
}

func (s *countingStore) Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	s.pages.Add(1)
	if f := s.hook.Load(); f != nil {
		(*f)()
	}
	return s.Store.Objects(ctx, id, q)
}

func newSite(t testing.TB) *site {
	t.Helper()
	dir := t.TempDir()
	key, err := sqlstore.ReadKey(filepath.Join(dir, "outbridge.key"))
	if err != nil {
		t.Fatal(err)
	}
	database := roundtest.Database(t, os.Getenv(roundtest.Databases), dir)
	store, err := sqlstore.Open(t.Context(), database, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	s := &site{TB: t, database: database, store: &countingStore{Store: store}, cache: filepath.Join(dir, "feed-cache")}
	s.sim = &graphsim.Server{BaseURL: "http://outlook.test"}
	s.box = s.sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	authority := &graph.Authority{LoginURL: s.sim.BaseURL, Tenant: "contoso.example", ClientID: "app", ClientSecret: "secret",
		Scopes: graph.AppScopes(s.sim.BaseURL), HTTP: s.sim.Client()}
	s.m = round.Mailbox{Name: "alice", Graph: &graph.Client{BaseURL: s.sim.BaseURL + "/v1.0", Mailbox: s.box.Address(), HTTP: s.sim.Client(),
		Tokens: &graph.AppTokens{Authority: authority}}}
	s.b = &round.Runner{Store: store, Log: log}
	s.serve()
	return s
}

// serve starts the web side, or restarts it.
func (s *site) serve() {
	clock := func() time.Time {
		if now := s.now.Load(); now != nil {
			return *now
		}
		return time.Now()
	}
	server := httptest.NewServer((&web.Handler{
		Store: s.store, Feeds: s.files(clock), PublicURL: "https://calendar.example.com", Version: "test", Now: clock, Log: s.b.Log,
	}).Handler())
	s.Cleanup(server.Close)
	s.url = server.URL
}

// files are the rendered feeds, as seen by a process that has just started.
func (s *site) files(clock func() time.Time) *feed.Files {
	return &feed.Files{Dir: s.cache, Store: s.store, Now: clock, Log: s.b.Log}
}

// rendered counts the files of a feed.
func (s *site) rendered(id bridge.FeedID) int {
	s.Helper()
	list, err := filepath.Glob(filepath.Join(s.cache, fmt.Sprintf("%d-*", id)))
	if err != nil {
		s.Fatal(err)
	}
	return len(list)
}

// round syncs changes in Outlook to the store.
func (s *site) round() {
	s.Helper()
	if _, err := s.b.Round(s.Context(), s.m); err != nil {
		s.Fatal(err)
	}
}

// feed creates a feed and returns its address.
func (s *site) feed(f bridge.Feed) (url string, made bridge.Feed) {
	s.Helper()
	f.User, f.Created = "alice", time.Now()
	if f.Detail == "" {
		f.Detail = bridge.DetailFull
	}
	made, secret, err := s.store.AddFeed(s.Context(), f)
	if err != nil {
		s.Fatal(err)
	}
	return s.url + "/feeds/" + secret + ".ics", made
}

// answer is a response with its body, decompressed.
type answer struct {
	*http.Response
	body string
}

// raw makes a request with alternating header names and values; the caller closes the body.
func (s *site) raw(method, url string, header ...string) *http.Response {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), method, url, nil)
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Accept-Encoding", "identity")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.Fatal(err)
	}
	return resp
}

func (s *site) do(method, url string, header ...string) answer {
	s.Helper()
	resp := s.raw(method, url, header...)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	var z io.Reader = bytes.NewReader(b)
	if len(b) > 0 {
		switch resp.Header.Get("Content-Encoding") {
		case "gzip":
			z, err = gzip.NewReader(z)
		case "zstd":
			z, err = zstd.NewReader(z)
		}
	}
	if err != nil {
		s.Fatal(err)
	}
	if b, err = io.ReadAll(z); err != nil {
		s.Fatal(err)
	}
	return answer{resp, string(b)}
}

func (s *site) get(url string, header ...string) answer {
	s.Helper()
	return s.do(http.MethodGet, url, header...)
}

// at is the given hour, a number of days from today.
func at(days, hour int) time.Time {
	y, m, d := time.Now().Date()
	return time.Date(y, m, d+days, hour, 0, 0, 0, time.UTC)
}

func (s *site) meeting(subject string) graph.EventID {
	return s.box.Calendar().Create(graphsim.Event{Subject: subject, Start: at(1, 10), End: at(1, 11)})
}
