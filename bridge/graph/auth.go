package graph

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	ClientSecret string       // "": a public client, which must not send one
	Scopes       []string     // see Scopes and AppScopes
	HTTP         *http.Client // nil: http.DefaultTransport; its Timeout does not count, a request takes 30 seconds at most
}

// DeviceAuth is a sign-in that waits for a person to enter UserCode at VerificationURI.
type DeviceAuth struct {
	UserCode        string
	VerificationURI string
	Expires         time.Time // usually 15 minutes ahead
	Message         string    // Microsoft's sentence for the person, with the address and the code

	response *oauth2.DeviceAuthResponse
}

// DeviceCode starts a sign-in with the device code flow (RFC 8628), which needs no browser here and no public address.
func (a *Authority) DeviceCode(ctx context.Context) (*DeviceAuth, error) {
	const op = "start the sign-in"
	login := a.login(ctx)
	r, err := a.config().DeviceAuth(login.context())
	if err != nil {
		return nil, login.failure(op, err)
	}
	if r.DeviceCode == "" || r.UserCode == "" || r.VerificationURI == "" {
		return nil, &Error{Op: op, Status: http.StatusOK, garbled: true, Message: "the answer has no device code"}
	}
	if r.Expiry.IsZero() {
		r.Expiry = time.Now().Add(15 * time.Minute)
	}
	d := &DeviceAuth{UserCode: r.UserCode, VerificationURI: r.VerificationURI, Expires: r.Expiry, response: r,
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
func (a *Authority) Wait(ctx context.Context, d *DeviceAuth) (*oauth2.Token, error) {
	const op = "wait for the sign-in"
	poll := *d.response
	if poll.Interval < 1 || poll.Interval > 60 {
		poll.Interval = 5
	}
	for {
		login := a.login(ctx)
		tok, err := a.config().DeviceAccessToken(login.context(), &poll)
		if err == nil {
			return complete(op, tok)
		}
		if ctx.Err() == nil && !time.Now().Before(d.Expires) {
			return nil, newAuthError(tokenError{Code: "expired_token"})
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
	const op = "finish the sign-in"
	config, login := a.config(), a.login(ctx)
	config.RedirectURL = redirectURI
	tok, err := config.Exchange(login.context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		return nil, login.failure(op, err)
	}
	return complete(op, tok)
}

// refresh spends refreshToken on a new access token and, as a rule, a new refresh token.
func (a *Authority) refresh(ctx context.Context, refreshToken string) (*oauth2.Token, error) {
	login := a.login(ctx)
	tok, err := a.config().TokenSource(login.context(), &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		return nil, login.failure("renew the sign-in", err)
	}
	return tok, nil
}

// appToken gets an access token for the app itself.
func (a *Authority) appToken(ctx context.Context) (*oauth2.Token, error) {
	login := a.login(ctx)
	config := clientcredentials.Config{ClientID: a.ClientID, ClientSecret: a.ClientSecret, TokenURL: a.url("token"), Scopes: a.Scopes, AuthStyle: oauth2.AuthStyleInParams}
	tok, err := config.Token(login.context())
	if err != nil {
		return nil, login.failure("sign in the app", err)
	}
	return tok, nil
}

// complete refuses a sign-in that would end within the hour.
func complete(op string, tok *oauth2.Token) (*oauth2.Token, error) {
	if tok.RefreshToken == "" {
		return nil, newAuthError(tokenError{Code: "no_refresh_token"})
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
// not pass that context on with a device code request, nor close its answer; this does both.
type login struct {
	ctx    context.Context
	client *http.Client
	base   http.RoundTripper
	body   []byte // of the last answer
}

func (a *Authority) login(ctx context.Context) *login {
	l := &login{ctx: ctx, client: withoutRedirects(a.HTTP)}
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
	resp, err := l.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	l.body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(l.body))
	return resp, nil
}

// failure sorts an error of oauth2: the context's, an answer of the login service, or none.
func (l *login) failure(op string, err error) error {
	if l.ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, l.ctx.Err())
	}
	var refused *oauth2.RetrieveError
	if !errors.As(err, &refused) {
		return &Error{Op: op, Message: strings.TrimPrefix(connectionTrouble(err), "oauth2: ")}
	}
	return loginError(op, refused.Response.StatusCode, refused.Response.Header, refused.Body)
}
