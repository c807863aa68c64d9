package graph_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// rsaKey is one for all tests, since making one takes its time.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { return newRSA(2048) })

func newRSA(bits int) *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return key
}

func certificatePEM(t testing.TB, key crypto.Signer, from, to time.Time) []byte {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: to}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func pkcs8(t testing.TB, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func pkcs1(key *rsa.PrivateKey) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
}

func TestParseCertificate(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	from, to := now.AddDate(0, 0, -1), now.AddDate(1, 0, 0)
	key, other, small := rsaKey(), newRSA(2048), newRSA(1024)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecDER, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	cert, chain := certificatePEM(t, key, from, to), certificatePEM(t, other, from, to)
	for _, tt := range []struct {
		name  string
		parts [][]byte
		says  string // "" is good
	}{
		{"PKCS #8", [][]byte{cert, pkcs8(t, key)}, ""},
		{"PKCS #1, the key first", [][]byte{pkcs1(key), cert}, ""},
		{"with its chain, and text around", [][]byte{[]byte("subject=CN = bridge\n"), chain, cert, pkcs8(t, key), []byte("\nend\n")}, ""},
		{"empty", nil, "holds no certificate"},
		{"no PEM", [][]byte{[]byte("MIIC")}, "holds no certificate"},
		{"only the key", [][]byte{pkcs8(t, key)}, "holds no certificate"},
		{"only the certificate", [][]byte{cert}, "holds no private key"},
		{"the key of another", [][]byte{cert, pkcs8(t, other)}, "not the certificate's"},
		{"two keys", [][]byte{cert, pkcs8(t, key), pkcs8(t, other)}, "two private keys"},
		{"elliptic, PKCS #8", [][]byte{certificatePEM(t, ec, from, to), pkcs8(t, ec)}, "not an RSA key"},
		{"elliptic, SEC 1", [][]byte{certificatePEM(t, ec, from, to), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: ecDER})}, "not an RSA key"},
		{"passphrase, PKCS #8", [][]byte{cert, pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{0}})}, "passphrase"},
		{"passphrase, PKCS #1", [][]byte{cert, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-256-CBC,00"}, Bytes: []byte{0}})}, "passphrase"},
		{"small", [][]byte{certificatePEM(t, small, from, to), pkcs8(t, small)}, "1024 bits"},
		{"damaged key", [][]byte{cert, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})}, "key in it is damaged"},
		{"damaged certificate", [][]byte{pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), pkcs8(t, key)}, "certificate in it is damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := graph.ParseCertificate(bytes.Join(tt.parts, nil))
			if tt.says == "" {
				if err != nil || !c.Expires().Equal(to) {
					t.Errorf("%v, %v", c, err)
				}
				return
			}
			if err == nil || c != nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "\n") {
				t.Errorf("%v, want %q", err, tt.says)
			}
		})
	}
}

func FuzzParseCertificate(f *testing.F) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	// An elliptic pair, since making an RSA key would take longer than all the fuzzing.
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(certificatePEM(f, ec, now, now.AddDate(1, 0, 0)), pkcs8(f, ec)...))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := graph.ParseCertificate(b); (c == nil) == (err == nil) {
			t.Errorf("%v, %v", c, err)
		}
	})
}

