package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/web"
)

// pagesConfig is who else than the administrator by password may use the pages.
type pagesConfig struct {
	Microsoft bool     `toml:"microsoft"`
	Tenants   []string `toml:"tenants"`
	Connect   bool     `toml:"connect"`

	Administrators          []string `toml:"administrators"`
	AdministratorGroup      string   `toml:"administrator_group"`
	AdministratorsSeeEvents bool     `toml:"administrators_see_events"`
}

// severalTenants are names in place of a tenant that stand for many.
var severalTenants = []string{"", "common", "organizations", "consumers"}

func (c *config) pagesProblems() (all []error) {
	if guid.MatchString(c.Microsoft.Tenant) {
		c.Microsoft.Tenant = strings.ToLower(c.Microsoft.Tenant) // as tokens have it, which it is compared with
	}
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	p := &c.Pages
	for _, a := range c.Accounts {
		if a.ObjectID == "" {
			continue
		}
		if !guid.MatchString(a.ObjectID) {
			wrong("account %s: object_id = %q: copy the Object ID of the person from the Microsoft Entra admin center, which looks like 11111111-2222-3333-4444-555555555555", a.Name, a.ObjectID)
		} else if c.Microsoft.ClientID != "" && c.homeTenant(bridge.Registration{Tenant: c.Microsoft.Tenant}) == "" {
			wrong("account %s: object_id needs microsoft.tenant to be the Directory (tenant) ID, or one tenant in pages.tenants, since people are known by both", a.Name)
		}
	}
	if !p.Microsoft {
		for key, set := range map[string]bool{"tenants": len(p.Tenants) > 0, "connect": p.Connect, "administrators": len(p.Administrators) > 0, "administrator_group": p.AdministratorGroup != ""} {
			if set {
				wrong("pages.%s needs pages.microsoft = true, since nobody signs in with Microsoft otherwise", key)
			}
		}
		return all
	}
	for _, list := range []struct {
		key string
		ids []string
	}{{"administrators", p.Administrators}, {"tenants", p.Tenants}} {
		for _, id := range list.ids {
			if !guid.MatchString(id) && !(list.key == "tenants" && id == "consumers") {
				wrong("pages.%s: %q is no ID: it looks like 11111111-2222-3333-4444-555555555555, and never like an address, which may become somebody else's", list.key, id)
			}
		}
	}
	if p.AdministratorGroup != "" && !guid.MatchString(p.AdministratorGroup) {
		wrong("pages.administrator_group = %q: copy the Object ID of the group, which looks like 11111111-2222-3333-4444-555555555555", p.AdministratorGroup)
	}
	if u, err := url.Parse(c.PublicURL); err == nil && u.Scheme != "https" && !web.Loopback(u.Hostname()) {
		wrong("pages.microsoft needs a public_url with https, not %s: Microsoft redirects nowhere else", c.PublicURL)
	}
	if len(p.Tenants) == 0 && c.Microsoft.ClientID != "" && slices.Contains(severalTenants, strings.ToLower(c.Microsoft.Tenant)) {
		wrong(`pages.microsoft with microsoft.tenant = %q would let in people of any organization: name the tenants in pages.tenants, "consumers" being personal accounts`, c.Microsoft.Tenant)
	}
	return all
}

// homeTenant is the tenant that the object ids of the file are of; "" where that is not known.
func (c *config) homeTenant(r bridge.Registration) string {
	if list := c.Pages.tenants(); len(list) == 1 {
		return list[0]
	}
	if guid.MatchString(r.Tenant) {
		return strings.ToLower(r.Tenant)
	}
	return ""
}

// administratorTenant is the one of administrators: the object ids of administrators and of their group are of it, so that nobody of another tenant who may sign in
// counts by the same id. "": people of one tenant alone may sign in.
func (c *config) administratorTenant(r bridge.Registration) string {
	if home := c.homeTenant(r); home != "" || len(c.Pages.Tenants) == 0 {
		return home
	}
	return c.Pages.tenants()[0]
}

// tenants are the ids in lower case, personal accounts having one too.
func (p *pagesConfig) tenants() (ids []string) {
	for _, id := range p.Tenants {
		if id = strings.ToLower(id); id == "consumers" {
			id = graph.PersonalTenant
		}
		ids = append(ids, id)
	}
	return ids
}

// organization reports whether the bridge has people whose mailboxes are not the administrators': then an account that belongs to nobody
// is nobody's to read.
func (c *config) organization() bool {
	return c.Organization.enabled() || len(c.Pages.Administrators) > 0 || c.Pages.AdministratorGroup != ""
}

// groupLife is how long it is remembered who is in the group of the administrators.
const groupLife = 5 * time.Minute

// webMicrosoft is web.Microsoft: people sign in by OpenID Connect at the login service that the accounts use.
type webMicrosoft struct {
	accounts *webAccounts
	id       *graph.OpenID

	mu      sync.Mutex
	members map[string]bool // of the group of the administrators, by object id
	listed  time.Time
}

// microsoft is nil where nobody signs in with Microsoft.
func (p *program) microsoft(accounts *webAccounts) web.Microsoft {
	if !p.conf.Pages.Microsoft {
		return nil
	}
	return &webMicrosoft{accounts: accounts, id: &graph.OpenID{Tenants: p.conf.Pages.tenants()}}
}

