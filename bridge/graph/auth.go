package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

// loginTimeout is of one request with its answer.
const loginTimeout = 30 * time.Second

// Scopes are the least permissions that the bridge asks a person for, in the full form for the cloud whose Graph
// address is graphURL: reading calendars, the name of who signed in, and a refresh token.
func Scopes(graphURL string) []string {
	return []string{graphURL + "/Calendars.Read", graphURL + "/User.Read", "offline_access"}
}

// AppScopes is what an app asks for in its own name: all that the tenant's administrator has granted it.
func AppScopes(graphURL string) []string {
	return []string{graphURL + "/.default"}
}

// Authority is one app at one login service of the Microsoft identity platform, version 2.0. It keeps nothing and may
// be used concurrently. Its errors are *AuthError (final), *Error (IsUnavailable: worth trying again) or the context's.
type Authority struct {
	LoginURL     string       // "https://login.microsoftonline.com", no trailing slash; see Cloud
	Tenant       string       // "": common (work and personal accounts); organizations, consumers, a GUID or a domain
	ClientID     string       // of the app registration
	ClientSecret string       // "": a public client, which must not send one, or one with a Certificate
	Certificate  *Certificate // identifies the app in place of ClientSecret, in every flow; nil: none
	Scopes       []string     // see Scopes and AppScopes
	HTTP         *http.Client // nil: http.DefaultTransport; its Timeout does not count, a request takes 30 seconds at most
}

// DeviceAuth is a sign-in that waits for a person to enter UserCode at VerificationURI.
type DeviceAuth struct {
	UserCode        string
	VerificationURI string
	Message         string // Microsoft's sentence for the person, with the address and the code
	DeviceSecret
}

// DeviceSecret is what Wait asks with, in whichever process.
type DeviceSecret struct {
	DeviceCode string    `json:"device_code"`
	Interval   int64     `json:"interval"` // seconds between two questions
	Expires    time.Time `json:"expires"`  // usually 15 minutes ahead
	Claims     string    `json:"claims,omitempty"`
}

// DeviceCode starts a sign-in with the device code flow (RFC 8628), which needs no browser here and no public address.
func (a *Authority) DeviceCode(ctx context.Context) (*DeviceAuth, error) {
	return a.DeviceCodeWith(ctx, "")
}

// DeviceCodeWith is DeviceCode for a sign-in that has to meet the claims of an earlier refusal, or "".
func (a *Authority) DeviceCodeWith(ctx context.Context, claims string) (*DeviceAuth, error) {
	const op = opStart
	login := a.login(ctx)
	r, err := a.config().DeviceAuth(login.context(), claimsOption(claims)...)
	if err != nil {
		return nil, login.failure(op, err)
	}
	if r.DeviceCode == "" || r.UserCode == "" || r.VerificationURI == "" {
		return nil, &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "the answer has no device code"}
	}
	if r.Expiry.IsZero() {
		r.Expiry = time.Now().Add(15 * time.Minute)
	}
	d := &DeviceAuth{UserCode: r.UserCode, VerificationURI: r.VerificationURI, DeviceSecret: DeviceSecret{r.DeviceCode, r.Interval, r.Expiry, claims},
		Message: fmt.Sprintf("To sign in, open %s in a browser and enter the code %s.", r.VerificationURI, r.UserCode)}
	var own struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(login.body, &own) == nil && own.Message != "" {
		d.Message = oneLine(own.Message)
	}
	return d, nil
}

// Wait polls until the person has signed in, declined, or let the code expire (*AuthError). It outlasts failures of the
// network and of the login service, and polls more slowly after each (RFC 8628 §3.5).
func (a *Authority) Wait(ctx context.Context, d DeviceSecret) (*oauth2.Token, error) {
	return a.asAdmitted(func(a *Authority) (*oauth2.Token, error) { return a.wait(ctx, d) })
}

func claimsOption(claims string) (options []oauth2.AuthCodeOption) {
	if claims != "" {
		options = append(options, oauth2.SetAuthURLParam("claims", claims))
	}
	return options
}