func parsed(t testing.TB, b []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(b)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// The certificate takes the place of the secret in every flow, with a new assertion each time.
func TestCertificateInEveryFlow(t *testing.T) {
	key := rsaKey()
	synctest.Test(t, func(t *testing.T) {
		certPEM := certificatePEM(t, key, time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
		certificate, err := graph.ParseCertificate(append(certPEM, pkcs8(t, key)...))
		if err != nil {
			t.Fatal(err)
		}
		var grants []string
		var assertions []string
		sim := &graphsim.Server{AutoApprove: true, Certificates: []*x509.Certificate{parsed(t, certPEM)}, Fault: func(r *http.Request) *graphsim.Fault {
			if strings.HasSuffix(r.URL.Path, "/token") {
				r.ParseForm()
				grants = append(grants, r.PostForm.Get("grant_type"))
				assertions = append(assertions, r.PostForm.Get("client_assertion"))
				if r.PostForm.Has("client_secret") {
					t.Error("a secret beside the certificate")
				}
			}
			return nil
		}}
		box := sim.DemoMailbox()
		a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", Tenant: "contoso.example", ClientID: "client", Certificate: certificate,
			Scopes: graph.AppScopes(graphURL), HTTP: sim.Client()}
		for range 2 {
			c := &graph.Client{BaseURL: graphURL + "/v1.0", Mailbox: box.Address(), HTTP: sim.Client(), Tokens: &graph.AppTokens{Authority: a}}
			if _, err := c.Calendars(t.Context()); err != nil {
				t.Fatal(err)
			}
		}

		person := *a
		person.Tenant, person.Scopes = "", graph.Scopes(graphURL)
		verifier := oauth2.GenerateVerifier()
		resp, err := (&http.Client{Transport: sim.Client().Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}).
			Get(person.AuthCodeURL("https://calendar.example.com/auth/callback", "state", verifier, ""))
		if err != nil {
			t.Fatal(err)
		}
		back, err := resp.Location()
		if err != nil {
			t.Fatal(err)
		}
		tok, err := person.Exchange(t.Context(), "https://calendar.example.com/auth/callback", back.Query().Get("code"), verifier)
		if err != nil {
			t.Fatal(err)
		}
		sim.ExpireAccessTokens()
		c := &graph.Client{BaseURL: graphURL + "/v1.0", HTTP: sim.Client(), Tokens: &graph.DelegatedTokens{Authority: &person, Store: &memoryStore{tok: tok}}}
		if _, err := c.Calendars(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"client_credentials", "client_credentials", "authorization_code", "refresh_token"}; !slices.Equal(grants, want) {
			t.Errorf("grants %q", grants)
		}
		payload, _ := base64.RawURLEncoding.DecodeString(strings.Split(assertions[0], ".")[1])
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil || claims["aud"] != "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token" ||
			claims["exp"].(float64)-claims["nbf"].(float64) != 540 || claims["iat"] != claims["nbf"] || claims["iss"] != "client" || claims["sub"] != "client" {
			t.Errorf("claims %s, %v", payload, err)
		}

		// One that has expired is not even sent, and says so.
		time.Sleep(400 * 24 * time.Hour)
		sent := len(grants)
		var expired *graph.AuthError
		if _, err := (&graph.AppTokens{Authority: a}).Token(t.Context()); !errors.As(err, &expired) || expired.Code != "certificate_expired" || expired.Fixer != graph.Operator || len(grants) != sent {
			t.Errorf("error %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{Certificates: []*x509.Certificate{}}
		certificate, err := graph.ParseCertificate(append(certificatePEM(t, key, time.Now(), time.Now().AddDate(1, 0, 0)), pkcs8(t, key)...))
		if err != nil {
			t.Fatal(err)
		}
		a := &graph.Authority{LoginURL: "https://login.microsoftonline.com", Tenant: "contoso.example", ClientID: "client", Certificate: certificate,
			Scopes: graph.AppScopes(graphURL), HTTP: sim.Client()}
		// A certificate that is not registered is the configuration's fault.
		var e *graph.AuthError
		if _, err := (&graph.AppTokens{Authority: a}).Token(t.Context()); !errors.As(err, &e) || e.AADSTS != 700027 || e.Fixer != graph.Operator || e.Reason != graph.ReasonCertificate {
			t.Errorf("error %v", err)
		}
	})
}

// What the login service puts into a redirect is sorted as what it answers.
func TestRedirectError(t *testing.T) {
	a := &graph.Authority{LoginURL: "https://login.example.com", Tenant: "contoso.example", ClientID: "the client"}
	for _, tt := range []struct {
		query  string
		aadsts int
		signIn bool
		admin  bool
		reason graph.Reason // "" is trouble that passes
	}{
		{"error=access_denied&error_description=AADSTS65004:+User+declined+to+consent", 65004, true, false, graph.ReasonDeclined},
		{"error=access_denied", 0, true, false, graph.ReasonDeclined},
		{"error=access_denied&error_description=AADSTS90094:+Admin+consent+is+required", 90094, false, true, graph.ReasonAdminConsent},
		{"error=interaction_required&error_description=AADSTS50076:+x&claims=%7B%22a%22:1%7D", 50076, true, false, graph.ReasonMultiFactor},
		{"error=consent_required", 0, false, true, graph.ReasonAdminConsent},
		{"error=login_required&error_description=AADSTS50058:+silent", 50058, true, false, graph.ReasonInteraction},
		{"error=unauthorized_client&error_description=AADSTS700016:+x", 700016, false, false, graph.ReasonAppUnknown},
		{"error=invalid_resource", 0, false, false, graph.ReasonPermissions},
		{"error=unsupported_response_type&error_description=AADSTS700054:+x", 700054, false, false, graph.ReasonFlow},
		{"error=invalid_request&error_description=AADSTS9002325:+x", 9002325, false, false, graph.ReasonRedirect},
		{"error=server_error&error_description=AADSTS50000:+x", 0, false, false, ""},
		{"error=temporarily_unavailable", 0, false, false, ""},
	} {
		q, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		err = a.RedirectError(q)
		var e *graph.AuthError
		if tt.reason == "" {
			if !graph.IsUnavailable(err) {
				t.Errorf("%s: %v", tt.query, err)
			}
			continue
		}
		if !errors.As(err, &e) || e.AADSTS != tt.aadsts || (e.Fixer == graph.Person) != tt.signIn || (e.Fixer == graph.Administrator) != tt.admin || e.Reason != tt.reason ||
			(e.ConsentURL == "https://login.example.com/contoso.example/adminconsent?client_id=the%20client") != (tt.reason == graph.ReasonAdminConsent) ||
			(e.Claims != "") != q.Has("claims") {
			t.Errorf("%s: %v", tt.query, err)
		}
	}
	if err := a.RedirectError(url.Values{"code": {"x"}}); err != nil {
		t.Error(err)
	}
}
