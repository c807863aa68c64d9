package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"outbridge/bridge/web"
)

// parseProxies reads trusted_proxy: a boolean, or addresses and networks.
func parseProxies(v any) (web.Proxies, error) {
	var list []any
	switch v := v.(type) {
	case nil:
	case bool:
		return web.Proxies{All: v}, nil
	case string:
		list = []any{v}
	case []any:
		list = v
	default:
		return web.Proxies{}, errProxies(v)
	}
	var p web.Proxies
	for _, item := range list {
		text, _ := item.(string)
		if prefix, err := netip.ParsePrefix(text); err == nil {
			p.Nets = append(p.Nets, prefix.Masked())
		} else if addr, err := netip.ParseAddr(text); err == nil {
			p.Nets = append(p.Nets, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		} else {
			return web.Proxies{}, errProxies(item)
		}
	}
	return p, nil
}

// parseNetworks reads safe_networks.
func parseNetworks(list []string) (nets []netip.Prefix, err error) {
	for _, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); err != nil && addrErr == nil {
			prefix, err = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()), nil
		}
		if err != nil {
			return nil, fmt.Errorf("safe_networks: %q is not a network: write it like 100.64.0.0/10", text)
		}
		if prefix.Bits() == 0 {
			return nil, fmt.Errorf("safe_networks: %s is the whole internet: name only networks that nobody else can listen in", text)
		}
		nets = append(nets, prefix.Masked())
	}
	return nets, nil
}

func errProxies(v any) error {
	return fmt.Errorf("trusted_proxy: %v is not an address: write true, or the proxy's addresses like [\"10.0.0.2\", \"172.16.0.0/12\"]", v)
}

// checkExposed refuses to accept app passwords over plain http from other machines.
func (c *config) checkExposed() error {
	list, err := c.places()
	if err != nil {
		return err
	}
	for _, p := range list {
		if p.network == "tcp" {
			if err := c.exposedAt(p.at); err != nil {
				return err
			}
		}
	}
	return nil
}

// metricsToken reads metrics_token_file; "" if there is none.
func (c *config) metricsToken() (string, error) {
	f := c.MetricsTokenFile
	if f == "" {
		return "", nil
	}
	b, err := os.ReadFile(f)
	if err == nil {
		err = notForEverybody(f)
	}
	if err != nil {
		return "", fmt.Errorf("metrics_token_file: %w", err)
	}
	token := strings.TrimSpace(string(b))
	if len(token) < 16 {
		return "", fmt.Errorf("metrics_token_file: the token in %s is shorter than 16 characters: create one with `openssl rand -hex 24`", f)
	}
	return token, nil
}
