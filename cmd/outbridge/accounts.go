package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
)

// loginPatience is how long a page waits for the login service.
const loginPatience = 20 * time.Second

// webAccounts is web.Accounts: it does for the pages what commands do with accounts.
type webAccounts struct {
	work *work.Scheduler

	members *members                  // of the organization; nil: there is none
	options *bridge.Options           // as taken up last from other machines; nil: those of the start
	rows    map[string]bridge.Account // as taken up last, by name

	next *bridge.Registration // takes the place of p's at the next start; nil: none does

	mu sync.Mutex // guards the above, p's accounts, registration and gates, and changes to the list of mailboxes
	p  *program
}

var _ web.Accounts = (*webAccounts)(nil)

func (a *webAccounts) List(ctx context.Context) ([]web.Account, error) {
	rows, err := a.p.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	byName := make(map[string]bridge.Account, len(rows))
	for _, row := range rows {
		byName[row.Name] = row
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []web.Account
	var readings []reading
	for _, one := range a.p.accounts {
		row := byName[one.Name]
		readings = append(readings, one.readings(row)...)
		list = append(list, a.webAccount(one, row))
	}
	for _, t := range twins(readings) {
		i := slices.IndexFunc(list, func(one web.Account) bool { return one.Name == t.account })
		list[i].Twice = append(list[i].Twice, web.ReadTwice{Address: t.address, Shared: t.shared, By: t.before.account, BySharing: t.before.shared})
	}
	slices.SortFunc(list, func(x, y web.Account) int { return strings.Compare(x.Name, y.Name) })
	return list, nil
}

// maxCompared is how many accounts are compared with one another to show one of them.
const maxCompared = 100

// Account tells of mailboxes that are read twice where there are few accounts: else all of them would be read to show one.
func (a *webAccounts) Account(ctx context.Context, name string) (web.Account, error) {
	a.mu.Lock()
	few := len(a.p.accounts) <= maxCompared
	a.mu.Unlock()
	if few {
		list, err := a.List(ctx)
		for _, one := range list {
			if one.Name == name {
				return one, nil
			}
		}
		return web.Account{}, cmp.Or(err, bridge.ErrNotFound)
	}
	row, err := a.p.store.Account(ctx, name)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return web.Account{}, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	one, err := a.p.account(name)
	if err != nil {
		return web.Account{}, bridge.ErrNotFound
	}
	return a.webAccount(one, row), nil
}

// webAccount is an account as the pages know it.
func (a *webAccounts) webAccount(one accountConfig, row bridge.Account) web.Account {
	policy := one.policy(row)
	return web.Account{Name: one.Name, Mailbox: one.Mailbox, Configured: !a.p.added[one.Name],
		Options: bridge.AccountOptions{Include: one.Include, Exclude: one.Exclude, Shared: one.Shared},
		Policy:  policy, PolicyConfigured: one.Access != "", WriteDenied: policy.Write && !a.p.conf.mayWrite(one, row)}
}

// policy is what clients may do to the calendars of an account as it is now.
func (a *webAccounts) policy(row bridge.Account) bridge.Policy {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, err := a.p.account(row.Name)
	if err != nil {
		return bridge.Policy{}
	}
	return a.p.policy(one, row)
}

// served reports whether there is an account of that name. One that has left the configuration stays in the database.
func (a *webAccounts) served(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	_, err := a.p.account(name)
	return err == nil
}

var errNoAppYet = &web.Problem{Sentence: "The app registration is missing.", Action: "Enter it first."}

var mailboxForm = regexp.MustCompile(`^[^\s@/?#]+@[^\s@/?#]+\.[^\s@/?#]+$`)

func (a *webAccounts) Add(ctx context.Context, name, mailbox string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case !accountName.MatchString(name):
		return &web.Problem{Sentence: "This name cannot be used for an account.", Action: "Use at most 64 lower-case letters, digits, dots, dashes and underscores, starting with a letter or digit."}
	case slices.ContainsFunc(a.p.accounts, func(one accountConfig) bool { return one.Name == name }):
		return &web.Problem{Sentence: "There is already an account with this name.", Action: "Choose another name."}
	case mailbox != "" && !mailboxForm.MatchString(mailbox):
		return &web.Problem{Sentence: "This is not a mailbox address.", Action: "Write it like name@contoso.com."}
	case mailbox != "" && !a.p.conf.appOnly():
		return &web.Problem{Sentence: "Reading a mailbox by its address requires a client secret or certificate, which this bridge has not got.", Action: "Enter one with the app registration, or leave the address empty and sign in."}
	}
	if a.p.registration.ClientID == "" {
		return errNoAppYet
	}
	one := accountConfig{Name: name, Mailbox: mailbox}
	if _, err := a.p.store.AddAccount(ctx, name, mailbox); errors.Is(err, bridge.ErrExists) {
		return &web.Problem{Sentence: "There is already an account with this name.", Action: "Choose another name."}
	} else if err != nil {
		return err
	}
	m, err := a.p.mailbox(ctx, one)
	if err != nil {
		return err
	}
	a.p.addAccount(one)
	a.work.Add(m)
	a.p.log.Info("account added", "account", name)
	return nil
}

