package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"outbridge/bridge"
)

// Microsoft signs people in to the pages by OpenID Connect. Its errors are as those of Accounts.
type Microsoft interface {
	// SignInURL is where a sign-in in this browser starts; with mailbox it also asks for the person's calendars. Microsoft sends the
	// browser back to redirectURI with state.
	SignInURL(ctx context.Context, redirectURI, state, nonce, verifier string, mailbox bool) (string, error)
	// SignedIn completes it with the query that the browser came back with.
	SignedIn(ctx context.Context, back url.Values, redirectURI, nonce, verifier string, mailbox bool) (MicrosoftPerson, error)
}

// MicrosoftPerson is whom Microsoft has signed in.
type MicrosoftPerson struct {
	Tenant, ObjectID string // who they are; nothing else tells
	Name, Address    string // as they are shown; both may change, and be anybody's
	Administrator    bool
	// Connect makes an account of their mailbox, which belongs to a person. nil: the calendars were not asked for.
	Connect func(ctx context.Context, id bridge.PersonID) (account string, err error)
}

// What a sign-in of a person is for.
const (
	toEnter   = "enter"
	toAccept  = "accept"  // an invitation
	toConnect = "connect" // their mailbox
)

// personFlow is a sign-in of a person that waits for the browser to come back from Microsoft. It is a brief, by its state.
type personFlow struct {
	For        string
	Browser    []byte // a hash of the cookie of the browser that has begun it
	Redirect   string
	Verifier   string
	Nonce      string
	Next       string
	Invitation string
	Session    int64
	Origin     string // of the page where it began
}

const (
	personFlows  = "person-sign-in" // a kind of briefs
	signInCookie = "outbridge-sign-in"
)

func cookieHash(cookie string) []byte {
	sum := sha256.Sum256([]byte(cookie))
	return sum[:]
}

// toMicrosoft sends the browser to Microsoft.
func (v *visit) toMicrosoft(f personFlow) error {
	if v.h.Microsoft == nil {
		return bridge.ErrNotFound
	}
	if f.Redirect, _ = v.callback(); f.Redirect == "" {
		return &Problem{"Microsoft only redirects to https, or to a browser on the same machine as the bridge.", "Set a public_url with https in the configuration."}
	}
	cookie, state := rand.Text()+rand.Text(), rand.Text()+rand.Text()
	f.Browser, f.Verifier, f.Nonce = cookieHash(cookie), rand.Text()+rand.Text(), rand.Text()
	f.Session, f.Origin = v.session.ID, originOf(v.r)
	value, err := json.Marshal(f)
	if err != nil {
		return err
	}
	v.turn() // the login service may take its time
	to, err := v.h.Microsoft.SignInURL(v.r.Context(), f.Redirect, state, f.Nonce, f.Verifier, f.For == toConnect)
	if err != nil {
		return err
	}
	now := v.h.now()
	err = v.h.Store.KeepBrief(v.r.Context(), personFlows, state, value, now, now.Add(browserLife))
	if errors.Is(err, bridge.ErrTooMany) {
		return &Problem{"Too many sign-ins are under way.", "Try again in a few minutes."}
	}
	if err != nil {
		return err
	}
	v.setCookie(signInCookie, cookie, browserLife)
	return v.redirect(to)
}

// signInMicrosoft is reached by a link and not by a form, as signInBrowser is.
func signInMicrosoft(v *visit) error {
	if v.fromElsewhere() {
		return v.redirect("/sign-in")
	}
	return v.enterOr(v.toMicrosoft(personFlow{For: toEnter, Next: nextPage(v.r)}))
}

// enterOr shows the page of the sign-in again where err is a Problem.
func (v *visit) enterOr(err error) error {
	p, ok := problemOf(err)
	if !ok {
		return err
	}
	v.status = http.StatusServiceUnavailable
	return v.signInPage(p)
}

