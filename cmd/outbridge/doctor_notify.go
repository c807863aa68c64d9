package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/notice"
	"outbridge/bridge/web"
)

// notify checks where notifications go: that somebody is reached at each address. It sends nothing.
func (d *doctor) notify() {
	const check = "notify"
	list, err := d.c.notifyTargets()
	if err != nil {
		d.broken(check, seeMessage, "%v", err)
		return
	}
	var targets []bridge.NoticeTarget
	for _, u := range list {
		targets = append(targets, notice.Described(bridge.NoticeTarget{URL: u}))
	}
	if d.p.store != nil {
		added, err := d.p.store.NoticeTargets(d.ctx)
		if err != nil {
			d.broken(check, seeMessage, "%v", err)
			return
		}
		for _, t := range added {
			targets = append(targets, notice.Described(t))
		}
	}
	for _, t := range targets {
		name := web.TargetName(t)
		scheme, address := notice.Reached(t.URL)
		if address == "" {
			d.skip(check, "%s: only a message can tell: `outbridge notify test` sends one", name)
			continue
		}
		if err := d.dial(scheme, address); err != nil {
			d.broken(check, "Open the firewall for it, or correct the address: on the settings page, or in [notify].", "%s: %s cannot be reached: %v", name, address, err)
			continue
		}
		d.ok(check, "%s: %s is reachable; `outbridge notify test` sends a message", name, address)
	}
}

// dial connects to an address as messages do: those over HTTP through the proxy, where there is one.
func (d *doctor) dial(scheme, address string) error {
	if scheme == "http" || scheme == "https" {
		proxy, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: scheme, Host: address}})
		if err != nil {
			return err
		}
		if proxy != nil {
			return nil // it is checked with Microsoft's services, and only it can tell
		}
	}
	ctx, cancel := context.WithTimeout(d.ctx, 10*time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}
