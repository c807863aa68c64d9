package graphsim_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
)

const (
	tokenPath   = "contoso.example/oauth2/v2.0/token"
	deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"
)

// wantLogin checks an error of the login service, every field of it.
func (w *world) wantLogin(o object, status, wantStatus, code int, name string) {
	w.Helper()
	codes, _ := o["error_codes"].([]any)
	if status != wantStatus || o["error"] != name || len(codes) != 1 || codes[0] != float64(code) {
		w.Errorf("got %d %v, want %d %s %d", status, o, wantStatus, name, code)
		return
	}
	text, _ := o["error_description"].(string)
	for _, part := range []string{fmt.Sprintf("AADSTS%d: ", code), "\r\nTrace ID: " + fmt.Sprint(o["trace_id"]), "\r\nCorrelation ID: " + fmt.Sprint(o["correlation_id"]), "\r\nTimestamp: " + fmt.Sprint(o["timestamp"])} {
		if !strings.Contains(text, part) {
			w.Errorf("%q lacks %q", text, part)
		}
	}
	if o["error_uri"] != fmt.Sprintf("https://login.microsoftonline.com/error?code=%d", code) {
		w.Errorf("error_uri %v", o["error_uri"])
	}
}

func TestDeviceCode(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.ClientID = "app" })
	w.srv.AutoApprove = false
	begin := func() (code, user string) {
		d, status := w.form("common/oauth2/v2.0/devicecode", "client_id", "app", "scope", "Calendars.Read offline_access openid")
		if status != 200 || d["expires_in"] != 900.0 || d["interval"] != 5.0 || d["verification_uri"] != w.http.URL+"/devicelogin" || !strings.Contains(fmt.Sprint(d["message"]), d["user_code"].(string)) {
			t.Fatalf("%d %v", status, d)
		}
		return d["device_code"].(string), d["user_code"].(string)
	}
	poll := func(code string) (object, int) {
		return w.form(tokenPath, "grant_type", deviceGrant, "client_id", "app", "device_code", code)
	}
	code, user := begin()
	o, status := poll(code)
	w.wantLogin(o, status, 400, 70016, "authorization_pending")
	w.do(w.srv.ApproveDevice(strings.ToLower(user), w.box))
	o, status = poll(code)
	if status != 200 || o["token_type"] != "Bearer" || o["expires_in"] != 3599.0 || o["refresh_token"] == "" || o["id_token"] == nil || o["scope"] != "https://graph.microsoft.com/Calendars.Read openid" {
		t.Errorf("%d %v", status, o)
	}
	w.token = o["access_token"].(string)
	w.get("me/calendars")
	o, status = poll(code)
	w.wantLogin(o, status, 400, 54005, "invalid_grant")
	if w.srv.ApproveDevice(user, w.box) == nil {
		t.Error("a used code was approved")
	}

	code, user = begin()
	w.do(w.srv.DeclineDevice(user))
	o, status = poll(code)
	w.wantLogin(o, status, 400, 65004, "authorization_declined")

	code, user = begin()
	w.clock = w.clock.Add(15 * time.Minute)
	o, status = poll(code)
	w.wantLogin(o, status, 400, 70019, "expired_token")
	if w.srv.ApproveDevice(user, w.box) == nil {
		t.Error("an expired code was approved")
	}
	o, status = poll("nonsense")
	w.wantLogin(o, status, 400, 70018, "bad_verification_code")

	// By the page.
	code, user = begin()
	res, err := http.Get(w.http.URL + "/devicelogin?user_code=" + user)
	w.do(err)
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.Contains(string(body), `value="`+user+`"`) || !strings.Contains(string(body), "robin@contoso.example") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	for account, want := range map[string]int{"nobody@contoso.example": 400, "robin@contoso.example": 200} {
		res, err = http.PostForm(w.http.URL+"/devicelogin", url.Values{"user_code": {user}, "account": {account}})
		w.do(err)
		if res.StatusCode != want {
			t.Errorf("%s: %d", account, res.StatusCode)
		}
	}
	if _, status = poll(code); status != 200 {
		t.Errorf("after the page: %d", status)
	}
}

