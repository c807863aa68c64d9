package graph_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

const ourPage = "https://calendar.example.com/auth/callback"

// front is a simulated login service that alice signs in at, and OpenID in front of it.
type front struct {
	*testing.T
	sim   *graphsim.Server
	alice *graphsim.Mailbox
	id    *graph.OpenID
	at    *graph.Authority
}

func newFront(t *testing.T, tenant string, tenants ...string) *front {
	f := &front{T: t, sim: &graphsim.Server{AutoApprove: true}}
	f.alice = f.sim.AddMailbox("alice@contoso.example", "Alice", "UTC")
	f.id, f.at = &graph.OpenID{Tenants: tenants}, &graph.Authority{LoginURL: "https://login.microsoftonline.com", Tenant: tenant, ClientID: "client",
		Scopes: graph.Scopes("https://graph.microsoft.com"), HTTP: f.sim.Client()}
	return f
}

// signIn goes through a whole sign-in, with what the browser brings back changed by change.
func (f *front) signIn(mailbox bool, change func(back url.Values, nonce, verifier *string)) (graph.SignedIn, error) {
	f.Helper()
	nonce, verifier := "the nonce", oauth2.GenerateVerifier()
	to, err := f.id.SignInURL(f.Context(), f.at, ourPage, "state", nonce, verifier, mailbox)
	if err != nil {
		return graph.SignedIn{}, err
	}
	client := f.sim.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Get(to)
	if err != nil {
		f.Fatal(err)
	}
	back, err := resp.Location()
	if err != nil {
		f.Fatal(err, resp.Status)
	}
	q := back.Query()
	if change != nil {
		change(q, &nonce, &verifier)
	}
	return f.id.Identify(f.Context(), f.at, ourPage, q.Get("code"), nonce, verifier, mailbox)
}

func TestOpenID(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		tenant  string
		tenants []string
	}{
		{graphsim.TenantID(), nil}, {"contoso.example", nil}, {"common", []string{graphsim.TenantID()}}, {"organizations", []string{"11111111-1111-1111-1111-111111111111", graphsim.TenantID()}},
	} {
		f := newFront(t, c.tenant, c.tenants...)
		who, err := f.signIn(false, nil)
		if err != nil {
			t.Fatalf("%s: %v", c.tenant, err)
		}
		if who.Tenant != graphsim.TenantID() || who.ObjectID != f.alice.UserID() || who.Name != "Alice" || who.Address != "alice@contoso.example" {
			t.Errorf("%s: %+v", c.tenant, who)
		}
		if who.Token.RefreshToken != "" {
			t.Errorf("%s: a sign-in to the pages has got a token that lasts", c.tenant)
		}
		if who, err = f.signIn(true, nil); err != nil || who.Token.RefreshToken == "" {
			t.Errorf("%s: with the mailbox: %v", c.tenant, err)
		}
	}
}

const elsewhere = "22222222-2222-2222-2222-222222222222"

// forgeries are id tokens that nobody gets in by, with the tenants that are allowed.
var forgeries = map[string]struct {
	reason graph.IdentityReason
	forge  func(*graphsim.IDToken)
}{
	"wrong issuer": {graph.IdentityOtherIssuer, func(t *graphsim.IDToken) {
		t.Claims["iss"] = "https://login.evil.example/" + graphsim.TenantID() + "/v2.0"
	}},
	"issuer of another tenant": {graph.IdentityOtherIssuer, func(t *graphsim.IDToken) {
		t.Claims["iss"] = "https://login.microsoftonline.com/" + elsewhere + "/v2.0"
	}},
	"tenant of another issuer": {graph.IdentityOtherIssuer, func(t *graphsim.IDToken) { t.Claims["tid"] = elsewhere }},
	"issuer with the placeholder": {graph.IdentityOtherIssuer, func(t *graphsim.IDToken) {
		t.Claims["iss"] = "https://login.microsoftonline.com/{tenantid}/v2.0"
	}},
	"tenant with the placeholder": {graph.IdentityMissing, func(t *graphsim.IDToken) {
		t.Claims["iss"], t.Claims["tid"] = "https://login.microsoftonline.com/{tenantid}/v2.0", "{tenantid}"
	}},
	"no issuer":      {graph.IdentityOtherIssuer, func(t *graphsim.IDToken) { delete(t.Claims, "iss") }},
	"another tenant": {graph.IdentityOtherTenant, ofTenant(elsewhere)},
	"personal":       {graph.IdentityOtherTenant, ofTenant(graph.PersonalTenant)},
	"no tenant":      {graph.IdentityMissing, func(t *graphsim.IDToken) { delete(t.Claims, "tid") }},
	"no object id":   {graph.IdentityMissing, func(t *graphsim.IDToken) { delete(t.Claims, "oid") }},
	"empty object id": {graph.IdentityMissing, func(t *graphsim.IDToken) {
		t.Claims["oid"] = ""
	}},
	"object id that is a number": {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Claims["oid"] = 7 }},
	"wrong audience":             {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Claims["aud"] = "another app" }},
	"audience of several":        {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Claims["aud"] = []string{"client", "another app"} }},
	"issued to another app":      {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Claims["azp"] = "another app" }},
	"no audience":                {graph.IdentityInvalid, func(t *graphsim.IDToken) { delete(t.Claims, "aud") }},
	"wrong nonce":                {graph.IdentityReplayed, func(t *graphsim.IDToken) { t.Claims["nonce"] = "of another sign-in" }},
	"no nonce":                   {graph.IdentityReplayed, func(t *graphsim.IDToken) { delete(t.Claims, "nonce") }},
	"expired": {graph.IdentityInvalid, func(t *graphsim.IDToken) {
		t.Claims["exp"] = time.Now().Add(-3 * time.Minute).Unix()
	}},
	"no end": {graph.IdentityInvalid, func(t *graphsim.IDToken) { delete(t.Claims, "exp") }},
	"not yet valid": {graph.IdentityInvalid, func(t *graphsim.IDToken) {
		t.Claims["nbf"] = time.Now().Add(10 * time.Minute).Unix()
	}},
	"unsigned":                      {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Signing = "none" }},
	"signed with the public key":    {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Signing = "HS256" }},
	"signed by a stranger":          {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Signing = "other" }},
	"signed by a stranger, unnamed": {graph.IdentityInvalid, func(t *graphsim.IDToken) { t.Signing = "other"; delete(t.Header, "kid") }},
}

