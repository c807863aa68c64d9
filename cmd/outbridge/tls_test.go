package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"outbridge/bridge"
)

// writeCert makes a self-signed certificate for 127.0.0.1 and calendar.example.com and writes it with its key.
func writeCert(t *testing.T, certFile, keyFile string, serial int64) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"calendar.example.com", "localhost"}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for path, b := range map[string][]byte{certFile: cert, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool
}

func httpsClient(roots *x509.CertPool, address string) *http.Client {
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{RootCAs: roots},
			ForceAttemptHTTP2: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		},
	}
}

// TestCertFile serves https with a certificate from files, redirects plain http, and takes no password there.
func TestCertFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	roots := writeCert(t, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "tls.key"), 1)
	config := "listen = \"127.0.0.1:0\"\npublic_url = \"https://calendar.example.com\"\n[tls]\ncert_file = \"cert.pem\"\nkey_file = \"tls.key\"\nhttp_listen = \"127.0.0.1:0\"\n"
	if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "tls.key")
	if err := os.Chmod(key, 0o644); err != nil {
		t.Fatal(err)
	}
	refused := exec.Command("outbridge", "serve")
	refused.Dir = dir
	if out, err := refused.CombinedOutput(); err == nil || !strings.Contains(string(out), "tls.key_file: anyone on this machine can read the secret in tls.key (mode 0644): run chmod 600 tls.key") {
		t.Errorf("with a key for everybody: %v\n%s", err, out)
	}
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, dir, "serve")
	secure := p.waitFor(`msg=serving listen=https://(\S+)`)[0]
	plain := p.waitFor(`msg="serving plain http for redirects" listen=(\S+)`)[0]

	resp, err := httpsClient(roots, secure).Get("https://calendar.example.com/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || resp.ProtoMajor != 2 {
		t.Errorf("https: %s %s", resp.Proto, resp.Status)
	}
	client := httpsClient(nil, strings.TrimPrefix(plain, "http://"))
	resp, err = client.Get("http://calendar.example.com/.well-known/caldav?x=1")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if to := resp.Header.Get("Location"); resp.StatusCode != 308 || to != "https://calendar.example.com/.well-known/caldav?x=1" {
		t.Errorf("plain http: %s to %s", resp.Status, to)
	}
	req, err := http.NewRequest("PROPFIND", "http://calendar.example.com/dav/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.SetBasicAuth("alice", "secret")
	if resp, err = client.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 403 {
		t.Errorf("a password over plain http: %s", resp.Status)
	}
	p.end(os.Interrupt)
}

// TestCertFileChanges: a renewed certificate is served without a restart, and a damaged one does no harm.
func TestCertFileChanges(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCert(t, cert, key, 1)
	synctest.Test(t, func(t *testing.T) {
		conf, _, err := fileTLS(cert, key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		served := func() int64 {
			t.Helper()
			c, err := conf.GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			return c.Leaf.SerialNumber.Int64()
		}
		writeCert(t, cert, key, 2)
		later := time.Now().Add(time.Hour)
		if err := os.Chtimes(cert, later, later); err != nil {
			t.Fatal(err)
		}
		if n := served(); n != 1 {
			t.Errorf("certificate %d within the minute", n)
		}
		time.Sleep(certCheck)
		if n := served(); n != 2 {
			t.Errorf("certificate %d after its renewal", n)
		}
		if err := os.WriteFile(cert, []byte("half a certif"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(certCheck)
		if n := served(); n != 2 {
			t.Errorf("certificate %d while the file is damaged", n)
		}
	})
	if _, _, err := fileTLS(cert, key, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a damaged certificate is taken at the start")
	}
}

// acmeServer is a certificate authority that asks calendar.example.com, which is this machine, for its challenges at
// the ports given. It returns the address of its directory, and its own root and the one that it issues under.
func acmeServer(t *testing.T, httpPort, tlsPort int) (directory, rootsFile string, issued *x509.CertPool) {
	t.Helper()
	resolver, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	names := &dns.Server{Listener: resolver, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		if len(q.Question) == 1 && q.Question[0].Name == "calendar.example.com." && q.Question[0].Qtype == dns.TypeA {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)})
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = names.ActivateAndServe() }()
	t.Cleanup(func() { _ = names.Shutdown() })

	logger := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	authority := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "default"}})
	validation := va.New(logger, httpPort, tlsPort, false, resolver.Addr().String(), store)
	front := wfe.New(logger, store, validation, authority, []string{"authority.example"}, false, false, 1, 1)
	mux := front.Handler()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { mux.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	rootsFile = filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(rootsFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	issued = x509.NewCertPool()
	issued.AddCert(authority.GetRootCert(0).Cert)
	return server.URL + wfe.DirectoryPath, rootsFile, issued
}

// anyPort is a port that nobody listens at just now.
func anyPort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestACME gets a certificate from a real ACME authority, by either challenge, and keeps it for the next start.
func TestACME(t *testing.T) {
	t.Parallel()
	for _, challenge := range []string{"tls-alpn-01", "http-01"} {
		t.Run(challenge, func(t *testing.T) {
			t.Parallel()
			httpsPort, httpPort := anyPort(t), anyPort(t)
			config := fmt.Sprintf("listen = \"127.0.0.1:%d\"\nlog_level = \"debug\"\n[tls]\ndomains = [\"calendar.example.com\"]\nemail = \"admin@example.com\"\n", httpsPort)
			asked := httpsPort // where the authority looks for the TLS challenge
			if challenge == "http-01" {
				config += fmt.Sprintf("http_listen = \"127.0.0.1:%d\"\n", httpPort)
				asked = anyPort(t) // nobody is there
			}
			directory, roots, issued := acmeServer(t, httpPort, asked)
			config += fmt.Sprintf("ca = %q\nca_roots_file = %q\n", directory, roots)
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "outbridge.toml"), []byte(config), 0o600); err != nil {
				t.Fatal(err)
			}
			client := httpsClient(issued, fmt.Sprintf("127.0.0.1:%d", httpsPort))
			serial := ""
			for range 2 {
				p := start(t, dir, "serve")
				p.waitFor(`msg=serving listen=https://\S+ public_url=https://calendar.example.com `)
				var resp *http.Response
				eventually(t, "a certificate", func() bool {
					var err error
					resp, err = client.Get("https://calendar.example.com/healthz")
					return err == nil
				})
				resp.Body.Close()
				have := resp.TLS.PeerCertificates[0].SerialNumber.String()
				if resp.StatusCode != 200 || serial != "" && serial != have {
					t.Errorf("%s, certificate %s after %s", resp.Status, have, serial)
				}
				serial = have
				client.CloseIdleConnections()
				p.end(os.Interrupt)
			}
			var st struct {
				Certificates []certificateStatus
			}
			if err := json.Unmarshal([]byte(outbridge(t, dir, "status", "--json")), &st); err != nil {
				t.Fatal(err)
			}
			if len(st.Certificates) != 1 || st.Certificates[0].Expires == nil || !st.Certificates[0].Expires.After(time.Now()) || st.Certificates[0].Warning != "" {
				t.Errorf("the status says %+v", st.Certificates)
			}
			if info, err := os.Stat(filepath.Join(dir, "tls")); err != nil || info.Mode().Perm()&0o077 != 0 {
				t.Errorf("the folder of certificates: %v, %v", info, err)
			}
		})
	}
}