// maxTwins is how many accounts of one wished name there are.
const maxTwins = 1000

// AddFor gives the account to the person before it has a mailbox, so that nobody else ever reads it.
func (a *webAccounts) AddFor(ctx context.Context, wish string, id bridge.PersonID) (string, error) {
	name, err := a.addFor(ctx, wish, id)
	if err != nil {
		return "", err
	}
	return name, a.begin(ctx, name)
}

// addFor is AddFor for an account that begins later.
func (a *webAccounts) addFor(ctx context.Context, wish string, id bridge.PersonID) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.p.registration.ClientID == "" {
		return "", errNoAppYet
	}
	name := accountNameLike(wish)
	for n := 2; n < maxTwins; n++ {
		_, err := a.p.store.Account(ctx, name)
		_, known := a.p.account(name)
		if errors.Is(err, bridge.ErrNotFound) && known != nil {
			_, err = a.p.store.AddAccount(ctx, name, "")
			if err == nil {
				err = a.p.store.SetOwner(ctx, name, id, false)
			}
			if err == nil {
				a.p.addAccount(accountConfig{Name: name})
				a.p.log.Info("account added", "account", name)
				return name, nil
			}
		}
		if err != nil && !errors.Is(err, bridge.ErrExists) {
			return "", err
		}
		name = fmt.Sprintf("%s-%d", accountNameLike(wish), n)
	}
	return "", &web.Problem{Sentence: "There are too many accounts of this name.", Action: "Ask the administrator of this bridge."}
}

// begin has an account of the pages synced.
func (a *webAccounts) begin(ctx context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	m, err := a.p.mailbox(ctx, accountConfig{Name: name})
	if err == nil {
		a.work.Add(m)
	}
	return err
}

// accountNameLike is a name that an account can have, like a person's name or the first part of an address.
func accountNameLike(wish string) string {
	wish, _, _ = strings.Cut(wish, "@")
	name := strings.Trim(unnameable.ReplaceAllString(strings.ToLower(wish), "-"), "-._")
	return cmp.Or(strings.Trim(name[:min(len(name), 50)], "-._"), "calendar")
}

var unnameable = regexp.MustCompile(`[^a-z0-9._]+`)

func (a *webAccounts) Remove(ctx context.Context, name string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.p.added[name] {
		if one, err := a.p.account(name); err == nil && one.member {
			return &web.Problem{Sentence: "This account is a member of the organization.", Action: "Take the person out of the group, or name them in deny in the configuration file."}
		}
		return &web.Problem{Sentence: "This account is in the configuration file.", Action: "Remove it there, then restart the bridge."}
	}
	a.work.Remove(name)
	if err := a.p.store.RemoveAccount(ctx, name); err != nil {
		return err
	}
	a.p.removeAccount(name)
	a.p.log.Info("account removed", "account", name)
	return nil
}

func (a *webAccounts) SetPolicy(ctx context.Context, name string, policy bridge.Policy) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	one, err := a.p.account(name)
	if err != nil {
		return bridge.ErrNotFound
	}
	if one.Access != "" {
		return &web.Problem{Sentence: "What calendar programs may change is set in the configuration file.", Action: "Change access there, then restart the bridge."}
	}
	row, err := a.p.store.EnsureAccount(ctx, name)
	if err != nil {
		return err
	}
	if err := a.p.store.SetPolicy(ctx, row.ID, policy); err != nil {
		return err
	}
	a.p.log.Info("what clients may change was set", "account", name, "write", policy.Write, "invitations", policy.Invitations, "online_meetings", policy.OnlineMeetings)
	if a.p.registration.ClientID == "" {
		return nil // the account begins with the registration
	}
	m, err := a.p.mailbox(ctx, one)
	if err != nil {
		return err
	}
	a.work.Add(m)
	return nil
}

