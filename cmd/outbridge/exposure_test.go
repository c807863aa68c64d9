package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"outbridge/bridge/web"
)

func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value any
		want  string
	}{
		{nil, "{false []}"}, {false, "{false []}"}, {true, "{true []}"}, {"10.0.0.2", "{false [10.0.0.2/32]}"},
		{"::ffff:10.0.0.2", "{false [10.0.0.2/32]}"}, {[]any{"10.1.2.3/8", "2001:db8::1"}, "{false [10.0.0.0/8 2001:db8::1/128]}"}, {[]any{}, "{false []}"},
	} {
		if got, err := parseProxies(c.value); fmt.Sprint(got) != c.want || err != nil {
			t.Errorf("%v: %v, %v", c.value, got, err)
		}
	}
}

func TestTrustedProxyBad(t *testing.T) {
	t.Parallel()
	for _, bad := range []any{"", "proxy.example.com", "10.0.0.0/33", []any{"10.0.0.1", "x"}, []any{1}, 17, 1.5} {
		if _, err := parseProxies(bad); err == nil || !strings.HasPrefix(err.Error(), "trusted_proxy: ") {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestFeedOrigins(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"*": "*", "https://Example.org": "https://example.org", "https://example.org:443/": "https://example.org", "http://a:8080": "http://a:8080",
		"example.org": "", "https://example.org/x": "", "https://*.example.org": "", "ftp://a": "", "null": "", "": ""} {
		got, err := parseOrigins([]string{text})
		if (err == nil) != (want != "") || err == nil && got[0] != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestExposed(t *testing.T) {
	t.Parallel()
	for listen, open := range map[string]bool{
		"127.0.0.1:8080": false, "127.8.8.8:1": false, "[::1]:8080": false, "localhost:8080": false, "bridge.localhost:80": false,
		":8080": true, "0.0.0.0:8080": true, "[::]:8080": true, "192.0.2.1:8080": true, "calendar.example.com:80": true, "localhost.example.com:80": true,
	} {
		c := defaultConfig()
		c.Listen = listen
		if err := c.checkExposed(); (err != nil) != open {
			t.Errorf("%s alone: %v", listen, err)
		}
		c.proxies = web.Proxies{All: true}
		if err := c.checkExposed(); err != nil {
			t.Errorf("%s behind a proxy: %v", listen, err)
		}
		c.proxies, c.TLS.Domains = web.Proxies{}, []string{"calendar.example.com"}
		if err := c.checkExposed(); err != nil {
			t.Errorf("%s with TLS: %v", listen, err)
		}
	}
}

func TestMetricsToken(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	conf := defaultConfig()
	if token, err := conf.metricsToken(); token != "" || err != nil {
		t.Errorf("no token: %q, %v", token, err)
	}
	conf.MetricsTokenFile = file
	if _, err := conf.metricsToken(); err == nil || !strings.HasPrefix(err.Error(), "metrics_token_file: ") {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(file, []byte("0123456789abcdef0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, err := conf.metricsToken(); token != "0123456789abcdef0123" || err != nil {
		t.Errorf("the token is read as %q, %v", token, err)
	}
	for _, bad := range []string{"", "short\n", "               padded             \n"} {
		if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := conf.metricsToken(); err == nil || !strings.Contains(err.Error(), "openssl rand") {
			t.Errorf("token %q: %v", bad, err)
		}
	}
}
