package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"outbridge/bridge/web"
)

// TestPlainly: what the network says is told in words, from errors as they are really made.
func TestPlainly(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	cut, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cut.Close() })
	go func() {
		for {
			c, err := cut.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	pool := secure.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	client := &http.Client{Transport: &http.Transport{}}
	for _, c := range []struct {
		url, says string
		tls       *tls.Config
	}{
		{"http://127.0.0.1:1/", "nothing accepts connections at 127.0.0.1:1", nil},
		{"http://no-such-host.invalid/", "DNS", nil},
		{secure.URL, "an authority that this machine does not know", nil},
		{secure.URL, "for another name", &tls.Config{RootCAs: pool, ServerName: "calendar.example.org"}},
		{strings.Replace(plain.URL, "http:", "https:", 1), "does not speak TLS", nil},
		{"http://" + cut.Addr().String(), "cut off by " + cut.Addr().String(), nil},
	} {
		client.Transport = &http.Transport{TLSClientConfig: c.tls}
		_, err := client.Get(c.url)
		if err == nil {
			t.Fatalf("%s answers", c.url)
		}
		if got := plainly(fmt.Errorf("ask: %w", err)); !strings.Contains(got, c.says) || web.Technical(got) {
			t.Errorf("%s: %q of %v", c.url, got, err)
		}
	}
	if got := plainly(errors.New("the database is empty")); got != "the database is empty" {
		t.Error(got)
	}
}
