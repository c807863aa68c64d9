package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// inBrowser signs in with the authorization code flow and PKCE: a browser of this machine comes back to
// http://localhost at a free port (RFC 8252 §7.3), and shows how it went.
func (l *loginCmd) inBrowser(e *env, authority *graph.Authority, claims string, keep func(context.Context, *oauth2.Token) error) error {
	listeners, port, err := listenLoopback()
	if err != nil {
		return fmt.Errorf("wait for the browser: %w: use --flow device", err)
	}
	back := &callback{
		ctx: e.ctx, authority: authority, account: l.Account, keep: keep, words: l.words, done: make(chan error, 1),
		state: rand.Text(), verifier: oauth2.GenerateVerifier(), redirect: "http://localhost:" + strconv.Itoa(port),
	}
	server := &http.Server{Handler: back, ReadHeaderTimeout: 10 * time.Second}
	for _, listener := range listeners {
		go func() { _ = server.Serve(listener) }()
	}
	defer server.Close()

	address := authority.AuthCodeURL(back.redirect, back.state, back.verifier, claims)
	fmt.Fprintf(e.stdout, "To sign in as %s, open this address in a browser on this machine (on another machine, use --flow device):\n%s\n", l.Account, address)
	defer sayLater(e.stderr, fmt.Sprintf("Waiting for the browser to come back, for at most %s; press Ctrl-C to give up.", l.Timeout))()
	if !l.NoOpen {
		openBrowser(address)
	}
	select {
	case err = <-back.done:
		// The browser gets its page before the program ends.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), 3*time.Second)
		defer cancel()
		_ = server.Shutdown(ctx)
		return err
	case <-time.After(l.Timeout):
		return fmt.Errorf("nobody signed in within %s: run `outbridge login %s --flow browser` again, or leave out --flow to enter a code in any browser", l.Timeout, l.Account)
	case <-e.ctx.Done():
		return e.ctx.Err()
	}
}

// listenLoopback listens at a free port of the loopback addresses: browsers take either for localhost. A machine without
// IPv6 has only one.
func listenLoopback() (listeners []net.Listener, port int, err error) {
	for range 10 {
		v4, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, 0, err
		}
		port := v4.Addr().(*net.TCPAddr).Port
		v6, err := net.Listen("tcp6", net.JoinHostPort("::1", strconv.Itoa(port)))
		switch {
		case err == nil:
			return []net.Listener{v4, v6}, port, nil
		case !errors.Is(err, syscall.EADDRINUSE):
			return []net.Listener{v4}, port, nil
		}
		v4.Close()
	}
	return nil, 0, errors.New("no port is free on both loopback addresses")
}

// callback serves the address that the browser comes back to. The first answer that has the state of this sign-in ends it.
type callback struct {
	ctx                       context.Context
	authority                 *graph.Authority
	account                   string
	state, verifier, redirect string
	keep                      func(context.Context, *oauth2.Token) error
	words                     func(bridge.Fault) (sentence, action string)
	done                      chan error // takes the outcome

	once sync.Once
}

func (b *callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	q := r.URL.Query()
	switch {
	case r.URL.Path != "/":
		http.NotFound(w, r)
		return
	case r.Method != http.MethodGet:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	case subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(b.state)) != 1:
		callbackPage(w, http.StatusBadRequest, "This is not the sign-in that outbridge is waiting for", "Go back to the terminal and open the address shown there.")
		return
	}
	first := false
	b.once.Do(func() { first = true })
	if !first {
		callbackPage(w, http.StatusConflict, "This sign-in is over", "The terminal says how it went.")
		return
	}
	// The outcome does not depend on whether the browser stays for the page.
	err := b.finish(q)
	if err != nil {
		sentence, action := b.words(bridge.FaultOf(err))
		var refused *graph.AuthError
		if !errors.As(err, &refused) {
			sentence, action = worded(err, b.account).Error(), ""
		}
		callbackPage(w, http.StatusForbidden, "The sign-in failed", sentence, action)
	} else {
		callbackPage(w, http.StatusOK, "Signed in", "You can close this window and go back to the terminal.")
	}
	b.done <- err
}

func (b *callback) finish(q url.Values) error {
	if err := b.authority.RedirectError(q); err != nil {
		return err
	}
	token, err := b.authority.Exchange(b.ctx, b.redirect, q.Get("code"), b.verifier)
	if err != nil {
		return err
	}
	return b.keep(b.ctx, token)
}

var callbackTemplate = template.Must(template.New("callback").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} – outbridge</title>
<style>:root{color-scheme:light dark}body{font:1.0625rem/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem;overflow-wrap:anywhere}</style>
</head><body><main><h1>{{.Title}}</h1>{{range .Text}}{{with .}}<p>{{.}}</p>{{end}}{{end}}</main></body></html>
`))

func callbackPage(w http.ResponseWriter, status int, title string, text ...string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = callbackTemplate.Execute(w, struct {
		Title string
		Text  []string
	}{title, text})
}

// openBrowser opens an address in the person's browser, if there is one. The address is printed anyway.
func openBrowser(address string) {
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		cmd = exec.Command("open", address)
	case "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", address)
	default:
		if os.Getenv("DISPLAY") == "" && os.Getenv("WAYLAND_DISPLAY") == "" {
			return
		}
		cmd = exec.Command("xdg-open", address)
	}
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }()
	}
}
