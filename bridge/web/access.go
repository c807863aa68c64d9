package web

import (
	"fmt"
	"net/http"
	"net/url"

	"outbridge/bridge"
)

// access is who may have a page. The zero value is nobody.
type access int

const (
	nobody access = iota
	// open: everybody, signed in or not.
	open
	// signedIn: everybody who is signed in, for what is their own.
	signedIn
	// administrators: these alone.
	administrators
	// concerned: whom the account belongs to, and administrators, who see no events there.
	concerned
	// reading: who may read the events of the account: whom it belongs to, and others only as Handler.SeeEvents says.
	reading
	// owning: whom the account belongs to alone, since it gives out what reads the events from then on.
	owning
)

// route is a page of the bridge, or one of an account, and who may have it.
type route struct {
	who  access
	page func(*visit) error
	of   func(*visit, Account) error
}

// serve is the only way to a page: it decides whether the visitor may have it.
func (r route) serve(v *visit) error {
	if r.who != open && !v.signedIn() {
		if v.r.Method != http.MethodGet && v.r.Method != http.MethodHead {
			return v.redirect("/sign-in")
		}
		return v.redirect("/sign-in?next=" + url.QueryEscape(v.r.URL.RequestURI()))
	}
	switch {
	case r.who == nobody:
		return v.refuse("Nobody may open this page.")
	case r.who == administrators && v.session.Role != bridge.RoleAdministrator:
		return v.refuse("This page is for administrators.")
	case r.of == nil && (r.who == concerned || r.who == reading || r.who == owning):
		return fmt.Errorf("%s is no page of an account", v.r.Pattern)
	case r.of == nil:
		return r.page(v)
	}
	a, err := v.account()
	if err != nil {
		return err
	}
	if r.who == reading && !a.Readable || r.who == owning && !a.Own() {
		return v.refuse("Only the person to whom this account belongs sees its events, and what leads to them.")
	}
	if r.who == reading {
		if err := v.look(a); err != nil {
			return err
		}
	}
	return r.of(v, a)
}

// refuse answers that the visitor may not have the page.
func (v *visit) refuse(sentence Text) error {
	v.back = "/"
	v.fail(http.StatusForbidden, &Problem{Sentence: sentence})
	return nil
}

// belongs sets whose an account is for the visitor; false where they are not to know that there is such an account.
//
// An account belongs to the person of the directory that it was made for, to who connected it, or to whom an administrator gave it.
// One that is nobody's belongs to the administrators of a bridge without an organization: it is they who have signed it in.
func (v *visit) belongs(a *Account) (bool, error) {
	owner, err := v.h.Store.OwnerOf(v.r.Context(), a.Name)
	if err != nil {
		return false, err
	}
	a.Owner = owner
	mine := owner.Person != 0 && owner.Person == v.session.Person
	switch v.session.Role {
	case bridge.RolePerson:
		a.Readable = mine
		return mine, nil
	case bridge.RoleAdministrator:
		ours := !owner.Owned && !v.h.Organization
		a.Looked = !mine && !ours && v.h.SeeEvents
		a.Readable = mine || ours || a.Looked
		return true, nil
	}
	return false, nil
}

// stillConcerned reports whether a visitor who has had a page of an account for a while would get it now: they are signed in, and the
// account is there and concerns them.
func (v *visit) stillConcerned(a Account) bool {
	s, _, _, err := v.findSession(v.h.now())
	if err != nil || s.ID != v.session.ID || s.Role != v.session.Role || v.h.Served != nil && !v.h.Served(a.Name) {
		return false
	}
	theirs, err := v.belongs(&a)
	return err == nil && theirs
}

// look records that an administrator reads somebody's events. What cannot be recorded is not shown.
func (v *visit) look(a Account) error {
	if !a.Looked {
		return nil
	}
	return v.h.Store.AddRecord(v.r.Context(), v.recordOf(bridge.ActEventsSeen, a.Name, cut(v.r.Method+" "+v.r.URL.Path, 300)))
}
