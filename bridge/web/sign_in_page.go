package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"outbridge/bridge"
)

func (v *visit) setupPage(code string, trouble *Problem) error {
	return v.render("setup", page{Title: "Set up outbridge", Trouble: trouble, Data: map[string]any{"Code": code, "Ready": v.h.SetupCode != ""}})
}

func setupForm(v *visit) error {
	if unset, err := v.h.unset(v.r.Context()); err != nil || !unset {
		return errors.Join(err, v.redirect("/sign-in"))
	}
	return v.setupPage(v.r.URL.Query().Get("code"), nil)
}

func setup(v *visit) error {
	if unset, err := v.h.unset(v.r.Context()); err != nil || !unset {
		return errors.Join(err, v.redirect("/sign-in"))
	}
	code, password := v.r.PostFormValue("code"), v.r.PostFormValue("password")
	fail := func(p *Problem) error { return v.setupPage(code, p) }
	// The code is random enough to take any number of guesses, so the right one is not kept waiting for those of others.
	if v.h.SetupCode == "" || !sameCode(code, v.h.SetupCode) {
		if _, ok, err := v.attempt(setupUser, fail); !ok {
			return err
		}
		v.status = http.StatusForbidden
		v.refusedSignIn(setupUser, "setup code")
		return fail(&Problem{"The setup code is wrong.", "It ends the link that `outbridge serve` printed when it last started."})
	}
	if password != v.r.PostFormValue("repeat") {
		v.status = http.StatusBadRequest
		return fail(&Problem{"The two passwords do not match.", "Type the same one twice."})
	}
	hash, err := HashPassword(password)
	if p, ok := problemOf(err); ok {
		v.status = http.StatusBadRequest
		return fail(p)
	}
	if err == nil {
		err = v.h.Store.SetAdministrator(v.r.Context(), hash, true)
	}
	if errors.Is(err, bridge.ErrExists) {
		return v.redirect("/sign-in")
	}
	if err == nil {
		err = v.beginSession(bridge.Person{}, bridge.RoleAdministrator, "set up")
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActPasswordChanged, administrator, "set up")
	v.h.log().Info("administrator password set", "address", ClientOf(v.r).network())
	return v.redirect("/")
}

func (v *visit) signInPage(trouble *Problem) error {
	named, err := v.h.named(v.r.Context())
	if err != nil {
		return err
	}
	unset, err := v.h.unset(v.r.Context())
	if err != nil {
		return err
	}
	return v.render("sign-in", page{Title: "Sign in", Trouble: trouble, Data: map[string]any{"Next": nextPage(v.r), "Named": named, "Unset": unset,
		"Name": cut(v.r.PostFormValue("name"), 100), "Microsoft": v.h.Microsoft != nil}})
}

// named reports whether anybody but the administrator has a password.
func (h *Handler) named(ctx context.Context) (bool, error) {
	people, err := h.Store.People(ctx)
	return slices.ContainsFunc(people, func(p bridge.Person) bool { return p.Password }), err
}

// fresh reports whether nobody can sign in before the administrator's password is set.
func (h *Handler) fresh(ctx context.Context) (bool, error) {
	unset, err := h.unset(ctx)
	if err != nil || !unset || h.Microsoft != nil {
		return false, err
	}
	named, err := h.named(ctx)
	return !named, err
}

// nextPage is the page of ours to show after sign-in.
func nextPage(r *http.Request) string {
	u, err := url.Parse(r.FormValue("next"))
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(u.Path, "//") ||
		strings.ContainsAny(u.Path, "\\\r\n") {
		return "/"
	}
	return (&url.URL{Path: u.Path, RawQuery: u.RawQuery}).String()
}

func signInForm(v *visit) error {
	fresh, err := v.h.fresh(v.r.Context())
	switch {
	case err != nil:
		return err
	case fresh:
		return v.redirect("/setup")
	case v.signedIn():
		return v.redirect(nextPage(v.r))
	}
	return v.signInPage(nil)
}

// Users that refused sign-ins on pages are logged with.
const (
	administrator = "administrator"
	setupUser     = "setup"
)

func signIn(v *visit) error {
	name := strings.Join(strings.Fields(v.r.PostFormValue("name")), " ")
	if name == "" || strings.EqualFold(name, administrator) {
		name = administrator
	}
	by, ok, err := v.attempt(name, v.signInPage)
	if !ok {
		return err
	}
	hash, err := v.h.Store.Administrator(v.r.Context())
	if errors.Is(err, bridge.ErrNotFound) {
		if name == administrator {
			return v.redirect("/setup")
		}
		hash, err = nobodysHash(), nil
	}
	var p bridge.Person
	role, lost := bridge.RoleAdministrator, Text("If you lost it, `outbridge password admin` sets a new one.")
	if name != administrator && err == nil {
		role, lost = bridge.RolePerson, "If you lost it, the administrator of this bridge can remove you and invite you again."
		var own string
		p, own, err = v.h.Store.PersonByName(v.r.Context(), name)
		if errors.Is(err, bridge.ErrNotFound) || err == nil && own == "" {
			p, err = bridge.Person{}, nil // the password is compared all the same, so that nobody learns which names there are
		} else {
			hash = own
		}
	}
	if err != nil {
		return err
	}
	if !passwordIs(v.r.PostFormValue("password"), hash, by) || role == bridge.RolePerson && p.ID == 0 {
		v.status = http.StatusForbidden
		v.refusedSignIn(name, "password")
		return v.signInPage(&Problem{"The password is wrong.", lost})
	}
	if err := v.h.forgive(v.r.Context(), by); err != nil {
		return err
	}
	if err := v.beginSession(p, role, "password"); err != nil {
		return err
	}
	return v.redirect(nextPage(v.r))
}

func signOut(v *visit) error {
	if err := v.h.Store.EndSessions(v.r.Context(), v.session.Person, v.h.now(), v.session.ID); err != nil {
		return err
	}
	v.record(bridge.ActSignedOut, "", "")
	v.setCookie(sessionCookie, "", 0)
	v.w.Header().Set("Clear-Site-Data", `"cache"`) // of the events that the browser has kept
	return v.redirect("/")
}

// signOutEverywhere signs the visitor out of every browser.
func signOutEverywhere(v *visit) error {
	if err := v.h.Store.EndSessions(v.r.Context(), v.session.Person, v.h.now()); err != nil {
		return err
	}
	v.record(bridge.ActSignedOutOfThese, "", "")
	v.setCookie(sessionCookie, "", 0)
	v.w.Header().Set("Clear-Site-Data", `"cache"`)
	return v.redirect("/sign-in")
}