func (a *webAccounts) Nudge(name string) { a.work.Nudge(name) }

// Compare has the next round, which begins now, hold the calendars against Outlook's own view.
func (a *webAccounts) Compare(ctx context.Context, name string) error {
	row, err := a.p.store.Account(ctx, name)
	if errors.Is(err, bridge.ErrNotFound) {
		return &web.Problem{Sentence: "There is nothing to compare yet.", Action: "Wait for the first sync."}
	}
	if err != nil {
		return err
	}
	if err := a.p.store.AskAudit(ctx, row.ID, time.Now()); err != nil {
		return err
	}
	a.work.Nudge(name)
	return nil
}

// Pulse is that of the account's worker, or from before it began.
func (a *webAccounts) Pulse(name string) bridge.Pulse {
	pulse := a.work.Pulse(name)
	if pulse.Calendars == nil {
		pulse.Calendars = a.p.pulse.pulse(name).Calendars
	}
	return pulse
}

func (a *webAccounts) App(context.Context) (web.App, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.p.registration
	if a.next != nil {
		r = *a.next
	}
	app := web.App{Registration: r, Restart: a.next != nil, Configured: !a.p.registrationOnPages, AppOnly: a.p.conf.appOnly(),
		CredentialConfigured: a.p.conf.Microsoft.inFile(), CloudConfigured: a.p.conf.given["microsoft.cloud"]}
	switch kept := a.p.conf.Microsoft.pages.get(); {
	case a.p.conf.Microsoft.CertificateFile != "", kept.Certificate != "":
		app.Credential = "certificate"
	case a.p.conf.Microsoft.ClientSecretFile != "", kept.Secret != "":
		app.Credential = "client secret"
	}
	if c, err := a.p.conf.Microsoft.credential(time.Now()); err == nil && c != nil {
		app.Expires = c.Expires
	}
	if r.ClientID != "" {
		app.Consent = (&graph.Authority{LoginURL: a.p.conf.loginURL, Tenant: r.Tenant, ClientID: r.ClientID}).AdminConsentURL()
	}
	return app, nil
}