func (a *Authority) wait(ctx context.Context, d DeviceSecret) (*oauth2.Token, error) {
	const op = opWait
	poll := oauth2.DeviceAuthResponse{DeviceCode: d.DeviceCode, Interval: d.Interval, Expiry: d.Expires}
	if poll.Interval < 1 || poll.Interval > 60 {
		poll.Interval = 5
	}
	for {
		login := a.login(ctx)
		tok, err := a.config().DeviceAccessToken(login.context(), &poll, claimsOption(d.Claims)...)
		if err == nil {
			return complete(tok)
		}
		if ctx.Err() == nil && !time.Now().Before(d.Expires) {
			return nil, newAuthError(op, tokenError{Code: "expired_token"})
		}
		if err = login.failure(op, err); !IsUnavailable(err) {
			return nil, err
		}
		poll.Interval += 5
	}
}

// AuthCodeURL is where a browser starts a sign-in with the authorization code flow and PKCE. verifier is fresh for each
// sign-in (oauth2.GenerateVerifier), as is state; claims is what an earlier refusal asked for, or "".
func (a *Authority) AuthCodeURL(redirectURI, state, verifier, claims string) string {
	config := a.config()
	config.RedirectURL = redirectURI
	// prompt=consent would send people in circles where they may not consent themselves.
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("prompt", "select_account")}
	if claims != "" {
		options = append(options, oauth2.SetAuthURLParam("claims", claims))
	}
	return config.AuthCodeURL(state, options...)
}

// Exchange turns the code of a redirect into tokens; redirectURI and verifier are those of AuthCodeURL.
func (a *Authority) Exchange(ctx context.Context, redirectURI, code, verifier string) (*oauth2.Token, error) {
	tok, err := a.redeem(ctx, redirectURI, code, verifier)
	if err != nil {
		return nil, err
	}
	return complete(tok)
}

// redeem is Exchange for a sign-in that need not last.
func (a *Authority) redeem(ctx context.Context, redirectURI, code, verifier string) (*oauth2.Token, error) {
	return a.asAdmitted(func(a *Authority) (*oauth2.Token, error) {
		config, login := a.config(), a.login(ctx)
		config.RedirectURL = redirectURI
		tok, err := config.Exchange(login.context(), code, oauth2.VerifierOption(verifier))
		if err != nil {
			return nil, login.failure(opFinish, err)
		}
		return tok, nil
	})
}

// RedirectError is the error that the login service put into a redirect (RFC 6749 §4.1.2.1), or nil where query has none.
// Check the state first: without it the redirect may be anybody's.
func (a *Authority) RedirectError(query url.Values) error {
	if !query.Has("error") {
		return nil
	}
	return a.refusal(opRedirect, http.StatusOK, nil, tokenError{Code: oneLine(query.Get("error")), Description: query.Get("error_description"),
		SubError: oneLine(query.Get("suberror")), Claims: validClaims(query.Get("claims"))})
}

// AdminConsentURL is where an administrator lets the app into the whole organization
// (learn.microsoft.com/entra/identity-platform/v2-admin-consent).
func (a *Authority) AdminConsentURL() string {
	return a.LoginURL + "/" + escape(orDefault(a.Tenant, "common")) + "/adminconsent?client_id=" + escape(a.ClientID)
}

// refresh spends refreshToken on a new access token and, as a rule, a new refresh token.
func (a *Authority) refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error) {
	return a.asAdmitted(func(a *Authority) (*oauth2.Token, error) {
		login := a.login(ctx)
		tok, err := a.config().TokenSource(login.context(), &oauth2.Token{RefreshToken: refreshToken}).Token()
		if err != nil {
			return nil, login.failure(opRenew, err)
		}
		return tok, nil
	})
}

// asAdmitted gets a token with the app's credential, and without it where the login service takes this sign-in for one of a
// public client, which must not show any (AADSTS700025): one app registration may serve both kinds.
func (a *Authority) asAdmitted(get func(*Authority) (*oauth2.Token, error)) (*oauth2.Token, error) {
	tok, err := get(a)
	var refused *AuthError
	if !errors.As(err, &refused) || refused.AADSTS != 700025 || a.ClientSecret == "" && a.Certificate == nil {
		return tok, err
	}
	public := *a
	public.ClientSecret, public.Certificate = "", nil
	return get(&public)
}

