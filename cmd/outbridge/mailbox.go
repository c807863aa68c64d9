package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/round"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
)

// graphAccess is what all Graph clients of a program share.
type graphAccess struct {
	http     *http.Client
	gates    *gates
	attempts int // how often one request is sent; 0: the client's default
}

func newGraphAccess() graphAccess {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 256 // many mailboxes, one host
	t.OnProxyConnectResponse = graph.ProxyAnswer
	return graphAccess{http: &http.Client{Transport: t}, gates: new(gates)}
}

// gates are the limits of the app and of each mailbox, by address, since several accounts may read the same one, and
// the token of the app.
type gates struct {
	app       graph.AppGate
	mu        sync.Mutex
	byAddress map[string]*graph.Gate
	rounds    map[*graph.Gate]string // the account whose rounds ask for it first
	tokens    *graph.AppTokens
}

// appTokens are those that all mailboxes share which the app reads in its own name: its certificate is read once.
func (p *program) appTokens() (*graph.AppTokens, error) {
	g := p.graph.gates
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tokens == nil {
		a, err := p.conf.authority(p.registration, graph.AppScopes(p.conf.graphURL))
		if err != nil {
			return nil, err
		}
		g.tokens = &graph.AppTokens{Authority: a}
	}
	return g.tokens, nil
}

