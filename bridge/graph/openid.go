package graph

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// PersonalTenant is the tenant of all personal Microsoft accounts.
	PersonalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

	opIdentify = "sign a person in"
	// discoveryLife is how long what the login service says of itself is kept; its keys are asked for whenever a token has an
	// unknown one.
	discoveryLife  = 24 * time.Hour
	discoveryAgain = 5 * time.Minute // and how long until it is asked again, where it cannot be read
	// clockLeeway is how far the clocks may be apart.
	clockLeeway = 2 * time.Minute
)

// OpenID signs people in by OpenID Connect. It may be used concurrently; create it once, since it keeps the keys of the login service.
// Its errors are those of Authority, and *IdentityError.
type OpenID struct {
	// Tenants are the ids of those whose people may sign in, in lower case. None: that of the Authority, where it is one.
	Tenants []string
	Now     func() time.Time // nil: time.Now

	mu      sync.Mutex
	service *loginService
	read    time.Time // when service was
	of      [3]string // whose it is: the login service, the tenant and the app
}

// loginService is what the login service says of itself.
type loginService struct {
	issuer   string // with {tenantid} where it is that of several tenants
	verifier *oidc.IDTokenVerifier
	keys     *keyClient
}

// IdentityError is an id token that is not taken.
type IdentityError struct {
	Reason IdentityReason
	Tenant string // of the token, with IdentityOtherTenant
}

// IdentityReason is why an id token is not taken.
type IdentityReason string

const (
	IdentityMissing     IdentityReason = "missing"      // no token, or one that does not say who it is of
	IdentityInvalid     IdentityReason = "invalid"      // not signed by the login service, for somebody else, or not valid now
	IdentityOtherIssuer IdentityReason = "other-issuer" // not from the tenant that it names
	IdentityOtherTenant IdentityReason = "other-tenant" // one that is not allowed
	IdentityReplayed    IdentityReason = "replayed"     // of another sign-in
	IdentityNoTenants   IdentityReason = "no-tenants"   // nothing says which tenants are allowed
)

func (e *IdentityError) Error() string { return "identity refused: " + string(e.Reason) }

// SignedIn is whom the login service has signed in. Only Tenant and ObjectID, in lower case, tell who it is.
type SignedIn struct {
	Tenant, ObjectID string
	Name, Address    string // as shown; anybody may have given themselves these
	Groups           []string
	// GroupsElsewhere: there are more groups than fit into the token, so that Groups says nothing.
	GroupsElsewhere bool
	Token           *oauth2.Token
}

func (o *OpenID) now() time.Time {
	if o.Now != nil {
		return o.Now()
	}
	return time.Now()
}

// identifying is an Authority that is asked for an id token and, with mailbox, for what else it is for.
func (a *Authority) identifying(mailbox bool) *Authority {
	id := *a
	id.Scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile} // oid is told to those who ask for the profile
	if mailbox {
		id.Scopes = append(id.Scopes, a.Scopes...)
	}
	return &id
}

// SignInURL is where a browser starts a sign-in at an Authority, whose Scopes are asked for with mailbox. nonce is fresh for each, as are state and verifier; see Authority.AuthCodeURL.
func (o *OpenID) SignInURL(ctx context.Context, a *Authority, redirectURI, state, nonce, verifier string, mailbox bool) (string, error) {
	if _, err := o.discover(ctx, a); err != nil {
		return "", err
	}
	config := a.identifying(mailbox).config()
	config.RedirectURL = redirectURI
	return config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce), oauth2.SetAuthURLParam("prompt", "select_account")), nil
}

// Identify turns the code of a redirect into who has signed in; the rest is as for SignInURL.
func (o *OpenID) Identify(ctx context.Context, a *Authority, redirectURI, code, nonce, verifier string, mailbox bool) (SignedIn, error) {
	service, err := o.discover(ctx, a)
	if err != nil {
		return SignedIn{}, err
	}
	tok, err := a.identifying(mailbox).redeem(ctx, redirectURI, code, verifier)
	if err == nil && mailbox {
		tok, err = complete(tok)
	}
	if err != nil {
		return SignedIn{}, err
	}
	raw, _ := tok.Extra("id_token").(string)
	if raw == "" {
		return SignedIn{}, &IdentityError{Reason: IdentityMissing}
	}
	who, err := o.verify(ctx, service, raw, nonce)
	who.Token = tok
	return who, err
}

