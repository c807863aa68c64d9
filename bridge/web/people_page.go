package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

// invitationLife is how long a link of an invitation is valid.
const invitationLife = 7 * 24 * time.Hour

// people shows who else uses the pages, and the invitations that nobody has used yet.
func people(v *visit) error { return v.peoplePage(nil) }

func (v *visit) peoplePage(trouble *Problem) error {
	ctx := v.r.Context()
	list, err := v.h.Store.People(ctx)
	if err != nil {
		return err
	}
	type row struct {
		bridge.Person
		Accounts []string
		This     bool
	}
	owned, err := v.h.Store.Owned(ctx)
	if err != nil {
		return err
	}
	var rows []row
	for _, p := range list {
		rows = append(rows, row{p, owned[p.ID], p.ID == v.session.Person})
	}
	invitations, err := v.h.Store.Invitations(ctx, v.h.now())
	if err != nil {
		return err
	}
	free, err := v.freeAccounts()
	if err != nil {
		return err
	}
	shown, over := v.shown()
	if trouble == nil {
		trouble = shown.Trouble
	}
	p := page{Title: "People", Script: true, Trouble: trouble, Data: map[string]any{"People": rows, "Invitations": invitations, "Made": shown.Invitation,
		"Free": free, "Days": int(invitationLife / (24 * time.Hour)), "Here": v.h.onlyHere(), "Name": cut(v.r.PostFormValue("name"), 100), "SeeEvents": v.h.SeeEvents}}
	if over {
		p.Notice = "The link was shown for a minute. If it was not copied, end the invitation and make another."
	}
	return v.render("people", p)
}

// freeAccounts are those that an administrator may give away: what is nobody's. With an organization the app can read every mailbox,
// and whoever gave one of these to themselves would read it.
func (v *visit) freeAccounts() (names []string, err error) {
	if v.h.Organization {
		return nil, nil
	}
	list, err := v.h.Accounts.List(v.r.Context())
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if _, err := v.belongs(&a); err != nil {
			return nil, err
		}
		if a.Owner.Owned {
			continue
		}
		if _, err := v.h.Store.Account(v.r.Context(), a.Name); errors.Is(err, bridge.ErrNotFound) {
			continue // it has not begun yet, so that nothing can be noted with it
		} else if err != nil {
			return nil, err
		}
		names = append(names, a.Name)
	}
	return names, nil
}

// checkedName is the name in a form, on one line; a Problem where nobody may have it.
func checkedName(text string) (string, error) {
	name := strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	switch {
	case name == "":
		return "", &Problem{"The name is missing.", "Enter one."}
	case len([]rune(name)) > 60:
		return "", &Problem{"The name is too long.", "Use at most 60 characters."}
	case strings.EqualFold(name, administrator) || strings.EqualFold(name, setupUser):
		return "", &Problem{"This name is the bridge's own.", "Choose another."}
	}
	return name, nil
}

func invite(v *visit) error {
	name, err := checkedName(v.r.PostFormValue("name"))
	account := v.r.PostFormValue("account")
	if err == nil && account != "" {
		free, freeErr := v.freeAccounts()
		if freeErr != nil {
			return freeErr
		}
		if !slices.Contains(free, account) {
			err = &Problem{"This account cannot be given away.", "Choose one that belongs to nobody."}
		}
	}
	if err != nil {
		return v.again("/people", err)
	}
	now := v.h.now()
	_, secret, err := v.h.Store.AddInvitation(v.r.Context(), bridge.Invitation{Name: name, Account: account, Created: now, Expires: now.Add(invitationLife)})
	if err != nil {
		return err
	}
	v.record(bridge.ActInvited, account, name)
	return v.showOnce("/people", once{Invitation: v.h.address() + "/invitation/" + secret})
}

func endInvitation(v *visit) error {
	id, err := v.id()
	if err != nil {
		return err
	}
	if err := v.h.Store.RevokeInvitation(v.r.Context(), id); err != nil {
		return err
	}
	v.record(bridge.ActInvitationEnded, "", fmt.Sprint(id))
	return v.redirect("/people?done=invited")
}

var errInvitationGone = &Problem{"This invitation was already used, has ended, or has expired.", "Ask the administrator of this bridge for another."}

// invitation is the one of the link.
func (v *visit) invitation() (bridge.Invitation, error) {
	i, err := v.h.Store.Invitation(v.r.Context(), v.r.PathValue("secret"), v.h.now())
	if errors.Is(err, bridge.ErrNotFound) {
		v.refusedSignIn("", "link of an invitation")
		return i, errInvitationGone
	}
	return i, err
}

func invitationForm(v *visit) error { return v.invitationPage(nil) }

func (v *visit) invitationPage(trouble *Problem) error {
	i, err := v.invitation()
	if err != nil {
		return err
	}
	name := v.r.PostFormValue("name")
	if name == "" {
		name = i.Name
	}
	return v.render("invitation", page{Title: "You are invited", Trouble: trouble, Data: map[string]any{
		"Invitation": i, "Secret": v.r.PathValue("secret"), "Name": cut(name, 100), "Microsoft": v.h.Microsoft != nil}})
}

