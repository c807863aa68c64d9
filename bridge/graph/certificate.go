package graph

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// assertionLife is how long a client assertion is good for: Microsoft asks for five to ten minutes.
const assertionLife = 9 * time.Minute

// Certificate is an app's credential in place of a client secret: an RSA key, and the certificate of it that is uploaded
// to the app registration.
type Certificate struct {
	leaf *x509.Certificate
	key  *rsa.PrivateKey
}

// ErrNoPrivateKey: there is a certificate, and no key that belongs to it.
var ErrNoPrivateKey = errors.New("it holds no private key")

// ParseCertificate reads PEM that holds an RSA key (PKCS #8 or PKCS #1, without a passphrase) and its certificate, in any
// order. Further certificates, as of a chain, do not matter. One that has expired is read all the same: what was synced is
// to be served still, so it fails when a token is asked for.
func ParseCertificate(b []byte) (*Certificate, error) {
	var key *rsa.PrivateKey
	var certs []*x509.Certificate
	for {
		var block *pem.Block
		if block, b = pem.Decode(b); block == nil {
			break
		}
		switch block.Type {
		case "CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, errors.New("a certificate in it is damaged")
			}
			certs = append(certs, cert)
		case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
			k, err := parseKey(block)
			if err != nil {
				return nil, err
			}
			if key != nil {
				return nil, errors.New("it holds two private keys: leave the one that belongs to the certificate")
			}
			key = k
		}
	}
	switch {
	case len(certs) == 0:
		return nil, errors.New("it holds no certificate: it must be PEM, with a block that begins with -----BEGIN CERTIFICATE-----")
	case key == nil:
		return nil, ErrNoPrivateKey
	}
	for _, cert := range certs {
		if key.PublicKey.Equal(cert.PublicKey) {
			return &Certificate{cert, key}, nil
		}
	}
	return nil, errors.New("the private key is not the certificate's: they have to be a pair")
}

func parseKey(block *pem.Block) (*rsa.PrivateKey, error) {
	if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
		return nil, errors.New("the private key has a passphrase, which nobody could type here: remove it with `openssl pkey -in KEY -out NEWKEY`")
	}
	if key, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		return key, checkKey(key)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if key, ok := parsed.(*rsa.PrivateKey); ok {
		return key, checkKey(key)
	}
	if _, ecErr := x509.ParseECPrivateKey(block.Bytes); err == nil || ecErr == nil {
		return nil, errors.New("the private key is not an RSA key, the only kind that Microsoft takes: make one with `openssl req -x509 -newkey rsa:2048 …`")
	}
	return nil, errors.New("the private key in it is damaged")
}

func checkKey(key *rsa.PrivateKey) error {
	if key.N.BitLen() < 2048 {
		return fmt.Errorf("the private key has %d bits: Microsoft takes 2048 and more", key.N.BitLen())
	}
	return nil
}

// Expires is when the certificate ends.
func (c *Certificate) Expires() time.Time { return c.leaf.NotAfter }

// assertion is a JWT in which clientID identifies itself to the token endpoint audience, signed with PS256
// (learn.microsoft.com/entra/identity-platform/certificate-credentials). Each is for one request.
func (c *Certificate) assertion(clientID, audience string, now time.Time) (string, error) {
	if now.After(c.leaf.NotAfter) {
		return "", newAuthError(opApp, tokenError{Code: "certificate_expired"})
	}
	thumbprint := sha256.Sum256(c.leaf.Raw)
	encode := func(v any) string {
		b, _ := json.Marshal(v) // of strings and numbers
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := encode(map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": base64.RawURLEncoding.EncodeToString(thumbprint[:])}) + "." +
		encode(map[string]any{"aud": audience, "iss": clientID, "sub": clientID, "jti": uuid.NewString(),
			"nbf": now.Unix(), "iat": now.Unix(), "exp": now.Add(assertionLife).Unix()})
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPSS(rand.Reader, c.key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return "", fmt.Errorf("sign with the certificate's key: %w", err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature), nil
}