func (m *webMicrosoft) authority() (*graph.Authority, error) {
	a := m.accounts
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.p.registration.ClientID == "" {
		return nil, errNoAppYet
	}
	return a.p.conf.authority(a.p.registration, a.p.conf.scopes(accountConfig{}, bridge.Policy{}))
}

func (m *webMicrosoft) SignInURL(ctx context.Context, redirectURI, state, nonce, verifier string, mailbox bool) (string, error) {
	authority, err := m.authority()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	to, err := m.id.SignInURL(ctx, authority, redirectURI, state, nonce, verifier, mailbox)
	return to, identityProblem(err)
}

func (m *webMicrosoft) SignedIn(ctx context.Context, back url.Values, redirectURI, nonce, verifier string, mailbox bool) (who web.MicrosoftPerson, err error) {
	authority, err := m.authority()
	if err != nil {
		return who, err
	}
	patient, cancel := context.WithTimeout(ctx, loginPatience)
	defer cancel()
	if err := authority.RedirectError(back); err != nil {
		return who, err
	}
	in, err := m.id.Identify(patient, authority, redirectURI, back.Get("code"), nonce, verifier, mailbox)
	if err != nil {
		return who, identityProblem(err)
	}
	who = web.MicrosoftPerson{Tenant: in.Tenant, ObjectID: in.ObjectID, Name: in.Name, Address: in.Address}
	if mailbox {
		who.Connect = func(ctx context.Context, id bridge.PersonID) (string, error) { return m.connect(ctx, in, id) }
		return who, nil
	}
	who.Administrator, err = m.administrator(patient, in)
	return who, err
}

// connect keeps the token with a new account of the person. Graph has to say the same of whose it is as the id token.
func (m *webMicrosoft) connect(ctx context.Context, in graph.SignedIn, id bridge.PersonID) (string, error) {
	a := m.accounts
	wish := in.Address
	if wish == "" {
		wish = in.Name
	}
	name, err := a.addFor(ctx, wish, id)
	if err != nil {
		return "", err
	}
	who, err := a.p.whose(ctx, in.Token)
	if err == nil && !sameObject(who.ID, in.ObjectID) {
		err = &web.Problem{Sentence: "Microsoft says of your calendars that they are somebody else's.", Action: "Sign in again, as yourself."}
	}
	if err == nil {
		_, err = a.p.keepSignIn(ctx, name, in.Token, false)
	}
	if err == nil {
		err = a.begin(ctx, name)
	}
	if err != nil {
		return "", errors.Join(err, a.Remove(context.WithoutCancel(ctx), name))
	}
	return name, nil
}

// sameObject reports whether Graph's id of a person is the object id of a token. Of personal accounts Graph has the last 16 digits.
func sameObject(id, objectID string) bool {
	if len(id) == 16 {
		id = "00000000-0000-0000-" + id[:4] + "-" + id[4:]
	}
	return id != "" && strings.EqualFold(id, objectID)
}

// administrator reports whether somebody is one, by the list, by the groups in the token or, where these are not all, by the directory.
func (m *webMicrosoft) administrator(ctx context.Context, in graph.SignedIn) (bool, error) {
	p := m.accounts.p
	if of := p.conf.administratorTenant(p.registration); of != "" && of != in.Tenant {
		return false, nil
	}
	same := func(id string) bool { return strings.EqualFold(id, in.ObjectID) }
	if slices.ContainsFunc(p.conf.Pages.Administrators, same) {
		return true, nil
	}
	group := p.conf.Pages.AdministratorGroup
	if group == "" {
		return false, nil
	}
	if len(in.Groups) > 0 && !in.GroupsElsewhere {
		return slices.ContainsFunc(in.Groups, func(id string) bool { return strings.EqualFold(id, group) }), nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.members == nil || time.Since(m.listed) > groupLife {
		members, err := m.groupMembers(ctx, group)
		if err != nil {
			p.log.Error("it is not known who is in the group of the administrators, so nobody is by it", "group", group, "err", err)
			return false, nil
		}
		m.members, m.listed = members, time.Now()
	}
	return m.members[in.ObjectID], nil
}

func (m *webMicrosoft) groupMembers(ctx context.Context, group string) (map[string]bool, error) {
	a := m.accounts
	a.mu.Lock()
	tokens, err := a.p.appTokens()
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	g := a.p.client("", "")
	g.Observe, g.Log, g.Tokens = nil, a.p.log, tokens
	people, _, err := g.GroupMembers(ctx, group)
	if err != nil {
		return nil, err
	}
	members := map[string]bool{}
	for _, one := range people {
		members[strings.ToLower(one.ID)] = true
	}
	return members, nil
}

// identityProblem words why somebody did not get in.
func identityProblem(err error) error {
	var refused *graph.IdentityError
	if !errors.As(err, &refused) {
		return err
	}
	switch refused.Reason {
	case graph.IdentityOtherTenant, graph.IdentityOtherIssuer:
		return &web.Problem{Sentence: "You are signed in at Microsoft with an account of another organization, which this bridge does not take.", Action: "Sign in with an account of the organization that this bridge belongs to."}
	case graph.IdentityNoTenants:
		return &web.Problem{Sentence: "This bridge does not know yet whom to let in.", Action: "Its administrator names the tenants in the configuration, as pages.tenants."}
	}
	return &web.Problem{Sentence: "Microsoft's answer was not that of this sign-in.", Action: "Sign in again. If it happens once more, check the clock of the machine that runs this bridge."}
}
