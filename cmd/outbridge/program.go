package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/caldav"
)

// program is a configuration at work: its database, its accounts and its app registration, from the file and from the
// web pages, and what its Graph clients share. Commands make one; serve changes it under the lock of webAccounts.
type program struct {
	conf    *config
	log     *slog.Logger
	level   *slog.LevelVar  // of log, unless the command is a oneShot
	store   *sqlstore.Store // nil before openStore
	metrics *web.Metrics    // nil: nothing is counted
	pulse   *pulseFile      // nil: this is no server
	live    *web.Live       // nil: this is no server
	plain   bool            // app passwords may arrive over plain http: the demo has nothing to protect

	accounts            []accountConfig // of the file, then those added on the web pages and the members of the organization
	byName              map[string]int  // of accounts; replaced and never changed, so that it can be read while they change
	added               map[string]bool // names of those added on the web pages
	registration        bridge.Registration
	registrationOnPages bool // the file names none, so it is set on the web pages

	graph graphAccess

	process       string                        // names it among those that use the database
	machine       *machine                      // nil: the database is a file, which no other server uses
	reloader      *reloader                     // nil: SIGHUP reloads nothing
	newStaleAfter atomic.Pointer[time.Duration] // that a reload has brought; nil: none has
}

// newProgram is the program before its database is open: it knows the accounts of the file only.
func newProgram(c *config, e *env) *program {
	c.Microsoft.pages = new(pageCredential)
	level := new(slog.LevelVar)
	level.Set(c.level)
	p := &program{
		conf: c, log: c.logger(e.stderr, level), level: level, process: strings.ToLower(rand.Text()[:8]), graph: newGraphAccess(),
		registration: bridge.Registration{ClientID: c.Microsoft.ClientID, Tenant: c.Microsoft.Tenant},
	}
	p.setAccounts(slices.Clone(c.Accounts))
	return p
}

// open loads the configuration and opens its database. The caller closes the store.
func (f configFlag) open(e *env) (*program, error) {
	c, err := f.load()
	if err != nil {
		return nil, err
	}
	p := newProgram(c, e)
	return p, p.openStore(e.ctx)
}

// oneShot suits a command that somebody waits for: its output is the result, so the log has only warnings, and a Graph
// request is given up after this many attempts.
func (p *program) oneShot(e *env, attempts int) {
	p.graph.attempts = attempts
	if level := p.conf.level; level >= slog.LevelInfo {
		p.log = p.conf.logger(e.stderr, max(level, slog.LevelWarn))
	}
}

// openStore opens the database and reads what was set on the web pages.
func (p *program) openStore(ctx context.Context) error {
	if err := p.conf.refuseNewKey(ctx); err != nil {
		return err
	}
	if !p.conf.onServer() && p.conf.keyUsed() {
		if has, err := p.conf.hasDatabase(ctx); err == nil && !has {
			return p.conf.errNoDatabase() // before one is made
		}
	}
	key, err := sqlstore.ReadKey(p.conf.KeyFile)
	if err != nil {
		return err
	}
	store, err := sqlstore.Open(ctx, p.conf.databaseURL(), key, p.packing())
	if err != nil {
		return p.conf.explained(err)
	}
	err = p.refuseEmpty(ctx, store)
	if err == nil {
		err = p.adopt(ctx, store)
	}
	if err != nil {
		store.Close()
		return err
	}
	if store.BeganAgain() {
		p.log.Warn("the database was restored from a copy: clients load their calendars again, and writes that were under way are not taken up again")
	}
	p.store = store
	return nil
}

// packing tells of the upgrade of a database that takes more than a moment.
func (p *program) packing() func(sqlstore.Packing) {
	began := time.Now()
	told := began
	return func(is sqlstore.Packing) {
		switch now := time.Now(); {
		case is.Left != nil:
			p.log.Warn("the database is packed, but its file could not be made smaller, which the next start tries again; what is free in it is used", "err", is.Left)
		case is.Freed > 0:
			p.log.Info("the database is packed, and its file was made smaller", "mib", is.Freed>>20)
		case is.Done == is.Total && told != began:
			p.log.Info("the events in the database are packed", "rows", is.Total, "seconds", int(now.Sub(began).Seconds()))
		case now.Sub(told) > 2*time.Second:
			told = now
			p.log.Info("the events in the database are being packed, which is done once; please wait", "done", is.Done, "rows", is.Total)
		}
	}
}