// appToken gets an access token for the app itself.
func (a *Authority) appToken(ctx context.Context) (*oauth2.Token, error) {
	login := a.login(ctx)
	config := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret, TokenURL: a.url("token"), Scopes: a.Scopes, AuthStyle: oauth2.AuthStyleInParams}
	tok, err := config.Token(login.context())
	if err != nil {
		return nil, login.failure(opApp, err)
	}
	return tok, nil
}

// complete refuses a sign-in that would end within the hour.
func complete(tok *oauth2.Token) (*oauth2.Token, error) {
	if tok.RefreshToken == "" {
		return nil, newAuthError(opFinish, tokenError{Code: "no_refresh_token"})
	}
	return tok, nil
}

func (a *Authority) config() *oauth2.Config {
	return &oauth2.Config{
		ClientID:     a.ClientID,
		ClientSecret: a.ClientSecret,
		Scopes:       a.Scopes,
		Endpoint: oauth2.Endpoint{
			AuthURL:       a.url("authorize"),
			DeviceAuthURL: a.url("devicecode"),
			TokenURL:      a.url("token"),
			AuthStyle:     oauth2.AuthStyleInParams,
		},
	}
}

func (a *Authority) url(endpoint string) string {
	return a.LoginURL + "/" + escape(orDefault(a.Tenant, "common")) + "/oauth2/v2.0/" + endpoint
}

// login carries the requests of one call to the login service. oauth2 takes its HTTP client from the context, and does
// not pass that context on with a device code request, nor close its answer; this does both. It also adds to each request
// for tokens what oauth2 has no place for: the client assertion.
type login struct {
	*Authority
	ctx    context.Context
	client *http.Client
	base   http.RoundTripper
	status int    // of the last answer
	body   []byte // of the last answer; nil: none came
}

func (a *Authority) login(ctx context.Context) *login {
	l := &login{Authority: a, ctx: ctx, client: withoutRedirects(a.HTTP)}
	l.client.Timeout = 0 // it would keep a goroutine for each answer that oauth2 does not close
	if l.base = l.client.Transport; l.base == nil {
		l.base = http.DefaultTransport
	}
	l.client.Transport = l
	return l
}

func (l *login) context() context.Context {
	return context.WithValue(l.ctx, oauth2.HTTPClient, l.client)
}

// RoundTrip sends one request, bound to the call's context, and reads the answer whole.
func (l *login) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), loginTimeout)
	defer cancel()
	defer context.AfterFunc(l.ctx, cancel)()
	req = req.WithContext(ctx)
	if err := l.identify(req); err != nil {
		return nil, err
	}
	l.body = nil
	resp, err := l.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	l.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	l.status = resp.StatusCode
	resp.Body = io.NopCloser(bytes.NewReader(l.body))
	return resp, nil
}

// identify adds the client assertion to a request for tokens.
func (l *login) identify(req *http.Request) error {
	if l.Certificate == nil || !strings.HasSuffix(req.URL.Path, "/token") {
		return nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	req.Body.Close()
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return err
	}
	assertion, err := l.Certificate.assertion(l.ClientID, l.url("token"), time.Now())
	if err != nil {
		return err
	}
	form.Del("client_secret")
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	body = []byte(form.Encode())
	req.Body, req.GetBody, req.ContentLength = io.NopCloser(bytes.NewReader(body)), nil, int64(len(body))
	return nil
}

// failure sorts an error of oauth2: the context's, an answer of the login service, or none.
func (l *login) failure(op string, err error) error {
	if l.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, l.ctx.Err())
	}
	var own *AuthError // of identify
	if errors.As(err, &own) {
		return own
	}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		text, between := connectionTrouble(err)
		if between == "" && l.body != nil {
			between = obstacle(l.status, l.body)
		}
		return &Error{Op: op, Message: strings.TrimPrefix(text, "oauth2: "), obstacle: between}
	}
	return l.refusal(op, refused.Response.StatusCode, refused.Response.Header, readTokenError(refused.Body))
}
