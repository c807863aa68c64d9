package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/directory"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/work"
)

// organizationConfig is whose mailboxes are read app-only without an [[account]] each.
type organizationConfig struct {
	Groups  []string `toml:"groups"`
	Members string   `toml:"members"`
	Allow   []string `toml:"allow"`
	Deny    []string `toml:"deny"`
	Grace   string   `toml:"grace"`

	Access         string `toml:"access"`
	Invitations    string `toml:"invitations"`
	OnlineMeetings string `toml:"online_meetings"`

	Include []string `toml:"include"`
	Exclude []string `toml:"exclude"`
}

func defaultOrganization() organizationConfig {
	return organizationConfig{Groups: []string{}, Allow: []string{}, Deny: []string{}, Grace: "30d", Access: "read", Invitations: string(bridge.InvitationsReplies),
		OnlineMeetings: "never", Include: []string{}, Exclude: []string{}}
}

// enabled reports whether the directory says who has an account.
func (o organizationConfig) enabled() bool { return len(o.Groups) > 0 || o.Members == "all" }

func (c *config) organizationProblems() (all []error) {
	wrong := func(format string, args ...any) { all = append(all, fmt.Errorf(format, args...)) }
	o := c.Organization
	switch {
	case o.Members != "" && o.Members != "all":
		wrong(`organization.members = %q: it must be "all", or left out where groups names groups`, o.Members)
	case o.Members == "all" && len(o.Groups) > 0:
		wrong(`organization has both groups and members = "all": keep one of them`)
	case !o.enabled() && !reflect.DeepEqual(o, defaultOrganization()):
		wrong(`organization has neither groups nor members: name the object ids of groups in organization.groups, or write members = "all" to serve everybody in the directory`)
	}
	for _, id := range o.Groups {
		if !guid.MatchString(id) && c.Microsoft.Cloud != "custom" {
			wrong("organization.groups: %q is no object id: copy that of the group from the Microsoft Entra admin center, which looks like 11111111-2222-3333-4444-555555555555", id)
		}
	}
	for _, rule := range []struct {
		key  string
		list []string
	}{{"allow", o.Allow}, {"deny", o.Deny}} {
		for _, entry := range rule.list {
			if err := directory.CheckEntry(entry); err != nil {
				wrong("organization.%s: %w", rule.key, err)
			}
		}
	}
	var err error
	if c.grace, err = bridge.ParsePeriod(o.Grace); err != nil {
		wrong("organization.grace: %w", err)
	} else if now := time.Now(); c.grace.After(now).Sub(now) < 23*time.Hour { // a day when the clocks change
		wrong("organization.grace = %q: it must be at least 1d, so that who is taken out of a group by mistake loses nothing", o.Grace)
	}
	if !slices.Contains(accessValues[1:], o.Access) {
		wrong(`organization.access = %q: it must be "read" or "read-write"`, o.Access)
	}
	if !slices.Contains(invitationValues[1:], o.Invitations) {
		wrong(`organization.invitations = %q: it must be "never", "replies" or "outlook"`, o.Invitations)
	}
	if !slices.Contains(onlineValues[1:], o.OnlineMeetings) {
		wrong(`organization.online_meetings = %q: it must be "never" or "meetings"`, o.OnlineMeetings)
	}
	if !o.enabled() {
		return all
	}
	if !c.appOnly() {
		wrong("organization is for app-only access, which needs microsoft.client_secret_file or microsoft.certificate_file")
	}
	if c.Microsoft.Cloud != "custom" && !guid.MatchString(c.Microsoft.Tenant) {
		wrong("organization needs microsoft.tenant to be the Directory (tenant) ID of the app registration, not %q: people are known by it", c.Microsoft.Tenant)
	}
	return all
}

// account is the account of a member, with what the section says of all.
func (o organizationConfig) account(m bridge.Member) accountConfig {
	return accountConfig{Name: m.Name, Mailbox: m.Mailbox, Access: o.Access, Invitations: o.Invitations, OnlineMeetings: o.OnlineMeetings,
		Include: o.Include, Exclude: o.Exclude, member: true, objectID: m.ObjectID}
}

// directoryID is what the organization's directory is known by: the id of its tenant, in the form that tokens have it in.
func (p *program) directoryID() string { return strings.ToLower(p.registration.Tenant) }

