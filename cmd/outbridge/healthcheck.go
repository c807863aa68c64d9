package main

import (
	"crypto/tls"
	"fmt"
	"io"
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
		if c.Listen = h.Listen; c.check() != nil {
			return usageError{fmt.Errorf("--listen %s is not an address: write it like 127.0.0.1:8080", h.Listen)}
		}
	}
	transport := &http.Transport{}
	if c.TLS.on() {
		name := ""
		if len(c.TLS.Domains) > 0 {
			name = c.TLS.Domains[0]
		}
		// It is this machine's own server, and nothing secret is sent.
		transport.TLSClientConfig = &tls.Config{ServerName: name, InsecureSkipVerify: true}
	}
	client := &http.Client{Timeout: 5 * time.Second, Transport: transport}
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, c.scheme()+"://"+localAddress(c.Listen)+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %w: start the bridge with `outbridge serve`", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
	if err != nil || resp.StatusCode != 200 || string(b) != "ok\n" {
		why := "see the server log"
		if resp.StatusCode == http.StatusServiceUnavailable && len(b) > 0 {
			why = strings.TrimSpace(string(b))
		}
		return fmt.Errorf("healthcheck: %s answers %s: %s", c.Listen, resp.Status, why)
	}
	_, err = e.stdout.Write(b)
	return err
}
