package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// warnBefore is how long before the app's credential expires the warnings begin.
const warnBefore = 30 * 24 * time.Hour

// identify gives the authority the app's credential: a client secret, a certificate, or none.
func (m *microsoftConfig) identify(a *graph.Authority) (err error) {
	if !m.inFile() {
		return identifyBy(a, m.pages.get())
	}
	if m.ClientSecretFile != "" {
		b, err := os.ReadFile(m.ClientSecretFile)
		if err == nil {
			err = notForEverybody(m.ClientSecretFile)
		}
		if err != nil {
			return fmt.Errorf("microsoft.client_secret_file: %w", unreadable(err))
		}
		if a.ClientSecret = strings.TrimSpace(string(b)); a.ClientSecret == "" {
			return fmt.Errorf("microsoft.client_secret_file: %s is empty: put the secret's value into it", m.ClientSecretFile)
		}
	}
	if m.CertificateFile != "" {
		a.Certificate, err = m.certificate()
	}
	return err
}

func (m *microsoftConfig) certificate() (*graph.Certificate, error) {
	b, err := os.ReadFile(m.CertificateFile)
	if err != nil {
		return nil, fmt.Errorf("microsoft.certificate_file: %w", unreadable(err))
	}
	key, secret := "certificate_file", m.CertificateFile
	if m.CertificateKeyFile != "" {
		key, secret = "certificate_key_file", m.CertificateKeyFile
		keyPEM, err := os.ReadFile(secret)
		if err != nil {
			return nil, fmt.Errorf("microsoft.%s: %w", key, unreadable(err))
		}
		b = append(append(b, '\n'), keyPEM...)
	}
	if err := notForEverybody(secret); err != nil {
		return nil, fmt.Errorf("microsoft.%s: %w", key, err)
	}
	c, err := graph.ParseCertificate(b)
	if errors.Is(err, graph.ErrNoPrivateKey) {
		err = fmt.Errorf("%w: append the key to it, or name the key's own file in certificate_key_file", err)
	}
	if err != nil {
		return nil, fmt.Errorf("microsoft.certificate_file %s: %w", m.CertificateFile, err)
	}
	return c, nil
}

// checkFiles is whether the secret or the certificate can be used.
func (m *microsoftConfig) checkFiles() error { return m.identify(new(graph.Authority)) }

func (m *microsoftConfig) checkCredential() error {
	switch {
	case m.CertificateFile != "" && m.ClientSecretFile != "":
		return errors.New("microsoft has both client_secret_file and certificate_file: keep the one that the app registration has")
	case m.CertificateKeyFile != "" && m.CertificateFile == "":
		return errors.New("microsoft.certificate_key_file is the key of a microsoft.certificate_file, which is missing")
	case m.ClientSecretExpires == "":
		return nil
	case m.ClientSecretFile == "":
		return errors.New("microsoft.client_secret_expires is for a microsoft.client_secret_file, which is missing; a certificate has its own end date")
	}
	if _, err := time.Parse(time.DateOnly, m.ClientSecretExpires); err != nil {
		return fmt.Errorf("microsoft.client_secret_expires = %q: write the date that the app registration shows, like 2027-01-31", m.ClientSecretExpires)
	}
	return nil
}

// credential is what the app identifies itself with. It expires.
type credential struct {
	Kind    string    `json:"kind,omitempty"` // client secret or certificate
	Expires time.Time `json:"expires,omitzero"`
	Warning string    `json:"warning,omitempty"` // from warnBefore on
}

// credential is the app's credential as of now; nil if nobody knows when it expires.
func (m *microsoftConfig) credential(now time.Time) (*credential, error) {
	var c credential
	var fix string
	kept := m.pages.get()
	const onPages = "make a new one in the app registration, and enter it on the App registration page"
	switch {
	case !m.inFile() && kept.Certificate != "":
		cert, err := graph.ParseCertificate([]byte(kept.Certificate))
		if err != nil {
			return nil, err
		}
		c, fix = credential{Kind: "certificate", Expires: cert.Expires()}, onPages
	case !m.inFile() && kept.Expires != "":
		day, err := time.Parse(time.DateOnly, kept.Expires)
		if err != nil {
			return nil, err
		}
		c, fix = credential{Kind: "client secret", Expires: day}, onPages
	case m.CertificateFile != "":
		cert, err := m.certificate()
		if err != nil {
			return nil, err
		}
		c = credential{Kind: "certificate", Expires: cert.Expires()}
		fix = "make a new one, upload it in the app registration next to the old one, and put it and its key into certificate_file"
	case m.ClientSecretExpires != "":
		day, err := time.Parse(time.DateOnly, m.ClientSecretExpires)
		if err != nil {
			return nil, err
		}
		c = credential{Kind: "client secret", Expires: day}
		fix = "make a new one in the app registration, and put its value into client_secret_file and its date into client_secret_expires"
	default:
		return nil, nil
	}
	switch left := c.Expires.Sub(now); {
	case left <= 0:
		c.Warning = fmt.Sprintf("the app's %s expired on %s: %s", c.Kind, c.Expires.Format(time.DateOnly), fix)
	case left < warnBefore:
		c.Warning = fmt.Sprintf("the app's %s expires on %s, in %d days: %s", c.Kind, c.Expires.Format(time.DateOnly), int(left.Hours()/24), fix)
	}
	return &c, nil
}

// warnOfCredential logs once a day that the app's credential expires soon, until ctx ends.
func (p *program) warnOfCredential(ctx context.Context) error {
	for {
		if credential, err := p.conf.Microsoft.credential(time.Now()); err != nil {
			p.log.Warn("the app's credential cannot be read", "err", err)
		} else if credential != nil {
			p.metrics.CredentialExpires(credential.Kind, credential.Expires)
			if credential.Warning != "" {
				p.log.Warn(credential.Warning, "expires", credential.Expires)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(24 * time.Hour):
		}
	}
}

// notForEverybody refuses a secret that anyone on this machine can read. In a container, what its engine has mounted is for
// the container alone.
func notForEverybody(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	// Windows has no such bits.
	if mode := info.Mode().Perm(); mode&0o007 != 0 && runtime.GOOS != "windows" && !strings.HasPrefix(path, "/run/secrets/") {
		return fmt.Errorf("anyone on this machine can read the secret in %s (mode %04o): run chmod 600 %s", path, mode, path)
	}
	return nil
}
