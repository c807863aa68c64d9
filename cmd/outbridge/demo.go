package main

import (
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/web"
)

const demoUser = "demo"

type demoCmd struct {
	Listen string `help:"Address to serve at." default:"127.0.0.1:8080" placeholder:"ADDR"`
	Data   string `help:"Keep the demo's data in this folder; a temporary one, removed at the end, without it." placeholder:"DIR" type:"path"`
}

// Run starts the simulated Outlook, signs in to it as a person would, syncs, and serves.
func (d *demoCmd) Run(e *env) (err error) {
	dir := d.Data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "outbridge-demo-"); err != nil {
			return err
		}
		defer os.RemoveAll(dir)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	l, err := demoListener(e, d.Listen)
	if err != nil {
		return err
	}
	defer l.Close()

	outlook := &graphsim.Server{AutoApprove: true, DeviceInterval: time.Second}
	outlook.DemoMailbox()
	sim, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	simServer := &http.Server{Handler: outlook, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = simServer.Serve(sim) }()
	defer simServer.Close()

	c := defaultConfig()
	c.plain, c.metrics = true, web.NewMetrics(version())
	c.Listen, c.PublicURL = l.Addr().String(), "http://"+l.Addr().String()
	c.Database, c.KeyFile = filepath.Join(dir, "outbridge.db"), filepath.Join(dir, "outbridge.key")
	c.Microsoft = microsoftConfig{Cloud: "custom", LoginURL: "http://" + sim.Addr().String(), GraphURL: "http://" + sim.Addr().String(),
		Tenant: "common", ClientID: "outbridge-demo"}
	c.Sync.Interval = "5s"
	c.Accounts = []accountConfig{{Name: demoUser}}
	if err := c.check(); err != nil {
		return err
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	log := slog.New(slog.NewTextHandler(e.stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := c.openStore(e.ctx)
	if err != nil {
		return err
	}
	defer store.Close()
	c.metrics.Store, c.metrics.Log = store, log
	// Through the device code sign-in, which the simulated Outlook approves by itself.
	if err := c.signIn(e.ctx, store, demoUser, func(*graph.DeviceAuth) {}); err != nil {
		return err
	}
	mailboxes, err := c.mailboxes(e.ctx, store, log, "")
	if err != nil {
		return err
	}
	b := c.rounds(store, log)
	b.Count = true
	report, err := b.Round(e.ctx, mailboxes[0])
	if err != nil {
		return err
	}
	_, password, err := store.AddPassword(e.ctx, demoUser, "demo", time.Now().UTC())
	if err != nil {
		return err
	}
	_, secret, err := store.AddFeed(e.ctx, bridge.Feed{User: demoUser, Name: "Demo", Detail: bridge.DetailFull, Created: time.Now().UTC()})
	if err != nil {
		return err
	}
	admin := strings.ToLower(rand.Text()[:16])
	hash, err := web.HashPassword(admin)
	if err == nil {
		err = store.SetAdministrator(e.ctx, hash, false)
	}
	if err != nil {
		return err
	}
	events := 0
	for _, cal := range report.Calendars {
		events += cal.Events
	}
	fmt.Fprintf(e.stdout, `outbridge demo: a simulated Outlook mailbox, %d events in %d calendars, behind the real bridge.

Pages:    %s/
Sign in:  %s

CalDAV:   %s/
User:     %s
Password: %s
Feed:     %s

Try:      curl -s '%s' | head -40
          curl -s -u %s:%s -X PROPFIND -H 'Depth: 1' %s/dav/calendars/%s/
Data:     %s
Ctrl-C ends it.
`, events, len(report.Calendars), c.PublicURL, admin, c.PublicURL, demoUser, password, feedURL(&c, secret), feedURL(&c, secret), demoUser, password, c.PublicURL, demoUser, dir)
	return serve(e.ctx, &c, store, mailboxes, l, log, "")
}

// demoListener listens at the address, or at a free port where the default one is taken.
func demoListener(e *env, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err == nil {
		return l, nil
	}
	if address == "127.0.0.1:8080" {
		if l, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
			fmt.Fprintf(e.stderr, "%s is in use; serving at %s instead.\n", address, l.Addr())
			return l, nil
		}
	}
	return nil, fmt.Errorf("listen: %w: choose another address with --listen", err)
}
