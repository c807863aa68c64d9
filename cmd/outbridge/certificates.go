package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/caddyserver/certmagic"

	"outbridge/bridge"
)

// certificateStorage is where the certificates are that [tls] domains has got.
func (c *config) certificateStorage() *certmagic.FileStorage {
	return &certmagic.FileStorage{Path: filepath.Join(c.dataFolder(), "tls")}
}

// ownCertificate is the one that was got for a domain; nil: none yet.
func (c *config) ownCertificate(domain string) (*x509.Certificate, error) {
	issuer := (&certmagic.ACMEIssuer{CA: c.TLS.directory()}).IssuerKey()
	path := c.certificateStorage().Filename(certmagic.StorageKeys.SiteCert(issuer, domain))
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("there is no certificate in %s", path)
	}
	return x509.ParseCertificate(block.Bytes)
}

// isOverdue reports whether a certificate should have been renewed by now. That is tried from when a third of its life is left.
func isOverdue(cert *x509.Certificate, now time.Time) bool {
	return cert.NotAfter.Sub(now) <= cert.NotAfter.Sub(cert.NotBefore)/6
}

// certificateStatus is a certificate of [tls] domains.
type certificateStatus struct {
	Domain  string     `json:"domain"`
	Expires *time.Time `json:"expires,omitempty"` // nil: there is none yet, or it cannot be read
	Overdue bool       `json:"overdue,omitempty"` // it should have been renewed by now
	Warning string     `json:"warning,omitempty"`

	err error
}

// ownCertificates are those of [tls] domains.
func (c *config) ownCertificates(now time.Time) (list []certificateStatus) {
	for _, domain := range c.TLS.Domains {
		s := certificateStatus{Domain: domain}
		cert, err := c.ownCertificate(domain)
		switch {
		case err != nil:
			s.err = fmt.Errorf("the certificate of %s: %w", domain, err)
			s.Warning = s.err.Error()
		case cert == nil:
			s.Warning = fmt.Sprintf("there is no certificate for %s yet; the server gets it once it runs, and its log says why where it does not, under part=tls", domain)
		case isOverdue(cert, now):
			s.Expires, s.Overdue = &cert.NotAfter, true
			s.Warning = fmt.Sprintf("the certificate of %s expires on %s and could not be renewed; the server's log says why, under part=tls", domain, cert.NotAfter.Format(time.DateOnly))
		default:
			s.Expires = &cert.NotAfter
		}
		list = append(list, s)
	}
	return list
}

// overdue are notices of those that should have been renewed.
func (c *config) overdue(now time.Time) (list []bridge.Notice, err error) {
	for _, s := range c.ownCertificates(now) {
		err = errors.Join(err, s.err)
		if s.Overdue {
			list = append(list, bridge.Notice{Kind: bridge.NoticeRenewal, Detail: s.Domain, At: *s.Expires})
		}
	}
	return list, err
}

// certificates checks those that the server gets by itself.
func (d *doctor) certificates() {
	for _, s := range d.c.ownCertificates(time.Now()) {
		const check = "certificate"
		switch {
		case s.err != nil:
			d.broken(check, "Give the folder tls beside the database to the user of the server.", "%v", s.err)
		case s.Expires == nil && !d.serving:
			d.skip(check, "%s: the server gets one when it runs", s.Domain)
		case s.Warning != "":
			d.warn(check, "Have port 443 or, with http_listen, port 80 reach this machine from the internet, and the name lead to it.", "%s", s.Warning)
		default:
			d.ok(check, "%s: until %s; it is renewed by itself", s.Domain, s.Expires.Format(time.DateOnly))
		}
	}
}
