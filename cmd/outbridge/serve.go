package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/feed"
	"outbridge/bridge/push"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
	"outbridge/caldav"
)

// shutdownTime is how long requests in progress may take to end after a signal.
const shutdownTime = 3 * time.Second

// checkpointAfter is how old the stored state of an idle calendar may be; see bridge.Bridge.
const checkpointAfter = 5 * time.Minute

// listRounds is after how many rounds the list of calendars is read again: a new calendar may wait that long.
const listRounds = 5

// notifyPath is where Graph tells of changes.
const notifyPath = "/graph/notify"

type serveCmd struct {
	Listen string `help:"Address to serve at, in place of that of the configuration." placeholder:"ADDR"`
	configFlag
}

func (s *serveCmd) Run(e *env) error {
	c, err := s.loadOrBegin(e.stderr)
	if err != nil {
		return err
	}
	if s.Listen != "" {
		if c.PublicURL == c.ownURL() {
			c.PublicURL = ""
		}
		if c.Listen = s.Listen; c.check() != nil {
			return usageError{fmt.Errorf("--listen %s is no address: write it like 127.0.0.1:8080", s.Listen)}
		}
	}
	if err := c.checkExposed(); err != nil {
		return err
	}
	log := c.logger(e.stderr)
	unlock, err := c.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	store, err := c.openStore(e.ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	// With another key no password and no feed address is known: clients would be told that their calendars are gone.
	if err := store.CheckKey(e.ctx); err != nil {
		return err
	}
	c.metrics = web.NewMetrics(version())
	c.metrics.Store, c.metrics.Log = store, log
	var mailboxes []work.Mailbox
	switch {
	case c.Microsoft.ClientID == "":
		log.Warn("there is no app registration yet, so nothing is synced: enter it on the pages, or as microsoft.client_id in the configuration")
	case len(c.Accounts) == 0:
		log.Warn("there is no account yet, so nothing is synced: add one on the pages, or as [[account]] in the configuration")
	default:
		if mailboxes, err = c.mailboxes(e.ctx, store, log, ""); err != nil {
			return err
		}
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w: choose another listen address in the configuration, or with --listen", err)
	}
	if strings.HasSuffix(c.Listen, ":0") && c.PublicURL == c.ownURL() {
		c.Listen = l.Addr().String()
		c.PublicURL = c.ownURL()
	}
	code, err := c.setupCode(e.ctx, store, e.stderr)
	if err != nil {
		return err
	}
	log.Info("serving", "listen", c.scheme()+"://"+l.Addr().String(), "public_url", c.PublicURL, "accounts", len(mailboxes), "version", version())
	return serve(e.ctx, c, store, mailboxes, l, log, code)
}

// serve syncs and serves until ctx ends; then it lets requests finish for shutdownTime. setupCode is for the first visit
// to the pages.
func serve(ctx context.Context, c *config, store *sqlstore.Store, mailboxes []work.Mailbox, l net.Listener, log *slog.Logger, setupCode string) error {
	rounds := c.rounds(store, log)
	rounds.CheckpointAfter, rounds.Progress = checkpointAfter, progressLog(log)
	rounds.ListEvery, rounds.AuditEvery = listRounds*c.interval, c.audit
	b := &work.Scheduler{Rounds: rounds, Store: store, Mailboxes: mailboxes, Interval: c.interval, Log: log, Removed: c.metrics.Forget}
	if c.Sync.Notifications {
		b.NotifyURL, b.SafetyNet = c.PublicURL+notifyPath, c.notifiedInterval
	}
	pusher := c.pusher(ctx, store, log)
	if pusher != nil {
		rounds.Published = pusher.Published
	}
	l, beside, err := c.secure(ctx, l, log)
	if err != nil {
		return err
	}
	files := c.feedFiles(store)
	files.Took, files.Log = c.metrics.Rendered, log
	front, err := handler(c, store, b, pusher, files, setupCode, log)
	if err != nil {
		return err
	}
	srv := &http.Server{
		DisableGeneralOptionsHandler: true, // OPTIONS * is for the DAV handler, after a sign-in
		Handler:                      front,
		ReadHeaderTimeout:            10 * time.Second,
		ReadTimeout:                  time.Minute,
		WriteTimeout:                 time.Minute, // DAV answers and feeds move it on as their readers take them
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               32 << 10,
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: 32, MaxReceiveBufferPerConnection: 256 << 10, MaxReceiveBufferPerStream: 64 << 10},
		ConnState:                    (&crowd{most: maxConnections}).changed,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return b.Run(ctx) })
	g.Go(func() error { return c.warnOfCredential(ctx, log) })
	if pusher != nil {
		g.Go(func() error { return pusher.Run(ctx) })
	}
	g.Go(func() error { return files.Run(ctx) })
	g.Go(func() error { return beside(ctx) })
	g.Go(func() error { return watch(ctx, store, log) })
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve: %w", err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		log.Info("shutting down")
		until, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if err := srv.Shutdown(until); err != nil {
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// handler joins DAV and everything else at one origin.
func handler(c *config, store *sqlstore.Store, b *work.Scheduler, pusher *push.Pusher, files *feed.Files, setupCode string, log *slog.Logger) (http.Handler, error) {
	token, err := c.metricsToken()
	if err != nil {
		return nil, err
	}
	backend := dav.Backend{Store: store, Zone: convert.Zone}
	if pusher != nil {
		backend.Push = pusher
	}
	dav := &caldav.Handler{Backend: backend, Log: log, TimeZone: convert.ZoneCalendar, Zone: convert.Zone,
		HTTPS: func(r *http.Request) bool { return web.ClientOf(r).HTTPS }}
	if c.PublicURL != "http://"+c.Listen {
		dav.PublicURL = c.PublicURL
	}
	site := &web.Handler{
		Store: store, Feeds: files, PublicURL: c.PublicURL, Version: version(), Log: log,
		Accounts: &accounts{store: store, work: b, log: log, c: c}, SetupCode: setupCode, Metrics: c.metrics, MetricsToken: token,
	}
	if b.NotifyURL != "" {
		site.Notify = b.Notify
	}
	pages := site.Handler()
	return &web.Edge{DAV: dav.Handles, Proxies: c.proxies, PublicURL: c.PublicURL, Plain: c.plain, Metrics: c.metrics,
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if dav.Handles(r) {
				dav.ServeHTTP(w, r.WithContext(store.Once(r.Context())))
				return
			}
			pages.ServeHTTP(w, r)
		}),
	}, nil
}

// pusher tells clients of changes; nil where that is switched off or cannot be.
func (c *config) pusher(ctx context.Context, store *sqlstore.Store, log *slog.Logger) *push.Pusher {
	if !c.Push {
		return nil
	}
	p := &push.Pusher{Store: store, Private: c.PushPrivate, Subject: c.PublicURL, Log: log, Pushed: c.metrics.Pushed}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme != "https" {
		p.Subject = "outbridge@" + u.Hostname() // push services take a mail address or an https URL for who sends
	}
	if err := p.Prepare(ctx); err != nil {
		log.Error("there is no push: clients poll", "err", err)
		return nil
	}
	return p
}

// progressLog tells of long work every few seconds.
func progressLog(log *slog.Logger) func(round.Progress) {
	every := throttle(5 * time.Second)
	return func(p round.Progress) {
		if p.Events < 500 && p.Total < 500 || !every() {
			return
		}
		log.Info("working", "account", p.Account, "calendar", p.Calendar, "phase", p.Phase, "pages", p.Pages, "items", p.Events,
			"done", p.Done, "of", p.Total)
	}
}