func acceptInvitation(v *visit) error {
	if _, err := v.invitation(); err != nil {
		return err
	}
	fail := func(p *Problem) error {
		v.status = http.StatusBadRequest
		return v.invitationPage(p)
	}
	name, err := checkedName(v.r.PostFormValue("name"))
	if err == nil && v.r.PostFormValue("password") != v.r.PostFormValue("repeat") {
		err = &Problem{"The two passwords do not match.", "Type the same one twice."}
	}
	hash := ""
	if err == nil {
		hash, err = HashPassword(v.r.PostFormValue("password"))
	}
	if p, ok := problemOf(err); ok {
		return fail(p)
	}
	if err != nil {
		return err
	}
	p, i, err := v.h.Store.AcceptInvitation(v.r.Context(), v.r.PathValue("secret"), bridge.Person{Name: name, Created: v.h.now()}, hash, v.h.now())
	if errors.Is(err, bridge.ErrExists) {
		return fail(&Problem{"Somebody on this bridge has this name, or the account.", "Choose another name, or ask its administrator."})
	}
	if errors.Is(err, bridge.ErrNotFound) {
		return errInvitationGone
	}
	if err != nil {
		return err
	}
	return v.accepted(p, i, "password")
}

// accepted signs in who has used an invitation up.
func (v *visit) accepted(p bridge.Person, i bridge.Invitation, way string) error {
	if err := v.beginSession(p, bridge.RolePerson, way); err != nil {
		return err
	}
	v.record(bridge.ActInvitationUsed, i.Account, i.Name)
	return v.redirect("/")
}

func invitationMicrosoft(v *visit) error {
	if _, err := v.invitation(); err != nil {
		return err
	}
	if v.fromElsewhere() {
		return v.redirect("/invitation/" + url.PathEscape(v.r.PathValue("secret")))
	}
	return v.toMicrosoft(personFlow{For: toAccept, Invitation: v.r.PathValue("secret")})
}

// acceptAs makes whom Microsoft has signed in the person of an invitation.
func (v *visit) acceptAs(who MicrosoftPerson, secret string) error {
	var i bridge.Invitation
	now := v.h.now()
	p, err := v.addPerson(who, func(p bridge.Person) (made bridge.Person, err error) {
		made, i, err = v.h.Store.AcceptInvitation(v.r.Context(), secret, p, "", now)
		return made, err
	})
	if errors.Is(err, bridge.ErrExists) {
		return &Problem{"You have a sign-in on this bridge already.", "Sign in with it, or ask its administrator."}
	}
	if errors.Is(err, bridge.ErrNotFound) {
		return errInvitationGone
	}
	if err != nil {
		return err
	}
	return v.accepted(p, i, "Microsoft")
}

// personOf is the person in the URL.
func (v *visit) personOf() (bridge.Person, []string, error) {
	id, err := v.id()
	if err != nil {
		return bridge.Person{}, nil, err
	}
	p, err := v.h.Store.Person(v.r.Context(), bridge.PersonID(id))
	if err != nil {
		return p, nil, err
	}
	own, err := v.h.Store.OwnedBy(v.r.Context(), p.ID)
	return p, own, err
}

func removePersonForm(v *visit) error {
	p, own, err := v.personOf()
	if err != nil {
		return err
	}
	text := []Text{"They are signed out everywhere, and cannot sign in again."}
	if len(own) > 0 {
		text = append(text, "What they have connected themselves is removed with its app passwords and feeds; an account that was given to them goes back to the administrators.")
	}
	title := With("Remove {person}?", p.Name)
	return v.render("confirm", page{Title: title, Data: question{Title: title, Button: "Remove", Text: text,
		Path: fmt.Sprintf("/people/%d/remove", p.ID), Back: "/people"}})
}

// removePerson removes a person, and first the accounts that they have connected: nobody else was to read these.
func removePerson(v *visit) error {
	p, own, err := v.personOf()
	if err != nil {
		return err
	}
	for {
		if err := v.removeConnected(p, own); err != nil {
			return err
		}
		err = v.h.Store.RemovePerson(v.r.Context(), p.ID)
		if !errors.Is(err, bridge.ErrExists) {
			break
		}
		if own, err = v.h.Store.OwnedBy(v.r.Context(), p.ID); err != nil { // they have just connected a mailbox
			return err
		}
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActPersonRemoved, p.Name, "")
	return v.redirect("/people?done=person")
}

// removeConnected removes those of a person's accounts that they have connected. No sign-in of theirs goes on, in what was given to them
// either: it would bring their mailbox to who has the account next.
func (v *visit) removeConnected(p bridge.Person, own []string) error {
	for _, name := range own {
		owner, err := v.h.Store.OwnerOf(v.r.Context(), name)
		if err != nil {
			return err
		}
		if err := v.h.endDevice(v.r.Context(), name); err != nil {
			return err
		}
		if owner.Given {
			continue
		}
		if err := v.h.Accounts.Remove(v.r.Context(), name); err != nil {
			return err
		}
		v.record(bridge.ActAccountRemoved, name, "with "+p.Name)
	}
	v.h.sweepFeeds(v.r.Context())
	return nil
}