func ofTenant(id string) func(*graphsim.IDToken) {
	return func(t *graphsim.IDToken) {
		t.Claims["tid"], t.Claims["iss"] = id, "https://login.microsoftonline.com/"+id+"/v2.0"
	}
}

func TestForgedIDTokens(t *testing.T) {
	t.Parallel()
	for name, c := range forgeries {
		for _, tenant := range []string{"common", graphsim.TenantID()} {
			f := newFront(t, tenant, graphsim.TenantID())
			f.sim.IDToken = c.forge
			who, err := f.signIn(false, nil)
			var refused *graph.IdentityError
			if !errors.As(err, &refused) {
				t.Errorf("%s, at %s: %v, %+v", name, tenant, err, who)
				continue
			}
			// A service of one tenant has one issuer, which another tenant's is not.
			if want := c.reason; refused.Reason != want && !(tenant != "common" && want == graph.IdentityOtherTenant && refused.Reason == graph.IdentityOtherIssuer) {
				t.Errorf("%s, at %s: %s, not %s", name, tenant, refused.Reason, want)
			}
			if who.ObjectID != "" && who.Tenant != "" {
				t.Errorf("%s, at %s: refused, and %+v all the same", name, tenant, who)
			}
		}
	}
}

// What makes no difference: clocks that are a little apart, groups, and a name that is somebody else's.
func TestHonestIDTokens(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*graphsim.IDToken){
		"just expired":   func(t *graphsim.IDToken) { t.Claims["exp"] = time.Now().Add(-time.Minute).Unix() },
		"just too early": func(t *graphsim.IDToken) { t.Claims["nbf"] = time.Now().Add(time.Minute).Unix() },
		"renamed":        func(t *graphsim.IDToken) { t.Claims["preferred_username"] = "boss@contoso.example" },
		"in capitals":    func(t *graphsim.IDToken) { t.Claims["oid"] = strings.ToUpper(t.Claims["oid"].(string)) },
		"issued to us":   func(t *graphsim.IDToken) { t.Claims["azp"] = "client" },
		"one audience":   func(t *graphsim.IDToken) { t.Claims["aud"] = []string{"client"} },
		"groups":         func(t *graphsim.IDToken) { t.Claims["groups"] = []string{"a", "b"} },
		"many groups": func(t *graphsim.IDToken) {
			t.Claims["_claim_names"] = map[string]string{"groups": "src1"}
			t.Claims["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": "https://graph.example/x"}}
		},
	} {
		f := newFront(t, "common", graphsim.TenantID())
		f.sim.IDToken = change
		who, err := f.signIn(false, nil)
		if err != nil || who.ObjectID != f.alice.UserID() {
			t.Errorf("%s: %v, %+v", name, err, who)
		}
		if (name == "groups") != (len(who.Groups) == 2) || (name == "many groups") != who.GroupsElsewhere {
			t.Errorf("%s: %+v", name, who)
		}
	}
}

func TestReplayedCode(t *testing.T) {
	t.Parallel()
	f := newFront(t, graphsim.TenantID())
	var code, nonce, verifier string
	if _, err := f.signIn(false, func(q url.Values, n, v *string) { code, nonce, verifier = q.Get("code"), *n, *v }); err != nil {
		t.Fatal(err)
	}
	if _, err := f.id.Identify(t.Context(), f.at, ourPage, code, nonce, verifier, false); err == nil {
		t.Error("a code was taken twice")
	}
	for name, change := range map[string]func(q url.Values, nonce, verifier *string){
		"the verifier of another sign-in": func(_ url.Values, _, v *string) { *v = oauth2.GenerateVerifier() },
		"the nonce of another sign-in":    func(_ url.Values, n, _ *string) { *n = "another" },
		"no nonce":                        func(_ url.Values, n, _ *string) { *n = "" },
		"an invented code":                func(q url.Values, _, _ *string) { q.Set("code", "x") },
	} {
		if who, err := f.signIn(false, change); err == nil {
			t.Errorf("%s: %+v", name, who)
		}
	}
}