// memberReader is what tells who the members are.
type memberReader interface {
	Members(ctx context.Context) ([]bridge.Member, error)
}

// adoptMembers brings the accounts of p to the members that the store has, and tells which are new or different, and which are gone.
func (p *program) adoptMembers(ctx context.Context, store memberReader) (begin []accountConfig, end []string, err error) {
	var want []accountConfig
	wanted := map[string]bool{}
	if p.conf.Organization.enabled() {
		list, err := store.Members(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range list {
			if one, err := p.account(m.Name); err == nil && !one.member {
				return nil, nil, fmt.Errorf("the account %s of the configuration has the name of a member of the organization (%s): choose another name for it", m.Name, m.Mailbox)
			}
			if m.Left.IsZero() && m.Tenant == p.directoryID() {
				want = append(want, p.conf.Organization.account(m))
				wanted[m.Name] = true
			}
		}
	}
	var all []accountConfig
	for _, a := range p.accounts {
		if !a.member {
			all = append(all, a)
		} else if !wanted[a.Name] {
			end = append(end, a.Name)
		}
	}
	for _, a := range want {
		if old, err := p.account(a.Name); err != nil || !reflect.DeepEqual(old, a) {
			begin = append(begin, a)
		}
	}
	p.setAccounts(append(all, want...))
	return begin, end, nil
}

// members keeps the accounts of the running server those of the organization's members.
type members struct {
	a     *webAccounts
	owner string // of the lease, where several machines use the database; "": this one looks by itself

	mu     sync.Mutex // guards what follows
	syncer *directory.Syncer
	stop   context.CancelFunc // ends the look that is under way; nil: none has begun
	news   chan struct{}      // the configuration has changed
}

func newMembers(a *webAccounts) *members {
	m := &members{a: a, news: make(chan struct{}, 1)}
	if sqlstore.IsServer(a.p.conf.Database) {
		m.owner = rand.Text()
	}
	return m
}

// newSyncer is what looks into the directory; changed is called when accounts have become others.
func (p *program) newSyncer(changed func(context.Context) error) (*directory.Syncer, error) {
	tokens, err := p.appTokens()
	if err != nil {
		return nil, err
	}
	g := p.client("", "")
	g.Observe, g.Log, g.Tokens = nil, p.log, tokens
	o := p.conf.Organization
	return &directory.Syncer{
		Graph: g, Store: p.store, Tenant: p.directoryID(), Groups: o.Groups, Rules: directory.Rules{Allow: o.Allow, Deny: o.Deny}, Grace: p.conf.grace,
		Others: p.others, Changed: changed, Log: p.log,
	}, nil
}

// others are the names of accounts that are no members, and whom they are of: the addresses that are read app-only, and the object ids of
// those who have signed in. Their addresses do not count, since another organization may give its people any.
func (p *program) others() (names, people map[string]bool) {
	names, people = map[string]bool{}, map[string]bool{}
	for _, a := range p.accounts {
		if a.member {
			continue
		}
		names[a.Name] = true
		people[strings.ToLower(a.Mailbox)] = true
		if row, err := p.store.Account(context.Background(), a.Name); err == nil { // it may not have been made yet
			people[strings.ToLower(row.Identity.ID)] = true
		}
	}
	delete(people, "")
	return names, people
}

// lookOnce brings the accounts to the directory, for a command.
func (p *program) lookOnce(ctx context.Context) error {
	syncer, err := p.newSyncer(nil)
	if err != nil {
		return err
	}
	if err := syncer.Sync(ctx); err != nil {
		return directoryWorded(err)
	}
	_, _, err = p.adoptMembers(ctx, p.store)
	return err
}

// directoryWorded is an error of a look in words.
func directoryWorded(err error) error {
	f, group := directory.FaultOf(err)
	if f.Reason == bridge.ReasonOther {
		return err
	}
	line := faultLine(f, "")
	if group != "" {
		line = "group " + group + ": " + line
	}
	return &wordedError{"the organization's directory: " + line, err}
}

// Sync takes one look into the directory. On many machines the one that leads calls it.
func (m *members) Sync(ctx context.Context) error {
	syncer, err := m.current()
	if err != nil || syncer == nil {
		return err
	}
	return syncer.Sync(ctx)
}

func (m *members) current() (*directory.Syncer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	p := m.a.p
	if m.syncer != nil || p.registration.ClientID == "" || !p.conf.Organization.enabled() {
		return m.syncer, nil
	}
	syncer, err := p.newSyncer(m.Adopt)
	if err != nil {
		return nil, err
	}
	syncer.Others = func() (names, people map[string]bool) {
		m.a.mu.Lock()
		defer m.a.mu.Unlock()
		return p.others()
	}
	m.syncer = syncer
	return syncer, nil
}

// Adopt brings what is served and polled here to the members that the store has.
func (m *members) Adopt(ctx context.Context) error {
	a := m.a
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.adoptMembers(ctx)
}

// adoptMembers is called with the lock held.
func (a *webAccounts) adoptMembers(ctx context.Context) error {
	begin, end, err := a.p.adoptMembers(ctx, a.p.store)
	if err != nil || a.p.registration.ClientID == "" {
		return err
	}
	var list []work.Mailbox
	for _, one := range begin {
		m, startErr := a.p.mailbox(ctx, one)
		if startErr != nil {
			err = errors.Join(err, fmt.Errorf("account %s: %w", one.Name, startErr))
			continue
		}
		list = append(list, m)
	}
	if len(list)+len(end) > 0 {
		a.work.Change(list, end)
	}
	return err
}

// directoryLease is the lease of the machine that looks into the directory.
const directoryLease = "directory"

// Leads reports whether it is this machine that looks. Another one takes over within two looks after it has died.
func (m *members) Leads(ctx context.Context) (bool, error) {
	if m.owner == "" {
		return true, nil
	}
	return m.a.p.store.TakeLease(ctx, directoryLease, m.owner, m.every()+min(m.every(), time.Minute))
}

func (m *members) every() time.Duration {
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	return directoryRounds * m.a.p.conf.interval
}

func (m *members) enabled() bool {
	m.a.mu.Lock()
	defer m.a.mu.Unlock()
	return m.a.p.conf.Organization.enabled()
}

// look takes a look where this machine leads, and else takes up what another one has found.
func (m *members) look(ctx context.Context) error {
	if !m.enabled() {
		return nil
	}
	leads, err := m.Leads(ctx)
	switch {
	case err != nil:
		return err
	case leads:
		return m.Sync(ctx)
	}
	m.mu.Lock()
	m.syncer = nil // what it knows is old when it leads again
	m.mu.Unlock()
	return m.Adopt(ctx)
}

// directoryRounds is how many intervals of rounds pass between looks into the directory.
const directoryRounds = 5

// Run looks until ctx ends. The first look is at once.
func (m *members) Run(ctx context.Context) error {
	trouble := ""
	for {
		look, stop := context.WithCancel(ctx)
		m.mu.Lock()
		m.stop = stop
		m.mu.Unlock()
		err := m.look(look)
		stopped := look.Err() != nil
		stop()
		switch {
		case ctx.Err() != nil:
			return nil
		case stopped: // there is news, whose look tells how it is
		case err == nil && trouble != "":
			trouble = ""
			m.a.p.log.InfoContext(ctx, "the organization's directory can be read again")
		case err != nil:
			level := slog.LevelWarn
			if err.Error() == trouble {
				level = slog.LevelDebug
			}
			trouble = err.Error()
			m.a.p.log.Log(ctx, level, "the organization's directory cannot be read; everybody is served as before", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-m.news:
		case <-time.After(m.every()):
		}
	}
}

// reloadOrganization takes up another [organization].
func (a *webAccounts) reloadOrganization(ctx context.Context, next *config) error {
	a.mu.Lock()
	a.p.conf.Organization, a.p.conf.grace = next.Organization, next.grace
	err := a.adoptMembers(ctx) // what the section says of all, or that there is none any more
	a.mu.Unlock()
	if a.members != nil {
		a.members.mu.Lock()
		a.members.syncer = nil // of the section before
		if a.members.stop != nil {
			a.members.stop() // a throttled look may wait for long, and who is denied now is not to
		}
		a.members.mu.Unlock()
		select {
		case a.members.news <- struct{}{}:
		default:
		}
	}
	return err
}

var _ directory.Graph = (*graph.Client)(nil)