var (
	clientIDForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	tenantForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,252}$`)
)

// SetApp tests the registration first: the login service gives a code only to an app that it knows, and a token only to one that
// identifies itself.
func (a *webAccounts) SetApp(ctx context.Context, r bridge.Registration, credential *bridge.Credential) (restart bool, err error) {
	if !a.p.registrationOnPages {
		return false, &web.Problem{Sentence: "The app registration is set in the configuration file.", Action: "Change client_id there, then restart the bridge."}
	}
	if r.Tenant == "" {
		r.Tenant = "common"
	}
	if guid.MatchString(r.Tenant) {
		r.Tenant = strings.ToLower(r.Tenant)
	}
	if !clientIDForm.MatchString(r.ClientID) {
		return false, &web.Problem{Sentence: "This is not a client ID.", Action: "Copy the Application (client) ID from the overview of the app registration."}
	}
	if !tenantForm.MatchString(r.Tenant) {
		return false, &web.Problem{Sentence: "This is not a tenant.", Action: "Enter common, organizations, consumers, or the ID or domain of your organization."}
	}
	a.mu.Lock()
	conf := *a.p.conf
	a.mu.Unlock()
	if conf.given["microsoft.cloud"] {
		r.Cloud = ""
	} else {
		r.Cloud = cmp.Or(r.Cloud, "global")
		login, graphURL, ok := graph.Cloud(r.Cloud)
		if !ok {
			return false, &web.Problem{Sentence: "This is not one of Microsoft's clouds.", Action: "Choose one of the list."}
		}
		restart = graphURL != conf.graphURL
		conf.loginURL, conf.graphURL = login, graphURL
	}
	kept := conf.Microsoft.pages.get()
	if credential != nil && conf.Microsoft.inFile() {
		return false, &web.Problem{Sentence: "The client secret or certificate is set in the configuration file.", Action: "Change it there."}
	}
	if credential != nil {
		kept = *credential
	}
	conf.Microsoft.pages = new(pageCredential) // the candidate
	conf.Microsoft.pages.Store(&kept)
	authority, err := conf.authority(r, conf.scopes(accountConfig{}, bridge.Policy{}))
	if err != nil {
		return false, err
	}
	try, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	var refused *graph.AuthError
	if _, err := authority.DeviceCode(try); errors.As(err, &refused) && !(refused.AADSTS == 700025 && (kept != bridge.Credential{})) {
		return false, err
	} else if err != nil {
		a.p.log.Warn("the app registration is saved untested", "err", err)
	}
	if err := a.checkCredential(try, authority, conf.graphURL); err != nil {
		return false, err
	}
	a.mu.Lock() // not before: nobody waits for the login service
	defer a.mu.Unlock()
	if err := a.p.store.SetRegistration(ctx, r, kept); err != nil {
		return false, err
	}
	a.p.log.Info("app registration set", "client_id", r.ClientID, "tenant", r.Tenant, "cloud", r.Cloud)
	if a.next = nil; restart {
		a.next = &r
		return true, nil // what runs goes on with the cloud that it began with
	}
	a.p.registration = r
	a.p.conf.Microsoft.pages.Store(&kept)
	a.p.graph.gates = new(gates) // the old ones have a token of the other app
	for _, one := range a.p.accounts {
		m, err := a.p.mailbox(ctx, one)
		if err != nil {
			return false, err
		}
		a.work.Add(m)
	}
	return false, nil
}

// authority is the login service for an account, and the claims that the last refusal asked for.
func (a *webAccounts) authority(ctx context.Context, account string) (*graph.Authority, string, error) {
	row, err := a.p.store.Account(ctx, account)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return nil, "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.p.registration.ClientID == "" {
		return nil, "", errNoAppYet
	}
	one, err := a.p.account(account)
	if err != nil {
		return nil, "", bridge.ErrNotFound
	}
	authority, err := a.p.conf.authority(a.p.registration, a.p.conf.scopes(one, one.policy(row)))
	return authority, row.State.Claims, err
}

func (a *webAccounts) DeviceCode(ctx context.Context, account string) (web.DeviceCode, error) {
	authority, claims, err := a.authority(ctx, account)
	if err != nil {
		return web.DeviceCode{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	d, err := authority.DeviceCodeWith(ctx, claims)
	if err != nil {
		return web.DeviceCode{}, err
	}
	secret, err := json.Marshal(d.DeviceSecret)
	return web.DeviceCode{UserCode: d.UserCode, VerificationURI: d.VerificationURI, Expires: d.Expires, Secret: secret}, err
}

func (a *webAccounts) WaitForDevice(ctx context.Context, account string, code web.DeviceCode, other bool) error {
	authority, _, err := a.authority(ctx, account)
	if err != nil {
		return err
	}
	var secret graph.DeviceSecret
	if err := json.Unmarshal(code.Secret, &secret); err != nil {
		return err
	}
	token, err := authority.Wait(ctx, secret)
	return a.keep(ctx, account, token, other, err)
}

func (a *webAccounts) BrowserURL(ctx context.Context, account, redirectURI, state, verifier string) (string, error) {
	authority, claims, err := a.authority(ctx, account)
	if err != nil {
		return "", err
	}
	return authority.AuthCodeURL(redirectURI, state, verifier, claims), nil
}

func (a *webAccounts) Exchange(ctx context.Context, account string, back url.Values, redirectURI, verifier string, other bool) error {
	authority, _, err := a.authority(ctx, account)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	if err := authority.RedirectError(back); err != nil {
		return err
	}
	token, err := authority.Exchange(ctx, redirectURI, back.Get("code"), verifier)
	return a.keep(ctx, account, token, other, err)
}

// keep stores the token of a sign-in and starts a round with it. err is that of the sign-in.
func (a *webAccounts) keep(ctx context.Context, account string, token *oauth2.Token, other bool, err error) error {
	if err != nil {
		return err
	}
	who, err := a.p.whose(ctx, token)
	if err != nil {
		return err
	}
	if !a.served(account) { // it was removed while Microsoft was asked, and is not made again
		return bridge.ErrNotFound
	}
	row, err := a.p.store.EnsureAccount(ctx, account)
	if err == nil {
		err = a.p.keepAs(ctx, row, who, token, other)
	}
	if err != nil {
		return err
	}
	a.p.log.Info("signed in", "account", account)
	a.work.Nudge(account)
	return nil
}
