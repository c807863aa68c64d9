package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"

	"outbridge/bridge/web"
)

// connectionWords is what kept a connection from being made or from lasting, in words; "" where err is of something else.
func connectionWords(err error) string {
	at := func(before string) string { return before }
	var op *net.OpError
	var asked *url.Error
	if errors.As(err, &op) && op.Addr != nil {
		at = func(before string) string { return before + " " + op.Addr.String() }
	} else if errors.As(err, &asked) {
		if u, err := url.Parse(asked.URL); err == nil && u.Host != "" {
			at = func(before string) string { return before + " " + u.Host }
		}
	}
	var name *net.DNSError
	var untrusted x509.UnknownAuthorityError
	var other x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &name) && name.IsNotFound:
		return fmt.Sprintf("DNS knows no address of the name %s", name.Name)
	case errors.As(err, &name):
		return fmt.Sprintf("DNS does not answer for the name %s", name.Name)
	case errors.Is(err, syscall.ECONNREFUSED), strings.Contains(err.Error(), "actively refused"): // the latter on Windows
		return at("nothing accepts connections at")
	case errors.As(err, &untrusted):
		return "the certificate is of an authority that this machine does not know"
	case errors.As(err, &other):
		return "the certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has expired, or the clock of this machine is wrong"
	case errors.As(err, &plain), errors.Is(err, http.ErrSchemeMismatch):
		return "the other side does not speak TLS"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return at("no answer in time from")
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return at("there is no way in the network to")
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "server closed idle connection"): // net/http has no value for it
		return at("the connection was cut off by")
	}
	return ""
}

// plainly is an error as people read it: in words, where a library has made it of a connection that failed.
func plainly(err error) string {
	if text := err.Error(); !web.Technical(text) {
		return text
	}
	if words := connectionWords(err); words != "" {
		return words
	}
	return err.Error()
}

// inPlainWords replaces errors by what plainly says of them.
func inPlainWords(args []any) []any {
	words := slices.Clone(args)
	for i, a := range args {
		if err, ok := a.(error); ok {
			words[i] = plainly(err)
		}
	}
	return words
}