func TestDiscovery(t *testing.T) {
	w := newWorld(t)
	res, err := http.Get(w.http.URL + "/organizations/v2.0/.well-known/openid-configuration")
	w.do(err)
	if o := w.read(res.Body); o["token_endpoint"] != w.http.URL+"/organizations/oauth2/v2.0/token" || o["device_authorization_endpoint"] != w.http.URL+"/organizations/oauth2/v2.0/devicecode" {
		t.Errorf("%v", o)
	}
	for path, want := range map[string]int{"/organizations/oauth2/v2.0/token": 400, "/nonsense": 404, "/": 404} {
		if res, err := http.Get(w.http.URL + path); err != nil || res.StatusCode != want {
			t.Errorf("%s: %v %v", path, res.StatusCode, err)
		}
	}
}

func TestTokenErrors(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.ClientID, s.ClientSecret = "app", "secret" })
	for _, tt := range []struct {
		path         string
		form         []string
		status, code int
		name         string
	}{
		{"nowhere/oauth2/v2.0/token", []string{"client_id", "app"}, 400, 90002, "invalid_request"},
		{tokenPath, []string{}, 400, 900144, "invalid_request"},
		{tokenPath, []string{"client_id", "app"}, 400, 900144, "invalid_request"},
		{tokenPath, []string{"client_id", "app", "grant_type", "password"}, 400, 70003, "unsupported_grant_type"},
		{tokenPath, []string{"client_id", "other", "grant_type", "refresh_token"}, 400, 700016, "unauthorized_client"},
		{"common/oauth2/v2.0/devicecode", []string{"client_id", "other", "scope", "Calendars.Read"}, 400, 700016, "unauthorized_client"},
		{"common/oauth2/v2.0/devicecode", []string{"client_id", "app"}, 400, 900144, "invalid_request"},
		{tokenPath, []string{"client_id", "app", "grant_type", "refresh_token", "refresh_token", "x"}, 400, 9002313, "invalid_grant"},
		{tokenPath, []string{"client_id", "app", "grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default"}, 401, 7000218, "invalid_client"},
		{tokenPath, []string{"client_id", "app", "grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default", "client_secret", "x"}, 401, 7000215, "invalid_client"},
		{tokenPath, []string{"client_id", "app", "grant_type", "client_credentials", "scope", "Calendars.Read", "client_secret", "secret"}, 400, 1002012, "invalid_scope"},
		{"common/oauth2/v2.0/token", []string{"client_id", "app", "grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default", "client_secret", "secret"}, 400, 50194, "invalid_request"},
	} {
		o, status := w.form(tt.path, tt.form...)
		w.wantLogin(o, status, tt.status, tt.code, tt.name)
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	first := w.signIn("https://graph.microsoft.com/Calendars.Read User.Read offline_access")
	refresh := func(token any, more ...string) (object, int) {
		return w.form(tokenPath, append([]string{"client_id", "app", "grant_type", "refresh_token", "refresh_token", token.(string)}, more...)...)
	}
	second, status := refresh(first["refresh_token"])
	if status != 200 || second["refresh_token"] == first["refresh_token"] || second["access_token"] == first["access_token"] {
		t.Fatalf("%d %v", status, second)
	}
	if third, status := refresh(first["refresh_token"], "scope", "Calendars.Read offline_access"); status != 200 || third["scope"] != "https://graph.microsoft.com/Calendars.Read" {
		t.Errorf("an old token works on, and a subset is right: %d %v", status, third)
	}
	o, status := refresh(first["refresh_token"], "scope", "Mail.Read")
	w.wantLogin(o, status, 400, 65001, "invalid_grant")
	if o["suberror"] != "consent_required" {
		t.Errorf("suberror %v", o["suberror"])
	}
	o, status = refresh(first["refresh_token"], "client_id", "other")
	w.wantLogin(o, status, 400, 70000, "invalid_grant")

	w.token = second["access_token"].(string)
	w.get("me/calendars")
	w.srv.ExpireAccessTokens()
	o, status = w.try("me/calendars")
	w.wantError(o, status, 401, "InvalidAuthenticationToken")
	third, _ := refresh(second["refresh_token"])
	w.token = third["access_token"].(string)
	w.get("me/calendars")
	w.clock = w.clock.Add(time.Hour)
	o, status = w.try("me/calendars")
	w.wantError(o, status, 401, "InvalidAuthenticationToken")

	w.srv.RevokeTokens(w.box)
	for _, token := range []any{first["refresh_token"], third["refresh_token"]} {
		o, status = refresh(token)
		w.wantLogin(o, status, 400, 50173, "invalid_grant")
	}
	again := w.signIn("Calendars.Read offline_access")
	w.clock = w.clock.AddDate(0, 0, 91)
	o, status = refresh(again["refresh_token"])
	w.wantLogin(o, status, 400, 700082, "invalid_grant")

	if o := w.signIn("Calendars.Read"); o["refresh_token"] != nil {
		t.Error("a refresh token without offline_access")
	}
}

