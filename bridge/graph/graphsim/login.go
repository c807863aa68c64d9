package graphsim

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// login is the state of the login service.
type login struct {
	devices []*device
	codes   map[string]*authCode
	refresh map[string]*grant
	access  map[string]*accessToken
	jtis    map[string]time.Time // of client assertions, until they expire
	key     int                  // which of signingKeys signs id tokens
}

// A grant is what a sign-in allowed.
type grant struct {
	mailbox *Mailbox // nil: the application itself, for every mailbox
	client  string
	scopes  []string // last segments, as "Calendars.Read"
	offline bool
	issued  time.Time
	revoked bool
	nonce   string // of the sign-in; none is in the id tokens of renewals
}

type accessToken struct {
	*grant
	scopes  []string
	expires time.Time
}

type device struct {
	code, userCode string
	client         string
	scope          string
	expires        time.Time
	approved       *Mailbox
	declined, used bool
}

type authCode struct {
	mailbox                                   *Mailbox
	client, redirect, scope, challenge, nonce string
	expires                                   time.Time
	used                                      bool
}

const (
	deviceLife = 15 * time.Minute
	codeLife   = 10 * time.Minute
)

// ApproveDevice signs the owner of a mailbox in with a user code, as a person does at /devicelogin.
func (s *Server) ApproveDevice(userCode string, m *Mailbox) error {
	return s.decideDevice(userCode, func(d *device) { d.approved = m })
}

// DeclineDevice refuses a sign-in by user code.
func (s *Server) DeclineDevice(userCode string) error {
	return s.decideDevice(userCode, func(d *device) { d.declined = true })
}

func (s *Server) decideDevice(userCode string, f func(*device)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.login.devices {
		if strings.EqualFold(d.userCode, strings.TrimSpace(userCode)) && s.now().Before(d.expires) && !d.used && !d.declined {
			f(d)
			return nil
		}
	}
	return errors.New("graphsim: no sign-in waits for this code")
}

// RevokeTokens ends all sign-ins of a mailbox: their refresh tokens are answered AADSTS50173. Access tokens live on
// until they expire, as they do at Microsoft.
func (s *Server) RevokeTokens(m *Mailbox) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.login.refresh {
		if g.mailbox == m {
			g.revoked = true
		}
	}
}

// ExpireAccessTokens makes every access token given out so far expired.
func (s *Server) ExpireAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.login.access {
		t.expires = time.Time{}
	}
}

var guidForm = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// knownTenant: the common names, a GUID, or a domain.
func knownTenant(name string) bool {
	return name == "common" || name == "organizations" || name == "consumers" || guidForm.MatchString(name) || strings.Contains(name, ".")
}

