package main

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestEveryKeyByEnvironment: each key can be set by a variable, before what the file says.
func TestEveryKeyByEnvironment(t *testing.T) {
	t.Parallel()
	var keys []string
	tagsOf(reflect.TypeFor[config](), "", &keys)
	c := defaultConfig()
	names := map[string]reflect.Value{}
	envKeys(reflect.ValueOf(&c).Elem(), envPrefix, names)
	for _, key := range keys {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
		if account, ok := strings.CutPrefix(name, envPrefix+"ACCOUNT_"); ok {
			name = envPrefix + "ACCOUNT_7_" + account
		} else if _, ok := names[name]; !ok {
			t.Errorf("%s: no variable %s", key, name)
			continue
		}
		value := "true" // which all kinds can be
		one := defaultConfig()
		if unknown, err := one.fromEnvironment([]string{name + "=" + value}); len(unknown) > 0 || err != nil || reflect.DeepEqual(one, defaultConfig()) {
			if key == "push" {
				continue // true is the default
			}
			t.Errorf("%s: %v, %v, changed: %v", name, unknown, err, !reflect.DeepEqual(one, defaultConfig()))
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	t.Parallel()
	c := defaultConfig()
	c.Accounts = []accountConfig{{Name: "alice"}}
	unknown, err := c.fromEnvironment([]string{
		"HOME=/root", "OUTBRIDGE_CONFIG=x", "OUTBRIDGE_PORT=tcp://10.0.0.1:80", "OUTBRIDGE_PORT_8080_TCP_ADDR=10.0.0.1", "OUTBRIDGE_SERVICE_PORT_HTTP=80",
		"OUTBRIDGE_LISSEN=x", "OUTBRIDGE_TLS_EMAIL=",
		"OUTBRIDGE_LISTEN=[::1]:9000", "OUTBRIDGE_PUSH=false", "OUTBRIDGE_TRUSTED_PROXY=10.0.0.2, 172.16.0.0/12", "OUTBRIDGE_TLS_DOMAINS=a.example.com,b.example.com",
		"OUTBRIDGE_MICROSOFT_CLIENT_SECRET_FILE=/run/secrets/client", "OUTBRIDGE_SYNC_INTERVAL=30s",
		"OUTBRIDGE_ACCOUNT_2_NAME=carol", "OUTBRIDGE_ACCOUNT_2_INCLUDE=Work,Family life", "OUTBRIDGE_ACCOUNT_1_NAME=bob", "OUTBRIDGE_ACCOUNT_1_MAILBOX=bob@contoso.com",
	})
	if err != nil || !slices.Equal(unknown, []string{"OUTBRIDGE_LISSEN"}) {
		t.Errorf("unknown: %q, %v", unknown, err)
	}
	want := []accountConfig{{Name: "alice"}, {Name: "bob", Mailbox: "bob@contoso.com"}, {Name: "carol", Include: []string{"Work", "Family life"}}}
	if diff := cmp.Diff(want, c.Accounts, cmp.AllowUnexported(accountConfig{})); diff != "" {
		t.Error(diff)
	}
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	if c.Listen != "[::1]:9000" || c.Push || len(c.proxies.Nets) != 2 || c.PublicURL != "https://a.example.com" || c.interval.Seconds() != 30 || c.Microsoft.ClientSecretFile != "/run/secrets/client" {
		t.Errorf("%+v", c)
	}
	for _, bad := range []string{"OUTBRIDGE_PUSH=perhaps", "OUTBRIDGE_SYNC_HTML=2"} {
		if _, err := c.fromEnvironment([]string{bad}); err == nil || !strings.Contains(err.Error(), strings.Split(bad, "=")[0]) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	proxy := defaultConfig()
	if _, err := proxy.fromEnvironment([]string{"OUTBRIDGE_TRUSTED_PROXY=true"}); err != nil || proxy.check() != nil || !proxy.proxies.All {
		t.Errorf("a proxy anywhere: %v, %+v", err, proxy.proxies)
	}
}

// TestContainerWithoutFile: the image with an empty volume opens the set-up, and keeps everything in the volume.
func TestContainerWithoutFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("OUTBRIDGE_CONTAINER", "1")
	t.Setenv("OUTBRIDGE_CONFIG", filepath.Join(dir, "outbridge.toml"))
	t.Setenv("OUTBRIDGE_LOG_FORMAT", "json")
	c, err := configFlag{Config: os.Getenv("OUTBRIDGE_CONFIG")}.load()
	if err != nil || c.Listen != "0.0.0.0:8080" || c.checkExposed() != nil {
		t.Fatalf("%+v, %v", c, err)
	}
	t.Setenv("OUTBRIDGE_LISTEN", "127.0.0.1:0")
	t.Setenv("OUTBRIDGE_LOG_FORMAT", "")
	p := start(t, t.TempDir(), "serve")
	url := p.waitFor(`^To set up this bridge, open (http://127\.0\.0\.1:[0-9]+)/setup\?code=\S+$`)[0]
	resp, err := http.Get(url + "/setup")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("set-up: %s", resp.Status)
	}
	outbridge(t, t.TempDir(), "status")
	outbridge(t, t.TempDir(), "healthcheck", "--listen", strings.TrimPrefix(url, "http://"))
	p.end(syscall.SIGTERM)
	for _, name := range []string{"outbridge.db", "outbridge.key"} {
		if !exists(filepath.Join(dir, name)) {
			t.Errorf("%s is not in the volume", name)
		}
	}
}
