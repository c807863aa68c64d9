package graphsim

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// confidential tells whether the application has a secret or a certificate, which then has to come with a code.
func (s *Server) confidential() bool { return s.ClientSecret != "" || s.Certificates != nil }

// The longest life of a client assertion that the simulation takes, which is what Microsoft recommends, and how far the
// clocks may be apart.
const (
	assertionLife = 10 * time.Minute
	clockSkew     = 5 * time.Minute
)

// checkAssertion checks a client assertion of client for the token endpoint audience. Where it is refused it also returns
// the AADSTS code.
func (s *Server) checkAssertion(jwt, client, audience string) (int, error) {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 || parts[2] == "" {
		return 700027, errors.New("not a signed JWT")
	}
	var header map[string]string
	var claims struct {
		Aud, Iss, Sub, Jti string
		Exp, Nbf           int64
	}
	for i, into := range []any{&header, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err == nil {
			err = json.Unmarshal(b, into)
		}
		if err != nil {
			return 700027, err
		}
	}
	now, begin, end := s.now(), time.Unix(claims.Nbf, 0), time.Unix(claims.Exp, 0)
	switch {
	case header["typ"] != "" && header["typ"] != "JWT":
		return 700027, fmt.Errorf("typ %q", header["typ"])
	case header["alg"] != "PS256" && header["alg"] != "RS256":
		return 700027, fmt.Errorf("alg %q", header["alg"])
	case header["x5t"] == "" && header["x5t#S256"] == "":
		return 700027, errors.New("no thumbprint")
	case claims.Aud != audience:
		return 700023, fmt.Errorf("aud %q is not %q", claims.Aud, audience)
	case claims.Iss != client || claims.Sub != client:
		return 700027, errors.New("iss and sub are not the client id")
	case !guidForm.MatchString(claims.Jti):
		return 700027, errors.New("jti is no GUID")
	case end.Sub(begin) > assertionLife || !end.After(begin):
		return 700024, fmt.Errorf("it lasts %s", end.Sub(begin))
	case !now.Before(end.Add(clockSkew)) || now.Before(begin.Add(-clockSkew)):
		return 700024, errors.New("the current time is not within its range")
	}
	if err := s.checkSignature(header, parts); err != nil {
		return 700027, err
	}
	for jti, until := range s.login.jtis {
		if now.After(until) {
			delete(s.login.jtis, jti)
		}
	}
	if _, used := s.login.jtis[claims.Jti]; used {
		return 700027, errors.New("jti was used before")
	}
	if s.login.jtis == nil {
		s.login.jtis = map[string]time.Time{}
	}
	s.login.jtis[claims.Jti] = end.Add(clockSkew)
	return 0, nil
}

// checkSignature checks an assertion against the registered certificates.
func (s *Server) checkSignature(header map[string]string, parts []string) error {
	if s.Certificates == nil {
		return nil
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return errors.New("the signature is not base64url")
	}
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	for _, cert := range s.Certificates {
		sum := sha256.Sum256(cert.Raw)
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok || header["x5t#S256"] != base64.RawURLEncoding.EncodeToString(sum[:]) {
			continue
		}
		if now := s.now(); now.After(cert.NotAfter) || now.Before(cert.NotBefore) {
			return errors.New("the key has expired")
		}
		if header["alg"] == "RS256" {
			return rsa.VerifyPKCS1v15(key, crypto.SHA256, digest[:], signature)
		}
		return rsa.VerifyPSS(key, crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	}
	return errors.New("the certificate with this thumbprint is not registered on the application")
}
