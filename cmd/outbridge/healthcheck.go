package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

type healthcheckCmd struct {
	Listen string `help:"Address of the server, if it runs with --listen." placeholder:"ADDR"`
	configFlag
}

// Run asks the server that this configuration describes, at its own address, whether it can answer requests.
func (h *healthcheckCmd) Run(e *env) error {
	c, err := h.load()
	if err != nil {
		return err
	}
	if h.Listen != "" {
		if err := c.listenAt(h.Listen); err != nil {
			return err
		}
	}
	list, err := c.places()
	if err != nil {
		return err
	}
	at := list[0]
	for _, p := range list {
		if at.network == "systemd" {
			at = p
		}
	}
	transport, address := &http.Transport{}, c.scheme()+"://"+localAddress(at.at)
	switch {
	case at.network == "systemd":
		return errors.New("healthcheck: systemd has the address of the server: name it with --listen")
	case at.network == "unix":
		address = "http://localhost"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", at.at)
		}
	case c.TLS.on():
		name := ""
		if len(c.TLS.Domains) > 0 {
			name = c.TLS.Domains[0]
		}
		// It is this machine's own server, and nothing secret is sent.
		transport.TLSClientConfig = &tls.Config{ServerName: name, InsecureSkipVerify: true}
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, address+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %s: start the bridge with `outbridge serve`", plainly(err))
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil || resp.StatusCode != 200 || string(b) != "ok\n" {
		why := "see the server log"
		if resp.StatusCode == http.StatusServiceUnavailable && len(b) > 0 {
			why = strings.TrimSpace(string(b))
		}
		return fmt.Errorf("healthcheck: %s answers %s: %s", at, resp.Status, why)
	}
	_, err = e.stdout.Write(b)
	return err
}
