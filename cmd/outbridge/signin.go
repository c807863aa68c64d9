package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
)

// loginPatience is how long a page waits for Microsoft's login service.
const loginPatience = 20 * time.Second

// accounts does for the pages what the command line does with accounts: web.Accounts.
type accounts struct {
	store *sqlstore.Store
	work  *work.Scheduler
	log   *slog.Logger

	mu sync.Mutex // guards config and changes to the list of mailboxes
	c  *config
}

var _ web.Accounts = (*accounts)(nil)

func (a *accounts) List(context.Context) ([]web.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []web.Account
	for _, one := range a.c.Accounts {
		list = append(list, web.Account{Name: one.Name, Mailbox: one.Mailbox, Configured: !a.c.added[one.Name]})
	}
	slices.SortFunc(list, func(x, y web.Account) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

var errNoAppYet = &web.Problem{Sentence: "There is no app registration yet.", Action: "Enter one first."}

var mailboxForm = regexp.MustCompile(`^[^\s@/?#]+@[^\s@/?#]+\.[^\s@/?#]+$`)

func (a *accounts) Add(ctx context.Context, name, mailbox string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !accountName.MatchString(name):
		return &web.Problem{Sentence: "That is no name for an account.", Action: "Use lower-case letters, digits, dot, dash and underscore, at most 64, and begin with a letter or digit."}
	case slices.ContainsFunc(a.c.Accounts, func(one accountConfig) bool { return one.Name == name }):
		return &web.Problem{Sentence: "There is an account of that name already.", Action: "Choose another name."}
	case mailbox != "" && !mailboxForm.MatchString(mailbox):
		return &web.Problem{Sentence: "That is no address of a mailbox.", Action: "Write it like name@contoso.com."}
	case mailbox != "" && !a.c.appOnly():
		return &web.Problem{Sentence: "Reading a mailbox by its address takes a client secret, which the configuration does not have.", Action: "Leave the address empty and sign in."}
	}
	if a.c.Microsoft.ClientID == "" {
		return errNoAppYet
	}
	one := accountConfig{Name: name, Mailbox: mailbox, Access: "read"}
	if _, err := a.store.AddAccount(ctx, name, mailbox); errors.Is(err, bridge.ErrExists) {
		return &web.Problem{Sentence: "There is an account of that name already.", Action: "Choose another name."}
	} else if err != nil {
		return err
	}
	m, err := a.c.mailbox(ctx, a.store, a.log, one)
	if err != nil {
		return err
	}
	a.c.add(one)
	a.work.Add(m)
	a.log.Info("account added", "account", name)
	return nil
}

func (a *accounts) Remove(ctx context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.c.added[name] {
		return &web.Problem{Sentence: "This account is in the configuration file.", Action: "Take it out there, and start the bridge anew."}
	}
	a.work.Remove(name)
	if err := a.store.RemoveAccount(ctx, name); err != nil {
		return err
	}
	a.c.remove(name)
	a.log.Info("account removed", "account", name)
	return nil
}

func (a *accounts) Nudge(name string) { a.work.Nudge(name) }

func (a *accounts) Pulse(name string) bridge.Pulse { return a.work.Pulse(name) }

func (a *accounts) App(context.Context) (web.App, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.c.Microsoft
	app := web.App{Registration: bridge.Registration{ClientID: m.ClientID, Tenant: m.Tenant}, Configured: !a.c.appOfPage, AppOnly: a.c.appOnly()}
	if m.ClientID != "" {
		app.Consent = (&graph.Authority{LoginURL: a.c.loginURL, Tenant: m.Tenant, ClientID: m.ClientID}).AdminConsentURL()
	}
	return app, nil
}

var (
	clientIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	tenantForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$`)
)

// SetApp tries the registration first: Microsoft gives a code to an app that it knows.
func (a *accounts) SetApp(ctx context.Context, r bridge.Registration) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.c.appOfPage {
		return &web.Problem{Sentence: "The app registration is set in the configuration file.", Action: "Change client_id there, and start the bridge anew."}
	}
	if r.Tenant == "" {
		r.Tenant = "common"
	}
	if !clientIDForm.MatchString(r.ClientID) {
		return &web.Problem{Sentence: "That is no client ID.", Action: "Copy the Application (client) ID from the overview of the app registration."}
	}
	if !tenantForm.MatchString(r.Tenant) {
		return &web.Problem{Sentence: "That is no tenant.", Action: "Write common, organizations, consumers, or the ID or domain of your organization."}
	}
	changed := *a.c
	changed.Microsoft.ClientID, changed.Microsoft.Tenant = r.ClientID, r.Tenant
	authority, err := changed.authority(changed.scopes(accountConfig{}))
	if err != nil {
		return err
	}
	try, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	var refused *graph.AuthError
	if _, err := authority.DeviceCode(try); errors.As(err, &refused) {
		return &web.Problem{Sentence: numbered(refused), Action: "Check the client ID and the tenant, and which accounts the app registration supports."}
	} else if err != nil {
		a.log.Warn("the app registration is kept without having been tried", "err", err)
	}
	if err := a.store.SetRegistration(ctx, r); err != nil {
		return err
	}
	a.c.Microsoft.ClientID, a.c.Microsoft.Tenant = r.ClientID, r.Tenant
	a.c.gates = new(gates) // they keep a token of the app
	for _, one := range a.c.Accounts {
		m, err := a.c.mailbox(ctx, a.store, a.log, one)
		if err != nil {
			return err
		}
		a.work.Add(m)
	}
	a.log.Info("app registration set", "client_id", r.ClientID, "tenant", r.Tenant)
	return nil
}

// authority is the login service for the person of an account, and the claims that the last refusal asks for.
func (a *accounts) authority(ctx context.Context, account string) (*graph.Authority, string, error) {
	row, err := a.store.Account(ctx, account)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return nil, "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.c.Microsoft.ClientID == "" {
		return nil, "", errNoAppYet
	}
	one, err := a.c.account(account)
	if err != nil {
		return nil, "", bridge.ErrNotFound
	}
	authority, err := a.c.authority(a.c.scopes(one))
	return authority, row.State.Claims, err
}

func (a *accounts) DeviceCode(ctx context.Context, account string, other bool) (web.DeviceCode, error) {
	authority, claims, err := a.authority(ctx, account)
	if err != nil {
		return web.DeviceCode{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	d, err := authority.DeviceCodeWith(ctx, claims)
	if err != nil {
		return web.DeviceCode{}, problem(err, account)
	}
	wait := func(ctx context.Context) error {
		token, err := authority.Wait(ctx, d)
		return a.keep(ctx, account, token, other, err)
	}
	return web.DeviceCode{UserCode: d.UserCode, VerificationURI: d.VerificationURI, Expires: d.Expires, Wait: wait}, nil
}

func (a *accounts) BrowserURL(ctx context.Context, account, redirectURI, state, verifier string) (string, error) {
	authority, claims, err := a.authority(ctx, account)
	if err != nil {
		return "", err
	}
	return authority.AuthCodeURL(redirectURI, state, verifier, claims), nil
}

func (a *accounts) Exchange(ctx context.Context, account string, back url.Values, redirectURI, verifier string, other bool) error {
	authority, _, err := a.authority(ctx, account)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	if err := authority.RedirectError(back); err != nil {
		return problem(err, account)
	}
	token, err := authority.Exchange(ctx, redirectURI, back.Get("code"), verifier)
	return a.keep(ctx, account, token, other, err)
}

// keep stores the outcome of a sign-in and begins a round with it.
func (a *accounts) keep(ctx context.Context, account string, token *oauth2.Token, other bool, err error) error {
	if err == nil {
		_, err = a.c.keepSignIn(ctx, a.store, account, token, other)
	}
	if err != nil {
		return problem(err, account)
	}
	a.log.Info("signed in", "account", account)
	a.work.Nudge(account)
	return nil
}

// problem puts an error of the login service into words for a page; others stay as they are.
func problem(err error, account string) error {
	var refused *graph.AuthError
	var other *bridge.OtherMailboxError
	switch {
	case errors.As(err, &other):
		return &web.Problem{Sentence: fmt.Sprintf("This account belongs to %s, and that sign-in was of %s.", other.Before.Address, other.Now.Address),
			Action: "Sign in as the same person, or tick that somebody else may sign in, whose calendars then replace all of the account's."}
	case errors.As(err, &refused):
		return &web.Problem{Sentence: numbered(refused), Action: refused.ActionFor(account)}
	case graph.IsUnavailable(err), errors.Is(err, context.DeadlineExceeded):
		return &web.Problem{Sentence: "Microsoft's login service does not answer properly at the moment.", Action: "Try again in a while."}
	}
	return err
}

// numbered is what Microsoft refuses, with the number to look it up by.
func numbered(refused *graph.AuthError) string {
	if refused.AADSTS == 0 {
		return refused.Sentence
	}
	return fmt.Sprintf("%s (AADSTS%d)", refused.Sentence, refused.AADSTS)
}
