package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/dav"
	"outbridge/bridge/feed"
	"outbridge/bridge/notice"
	"outbridge/bridge/push"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
	"outbridge/bridge/write"
	"outbridge/caldav"
)

// shutdownTime is how long requests in progress may take to end after a signal.
const shutdownTime = 3 * time.Second

// checkpointAfter is how old the stored state of an idle calendar may be; see round.Runner.
const checkpointAfter = 5 * time.Minute

// listRounds is how many intervals pass before the list of calendars is read again: a new calendar may wait that long.
const listRounds = 5

// notifyPath is where Graph sends change notifications.
const notifyPath = "/graph/notify"

type serveCmd struct {
	Listen string `help:"Address to serve at, instead of the configured one." placeholder:"ADDR"`
	configFlag
}

func (s *serveCmd) Run(e *env) error {
	keepHeapFloor()
	c, err := s.loadOrBegin(e.stderr)
	if err != nil {
		return err
	}
	reload := newReloader(c, s.load)
	if s.Listen != "" {
		if c.PublicURL == c.ownURL() {
			c.PublicURL = ""
		}
		if err := c.listenAt(s.Listen); err != nil {
			return err
		}
	}
	s.activation(e, c)
	if err := c.checkExposed(); err != nil {
		return err
	}
	if err := first(c.fileProblems()); err != nil {
		return err
	}
	for _, t := range c.twins() {
		fmt.Fprintln(e.stderr, "outbridge: "+t.sentence())
	}
	for _, name := range c.unknownVariables {
		fmt.Fprintf(e.stderr, "outbridge: the environment has %s, which is no key of the configuration\n", name)
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	p := newProgram(c, e)
	p.reloader = reload
	if err := p.openStore(e.ctx); err != nil {
		return err
	}
	defer p.store.Close()
	// With the wrong key no password and no feed address is known: clients would be told that their calendars are gone.
	if err := p.store.CheckKey(e.ctx); err != nil {
		return err
	}
	p.countMetrics()
	var mailboxes []work.Mailbox
	switch {
	case p.registration.ClientID == "":
		p.log.Warn("no app registration yet, so nothing is synced: enter it on the web pages, or as microsoft.client_id in the configuration")
	case len(p.accounts) == 0 && p.conf.Organization.enabled(): // they come with the first look into the directory
	case len(p.accounts) == 0:
		p.log.Warn("no accounts yet, so nothing is synced: add one on the web pages, or an [[account]] to the configuration")
	default:
		if mailboxes, err = p.mailboxes(e.ctx, ""); err != nil {
			return err
		}
	}
	listeners, err := c.open()
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	c.nowAt(listeners)
	if c.PublicURL == "http://localhost" {
		p.log.Warn("public_url is not set, so no address on the pages can be used: set it to that of the proxy in front")
	}
	code, err := p.setupCode(e.ctx, e.stderr)
	if err != nil {
		return err
	}
	p.log.Info("serving", "listen", c.opened(listeners), "public_url", c.PublicURL, "accounts", len(mailboxes), "version", version())
	if err := p.serve(e.ctx, mailboxes, listeners, code); e.ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil // told to end before everything had begun
}

// activation uses the sockets that systemd has passed, if nobody has said where to listen.
func (s *serveCmd) activation(e *env, c *config) {
	if !activated() || strings.Contains(c.listenText(), "systemd") {
		return
	}
	if s.Listen != "" || c.Listen != any(defaultListen) {
		fmt.Fprintln(e.stderr, `outbridge: systemd has passed sockets, which are not used: set listen = "systemd" in the configuration`)
		return
	}
	if c.PublicURL == c.ownURL() {
		c.PublicURL = "http://localhost"
	}
	c.Listen = "systemd"
}

// nowAt is told where the listeners are. Where only they know a port, the default of public_url has it from them.
func (c *config) nowAt(list []net.Listener) {
	if at := c.firstAddress(); c.PublicURL != c.ownURL() || at != "" && !strings.HasSuffix(at, ":0") {
		return
	}
	var places []place
	for _, l := range list {
		places = append(places, place{l.Addr().Network(), l.Addr().String()})
	}
	c.setPlaces(places)
	c.PublicURL = c.ownURL()
}

// serve syncs and serves until ctx ends, then gives requests shutdownTime to finish. setupCode is for the first visit to
// the web pages.
func (p *program) serve(ctx context.Context, mailboxes []work.Mailbox, listeners []net.Listener, setupCode string) error {
	p.pulse = newPulseFile(ctx, p)
	p.pulse.took = p.metrics.Elsewhere
	live := new(web.Live)
	p.live = live
	watcher, err := p.watcher(ctx)
	if err != nil {
		return err
	}
	scheduler := p.scheduler(mailboxes, live, watcher)
	if err := p.share(ctx, scheduler); err != nil {
		return err
	}
	if p.machine != nil {
		live.Others = p.store
		defer p.machine.giveBack(ctx) // when everything has ended that had something
	}
	pusher := p.pusher(ctx)
	if pusher != nil {
		scheduler.Rounds.Published = pusher.Published
	}
	listeners, background, err := p.conf.secure(ctx, listeners, p.log)
	if err != nil {
		return err
	}
	files := p.feedFiles()
	files.Took, files.Log = p.metrics.Rendered, p.log
	accounts := &webAccounts{work: scheduler, p: p}
	accounts.members = newMembers(accounts)
	watcher.Survey = p.surveyor(accounts).Survey
	writer := p.writer(scheduler)
	defer writer.Close()
	front, err := p.handler(&site{scheduler, accounts, writer, pusher, files, live, watcher, setupCode})
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
		ErrorLog:                     serverLog(p.log, time.Now),
	}
	srv.RegisterOnShutdown(live.Close)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return scheduler.Run(ctx) })
	g.Go(func() error { return live.Run(ctx) })
	if p.machine != nil {
		g.Go(func() error { return p.machine.Run(ctx) })
		g.Go(func() error { return accounts.follow(ctx) })
		g.Go(func() error { return p.machine.alone(ctx, "figures", accounts.tellFigures) })
	}
	g.Go(func() error { return accounts.members.Run(ctx) })
	g.Go(func() error { return p.warnOfCredential(ctx) })
	if p.reloader != nil {
		g.Go(func() error { return p.reloader.run(ctx, p, accounts, watcher) })
	}
	g.Go(func() error { return p.pulse.Run(ctx) })
	g.Go(func() error {
		return p.machine.alone(ctx, "notices", func(ctx context.Context) error {
			if p.machine != nil { // what the machine before has told
				if err := watcher.Load(ctx); err != nil {
					return nil // the next one tries, or this one again
				}
			}
			return watcher.Run(ctx)
		})
	})
	if pusher != nil {
		g.Go(func() error { return pusher.Run(ctx) })
	}
	g.Go(func() error { return files.Run(ctx) })
	g.Go(func() error { return background(ctx) })
	g.Go(func() error { return watch(ctx, p.store, p.log) })
	for _, l := range listeners {
		g.Go(func() error {
			if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				return fmt.Errorf("serve: %w", err)
			}
			return nil
		})
	}
	g.Go(func() error {
		<-ctx.Done()
		p.log.Info("shutting down")
		until, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
		defer cancel()
		if err := srv.Shutdown(until); err != nil {
			return srv.Close()
		}
		return nil
	})
	return g.Wait()
}