// microsoftBack completes the sign-in of a person; false where the state is none of these.
func (v *visit) microsoftBack() (ours bool, err error) {
	q, now := v.r.URL.Query(), v.h.now()
	state := q.Get("state")
	value, err := v.h.Store.Brief(v.r.Context(), personFlows, state, now)
	if errors.Is(err, bridge.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var f personFlow
	if err := json.Unmarshal(value, &f); err != nil {
		return true, err
	}
	cookie, err := v.r.Cookie(v.cookieName(signInCookie))
	if err != nil && (f.Origin != originOf(v.r) || v.h.base() != "" && v.r.URL.Path != callbackPath) {
		// As in signInBack.
		return true, v.redirect(f.Origin + v.h.base() + callbackPath + "?" + v.r.URL.RawQuery)
	}
	lost := &Problem{"This sign-in was not started in this browser, or took too long.", "Start again."}
	if err != nil || subtle.ConstantTimeCompare(cookieHash(cookie.Value), f.Browser) != 1 || f.For == toConnect && f.Session != v.session.ID {
		v.refusedSignIn("", "a sign-in of another browser")
		return true, lost
	}
	if _, err := v.h.Store.TakeBrief(v.r.Context(), personFlows, state, now); errors.Is(err, bridge.ErrNotFound) {
		return true, lost
	} else if err != nil {
		return true, err
	}
	v.setCookie(signInCookie, "", 0)
	v.turn()
	who, err := v.h.Microsoft.SignedIn(v.r.Context(), q, f.Redirect, f.Nonce, f.Verifier, f.For == toConnect)
	if p, ok := problemOf(err); ok {
		v.refusedSignIn("", p.Sentence.String())
		v.status = http.StatusForbidden
		if f.For == toEnter && !v.signedIn() {
			return true, v.signInPage(p)
		}
		v.fail(http.StatusForbidden, p)
		return true, nil
	}
	if err != nil {
		return true, err
	}
	switch f.For {
	case toConnect:
		return true, v.connectAs(who)
	case toAccept:
		return true, v.acceptAs(who, f.Invitation)
	}
	return true, v.enterAs(who, f.Next)
}

// enterAs signs in whom Microsoft has signed in, if they have something here.
func (v *visit) enterAs(who MicrosoftPerson, next string) error {
	p, admitted, err := v.admit(who)
	if err != nil {
		return err
	}
	if !admitted {
		v.refusedSignIn(who.Address, "no account: tenant "+who.Tenant+", object "+who.ObjectID)
		v.fail(http.StatusForbidden, &Problem{With("You are signed in at Microsoft as {person}, but have no account on this bridge.", shownName(who)),
			With("Ask its administrator to add you, and give them this object ID: {id}.", who.ObjectID)})
		return nil
	}
	role := bridge.RolePerson
	if who.Administrator {
		role = bridge.RoleAdministrator
	}
	if err := v.beginSession(p, role, "Microsoft"); err != nil {
		return err
	}
	return v.redirect(next)
}

func shownName(who MicrosoftPerson) string {
	if who.Address != "" {
		return who.Address
	}
	return who.Name
}

// admit finds whom Microsoft has signed in, by tenant and object id alone, or makes them where they may be here.
func (v *visit) admit(who MicrosoftPerson) (p bridge.Person, admitted bool, err error) {
	ctx := v.r.Context()
	p, err = v.h.Store.PersonByIdentity(ctx, who.Tenant, who.ObjectID)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return p, false, err
	}
	known := err == nil
	admitted = who.Administrator || v.h.Connect || known && p.Invited
	if !admitted && known {
		own, err := v.h.Store.OwnedBy(ctx, p.ID)
		if err != nil {
			return p, false, err
		}
		admitted = len(own) > 0
	}
	if !admitted && !known {
		a, err := v.h.Store.AccountByIdentity(ctx, strings.ToLower(who.Tenant), strings.ToLower(who.ObjectID))
		if err != nil && !errors.Is(err, bridge.ErrNotFound) {
			return p, false, err
		}
		admitted = err == nil && a.Left.IsZero()
	}
	if known || !admitted {
		return p, admitted, nil
	}
	p, err = v.addPerson(who, func(p bridge.Person) (bridge.Person, error) { return v.h.Store.AddPerson(ctx, p, "") })
	return p, err == nil, err
}