func TestAuthorizationCode(t *testing.T) {
	w := newWorld(t)
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	verifier := "a-verifier-of-some-forty-characters-in-all"
	sum := sha256.Sum256([]byte(verifier))
	query := func(change ...string) string {
		q := url.Values{"client_id": {"app"}, "response_type": {"code"}, "redirect_uri": {"http://localhost:7777/back?x=1"}, "scope": {"Calendars.Read offline_access"},
			"state": {"s t/a+te"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
		for i := 0; i < len(change); i += 2 {
			q.Set(change[i], change[i+1])
		}
		return w.http.URL + "/common/oauth2/v2.0/authorize?" + q.Encode()
	}
	visit := func(url string) url.Values {
		t.Helper()
		res, err := browser.Get(url)
		w.do(err)
		back, err := res.Location()
		if err != nil {
			t.Fatalf("%d: %v", res.StatusCode, err)
		}
		if back.Host != "localhost:7777" || back.Query().Get("x") != "1" || back.Query().Get("state") != "s t/a+te" {
			t.Errorf("back to %s", back)
		}
		return back.Query()
	}
	redeem := func(code, verifier, redirect string) (object, int) {
		return w.form(tokenPath, "client_id", "app", "grant_type", "authorization_code", "code", code, "redirect_uri", redirect, "code_verifier", verifier)
	}
	code := visit(query()).Get("code")
	o, status := redeem(code, "wrong", "http://localhost:7777/back?x=1")
	w.wantLogin(o, status, 400, 501481, "invalid_grant")
	o, status = redeem(code, verifier, "http://localhost:7777/")
	w.wantLogin(o, status, 400, 500112, "invalid_grant")
	o, status = redeem(code, verifier, "http://localhost:7777/back?x=1")
	if status != 200 {
		t.Fatalf("%d %v", status, o)
	}
	w.token = o["access_token"].(string)
	w.get("me/calendars")
	o, status = redeem(code, verifier, "http://localhost:7777/back?x=1")
	w.wantLogin(o, status, 400, 54005, "invalid_grant")
	code = visit(query()).Get("code")
	w.clock = w.clock.Add(11 * time.Minute)
	o, status = redeem(code, verifier, "http://localhost:7777/back?x=1")
	w.wantLogin(o, status, 400, 70008, "invalid_grant")

	w.srv.AutoApprove = false
	for _, tt := range [][]string{
		{"unsupported_response_type", "response_type", "token"},
		{"invalid_request", "code_challenge_method", "plain"},
		{"invalid_request", "code_challenge", ""},
		{"invalid_request", "response_mode", "fragment"},
		{"invalid_request", "scope", ""},
		{"login_required", "prompt", "none"},
		{"access_denied", "account", ""},
	} {
		if got := visit(query(tt[1:]...)).Get("error"); got != tt[0] {
			t.Errorf("%v: %s", tt, got)
		}
	}
	res, err := browser.Get(query())
	w.do(err)
	page, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.Contains(string(page), `value="robin@contoso.example"`) || !strings.Contains(string(page), `value="s t/a&#43;te"`) {
		t.Errorf("%d %s", res.StatusCode, page)
	}
	if visit(query("account", "robin@contoso.example")).Get("code") == "" {
		t.Error("no code from the page")
	}
	for _, change := range [][]string{{"redirect_uri", "nonsense"}, {"redirect_uri", "http://calendar.example.com/"}, {"client_id", ""}} {
		if res, err := browser.Get(query(change...)); err != nil || res.StatusCode != 400 {
			t.Errorf("%v: %v %v", change, res, err)
		}
	}
}

func TestRedirectsAndConsent(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) {
		s.RedirectURIs = []string{"http://localhost", "https://calendar.example.com/auth/callback"}
		s.AdminScopes = []string{"Calendars.Read.Shared"}
	})
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, tt := range []struct {
		redirect, scope string
		status          int
		says            string // in the Location, or the page
	}{
		{"http://localhost:7777", "Calendars.Read", 302, "code="},
		{"http://localhost:7777/", "Calendars.Read", 302, "code="},
		{"https://calendar.example.com/auth/callback", "Calendars.Read", 302, "code="},
		{"https://calendar.example.com/auth/other", "Calendars.Read", 400, "AADSTS50011"},
		{"http://calendar.example.com/auth/callback", "Calendars.Read", 400, "AADSTS50011"},
		{"http://127.0.0.1:7777/", "Calendars.Read", 400, "AADSTS50011"},
		{"http://localhost:7777/", "Calendars.Read https://graph.microsoft.com/Calendars.Read.Shared", 302, "error=access_denied&error_description=AADSTS90094"},
	} {
		q := url.Values{"client_id": {"app"}, "response_type": {"code"}, "redirect_uri": {tt.redirect}, "scope": {tt.scope}, "state": {"x"},
			"code_challenge": {"c"}, "code_challenge_method": {"S256"}}
		res, err := browser.Get(w.http.URL + "/common/oauth2/v2.0/authorize?" + q.Encode())
		w.do(err)
		page, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != tt.status || !strings.Contains(res.Header.Get("Location")+string(page), tt.says) {
			t.Errorf("%+v: %d %s %s", tt, res.StatusCode, res.Header.Get("Location"), page)
		}
	}
	d, _ := w.form("common/oauth2/v2.0/devicecode", "client_id", "app", "scope", "Calendars.Read.Shared")
	o, status := w.form("common/oauth2/v2.0/token", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "app", "device_code", d["device_code"].(string))
	w.wantLogin(o, status, 400, 90094, "invalid_grant")
}