// Keys change without notice, and the document is read once a day.
func TestKeysOfTheLoginService(t *testing.T) {
	t.Parallel()
	f := newFront(t, graphsim.TenantID())
	clock, down := time.Now(), ""
	var documents, keys atomic.Int64
	f.id.Now = func() time.Time { return clock }
	f.sim.Fault = func(r *http.Request) *graphsim.Fault {
		switch {
		case strings.HasSuffix(r.URL.Path, "openid-configuration"):
			documents.Add(1)
		case strings.HasSuffix(r.URL.Path, "/keys"):
			keys.Add(1)
		}
		if down != "" && strings.HasSuffix(r.URL.Path, down) {
			return &graphsim.Fault{Status: 503}
		}
		return nil
	}
	in := func() error { _, err := f.signIn(false, nil); return err }
	for range 3 {
		if err := in(); err != nil {
			t.Fatal(err)
		}
	}
	if documents.Load() != 1 || keys.Load() != 1 {
		t.Errorf("%d documents and %d keys were read for three sign-ins", documents.Load(), keys.Load())
	}
	f.sim.RotateKeys()
	if err := in(); err != nil || keys.Load() != 2 {
		t.Errorf("after other keys: %v; they were read %d times", err, keys.Load())
	}
	// Out of reach: what was read before lasts, and a new key is trouble that passes by itself.
	down = "openid-configuration"
	clock = clock.Add(25 * time.Hour)
	f.sim.Now = func() time.Time { return clock }
	if err := in(); err != nil || documents.Load() != 2 {
		t.Errorf("the document cannot be read: %v", err)
	}
	down = "/keys"
	f.sim.RotateKeys()
	if err := in(); !graph.IsUnavailable(err) {
		t.Errorf("the keys cannot be read: %v", err)
	}
	fresh := newFront(t, graphsim.TenantID())
	fresh.sim.Fault = func(r *http.Request) *graphsim.Fault { return &graphsim.Fault{Drop: true} }
	if _, err := fresh.id.SignInURL(context.Background(), fresh.at, ourPage, "state", "nonce", "verifier", false); !graph.IsUnavailable(err) {
		t.Errorf("the service is down: %v", err)
	}
}

// Nobody is let in from everywhere because nothing says where from.
func TestNoTenants(t *testing.T) {
	t.Parallel()
	var refused *graph.IdentityError
	if _, err := newFront(t, "common").signIn(false, nil); !errors.As(err, &refused) || refused.Reason != graph.IdentityNoTenants {
		t.Error(err)
	}
	if _, err := newFront(t, "no such tenant").signIn(false, nil); graph.IsUnavailable(err) || err == nil {
		t.Errorf("a tenant that there is not: %v", err)
	}
}

// TestKeyOfAnotherTenant: a key that the login service says is of one tenant signs for no other.
func TestKeyOfAnotherTenant(t *testing.T) {
	t.Parallel()
	for issuer, good := range map[string]bool{
		"https://login.microsoftonline.com/{tenantid}/v2.0": true, "https://login.microsoftonline.com/" + strings.ToUpper(graphsim.TenantID()) + "/v2.0": true,
		"https://login.microsoftonline.com/" + graph.PersonalTenant + "/v2.0": false,
	} {
		f := newFront(t, "common", graphsim.TenantID(), graph.PersonalTenant)
		f.at.HTTP = &http.Client{Transport: issuerOfKeys{f.sim.Client().Transport, issuer}}
		_, err := f.signIn(false, nil)
		var refused *graph.IdentityError
		if good && err != nil || !good && (!errors.As(err, &refused) || refused.Reason != graph.IdentityOtherIssuer) {
			t.Errorf("%s: %v", issuer, err)
		}
		f.sim.IDToken = func(token *graphsim.IDToken) { delete(token.Header, "kid") }
		if _, err := f.signIn(false, nil); err == nil {
			t.Errorf("%s: a token that does not name its key is taken", issuer)
		}
	}
}

// issuerOfKeys has the login service say whose its keys are.
type issuerOfKeys struct {
	base   http.RoundTripper
	issuer string
}

func (k issuerOfKeys) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := k.base.RoundTrip(r)
	if err != nil || !strings.HasSuffix(r.URL.Path, "/keys") {
		return resp, err
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	resp.Body = io.NopCloser(strings.NewReader(strings.Replace(string(b), `"kty":`, `"issuer":"`+k.issuer+`","kty":`, 1)))
	resp.ContentLength = -1
	resp.Header.Del("Content-Length")
	return resp, err
}
