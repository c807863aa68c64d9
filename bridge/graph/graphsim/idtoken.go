package graphsim

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"slices"
	"sync"
)

// IDToken is one before it is signed.
type IDToken struct {
	Header, Claims map[string]any
	// Signing is how it is signed: "" as it should be; "none"; "HS256" with the public key as the secret, once as PEM; "other" with a
	// key that is not the service's, under the name of its own.
	Signing string
}

// signingKeys are those of the service, one after the other, and one that is not its own. Making one takes a while.
var signingKeys = [3]func() *rsa.PrivateKey{sync.OnceValue(newSigningKey), sync.OnceValue(newSigningKey), sync.OnceValue(newSigningKey)}

const strangersKey = 2

func newSigningKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err) // the system has no random numbers
	}
	return key
}

// RotateKeys makes the service sign with another key from now on, and forget the one before.
func (s *Server) RotateKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.login.key = 1 - s.login.key
}

func keyID(k int) string { return []string{"first-key", "second-key", "strangers-key"}[k] }

// issuer is that of the tokens of a tenant; for names of several tenants it has a placeholder, as Microsoft's has.
func (s *Server) issuer(r *http.Request, tenant string) string {
	switch {
	case tenant == "common" || tenant == "organizations":
		tenant = "{tenantid}"
	case tenant == "consumers":
		tenant = "9188040d-6c67-4c5b-b112-36a304b66dad"
	case !guidForm.MatchString(tenant): // a domain of the only tenant
		tenant = tenantID
	}
	return s.origin(r) + "/" + tenant + "/v2.0"
}

// TenantID is the tenant of every mailbox, and UserID who its owner is there (tid and oid).
func TenantID() string            { return tenantID }
func (m *Mailbox) UserID() string { return m.userID() }

func (s *Server) keys(*http.Request, string) response {
	public := signingKeys[s.login.key]().PublicKey
	text := base64.RawURLEncoding.EncodeToString
	return response{status: 200, body: map[string]any{"keys": []any{map[string]any{
		"kty": "RSA", "use": "sig", "kid": keyID(s.login.key), "n": text(public.N.Bytes()), "e": text(big.NewInt(int64(public.E)).Bytes()),
	}}}}
}

func (s *Server) idToken(r *http.Request, g *grant, scopes []string) string {
	now, m := s.now(), g.mailbox
	t := &IDToken{Header: map[string]any{"typ": "JWT", "alg": "RS256", "kid": keyID(s.login.key)}, Claims: map[string]any{
		"aud": g.client, "iss": s.issuer(r, tenantID), "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(65 * 60e9).Unix(), "ver": "2.0",
		"sub": guid("subject " + m.first + g.client), "tid": tenantID, "rh": rand.Text(), "uti": rand.Text(),
	}}
	if g.nonce != "" {
		t.Claims["nonce"] = g.nonce
	}
	if slices.Contains(scopes, "profile") {
		t.Claims["name"], t.Claims["preferred_username"], t.Claims["oid"] = m.name, m.address, m.userID()
	}
	if slices.Contains(scopes, "email") {
		t.Claims["email"] = m.address
	}
	if s.IDToken != nil {
		s.IDToken(t)
	}
	return s.signed(t)
}

func (s *Server) signed(t *IDToken) string {
	key := signingKeys[s.login.key]()
	switch t.Signing {
	case "none", "HS256":
		t.Header["alg"] = t.Signing
	case "other":
		key = signingKeys[strangersKey]()
	}
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err) // a test has put something into it that is no JSON
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(t.Header) + "." + part(t.Claims)
	var signature []byte
	switch sum := sha256.Sum256([]byte(text)); t.Signing {
	case "none":
	case "HS256":
		der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		if err != nil {
			panic(err)
		}
		mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
		mac.Write([]byte(text))
		signature = mac.Sum(nil)
	default:
		var err error
		if signature, err = rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:]); err != nil {
			panic(err)
		}
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}