// scheduler syncs the mailboxes at the configured intervals.
func (p *program) scheduler(mailboxes []work.Mailbox, live *web.Live, watcher *notice.Watcher) *work.Scheduler {
	c := p.conf
	rounds := p.rounds()
	rounds.CheckpointAfter, rounds.Progress = max(checkpointAfter, listRounds*c.interval), progressTo(live, p.log)
	rounds.ListEvery, rounds.AuditEvery = listRounds*c.interval, c.audit
	s := &work.Scheduler{Rounds: rounds, Store: p.store, Mailboxes: mailboxes, Interval: c.interval, Log: p.log}
	rounds.Done = func(ctx context.Context, report bridge.Report) {
		p.metrics.Round(ctx, report)
		p.pulse.round(report)
		live.Ended(report.Account)
		watcher.Wake()
		logFirst(p.log, report)
	}
	s.Removed = func(account string) {
		p.metrics.Forget(account)
		p.pulse.forget(account)
	}
	if c.Sync.Notifications {
		s.NotifyURL, s.SafetyNet = c.PublicURL+notifyPath, c.notifiedInterval
	}
	return s
}

// site is what is served.
type site struct {
	scheduler *work.Scheduler
	accounts  *webAccounts
	writer    *write.Writer
	pusher    *push.Pusher // nil: there is none
	files     *feed.Files
	live      *web.Live
	watcher   *notice.Watcher
	setupCode string
}

