package web

import (
	"context"
	"crypto/rand"
	"errors"
	"net/url"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
)

// browserLife is how long a sign-in in the browser may take.
const browserLife = 15 * time.Minute

// States of a sign-in to Microsoft.
const (
	flowWaiting = "waiting"
	flowDone    = "done"
	flowFailed  = "failed"
)

// flows are the sign-ins to Microsoft that people have begun, kept in memory: what is lost with a restart is begun again.
type flows struct {
	mu       sync.Mutex
	devices  map[string]*deviceFlow  // by account
	browsers map[string]*browserFlow // by state
}

// deviceFlow waits for a code to be entered at Microsoft.
type deviceFlow struct {
	DeviceCode
	cancel  context.CancelFunc
	state   string
	trouble *Problem // when failed
}

// browserFlow waits for a browser to come back from Microsoft.
type browserFlow struct {
	account, redirect, verifier string
	other                       bool // somebody else may sign in than before

	session int64
	origin  string // where the browser has its session
	expires time.Time
}

// beginDevice takes the place of an earlier sign-in of the account.
func (h *Handler) beginDevice(account string, code DeviceCode) {
	ctx, cancel := context.WithDeadline(context.Background(), code.Expires.Add(time.Minute))
	f := &deviceFlow{DeviceCode: code, cancel: cancel, state: flowWaiting}
	h.flows.mu.Lock()
	if h.flows.devices == nil {
		h.flows.devices = map[string]*deviceFlow{}
	}
	if old := h.flows.devices[account]; old != nil {
		old.cancel()
	}
	h.flows.devices[account] = f
	h.flows.mu.Unlock()
	go func() {
		defer cancel()
		err := code.Wait(ctx)
		h.flows.mu.Lock()
		defer h.flows.mu.Unlock()
		switch p, ok := problemOf(err); {
		case err == nil:
			f.state = flowDone
		case ok:
			f.state, f.trouble = flowFailed, p
		default:
			f.state, f.trouble = flowFailed, &Problem{"The sign-in has failed.", "Try again; the log says more."}
			if !errors.Is(err, context.Canceled) {
				h.log().Error("sign-in", "account", account, "err", err)
			}
		}
	}()
}

// device is the account's sign-in by code as it stands, and false where there is none.
func (f *flows) device(account string) (deviceFlow, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.devices[account]
	if one == nil {
		return deviceFlow{}, false
	}
	return *one, true
}

// endDevice gives a sign-in by code up, or forgets one that has ended.
func (f *flows) endDevice(account string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if one := f.devices[account]; one != nil {
		one.cancel()
		delete(f.devices, account)
	}
}

func (f *flows) beginBrowser(one browserFlow, now time.Time) (state string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.browsers == nil {
		f.browsers = map[string]*browserFlow{}
	}
	for old, b := range f.browsers {
		if now.After(b.expires) {
			delete(f.browsers, old)
		}
	}
	state = rand.Text()
	f.browsers[state] = &one
	return state
}

// browser finds a sign-in in the browser; with take it is over.
func (f *flows) browser(state string, now time.Time, take bool) (browserFlow, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	one := f.browsers[state]
	if one == nil || now.After(one.expires) {
		return browserFlow{}, false
	}
	if take {
		delete(f.browsers, state)
	}
	return *one, true
}

const callbackPath = "/auth/callback"

// callback is the redirect URI of sign-ins in this browser, or "" where Microsoft would take none: it wants https, or
// localhost for a browser on this machine, there at any port and without a path, as `outbridge login` has it too. register
// is what the app registration has to have.
func (v *visit) callback() (redirect, register string) {
	u, err := url.Parse(v.h.PublicURL)
	switch {
	case err != nil:
		return "", ""
	case u.Scheme == "https":
		return v.h.origin() + callbackPath, v.h.origin() + callbackPath
	case Loopback(u.Hostname()) && Loopback(hostName(v.r.Host)):
		return strings.TrimSuffix("http://localhost:"+u.Port(), ":"), "http://localhost"
	}
	return "", ""
}

// here is the origin that the browser knows us by.
func (v *visit) here() string {
	if ClientOf(v.r).HTTPS {
		return "https://" + v.r.Host
	}
	return "http://" + v.r.Host
}