// keyUsed reports whether there was a database with the key: by the key's own mark or, where a key cannot be marked, by the
// feeds that were served from it.
func (c *config) keyUsed() bool {
	if sqlstore.KeyInUse(c.KeyFile) {
		return true
	}
	_, keyErr := os.Stat(c.KeyFile)
	_, err := os.Stat(c.feedCache())
	return keyErr == nil && err == nil
}

// refuseEmpty refuses an empty database beside a key that was used with another one, as refuseNewKey does the reverse: the
// database is lost or elsewhere, and clients would be told that their calendars and feeds are gone.
func (p *program) refuseEmpty(ctx context.Context, store *sqlstore.Store) error {
	empty, err := store.Empty(ctx)
	switch {
	case err != nil:
		return err
	case !empty:
		sqlstore.MarkKeyInUse(p.conf.KeyFile)
		return nil
	case p.conf.keyUsed():
		return p.conf.errNoDatabase()
	}
	return nil
}

// adopt adds what was set on the web pages: the app registration if the file names none, and accounts.
func (p *program) adopt(ctx context.Context, store *sqlstore.Store) error {
	if p.registration.ClientID == "" {
		p.registrationOnPages = true
		r, err := store.Registration(ctx)
		if err != nil {
			return err
		}
		if r.ClientID != "" {
			p.registration = r
		}
	}
	if p.registrationOnPages {
		credential, err := store.Credential(ctx)
		switch {
		case errors.Is(err, bridge.ErrWrongKey): // who has to know is told by what needs it
		case err != nil:
			return err
		default:
			p.conf.Microsoft.pages.Store(&credential)
		}
		if cloud := p.registration.Cloud; cloud != "" && !p.conf.given["microsoft.cloud"] {
			if login, graphURL, ok := graph.Cloud(cloud); ok {
				p.conf.Microsoft.Cloud, p.conf.loginURL, p.conf.graphURL = cloud, login, graphURL
			}
		}
	}
	options, err := store.Options(ctx)
	if err != nil {
		return err
	}
	p.adoptOptions(options)
	list, err := store.AddedAccounts(ctx)
	if err != nil {
		return err
	}
	for _, a := range list {
		if _, err := p.account(a.Name); err != nil {
			p.addAccount(accountConfig{Name: a.Name, Mailbox: a.Mailbox, Include: a.Options.Include, Exclude: a.Options.Exclude, Shared: a.Options.Shared})
		}
	}
	_, _, err = p.adoptMembers(ctx, store)
	return err
}

// maxNamed is how many accounts a message names.
const maxNamed = 20

// names lists the accounts for messages.
func (p *program) names() string {
	var all []string
	for _, a := range p.accounts {
		if len(all) == maxNamed {
			all = append(all, fmt.Sprintf("%d more", len(p.accounts)-maxNamed))
			break
		}
		all = append(all, a.Name)
	}
	if len(all) == 0 {
		return "there are no accounts yet; add one on the web pages, or an [[account]] to the configuration"
	}
	if len(p.added) > 0 {
		return "there are " + strings.Join(all, ", ")
	}
	return "the configuration has " + strings.Join(all, ", ")
}

// countMetrics counts from now on, for /metrics.
func (p *program) countMetrics() {
	p.metrics = web.NewMetrics(version())
	p.metrics.Store, p.metrics.Log = p.store, p.log
	p.metrics.WatchDisk(p.conf.webDisk)
}

// rounds runs rounds with the options of the configuration.
func (p *program) rounds() *round.Runner {
	return &round.Runner{
		Store: p.store, History: p.conf.history, Horizon: p.conf.horizon, Settings: p.conf.Sync.MailboxSettings, HTML: p.conf.Sync.HTML,
		Log: p.log, Done: p.metrics.Round,
		AttachmentURL: func(token, name string) string { return p.conf.PublicURL + caldav.AttachmentPath(token, name) },
	}
}