// handler serves DAV and everything else at one origin.
func (p *program) handler(s *site) (http.Handler, error) {
	c, accounts := p.conf, s.accounts
	token, err := c.metricsToken()
	if err != nil {
		return nil, err
	}
	backend := &dav.Writing{Writer: s.writer, Backend: dav.Backend{Store: p.store, Cache: new(dav.Cache), Zone: convert.Zone, Served: accounts.served, Policy: accounts.policy}}
	if s.pusher != nil {
		backend.Push = s.pusher
	}
	dav := &caldav.Handler{Backend: backend, RefusedWrite: backend.Refuse, Log: p.log, TimeZone: convert.ZoneCalendar, Zone: convert.Zone, Export: feed.WriteCalendar, Context: p.store.Once,
		HTTPS:   func(r *http.Request) bool { return web.ClientOf(r).HTTPS },
		Refused: func(r *http.Request, user string) { web.RefusedSignIn(p.log, r, "dav", user) }}
	if c.PublicURL != "http://"+c.listenText() {
		dav.PublicURL, dav.Prefix = c.publicOrigin(), c.publicBase()
	}
	pages := &web.Handler{
		Store: p.store, Feeds: s.files, PublicURL: c.PublicURL, Version: version(), Language: c.language, Log: p.log, Zone: convert.Zone,
		Accounts: accounts, Origins: origins{p.store, s.scheduler.Rounds, accounts.policy}, Served: accounts.served, SetupCode: s.setupCode, Metrics: p.metrics, MetricsToken: token,
		Disk: c.webDisk, FeedOrigins: c.feedOrigins,
		Notices: webNotices{s.watcher}, StaleAfter: p.staleAfter, Live: s.live,
		Microsoft: p.microsoft(accounts), Connect: c.Pages.Connect, Organization: c.organization(), SeeEvents: c.Pages.AdministratorsSeeEvents,
	}
	if p.machine != nil {
		pages.Machines, pages.Attempts = p.machine.count, p.store
	}
	if s.scheduler.NotifyURL != "" {
		pages.Notify = s.scheduler.Notify
	}
	everything := pages.Handler()
	return &web.Edge{DAV: dav.Handles, Proxies: c.proxies, SafeNets: c.safe, PublicURL: c.PublicURL, Plain: p.plain, Metrics: p.metrics, Log: p.log,
		Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if dav.Handles(r) {
				dav.ServeHTTP(w, r)
				return
			}
			everything.ServeHTTP(w, r)
		}),
	}, nil
}

// setupCode makes the code that sets the administrator's password, and says on w where to enter it. It is "" once there
// is an administrator.
func (p *program) setupCode(ctx context.Context, w io.Writer) (string, error) {
	_, err := p.store.Administrator(ctx)
	if err == nil || !errors.Is(err, bridge.ErrNotFound) {
		return "", err
	}
	code := web.NewSetupCode()
	if sqlstore.IsServer(p.conf.Database) { // another machine may be asked for the page
		if code, err = p.store.SetupCode(ctx, code); err != nil {
			return "", err
		}
	}
	// A browser on this machine cannot open an address that stands for all interfaces.
	page := strings.NewReplacer("//0.0.0.0:", "//127.0.0.1:", "//[::]:", "//[::1]:").Replace(p.conf.PublicURL) + "/setup?code=" + code
	if p.conf.LogFormat == "json" {
		p.log.Warn("this bridge is not set up yet", "page", page, "setup_code", code)
		return code, nil
	}
	_, err = fmt.Fprintf(w, "\nTo set up this bridge, open %s\n\n", page)
	return code, err
}

// pusher tells clients about changes; nil if push is off or cannot work.
func (p *program) pusher(ctx context.Context) *push.Pusher {
	c := p.conf
	if !c.Push {
		return nil
	}
	pusher := &push.Pusher{Store: p.store, Shared: p.machine != nil, Private: c.PushPrivate, Subject: c.PublicURL, Log: p.log, Pushed: p.metrics.Pushed}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme != "https" {
		pusher.Subject = "outbridge@" + u.Hostname() // push services want a mail address or an https URL as the sender
	}
	if err := pusher.Prepare(ctx); err != nil {
		p.log.Error("push is not available: clients poll instead", "err", err)
		return nil
	}
	return pusher
}

// progressTo shows the progress of long work to who watches it on the pages, and logs it every few seconds.
func progressTo(live *web.Live, log *slog.Logger) func(round.Progress) {
	every := throttle(3 * time.Second)
	return func(p round.Progress) {
		live.Tell(p)
		if !p.First && p.Events < 500 && p.Total < 500 || !every() {
			return
		}
		message := "working"
		if p.First {
			message = "first sync"
		}
		log.Info(message, "account", p.Account, "calendar", p.Calendar, "phase", p.Phase, "pages", p.Pages, "items", p.Events,
			"done", p.Done, "of", p.Total)
	}
}

// logFirst logs that the first sync of calendars is done.
func logFirst(log *slog.Logger, report bridge.Report) {
	for _, c := range report.Calendars {
		if c.First && c.Fault == (bridge.Fault{}) {
			log.Info("first sync done", "account", report.Account, "calendar", c.Calendar, "objects", c.Changed, "seconds", c.Seconds)
		}
	}
}