func (s *Server) serveLogin(r *http.Request) response {
	if r.URL.Path == "/devicelogin" {
		return s.devicePage(r)
	}
	tenant, rest, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	serve := map[string]struct {
		f      func(*http.Request, string) response
		method string
	}{
		"oauth2/v2.0/devicecode":                {s.deviceCode, "POST"},
		"oauth2/v2.0/token":                     {s.token, "POST"},
		"oauth2/v2.0/authorize":                 {s.authorize, "GET"},
		"v2.0/.well-known/openid-configuration": {s.discovery, "GET"},
		"discovery/v2.0/keys":                   {s.keys, "GET"},
	}[rest]
	switch {
	case serve.f == nil:
		return response{status: http.StatusNotFound}
	case r.Method != serve.method:
		return s.loginError(r, 900561, fmt.Sprintf("The endpoint only accepts %s requests. Received a %s request.", serve.method, r.Method))
	case !knownTenant(tenant):
		return s.loginError(r, 90002, fmt.Sprintf("Tenant '%s' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant.", tenant))
	}
	r.Body = http.MaxBytesReader(nil, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return s.loginError(r, 900144, "The request body is no form.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return serve.f(r, tenant)
}

// checkClient refuses a client id that is missing or not ours.
func (s *Server) checkClient(r *http.Request, tenant string) (response, bool) {
	client := r.Form.Get("client_id")
	if client == "" {
		return s.loginError(r, 900144, "The request body must contain the following parameter: 'client_id'."), false
	}
	if s.ClientID != "" && client != s.ClientID {
		return s.loginError(r, 700016, fmt.Sprintf("Application with identifier '%s' was not found in the directory '%s'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant.", client, tenant)), false
	}
	return response{}, true
}

// checkSecret refuses a secret that is wrong, or missing where one is needed.
func (s *Server) checkSecret(r *http.Request, tenant string, needed bool) (response, bool) {
	client := r.Form.Get("client_id")
	if r.Form.Get("client_assertion_type") == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		if code, err := s.checkAssertion(r.Form.Get("client_assertion"), client, s.origin(r)+"/"+tenant+"/oauth2/v2.0/token"); err != nil {
			return s.loginError(r, code, "Client assertion is not valid: "+err.Error()), false
		}
		return response{}, true
	}
	switch secret := r.Form.Get("client_secret"); {
	case secret == "" && needed:
		return s.loginError(r, 7000218, "The request body must contain the following parameter: 'client_assertion' or 'client_secret'."), false
	case secret != "" && s.ClientSecret == "" && s.Certificates != nil:
		return s.loginError(r, 7000215, "No client secret is registered for the app."), false
	case secret != "" && s.ClientSecret != "" && secret != s.ClientSecret:
		return s.loginError(r, 7000215, fmt.Sprintf("Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '%s'.", client)), false
	}
	return response{}, true
}

func (s *Server) deviceCode(r *http.Request, tenant string) response {
	if a, ok := s.checkClient(r, tenant); !ok {
		return a
	}
	if r.Form.Get("scope") == "" {
		return s.loginError(r, 900144, "The request body must contain the following parameter: 'scope'.")
	}
	code := rand.Text()
	d := &device{code: "BAQABAAEAAAD" + rand.Text() + rand.Text(), userCode: code[:9], client: r.Form.Get("client_id"),
		scope: r.Form.Get("scope"), expires: s.now().Add(deviceLife)}
	s.login.devices = append(slices.DeleteFunc(s.login.devices, func(d *device) bool {
		return s.now().After(d.expires.Add(deviceLife))
	}), d)
	page := s.origin(r) + "/devicelogin"
	return response{status: 200, body: map[string]any{
		"user_code": d.userCode, "device_code": d.code, "verification_uri": page,
		"expires_in": int(deviceLife / time.Second),
		"interval":   max(int(cmp.Or(s.DeviceInterval, 5*time.Second)/time.Second), 1),
		"message":    fmt.Sprintf("To sign in, use a web browser to open the page %s and enter the code %s to authenticate.", page, d.userCode),
	}}
}

func (s *Server) token(r *http.Request, tenant string) response {
	if a, ok := s.checkClient(r, tenant); !ok {
		return a
	}
	switch kind := r.Form.Get("grant_type"); kind {
	case "urn:ietf:params:oauth:grant-type:device_code":
		return s.deviceToken(r)
	case "authorization_code":
		return s.codeToken(r, tenant)
	case "refresh_token":
		return s.refreshToken(r, tenant)
	case "client_credentials":
		return s.appToken(r, tenant)
	case "":
		return s.loginError(r, 900144, "The request body must contain the following parameter: 'grant_type'.")
	default:
		return s.loginError(r, 70003, fmt.Sprintf("The app requested an unsupported grant type '%s'.", kind))
	}
}

func (s *Server) deviceToken(r *http.Request) response {
	i := slices.IndexFunc(s.login.devices, func(d *device) bool { return d.code == r.Form.Get("device_code") })
	if i < 0 || s.login.devices[i].client != r.Form.Get("client_id") {
		return s.loginError(r, 70018, "The verification code is incorrect or not found.")
	}
	d := s.login.devices[i]
	if s.AutoApprove && d.approved == nil && len(s.mailboxes) > 0 {
		d.approved = s.mailboxes[0]
	}
	switch {
	case d.used:
		return s.loginError(r, 54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case d.declined:
		return s.loginError(r, 65004, "User declined to consent to access the app.").asDeclined()
	case !s.now().Before(d.expires):
		return s.loginError(r, 70019, "Verification code expired. Have the user retry the sign-in.")
	case d.approved == nil:
		return s.loginError(r, 70016, "OAuth 2.0 device flow error. Authorization is pending. Continue polling.")
	}
	if needed := s.adminScope(d.scope); needed != "" {
		return s.loginError(r, 90094, "Admin consent is required for the permissions requested by this application: "+needed+".")
	}
	d.used = true
	return s.signIn(r, d.approved, d.scope, "")
}

// asDeclined names the error as the device code flow does.
func (a response) asDeclined() response {
	a.body.(map[string]any)["error"] = "authorization_declined"
	return a
}

func (s *Server) codeToken(r *http.Request, tenant string) response {
	c := s.login.codes[r.Form.Get("code")]
	if a, ok := s.checkSecret(r, tenant, s.confidential()); !ok {
		return a
	}
	switch {
	case c == nil || c.client != r.Form.Get("client_id"):
		return s.loginError(r, 9002313, "Invalid request. Request is malformed or invalid.")
	case c.used:
		return s.loginError(r, 54005, "OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.")
	case !s.now().Before(c.expires):
		return s.loginError(r, 70008, "The provided authorization code or refresh token has expired due to inactivity. Send a new interactive authorization request for this user and resource.")
	case c.redirect != r.Form.Get("redirect_uri"):
		return s.loginError(r, 500112, fmt.Sprintf("The reply address '%s' does not match the reply address '%s' provided when requesting Authorization code.", r.Form.Get("redirect_uri"), c.redirect))
	}
	if sum := sha256.Sum256([]byte(r.Form.Get("code_verifier"))); c.challenge != "" && base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
		return s.loginError(r, 501481, "The Code_Verifier does not match the code_challenge supplied in the authorization request.")
	}
	c.used = true
	return s.signIn(r, c.mailbox, c.scope, c.nonce)
}

func (s *Server) refreshToken(r *http.Request, tenant string) response {
	g := s.login.refresh[r.Form.Get("refresh_token")]
	if a, ok := s.checkSecret(r, tenant, false); !ok {
		return a
	}
	switch {
	case g == nil:
		return s.loginError(r, 9002313, "Invalid request. Request is malformed or invalid.")
	case g.client != r.Form.Get("client_id"):
		return s.loginError(r, 70000, "Provided grant is invalid or malformed. The refresh token was not issued to this client.")
	case g.revoked:
		form := "2006-01-02T15:04:05.0000000Z"
		return s.loginError(r, 50173, fmt.Sprintf("The provided grant has expired due to it being revoked, a fresh auth token is needed. The user might have changed or reset their password. The grant was issued on '%s' and the TokensValidFrom date (before which tokens are not valid) for this user is '%s'.", g.issued.UTC().Format(form), s.now().UTC().Format(form)))
	case s.now().After(g.issued.AddDate(0, 0, 90)):
		return s.loginError(r, 700082, fmt.Sprintf("The refresh token has expired due to inactivity.\u00a0The token was issued on %s and was inactive for 90.00:00:00.", g.issued.UTC().Format("2006-01-02T15:04:05.0000000Z")))
	}
	scopes := g.scopes
	if wanted := r.Form.Get("scope"); wanted != "" {
		asked, _ := scopeNames(wanted)
		for _, name := range asked {
			if !slices.Contains(g.scopes, name) && !slices.Contains(g.scopes, ".default") && name != ".default" {
				return s.loginError(r, 65001, fmt.Sprintf("The user or administrator has not consented to use the application with ID '%s'. Send an interactive authorization request for this user and resource.", g.client))
			}
		}
		if !slices.Contains(asked, ".default") {
			scopes = asked
		}
	}
	next := *g
	next.issued, next.nonce = s.now(), ""
	return s.grantTokens(r, &next, scopes)
}

func (s *Server) appToken(r *http.Request, tenant string) response {
	if tenant == "common" || tenant == "consumers" || tenant == "organizations" {
		return s.loginError(r, 50194, fmt.Sprintf("Application '%s' is not configured as a multi-tenant application. Usage of the /%s endpoint is not supported for such apps. Use a tenant-specific endpoint.", r.Form.Get("client_id"), tenant))
	}
	if a, ok := s.checkSecret(r, tenant, true); !ok {
		return a
	}
	if scope := r.Form.Get("scope"); !strings.HasSuffix(scope, "/.default") {
		return s.loginError(r, 1002012, fmt.Sprintf("The provided value for scope %s is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI).", scope))
	}
	g := &grant{client: r.Form.Get("client_id"), scopes: []string{".default"}, issued: s.now()}
	return s.grantTokens(r, g, g.scopes)
}

// scopeNames reads a scope parameter: the last segments of the scopes of Graph, and whether offline_access is
// among them.
func scopeNames(scope string) (names []string, offline bool) {
	for _, name := range strings.Fields(scope) {
		name = name[strings.LastIndexByte(name, '/')+1:]
		if name == "offline_access" {
			offline = true
			continue
		}
		names = append(names, name)
	}
	return names, offline
}

func (s *Server) signIn(r *http.Request, m *Mailbox, scope, nonce string) response {
	names, offline := scopeNames(scope)
	g := &grant{mailbox: m, client: r.Form.Get("client_id"), scopes: names, offline: offline, issued: s.now(), nonce: nonce}
	return s.grantTokens(r, g, names)
}

// grantTokens answers with new tokens. Scopes come back with Graph's prefix, whatever form they were asked in.
func (s *Server) grantTokens(r *http.Request, g *grant, scopes []string) response {
	if s.login.access == nil {
		s.login.access, s.login.refresh = map[string]*accessToken{}, map[string]*grant{}
	}
	now := s.now()
	life := cmp.Or(s.TokenLife, time.Hour)
	for old, t := range s.login.access {
		if now.Sub(t.expires) > 24*time.Hour && !t.expires.IsZero() {
			delete(s.login.access, old)
		}
	}
	access := jwt(map[string]any{"aud": "https://graph.microsoft.com", "appid": g.client, "iat": now.Unix(), "exp": now.Add(life).Unix(), "jti": rand.Text()}) + rand.Text()
	s.login.access[access] = &accessToken{grant: g, scopes: scopes, expires: now.Add(life)}
	body := map[string]any{"token_type": "Bearer", "expires_in": int(life/time.Second) - 1, "ext_expires_in": int(life/time.Second) - 1, "access_token": access}
	if g.mailbox == nil {
		return response{status: 200, body: body}
	}
	var stamped []string
	for _, name := range scopes {
		if name == "openid" || name == "profile" || name == "email" {
			stamped = append(stamped, name)
			continue
		}
		stamped = append(stamped, "https://graph.microsoft.com/"+name)
	}
	body["scope"] = strings.Join(stamped, " ")
	if g.offline {
		refresh := "1.A" + rand.Text() + rand.Text() + "." + rand.Text()
		s.login.refresh[refresh] = g
		body["refresh_token"] = refresh
	}
	if slices.Contains(scopes, "openid") {
		body["id_token"] = s.idToken(r, g, scopes)
	}
	return response{status: 200, body: body}
}

// tenantID is the tenant of every mailbox.
var tenantID = guid("tenant")

// jwt is an unsigned token.
func jwt(claims map[string]any) string {
	b, _ := json.Marshal(claims)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
}

func (s *Server) discovery(r *http.Request, tenant string) response {
	base := s.origin(r) + "/" + tenant
	return response{status: 200, body: map[string]any{
		"issuer":                                s.issuer(r, tenant),
		"jwks_uri":                              base + "/discovery/v2.0/keys",
		"subject_types_supported":               []string{"pairwise"},
		"response_modes_supported":              []string{"query", "fragment", "form_post"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"authorization_endpoint":                base + "/oauth2/v2.0/authorize",
		"token_endpoint":                        base + "/oauth2/v2.0/token",
		"device_authorization_endpoint":         base + "/oauth2/v2.0/devicecode",
		"response_types_supported":              []string{"code"},
		"scopes_supported":                      []string{"openid", "profile", "email", "offline_access"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "private_key_jwt"},
	}}
}

// redirectWith is a redirect URI with parameters added.
func redirectWith(target *url.URL, params url.Values) response {
	u := *target
	q := u.Query()
	for name, values := range params {
		q[name] = values
	}
	u.RawQuery = q.Encode()
	return response{status: http.StatusFound}.with("Location", u.String())
}
