package main

import (
	"crypto/rand"
	"fmt"
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
	Listen string `help:"Address to serve at. Default: 127.0.0.1:8080." default:"127.0.0.1:8080" placeholder:"ADDR"`
	Data   string `help:"Folder for the demo's data. Default: a temporary folder, removed at the end." placeholder:"DIR" type:"path"`
}

// Run is run, which Ctrl-C may end at any moment: that is how a demo ends.
func (d *demoCmd) Run(e *env) error {
	if err := d.run(e); e.ctx.Err() == nil {
		return err
	}
	return nil
}

// run starts the simulated Outlook, signs in to it as a person would, syncs, and serves.
func (d *demoCmd) run(e *env) (err error) {
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

	outlook, err := demoOutlook()
	if err != nil {
		return err
	}
	defer outlook.Close()
	c, err := demoConfig(dir, l.Addr().String(), outlook.Addr)
	if err != nil {
		return err
	}
	unlock, err := c.lockDatabase()
	if err != nil {
		return err
	}
	defer unlock()
	p := newProgram(c, e)
	p.plain = true
	if err := p.openStore(e.ctx); err != nil {
		return err
	}
	defer p.store.Close()
	p.countMetrics()
	// The simulated Outlook approves the device code without asking.
	if err := p.signIn(e.ctx, demoUser, func(*graph.DeviceAuth) {}); err != nil {
		return err
	}
	mailboxes, err := p.mailboxes(e.ctx, "")
	if err != nil {
		return err
	}
	b := p.rounds()
	b.Count = true
	report, err := b.Round(e.ctx, mailboxes[0].Mailbox)
	if err != nil {
		return err
	}
	if err := p.welcomeToDemo(e, report, dir); err != nil {
		return err
	}
	return p.serve(e.ctx, mailboxes, []net.Listener{l}, "")
}

// demoOutlook serves a simulated Outlook at its Addr, a free port of this machine.
func demoOutlook() (*http.Server, error) {
	outlook := &graphsim.Server{AutoApprove: true, DeviceInterval: time.Second}
	outlook.DemoMailbox()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	server := &http.Server{Addr: l.Addr().String(), Handler: outlook, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	return server, nil
}

func demoConfig(dir, listen, outlook string) (*config, error) {
	c := defaultConfig()
	c.Listen, c.PublicURL = listen, "http://"+listen
	c.Database, c.KeyFile = filepath.Join(dir, "outbridge.db"), filepath.Join(dir, "outbridge.key")
	c.Microsoft = microsoftConfig{Cloud: "custom", LoginURL: "http://" + outlook, GraphURL: "http://" + outlook, Tenant: "common", ClientID: "outbridge-demo"}
	c.Sync.Interval, c.LogLevel = "5s", "warn"
	c.given = map[string]bool{"sync.interval": true, "microsoft.cloud": true} // or else the pages have a say in them
	c.Accounts = []accountConfig{{Name: demoUser, Access: "read-write", Invitations: string(bridge.InvitationsOutlook)}}
	return &c, c.check()
}

// welcomeToDemo makes the passwords and the feed of the demo, and prints them.
func (p *program) welcomeToDemo(e *env, report bridge.Report, dir string) error {
	_, password, err := p.store.AddPassword(e.ctx, demoUser, "demo", time.Now().UTC())
	if err != nil {
		return err
	}
	_, secret, err := p.store.AddFeed(e.ctx, bridge.Feed{User: demoUser, Name: "Demo", Detail: bridge.DetailFull, Created: time.Now().UTC()})
	if err != nil {
		return err
	}
	admin := strings.ToLower(rand.Text()[:16])
	hash, err := web.HashPassword(admin)
	if err != nil {
		return err
	}
	if err := p.store.SetAdministrator(e.ctx, hash, false); err != nil {
		return err
	}
	events := 0
	for _, cal := range report.Calendars {
		events += cal.Events
	}
	address, feed := p.conf.PublicURL, p.conf.feedURL(secret)
	_, err = fmt.Fprintf(e.stdout, `outbridge demo: a simulated Outlook mailbox, %d events in %d calendars, behind the real bridge.

Web pages: %s/
Password:  %s

CalDAV:    %s/
User:      %s
Password:  %s
Feed:      %s

Try:       curl -s '%s' | head -40
           curl -s -u %s:%s -X PROPFIND -H 'Depth: 1' %s/dav/calendars/%s/
Data:      %s
Press Ctrl-C to stop.
`, events, len(report.Calendars), address, admin, address, demoUser, password, feed, feed, demoUser, password, address, demoUser, dir)
	return err
}

// demoListener listens at the address, or at a free port if the default one is taken.
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
