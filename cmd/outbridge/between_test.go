package main

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestDoctorNetwork: the doctor names what stands between this machine and Microsoft.
func TestDoctorNetwork(t *testing.T) {
	t.Parallel()
	portal := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("\n<!DOCTYPE html><title>Welcome to the hotel</title>"))
	}))
	t.Cleanup(portal.Close)
	redirecting := httptest.NewServer(http.RedirectHandler("http://wifi.example/login", http.StatusFound))
	t.Cleanup(redirecting.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	t.Cleanup(proxy.Close)
	inspecting := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(inspecting.Close)
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	dir := writeConfig(t, newOutlook(t, sim, box))
	config, err := os.ReadFile(filepath.Join(dir, "outbridge.toml"))
	if err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: inspecting.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	at := func(url string) string {
		var lines []string
		for line := range strings.Lines(string(config)) {
			for _, key := range []string{"login_url", "graph_url"} {
				if strings.HasPrefix(line, key) {
					line = fmt.Sprintf("%s = %q\n", key, url)
				}
			}
			lines = append(lines, line)
		}
		return strings.Join(lines, "")
	}
	for name, c := range map[string]struct {
		url, env, fix string
	}{
		"a page":      {portal.URL, "", "Sign in to the network"},
		"a redirect":  {redirecting.URL, "", "Sign in to the network"},
		"407":         {"https://login.example", "HTTPS_PROXY=" + strings.Replace(proxy.URL, "http://", "http://nobody:wrong@", 1), "http://user:password@proxy:port"},
		"unknown CA":  {inspecting.URL, "", "SSL_CERT_FILE"},
		"known CA":    {inspecting.URL, "SSL_CERT_FILE=" + ca, ""},
		"not at all":  {"http://127.0.0.1:1", "", "Check the network"},
		"the service": {"", "", ""},
	} {
		text := string(config)
		if c.url != "" {
			text = at(c.url)
		}
		x := examine(t, dir, text, c.env)
		result := resultBroken
		if c.fix == "" {
			result = resultOK
		}
		for _, check := range []string{"login service", "Microsoft Graph"} {
			x.requires(t, name, check, result, c.fix)
		}
		if strings.Contains(x.String(), "nobody:wrong") {
			t.Errorf("%s: a password is shown", name)
		}
	}
}