// signInChoice shows the ways to sign an account in to Microsoft, or how the one that was begun stands.
func signInChoice(v *visit, a Account) error {
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return err
	}
	p := page{Title: "Sign in to Microsoft", Account: &a}
	_, register := v.callback()
	data := map[string]any{"Register": register, "App": app, "Before": row.Identity.Address}
	p.Data = data
	switch f, ok := v.h.flows.device(a.Name); {
	case a.Mailbox != "":
		return &Problem{"This account is read app-only.", "It needs no sign-in."}
	case ok && f.state == flowDone:
		v.h.flows.endDevice(a.Name)
		return v.redirect(accountPath(a.Name) + "?done=signed-in")
	case ok && f.state == flowFailed:
		v.h.flows.endDevice(a.Name)
		p.Trouble = f.trouble
	case ok:
		data["Code"], p.Script = f.DeviceCode, true
	}
	return v.render("microsoft", p)
}

func signInDevice(v *visit, a Account) error {
	v.back = accountPath(a.Name) + "/sign-in"
	code, err := v.h.Accounts.DeviceCode(v.r.Context(), a.Name, v.r.PostFormValue("other") != "")
	if err != nil {
		return err
	}
	v.h.beginDevice(a.Name, code)
	return v.redirect(accountPath(a.Name) + "/sign-in")
}

func signInCancel(v *visit, a Account) error {
	v.h.flows.endDevice(a.Name)
	return v.redirect(accountPath(a.Name))
}

// signInState tells the script of the waiting page how it stands.
func signInState(v *visit, a Account) error {
	f, _ := v.h.flows.device(a.Name)
	plain(v.w, 200, f.state)
	return nil
}

// signInBrowser is reached by a link, not by a form: a form's policy would have to name every address that Microsoft sends
// the browser on to.
func signInBrowser(v *visit) error {
	if site := v.r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return v.redirect(accountPath(v.r.PathValue("user")) + "/sign-in")
	}
	a, err := v.account()
	if err != nil {
		return err
	}
	redirect, _ := v.callback()
	if redirect == "" {
		return &Problem{"Microsoft only comes back to an https address, or to a browser on the bridge's own machine.", "Use a code, or set an https public_url."}
	}
	verifier := rand.Text() + rand.Text()
	now := v.h.now()
	state := v.h.flows.beginBrowser(browserFlow{account: a.Name, redirect: redirect, verifier: verifier, other: v.r.FormValue("other") != "",
		session: v.session.ID, origin: v.here(), expires: now.Add(browserLife)}, now)
	to, err := v.h.Accounts.BrowserURL(v.r.Context(), a.Name, redirect, state, verifier)
	if err != nil {
		return err
	}
	return v.redirect(to)
}

// comesBack tells a browser that Microsoft sends back to localhost, where there is no path to tell it by.
func comesBack(q url.Values) bool { return q.Has("state") && (q.Has("code") || q.Has("error")) }

// signInBack is where Microsoft sends the browser back to.
func signInBack(v *visit) error {
	q := v.r.URL.Query()
	lost := &Problem{"This sign-in was not begun in this browser, or took too long.", "Begin it again on the account's page."}
	f, ok := v.h.flows.browser(q.Get("state"), v.h.now(), false)
	if !ok {
		return lost
	}
	if !v.signedIn() && f.origin != v.here() {
		// Microsoft knows this machine as localhost only; the browser may have its session at 127.0.0.1.
		return v.redirect(f.origin + callbackPath + "?" + v.r.URL.RawQuery)
	}
	if f.session != v.session.ID {
		return lost
	}
	if _, ok = v.h.flows.browser(q.Get("state"), v.h.now(), true); !ok {
		return lost
	}
	a, err := v.accountNamed(f.account)
	if errors.Is(err, bridge.ErrNotFound) {
		return &Problem{"The account has been removed meanwhile.", ""}
	}
	if err != nil {
		return err
	}
	v.back = accountPath(a.Name) + "/sign-in"
	if q.Get("code") == "" && q.Get("error") == "" {
		return &Problem{"Microsoft sent no code.", "Begin the sign-in again."}
	}
	if err := v.h.Accounts.Exchange(v.r.Context(), a.Name, q, f.redirect, f.verifier, f.other); err != nil {
		return err
	}
	return v.redirect(accountPath(a.Name) + "?done=signed-in")
}