var objectID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func (o *OpenID) verify(ctx context.Context, service *loginService, raw, nonce string) (SignedIn, error) {
	failed := service.keys.failed.Load()
	token, err := service.verifier.Verify(ctx, raw)
	if err != nil && service.keys.failed.Load() != failed {
		return SignedIn{}, &Error{Op: opIdentify, Message: "the keys of the login service cannot be read"}
	}
	// It is for us alone: go-oidc would take one for several.
	if err != nil || len(token.Audience) != 1 {
		return SignedIn{}, &IdentityError{Reason: IdentityInvalid}
	}
	if nonce == "" || subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) != 1 {
		return SignedIn{}, &IdentityError{Reason: IdentityReplayed}
	}
	var claims struct {
		Party     string         `json:"azp"`
		Tenant    string         `json:"tid"`
		ObjectID  string         `json:"oid"`
		Name      string         `json:"name"`
		Address   string         `json:"preferred_username"`
		Groups    []string       `json:"groups"`
		HasGroups any            `json:"hasgroups"`
		Elsewhere map[string]any `json:"_claim_names"`
	}
	if err := token.Claims(&claims); err != nil {
		return SignedIn{}, &IdentityError{Reason: IdentityInvalid}
	}
	if claims.Party != "" && claims.Party != token.Audience[0] { // OpenID Connect Core §3.1.3.7
		return SignedIn{}, &IdentityError{Reason: IdentityInvalid}
	}
	who := SignedIn{Tenant: strings.ToLower(claims.Tenant), ObjectID: strings.ToLower(claims.ObjectID), Name: oneLine(claims.Name), Address: oneLine(claims.Address),
		Groups: claims.Groups, GroupsElsewhere: claims.HasGroups != nil || claims.Elsewhere["groups"] != nil}
	if !objectID.MatchString(who.Tenant) || !objectID.MatchString(who.ObjectID) {
		return SignedIn{}, &IdentityError{Reason: IdentityMissing}
	}
	// Every tenant signs with the same keys, so that the issuer has to be the tenant's own.
	if !strings.EqualFold(token.Issuer, strings.ReplaceAll(service.issuer, "{tenantid}", who.Tenant)) || !strings.Contains(strings.ToLower(token.Issuer), "/"+who.Tenant+"/") {
		return SignedIn{}, &IdentityError{Reason: IdentityOtherIssuer}
	}
	// Some keys are of one tenant alone, such as that of personal accounts.
	if of := service.keys.tenantOf(raw); of != "" && of != "{tenantid}" && of != who.Tenant {
		return SignedIn{}, &IdentityError{Reason: IdentityOtherIssuer}
	}
	if len(o.Tenants) > 0 && !slices.Contains(o.Tenants, who.Tenant) {
		return SignedIn{}, &IdentityError{Reason: IdentityOtherTenant, Tenant: who.Tenant}
	}
	return who, nil
}

// discover reads what the login service says of itself, once a day. What was read before lasts as long as nothing newer can be read.
func (o *OpenID) discover(ctx context.Context, a *Authority) (*loginService, error) {
	of := [3]string{a.LoginURL, a.Tenant, a.ClientID}
	o.mu.Lock()
	kept := o.service
	if of != o.of {
		kept = nil
	}
	if kept != nil && o.now().Sub(o.read) < discoveryLife {
		o.mu.Unlock()
		return kept, nil
	}
	if kept != nil {
		o.read = o.now().Add(discoveryAgain - discoveryLife) // others go on with what there is
	}
	o.mu.Unlock()
	fresh, err := o.ask(ctx, a)
	if err == nil && strings.Contains(fresh.issuer, "{tenantid}") && len(o.Tenants) == 0 {
		err = &IdentityError{Reason: IdentityNoTenants}
	}
	if err != nil && kept != nil {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.service, o.read, o.of = fresh, o.now(), of
	return fresh, nil
}

func (o *OpenID) ask(ctx context.Context, a *Authority) (*loginService, error) {
	login := a.login(ctx)
	address := a.LoginURL + "/" + escape(orDefault(a.Tenant, "common")) + "/v2.0"
	// The issuer of several tenants is no address of any, and that of a national cloud may have another host than its login service.
	// What the login service says by TLS is believed, and verify holds it against each token.
	provider, err := oidc.NewProvider(oidc.InsecureIssuerURLContext(login.context(), address), address)
	if err != nil {
		if login.status >= 400 && login.body != nil {
			return nil, login.refusal(opIdentify, login.status, nil, readTokenError(login.body))
		}
		return nil, login.failure(opIdentify, err)
	}
	var said struct {
		Issuer string `json:"issuer"`
		Keys   string `json:"jwks_uri"`
	}
	if err := provider.Claims(&said); err != nil || said.Issuer == "" || said.Keys == "" {
		return nil, &Error{Op: opIdentify, Status: http.StatusOK, garbled: true, Message: "the login service does not say who it is"}
	}
	s := &loginService{issuer: said.Issuer, keys: &keyClient{base: login.base}}
	set := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), withoutRedirects(&http.Client{Transport: s.keys, Timeout: loginTimeout})), said.Keys)
	s.verifier = oidc.NewVerifier(said.Issuer, set, &oidc.Config{
		ClientID: a.ClientID, SupportedSigningAlgs: []string{oidc.RS256}, SkipIssuerCheck: true,
		Now: func() time.Time { return o.now().Add(-clockLeeway) },
	})
	return s, nil
}

// keyClient reads the keys of the login service, and counts how often that failed.
type keyClient struct {
	base   http.RoundTripper
	failed atomic.Int64

	mu      sync.Mutex
	tenants map[string]string // of keys, by their ids, where the login service tells
}

func (k *keyClient) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := k.base.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusOK {
		k.failed.Add(1)
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	resp.Body.Close()
	if err != nil {
		k.failed.Add(1)
		return nil, err
	}
	k.note(body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// note keeps of which tenants the keys are: "issuer" of a key is that of the tokens that it may sign.
func (k *keyClient) note(body []byte) {
	var set struct {
		Keys []struct {
			ID     string `json:"kid"`
			Issuer string `json:"issuer"`
		} `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return // go-oidc says so
	}
	tenants := map[string]string{}
	for _, key := range set.Keys {
		if u, err := url.Parse(key.Issuer); err == nil && key.Issuer != "" {
			tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
			tenants[key.ID] = strings.ToLower(tenant)
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tenants = tenants
}

// tenantOf is the tenant of the key that a token says it is signed with; "": none is told.
func (k *keyClient) tenantOf(token string) string {
	head, _, _ := strings.Cut(token, ".")
	var header struct {
		KeyID string `json:"kid"`
	}
	text, err := base64.RawURLEncoding.DecodeString(head)
	if err != nil || json.Unmarshal(text, &header) != nil {
		return "" // it was verified, so that this is not so
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if header.KeyID == "" && len(k.tenants) > 0 {
		return "unknown" // any of the keys may have been it
	}
	return k.tenants[header.KeyID]
}