// addPerson makes a person of whom Microsoft has signed in, under a name that nobody has.
func (v *visit) addPerson(who MicrosoftPerson, add func(bridge.Person) (bridge.Person, error)) (p bridge.Person, err error) {
	name := cut(strings.Join(strings.Fields(shownName(who)), " "), 100)
	for _, name := range []string{name, fmt.Sprintf("%s (%.8s)", name, who.ObjectID), who.ObjectID} {
		if name == "" || strings.EqualFold(name, administrator) {
			continue
		}
		p, err = add(bridge.Person{Name: name, Tenant: who.Tenant, ObjectID: who.ObjectID, Created: v.h.now()})
		if !errors.Is(err, bridge.ErrExists) {
			return p, err
		}
	}
	return p, err
}

// mayConnect reports whether the visitor may connect a mailbox of their own: one, and only who was invited or all may.
func (v *visit) mayConnect() (bool, error) {
	if v.session.Person == 0 || !v.person.Invited && !v.h.Connect {
		return false, nil
	}
	own, err := v.h.Store.OwnedBy(v.r.Context(), v.session.Person)
	return err == nil && len(own) == 0, err
}

// connectMailboxForm is what somebody finds who has no account.
func connectMailboxForm(v *visit) error {
	may, err := v.mayConnect()
	if err != nil {
		return err
	}
	if own, err := v.listed(); err != nil || !may && len(own) > 0 {
		if err != nil {
			return err
		}
		return v.redirect("/")
	}
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	return v.render("connect-mailbox", page{Title: "Your calendar", Data: map[string]any{
		"May": may && app.ClientID != "", "Microsoft": v.person.ObjectID != "", "ObjectID": v.person.ObjectID}})
}

var mayNot = &Problem{"You cannot connect a mailbox here.", "Ask the administrator of this bridge."}

// connectMailbox begins the sign-in by which somebody whom Microsoft has signed in connects their own mailbox.
func connectMailbox(v *visit) error {
	if v.fromElsewhere() {
		return v.redirect("/connect")
	}
	may, err := v.mayConnect()
	if err != nil {
		return err
	}
	if !may || v.person.ObjectID == "" {
		return mayNot
	}
	return v.toMicrosoft(personFlow{For: toConnect})
}

// connectAs connects the mailbox of whom Microsoft has signed in, who has to be the visitor.
func (v *visit) connectAs(who MicrosoftPerson) error {
	if !strings.EqualFold(who.Tenant, v.person.Tenant) || !strings.EqualFold(who.ObjectID, v.person.ObjectID) || v.person.ObjectID == "" {
		v.refusedSignIn(who.Address, "another mailbox than the person's own")
		v.fail(http.StatusForbidden, &Problem{With("You signed in at Microsoft as {person}, who is somebody else.", shownName(who)), "Connect the mailbox of the account that you have signed in to this page with."})
		return nil
	}
	may, err := v.mayConnect()
	if err != nil {
		return err
	}
	if !may || who.Connect == nil {
		return mayNot
	}
	account, err := who.Connect(v.r.Context(), v.session.Person)
	if err != nil {
		return err
	}
	v.record(bridge.ActConnected, account, "")
	return v.redirect(accountPath(account) + "?done=connected")
}

// connectOwn makes the account of somebody with a password, who then signs a mailbox in as an administrator would.
func connectOwn(v *visit) error {
	may, err := v.mayConnect()
	if err != nil {
		return err
	}
	if !may || v.person.ObjectID != "" {
		return mayNot
	}
	account, err := v.h.Accounts.AddFor(v.r.Context(), v.person.Name, v.session.Person)
	if err != nil {
		return err
	}
	v.record(bridge.ActAccountAdded, account, "")
	return v.redirect(accountPath(account) + "/sign-in")
}