func TestAppOnly(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.ClientSecret = "secret" })
	w.srv.AddMailbox("sam@contoso.example", "Sam", "UTC").Calendar().Create(meeting("Sam's", "2026-03-04 10:00"))
	app := []string{"client_id", "app", "grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default"}
	o, status := w.form(tokenPath, append(app, "client_secret", "secret")...)
	if status != 200 || o["refresh_token"] != nil || o["expires_in"] != 3599.0 {
		t.Fatalf("%d %v", status, o)
	}
	delegated := w.token
	w.token = o["access_token"].(string)
	values, _, _ := w.all("users/Sam%40contoso.example/" + march)
	w.want(values, "singleInstance 2026-03-04T10:00 Sam's")
	w.get("users/robin@contoso.example/calendars")
	o, status = w.try("me/calendars")
	w.wantError(o, status, 400, "BadRequest")
	o, status = w.try("users/nobody@contoso.example/calendars")
	w.wantError(o, status, 404, "ErrorInvalidUser")
	w.token = delegated
	w.get("users/robin@contoso.example/calendars")
	o, status = w.try("users/sam@contoso.example/calendars")
	w.wantError(o, status, 403, "ErrorAccessDenied")

}

// Assertions are checked as Microsoft says that it does: claims, times, thumbprint, signature, and each only once.
func TestClientAssertion(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	certificate := func(end time.Time) *x509.Certificate {
		template := &x509.Certificate{SerialNumber: big.NewInt(end.Unix()), NotBefore: w.clock.Add(-time.Hour), NotAfter: end}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		w.do(err)
		cert, err := x509.ParseCertificate(der)
		w.do(err)
		return cert
	}
	cert, old := certificate(w.clock.Add(time.Hour)), certificate(w.clock.Add(-time.Minute))
	w.srv.Certificates = []*x509.Certificate{old, cert}
	thumbprint := func(c *x509.Certificate) string {
		sum := sha256.Sum256(c.Raw)
		return base64.RawURLEncoding.EncodeToString(sum[:])
	}
	jti := 0
	assertion := func(signer *rsa.PrivateKey, change func(header, claims map[string]any)) string {
		jti++
		header := map[string]any{"alg": "PS256", "typ": "JWT", "x5t#S256": thumbprint(cert)}
		claims := map[string]any{"aud": w.http.URL + "/" + tokenPath, "iss": "app", "sub": "app", "jti": fmt.Sprintf("00aa00aa-bb11-cc22-dd33-%012d", jti),
			"nbf": w.clock.Unix(), "exp": w.clock.Add(10 * time.Minute).Unix()}
		change(header, claims)
		h, _ := json.Marshal(header)
		c, _ := json.Marshal(claims)
		signed := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPSS(rand.Reader, signer, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		if header["alg"] == "RS256" {
			signature, err = rsa.SignPKCS1v15(rand.Reader, signer, crypto.SHA256, digest[:])
		}
		w.do(err)
		return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	send := func(jwt string) (object, int) {
		return w.form(tokenPath, "client_id", "app", "grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default",
			"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer", "client_assertion", jwt)
	}
	good := assertion(key, func(h, c map[string]any) {})
	for name, jwt := range map[string]string{"PS256": good, "RS256": assertion(key, func(h, c map[string]any) { h["alg"] = "RS256" })} {
		if o, status := send(jwt); status != 200 {
			t.Errorf("%s: %d %v", name, status, o)
		}
	}
	for _, tt := range []struct {
		name, jwt string
		code      int
	}{
		{"nothing", "", 700027},
		{"two parts", "a.b", 700027},
		{"no JSON", "a.b.c", 700027},
		{"used twice", good, 700027},
		{"not signed", assertion(key, func(h, c map[string]any) { h["alg"] = "none" }), 700027},
		{"no thumbprint", assertion(key, func(h, c map[string]any) { delete(h, "x5t#S256") }), 700027},
		{"unknown thumbprint", assertion(key, func(h, c map[string]any) { h["x5t#S256"] = "A1bC2dE3fH4iJ5kL6mN7oP8qR9s" }), 700027},
		{"expired certificate", assertion(key, func(h, c map[string]any) { h["x5t#S256"] = thumbprint(old) }), 700027},
		{"another key", assertion(foreign, func(h, c map[string]any) {}), 700027},
		{"changed afterwards", strings.Replace(assertion(key, func(h, c map[string]any) {}), ".", "A.", 1), 700027},
		{"another audience", assertion(key, func(h, c map[string]any) { c["aud"] = "https://graph.microsoft.com" }), 700023},
		{"another tenant", assertion(key, func(h, c map[string]any) { c["aud"] = w.http.URL + "/fabrikam.example/oauth2/v2.0/token" }), 700023},
		{"another subject", assertion(key, func(h, c map[string]any) { c["sub"] = "other" }), 700027},
		{"no jti", assertion(key, func(h, c map[string]any) { c["jti"] = "" }), 700027},
		{"no time", assertion(key, func(h, c map[string]any) { c["exp"] = w.clock.Unix() }), 700024},
		{"too long", assertion(key, func(h, c map[string]any) { c["exp"] = w.clock.Add(time.Hour).Unix() }), 700024},
		{"over", assertion(key, func(h, c map[string]any) {
			c["nbf"], c["exp"] = w.clock.Add(-20*time.Minute).Unix(), w.clock.Add(-11*time.Minute).Unix()
		}), 700024},
		{"in an hour", assertion(key, func(h, c map[string]any) {
			c["nbf"], c["exp"] = w.clock.Add(time.Hour).Unix(), w.clock.Add(65*time.Minute).Unix()
		}), 700024},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, status := send(tt.jwt)
			w.wantLogin(o, status, 401, tt.code, "invalid_client")
		})
	}
	o, status := w.form(tokenPath, "client_id", "app", "grant_type", "client_credentials", "scope", "https://graph.microsoft.com/.default", "client_secret", "guessed")
	w.wantLogin(o, status, 401, 7000215, "invalid_client")
}