// of is the gate of a mailbox; an unknown address ("") gets a gate that nobody shares.
func (g *gates) of(address string) *graph.Gate {
	gate := &graph.Gate{App: &g.app}
	if address == "" {
		return gate
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	key := strings.ToLower(address)
	if known := g.byAddress[key]; known != nil {
		return known
	}
	if g.byAddress == nil {
		g.byAddress = map[string]*graph.Gate{}
	}
	g.byAddress[key] = gate
	return gate
}

// scopes are the permissions that an account's person is asked for, and no more than the configuration needs. One that
// is added later is asked for at the next sign-in; until then what needs it is denied, and the rest goes on.
func (c *config) scopes(a accountConfig, p bridge.Policy) []string {
	list := graph.Scopes(c.graphURL)
	if len(a.Shared) > 0 {
		list = append(list, graph.SharedScope(c.graphURL))
	}
	if p.Write {
		list = append(list, graph.WriteScope(c.graphURL))
		if len(a.Shared) > 0 {
			list = append(list, graph.SharedWriteScope(c.graphURL))
		}
	}
	if c.Sync.MailboxSettings {
		list = append(list, graph.SettingsScope(c.graphURL))
	}
	return list
}

var errNoApp = errors.New("microsoft.client_id is missing from the configuration: register an app as the README describes and put its Application (client) ID there, or enter it on the web pages of `outbridge serve`")

// authority is the login service as the app registration uses it, for app-only or delegated scopes.
func (c *config) authority(r bridge.Registration, scopes []string) (*graph.Authority, error) {
	if r.ClientID == "" {
		return nil, errNoApp
	}
	a := &graph.Authority{LoginURL: c.loginURL, Tenant: r.Tenant, ClientID: r.ClientID, Scopes: scopes}
	if err := c.Microsoft.identify(a); err != nil {
		return nil, err
	}
	return a, nil
}

// observer counts the requests of an account to Graph.
func (p *program) observer(account string) func(graph.Observation) {
	return func(o graph.Observation) {
		p.metrics.Requested(account, web.GraphRequest{Operation: o.Op, Status: o.Status, Took: o.Took, Throttled: o.Throttled, Again: o.Again, Part: o.Part})
		if p.live != nil && o.Status/100 == 2 {
			p.live.Answered(account)
			p.pulse.answered(account)
		}
	}
}

// client reads the mailbox at an address, "" being that of the person who signed in.
func (p *program) client(account, address string) *graph.Client {
	return &graph.Client{
		BaseURL: p.conf.graphURL + "/v1.0", Mailbox: address, HTTP: p.graph.http, Attempts: p.graph.attempts,
		UserAgent: "outbridge/" + strings.ReplaceAll(version(), " ", "-"), Observe: p.observer(account),
		Log: p.log.With("account", account),
		Waiting: func(until time.Time) {
			if p.live != nil {
				p.live.Waits(account, until)
				p.pulse.wait(account, until)
			}
		},
	}
}

// mailboxes makes the Graph clients of each account; only == "" means all of them.
func (p *program) mailboxes(ctx context.Context, only string) ([]work.Mailbox, error) {
	if only != "" {
		if _, err := p.account(only); err != nil {
			return nil, err
		}
	}
	var list []work.Mailbox
	for _, a := range p.accounts {
		if only != "" && a.Name != only {
			continue
		}
		m, err := p.mailbox(ctx, a)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	if len(list) == 0 {
		return nil, errors.New(p.names())
	}
	return list, nil
}

// mailbox makes the Graph clients of an account: its own, and one for each mailbox that is shared with it.
func (p *program) mailbox(ctx context.Context, a accountConfig) (work.Mailbox, error) {
	account, err := p.store.EnsureAccount(ctx, a.Name)
	if err != nil {
		return work.Mailbox{}, err
	}
	if err := p.identify(ctx, a, account); err != nil {
		return work.Mailbox{}, err
	}
	g := p.client(a.Name, cmp.Or(a.objectID, a.Mailbox)) // an object id stays when the address changes
	if a.Mailbox != "" {
		if g.Tokens, err = p.appTokens(); err != nil {
			return work.Mailbox{}, err
		}
	} else {
		authority, err := p.conf.authority(p.registration, p.conf.scopes(a, a.policy(account)))
		if err != nil {
			return work.Mailbox{}, err
		}
		g.Tokens = &graph.DelegatedTokens{Authority: authority, Store: p.store.Tokens(account.ID), Log: g.Log}
	}
	g.Gate = p.graph.gates.of(cmp.Or(a.Mailbox, account.Identity.Address))
	p.heed(g.Gate, cmp.Or(a.Mailbox, account.Identity.Address, "account "+a.Name), a.Name)
	m := work.Mailbox{Mailbox: round.Mailbox{Name: a.Name, Graph: g, Include: a.Include, Exclude: a.Exclude, Policy: a.policy(account)}, Subscriptions: g, AppOnly: a.Mailbox != "", Gate: g.Gate}
	for _, address := range a.Shared {
		// The account's sign-in, but the other mailbox's gate: Graph's limits are per mailbox.
		other := p.client(a.Name, address)
		other.Tokens, other.Gate, other.Log = g.Tokens, p.graph.gates.of(address), g.Log.With("shared", address)
		p.heed(other.Gate, address, "")
		m.Shared = append(m.Shared, round.SharedMailbox{Address: address, Graph: other})
	}
	return m, nil
}

// heed has the limits of a mailbox kept together with other processes, where the database is a server. account is whose own it is;
// "": it is shared with one.
func (p *program) heed(gate *graph.Gate, address, account string) {
	if !sqlstore.IsServer(p.conf.Database) {
		return
	}
	g := p.graph.gates
	g.mu.Lock()
	defer g.mu.Unlock()
	if gate.Among == nil {
		gate.Among = &graph.Among{Store: p.store, Process: p.process, Mailbox: strings.ToLower(address), Log: p.log}
	}
	if account == "" {
		return
	}
	if g.rounds == nil {
		g.rounds = map[*graph.Gate]string{}
	}
	if first := g.rounds[gate]; first != "" && first != account {
		gate.Among.Crowd()
	} else {
		g.rounds[gate] = account
	}
}

// keepSignIn asks Graph whose token it is, stores it, and returns who signed in. If that is somebody else than before,
// it is refused unless other is set.
func (p *program) keepSignIn(ctx context.Context, account string, token *oauth2.Token, other bool) (bridge.Identity, error) {
	who, err := p.whose(ctx, token)
	if err != nil {
		return who, err
	}
	row, err := p.store.EnsureAccount(ctx, account)
	if err != nil {
		return who, err
	}
	return who, p.keepAs(ctx, row, who, token, other)
}

// keepAs is keepSignIn for a token of which it is known whose it is.
func (p *program) keepAs(ctx context.Context, row bridge.Account, who bridge.Identity, token *oauth2.Token, other bool) error {
	if err := p.refuseOthers(ctx, row, who); err != nil {
		return err
	}
	if err := bridge.SignIn(ctx, p.store, row, who, token, other); err != nil {
		return err
	}
	return p.store.SetSignedIn(ctx, row.ID, time.Now())
}

// refuseOthers refuses the mailbox of somebody else in an account of which it is known whose it is at Microsoft.
func (p *program) refuseOthers(ctx context.Context, row bridge.Account, who bridge.Identity) error {
	theirs := bridge.Identity{ID: row.ObjectID}
	owner, err := p.store.OwnerOf(ctx, row.Name)
	if err != nil {
		return err
	}
	if owner.Person != 0 {
		person, err := p.store.Person(ctx, owner.Person)
		if err != nil {
			return err
		}
		theirs = bridge.Identity{ID: person.ObjectID, Address: person.Name}
	}
	if theirs.ID == "" || sameObject(who.ID, theirs.ID) {
		return nil
	}
	theirs.Address = cmp.Or(theirs.Address, theirs.ID)
	return &bridge.OtherMailboxError{Account: row.Name, Before: theirs, Now: who}
}

// identify keeps with an account of the file whose it is there.
func (p *program) identify(ctx context.Context, a accountConfig, row bridge.Account) error {
	if p.added[a.Name] || a.member || row.Directory {
		return nil
	}
	tenant, object := "", strings.ToLower(a.ObjectID)
	if object != "" {
		tenant = p.conf.homeTenant(p.registration)
	}
	if row.Tenant == tenant && row.ObjectID == object {
		return nil
	}
	err := p.store.SetIdentity(ctx, row.ID, tenant, object)
	if errors.Is(err, bridge.ErrExists) {
		return fmt.Errorf("account %s: another account has the object_id %s: leave it with one of them", a.Name, a.ObjectID)
	}
	return err
}

// whose asks Graph whose token it is.
func (p *program) whose(ctx context.Context, token *oauth2.Token) (bridge.Identity, error) {
	g := &graph.Client{BaseURL: p.conf.graphURL + "/v1.0", HTTP: p.graph.http, Tokens: oneToken(token.AccessToken), Attempts: p.graph.attempts}
	me, err := g.Me(ctx)
	if err != nil {
		return bridge.Identity{}, err
	}
	return bridge.Identity{ID: me.ID, Address: me.Address(), Name: me.DisplayName, Aliases: me.Aliases()}, nil
}

// oneToken is a graph.TokenSource of one fresh access token.
type oneToken string

func (t oneToken) Token(context.Context) (string, error) { return string(t), nil }
func (oneToken) Invalidate(string)                       {}
