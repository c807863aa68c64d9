package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/web"
	"outbridge/bridge/work"
	"outbridge/bridge/write"
)

// How long the octets of a client's write are kept after it has ended, and the record of it.
const (
	keepOctets = 24 * time.Hour
	keepWrites = 400 * 24 * time.Hour
)

// writer carries out what clients write, through the mailboxes and the rounds of the scheduler.
func (p *program) writer(scheduler *work.Scheduler) *write.Writer {
	signIns := new(signIns)
	w := &write.Writer{Store: countedWrites{p.store, p.metrics}, Rounds: scheduler.Rounds, Log: p.log}
	if sqlstore.IsServer(p.conf.Database) {
		w.Leases = &write.Leases{Store: p.store, Process: p.process}
	}
	w.Mailbox = func(ctx context.Context, account string) (write.Mailbox, error) {
		m, ok := scheduler.Mailbox(account)
		if !ok {
			return write.Mailbox{}, fmt.Errorf("account %s: %w", account, bridge.ErrNotFound)
		}
		row, err := p.store.Account(ctx, account)
		if err != nil {
			return write.Mailbox{}, err
		}
		if signIns.isNew(row) {
			reloadToken(m)
		}
		return p.writable(ctx, m, row)
	}
	every := throttle(time.Hour)
	scheduler.Before = func(ctx context.Context, a bridge.Account) error {
		if m, ok := scheduler.Mailbox(a.Name); ok && signIns.isNew(a) {
			reloadToken(m)
		}
		if every() {
			if err := p.store.ForgetIntents(ctx, time.Now().Add(-keepOctets), time.Now().Add(-keepWrites)); err != nil {
				return err
			}
		}
		left, err := w.Recover(ctx, a.ID)
		if err == nil || left > 0 { // else it is not known
			p.metrics.WritesWait(a.Name, left)
		}
		return err
	}
	return w
}

// signIns are the sign-ins that the tokens in use are of, by account.
type signIns struct {
	mu       sync.Mutex
	versions map[string]int64
}

// isNew reports whether the account has another token than when it was last asked about. An access token that was got before a
// sign-in that allows changes does not allow them, and before that of another person it is of their mailbox. It is good for an hour.
func (s *signIns) isNew(row bridge.Account) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.versions == nil {
		s.versions = map[string]int64{}
	}
	before := s.versions[row.Name]
	s.versions[row.Name] = row.TokenVersion
	return before != row.TokenVersion
}

// reloadToken has the mailbox's client use the token that is stored.
func reloadToken(m work.Mailbox) {
	g, _ := m.Graph.(*graph.Client)
	if g == nil {
		return
	}
	if tokens, ok := g.Tokens.(*graph.DelegatedTokens); ok {
		tokens.Reload()
	}
}

// writable is a mailbox with what its sign-in allows to be written.
func (p *program) writable(ctx context.Context, m work.Mailbox, row bridge.Account) (write.Mailbox, error) {
	cals, err := p.store.Calendars(ctx, row.ID)
	if err != nil {
		return write.Mailbox{}, err
	}
	learned, err := p.learned(ctx, row)
	if err != nil {
		return write.Mailbox{}, err
	}
	out := write.Mailbox{Mailbox: m.Mailbox, Addresses: row.Addresses(cals), Learned: learned}
	if !p.conf.writeGranted(m.AppOnly, row) {
		out.Policy = bridge.Policy{Attachments: out.Policy.Attachments}
	}
	return out, nil
}

// countedWrites counts what has become of clients' writes.
type countedWrites struct {
	*sqlstore.Store
	metrics *web.Metrics
}

func (c countedWrites) AddIntent(ctx context.Context, i bridge.Intent) (bridge.Intent, error) {
	kept, err := c.Store.AddIntent(ctx, i)
	if err == nil {
		c.metrics.Wrote(i)
	}
	return kept, err
}

func (c countedWrites) SaveIntent(ctx context.Context, i bridge.Intent) error {
	err := c.Store.SaveIntent(ctx, i)
	if err == nil {
		c.metrics.Wrote(i)
	}
	return err
}
