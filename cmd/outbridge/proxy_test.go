//go:build interop

package main

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

// TestProxies runs the real proxies with the recipes of docs/operations.md, changed in nothing but names, ports and
// certificates, before a real server, and lets the doctor walk through them as a calendar program does.
func TestProxies(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, DeviceInterval: time.Second}
	box, _ := officeWeek(sim)
	s := serveFor(t, newOutlook(t, sim, box))
	eventually(t, "the first round", func() bool { return strings.Contains(s.body(t, s.feed), "SUMMARY:School play") })
	upstream, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	config, err := os.ReadFile(filepath.Join(s.dir, "outbridge.toml"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, proxy := range map[string]struct {
		recipe string
		run    func(dir, recipe string, port int) (config string, command []string)
	}{
		"caddy": {"Caddyfile", func(dir, recipe string, port int) (string, []string) {
			// Its own certificates come from the Internet; the recipe has no line for them.
			recipe = strings.Replace(recipe, "calendar.example.com {", fmt.Sprintf("https://localhost:%d {\n\ttls %s/cert.pem %s/key.pem", port, dir, dir), 1)
			return "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" + recipe, []string{"caddy", "run", "--adapter", "caddyfile", "--config", dir + "/proxy.conf"}
		}},
		"nginx": {"nginx", func(dir, recipe string, port int) (string, []string) {
			user := ""
			if os.Getuid() == 0 {
				user = "user root;\n"
			}
			recipe = strings.Replace(recipe, "listen 443", fmt.Sprintf("listen 127.0.0.1:%d", port), 1)
			return fmt.Sprintf("%spid %s/pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\nclient_body_temp_path %s;\nproxy_temp_path %s;\n"+
				"fastcgi_temp_path %s;\nuwsgi_temp_path %s;\nscgi_temp_path %s;\n%s}\n", user, dir, dir, dir, dir, dir, dir, recipe), []string{"/usr/sbin/nginx", "-p", dir, "-c", dir + "/proxy.conf", "-g", "daemon off;"}
		}},
		"apache": {"apache", func(dir, recipe string, port int) (string, []string) {
			var head strings.Builder
			fmt.Fprintf(&head, "ServerRoot %s\nPidFile %s/pid\nErrorLog %s/error.log\nServerName localhost\nListen 127.0.0.1:%d\n", dir, dir, dir, port)
			if os.Getuid() == 0 {
				head.WriteString("User www-data\nGroup www-data\n")
			}
			for _, m := range []string{"mpm_event", "authz_core", "env", "socache_shmcb", "ssl", "proxy", "proxy_http", "headers"} {
				fmt.Fprintf(&head, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
			}
			recipe = strings.Replace(recipe, "*:443", fmt.Sprintf("127.0.0.1:%d", port), 1)
			return head.String() + recipe, []string{"/usr/sbin/apache2", "-f", dir + "/proxy.conf", "-DFOREGROUND"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			found := regexp.MustCompile("(?s)```" + proxy.recipe + "\n(.*?)```").FindSubmatch(doc)
			if found == nil {
				t.Fatalf("there is no recipe for %s", name)
			}
			dir := t.TempDir()
			writeCert(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), 1)
			port := anyPort(t)
			recipe := strings.NewReplacer("127.0.0.1:8080", upstream.Host,
				"/etc/letsencrypt/live/calendar.example.com/fullchain.pem", filepath.Join(dir, "cert.pem"),
				"/etc/letsencrypt/live/calendar.example.com/privkey.pem", filepath.Join(dir, "key.pem")).Replace(string(found[1]))
			text, command := proxy.run(dir, recipe, port)
			text = strings.ReplaceAll(text, "calendar.example.com", "localhost")
			writeAt(t, dir, "proxy.conf", text)
			ctx, cancel := context.WithCancel(t.Context())
			cmd := exec.CommandContext(ctx, command[0], command[1:]...)
			var out output
			cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir), &out, &out
			cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
			cmd.WaitDelay = 5 * time.Second
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() {
				cancel()
				_ = cmd.Wait()
				if log, _ := out.read(); t.Failed() {
					t.Logf("%s:\n%s", name, log)
				}
			}()
			eventually(t, name+" listens", func() bool {
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
				if err == nil {
					conn.Close()
				}
				return err == nil
			})
			x := examine(t, s.dir, fmt.Sprintf("public_url = \"https://localhost:%d\"\n%s", port, config), "SSL_CERT_FILE="+filepath.Join(dir, "cert.pem"))
			for _, check := range []string{"server", "discovery", "feed"} {
				x.requires(t, name, check, resultOK, "")
			}
		})
	}
}
