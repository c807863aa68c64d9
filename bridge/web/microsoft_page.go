package web

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"outbridge/bridge"
)

const callbackPath = "/auth/callback"

// callback is the redirect URI for sign-ins in this browser; "" if Microsoft would accept none. It wants https, or localhost
// with any port and no path for a browser on this machine, like `outbridge login`. register is the redirect URI that the
// app registration needs.
func (v *visit) callback() (redirect, register string) {
	u, err := url.Parse(v.h.PublicURL)
	switch {
	case err != nil:
		return "", ""
	case u.Scheme == "https":
		return v.h.address() + callbackPath, v.h.address() + callbackPath
	case Loopback(u.Hostname()) && Loopback(hostName(v.r.Host)):
		return strings.TrimSuffix("http://localhost:"+u.Port(), ":"), "http://localhost"
	}
	return "", ""
}

// originOf is the origin at which the browser sees the page.
func originOf(r *http.Request) string {
	if ClientOf(r).HTTPS {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// signInChoice shows the ways to sign an account in to Microsoft, or the state of a sign-in with a code.
func signInChoice(v *visit, a Account) error {
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return err
	}
	shown, _ := v.shown()
	p := page{Title: "Sign in to Microsoft", Account: &a, Script: true, Trouble: shown.Trouble}
	_, register := v.callback()
	data := map[string]any{"Register": register, "App": app, "Before": row.Identity.Address}
	p.Data = data
	f, ok, err := v.h.device(v.r.Context(), a.Name)
	if err != nil {
		return err
	}
	switch {
	case a.Mailbox != "":
		return &Problem{"This account uses app-only access.", "It needs no sign-in."}
	case ok && f.State == flowDone:
		if err := v.h.endDevice(v.r.Context(), a.Name); err != nil {
			return err
		}
		return v.redirect(accountPath(a.Name) + "?done=signed-in")
	case ok && f.State == flowFailed:
		if err := v.h.endDevice(v.r.Context(), a.Name); err != nil {
			return err
		}
		p.Trouble = f.Trouble
	case ok:
		data["Code"] = f.Code
	}
	return v.render("microsoft", p)
}

func signInDevice(v *visit, a Account) error {
	code, err := v.h.Accounts.DeviceCode(v.r.Context(), a.Name)
	if err != nil {
		return v.again(accountPath(a.Name)+"/sign-in", err)
	}
	if err := v.h.beginDevice(v.r.Context(), a.Name, code, v.mayBeOther(a)); err != nil {
		return err
	}
	return v.redirect(accountPath(a.Name) + "/sign-in")
}

func signInCancel(v *visit, a Account) error {
	if err := v.h.endDevice(v.r.Context(), a.Name); err != nil {
		return err
	}
	return v.redirect(accountPath(a.Name))
}

// signInState tells the script of the waiting page the state of the sign-in.
func signInState(v *visit, a Account) error {
	f, _, err := v.h.device(v.r.Context(), a.Name)
	if err != nil {
		return err
	}
	plainText(v.w, 200, f.State)
	return nil
}

// signInBrowser is reached by a link and not by a form: the form-action of the content policy would have to list every
// origin that Microsoft redirects to.
func signInBrowser(v *visit, a Account) error {
	if v.fromElsewhere() {
		return v.redirect(accountPath(a.Name) + "/sign-in")
	}
	form := accountPath(a.Name) + "/sign-in"
	redirect, _ := v.callback()
	if redirect == "" {
		return v.again(form, &Problem{"Microsoft only redirects to https, or to a browser on the same machine as the bridge.", "Use a code, or set a public_url with https."})
	}
	verifier := rand.Text() + rand.Text()
	state, err := v.h.beginBrowser(v.r.Context(), browserFlow{Account: a.Name, Redirect: redirect, Verifier: verifier, Other: v.mayBeOther(a),
		Session: v.session.ID, Origin: originOf(v.r)})
	if err != nil {
		return err
	}
	to, err := v.h.Accounts.BrowserURL(v.r.Context(), a.Name, redirect, state, verifier)
	if err != nil {
		return v.again(form, err)
	}
	return v.redirect(to)
}

// fromElsewhere reports whether a page of another site has sent the browser to a link that begins something.
func (v *visit) fromElsewhere() bool {
	site := v.r.Header.Get("Sec-Fetch-Site")
	return site != "" && site != "same-origin" && site != "none"
}

// mayBeOther reports whether somebody else than before may sign the account in: the administrator says so, of an account that is
// nobody's.
func (v *visit) mayBeOther(a Account) bool {
	return v.r.FormValue("other") != "" && v.session.Role == bridge.RoleAdministrator && !a.Owner.Owned
}

// comesBack reports whether Microsoft has sent the browser back. At localhost there is no path to tell by.
func comesBack(q url.Values) bool { return q.Has("state") && (q.Has("code") || q.Has("error")) }

// signInBack serves the redirect URI that Microsoft sends the browser back to.
func signInBack(v *visit) error {
	q := v.r.URL.Query()
	lost := &Problem{"This sign-in was not started in this browser, or took too long.", "Start again on the page of the account."}
	if ours, err := v.microsoftBack(); ours || err != nil {
		return err
	}
	f, ok, err := v.h.browser(v.r.Context(), q.Get("state"), v.h.Store.Brief)
	if err != nil {
		return err
	}
	if !ok {
		return lost
	}
	if !v.signedIn() && (f.Origin != originOf(v.r) || v.h.base() != "" && v.r.URL.Path != callbackPath) {
		// Microsoft only redirects to localhost, without a path; the browser may have its session at 127.0.0.1, or below one.
		return v.redirect(f.Origin + v.h.base() + callbackPath + "?" + v.r.URL.RawQuery)
	}
	if f.Session != v.session.ID {
		return lost
	}
	if _, ok, err := v.h.browser(v.r.Context(), q.Get("state"), v.h.Store.TakeBrief); err != nil {
		return err
	} else if !ok {
		return lost
	}
	a, err := v.accountNamed(f.Account)
	if errors.Is(err, bridge.ErrNotFound) {
		return &Problem{"The account has been removed in the meantime.", ""}
	}
	if err != nil {
		return err
	}
	// What was refused leads back to the form, to be tried again there.
	form := accountPath(a.Name) + "/sign-in"
	if q.Get("code") == "" && q.Get("error") == "" {
		return v.again(form, &Problem{"Microsoft sent no code.", "Start the sign-in again."})
	}
	if err := v.h.Accounts.Exchange(v.r.Context(), a.Name, q, f.Redirect, f.Verifier, f.Other); err != nil {
		return v.again(form, err)
	}
	v.record(bridge.ActMailboxSignedIn, a.Name, "")
	return v.redirect(accountPath(a.Name) + "?done=signed-in")
}