// A certificate that the server gets by itself and could not renew is told of, in the status and as a notice, while it still lasts: also one
// that lasts for days only.
func TestOverdueCertificate(t *testing.T) {
	t.Parallel()
	c := defaultConfig()
	c.Database, c.TLS.Domains = filepath.Join(t.TempDir(), "outbridge.db"), []string{"a.example.com", "b.example.com"}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	keep := func(life, left time.Duration) {
		t.Helper()
		leaf := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: c.TLS.Domains[:1], NotBefore: now.Add(left - life), NotAfter: now.Add(left)}
		der, err := x509.CreateCertificate(rand.Reader, leaf, leaf, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		issuer := certmagic.ACMEIssuer{CA: certmagic.LetsEncryptProductionCA}
		if err := c.certificateStorage().Store(t.Context(), certmagic.StorageKeys.SiteCert(issuer.IssuerKey(), "a.example.com"),
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})); err != nil {
			t.Fatal(err)
		}
	}
	const day = 24 * time.Hour
	for _, tc := range []struct {
		life, left time.Duration
		overdue    bool
	}{{90 * day, 60 * day, false}, {90 * day, 29 * day, false}, {90 * day, 14 * day, true}, {90 * day, -day, true}, {6 * day, 3 * day, false}, {6 * day, 20 * time.Hour, true}} {
		keep(tc.life, tc.left)
		list := c.ownCertificates(now)
		if len(list) != 2 || list[0].Overdue != tc.overdue || (list[0].Warning != "") != tc.overdue || list[1].Expires != nil || list[1].Warning == "" {
			t.Errorf("%v of %v left: %+v", tc.left, tc.life, list)
		}
		notices, err := c.expiring()
		if err != nil || (len(notices) == 1) != tc.overdue {
			t.Fatalf("%v of %v left: notices %+v, %v", tc.left, tc.life, notices, err)
		}
		if tc.overdue && (notices[0].Kind != bridge.NoticeRenewal || notices[0].Detail != "a.example.com" || notices[0].At.IsZero()) {
			t.Errorf("the notice is %+v", notices[0])
		}
	}
}

func TestTLSConfigBad(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`domains = ["calendar.example.com"]` + "\ncert_file = \"a\"\nkey_file = \"b\"": "set one or the other",
		`cert_file = "a"`:                           "set both",
		`key_file = "a"`:                            "set both",
		`email = "a@example.com"`:                   "have no effect without domains",
		`domains = ["127.0.0.1"]`:                   "not a domain name",
		`domains = ["https://example.com"]`:         "not a domain name",
		`domains = ["*.example.com"]`:               "not a domain name",
		`domains = ["localhost"]`:                   "not a domain name",
		"domains = [\"a.b\"]\nca = \"test\"":        "ACME directory",
		"domains = [\"a.b\"]\nca = \"http://x\"":    "ACME directory",
		"domains = [\"a.b\"]\nhttp_listen = \"80\"": "write it like :80",
	} {
		c := defaultConfig()
		if err := parseConfig([]byte("[tls]\n"+text+"\n"), &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