func TestScopes(t *testing.T) {
	w := newWorld(t)
	for _, tt := range []struct{ scope, path, code string }{
		{"Calendars.Read", "me/calendars", ""},
		{"https://graph.microsoft.com/Calendars.ReadWrite", "me/calendars", ""},
		{"https://graph.microsoft.com/.default", "me/mailboxSettings", ""},
		{"User.Read", "me", ""},
		{"User.Read", "me/calendars", "ErrorAccessDenied"},
		{"Calendars.Read", "me", "ErrorAccessDenied"},
		{"Calendars.Read", "me/mailboxSettings", "ErrorAccessDenied"},
		{"MailboxSettings.Read", "me/outlook/masterCategories", ""},
	} {
		w.token = w.signIn(tt.scope)["access_token"].(string)
		o, status := w.try(tt.path)
		if tt.code == "" && status != 200 {
			t.Errorf("%v: %d %v", tt, status, o)
		} else if tt.code != "" {
			w.wantError(o, status, 403, tt.code)
		}
	}
	for _, token := range []string{"", "garbage"} {
		w.token = token
		res := w.call("GET", "me/calendars", "")
		if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer ") {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	}
}

func TestLoginFaults(t *testing.T) {
	w := newWorld(t)
	var current atomic.Pointer[graphsim.Fault]
	w.srv.Fault = func(r *http.Request) *graphsim.Fault { return current.Load() }
	post := func() (object, int) { return w.form(tokenPath, "client_id", "app", "grant_type", "refresh_token") }
	for _, tt := range []struct {
		code, status int
		name         string
	}{{53003, 400, "invalid_grant"}, {50076, 400, "interaction_required"}, {7000222, 401, "invalid_client"}, {90033, 503, "temporarily_unavailable"}, {424242, 400, "invalid_grant"}} {
		current.Store(&graphsim.Fault{AADSTS: tt.code})
		o, status := post()
		w.wantLogin(o, status, tt.status, tt.code, tt.name)
	}
	current.Store(&graphsim.Fault{AADSTS: 65001, Code: "interaction_required", Message: "Own text.", Status: 403})
	o, status := post()
	w.wantLogin(o, status, 403, 65001, "interaction_required")
	if !strings.HasPrefix(o["error_description"].(string), "AADSTS65001: Own text.\r\n") {
		t.Errorf("%v", o)
	}
	current.Store(&graphsim.Fault{Status: 503, Body: []byte(`{"a":1}`)})
	if o, status := post(); status != 503 || o["a"] != 1.0 {
		t.Errorf("%d %v", status, o)
	}
	current.Store(&graphsim.Fault{Drop: true})
	if _, err := http.PostForm(w.http.URL+"/"+tokenPath, nil); err == nil {
		t.Error("not dropped")
	}
}
