package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

type loginCmd struct {
	Account string        `arg:"" help:"Name of the account."`
	Flow    string        `help:"device: enter a code in any browser. browser: sign in with the browser on this machine." enum:"device,browser" default:"device"`
	NoOpen  bool          `help:"Do not open a browser; only print the address."`
	Timeout time.Duration `help:"How long to wait for the browser." default:"15m"`
	Switch  bool          `help:"Allow a different person to sign in; their calendars replace those of the account."`
	configFlag
}

func (l *loginCmd) Run(e *env) error {
	c, err := l.load()
	if err != nil {
		return err
	}
	p := newProgram(c, e)
	p.oneShot(e, 3)
	if _, err := p.account(l.Account); err != nil && !c.onServer() && !exists(c.Database) {
		return err
	}
	if err := p.openStore(e.ctx); err != nil { // which also knows the accounts of the web pages
		return err
	}
	defer p.store.Close()
	account, err := p.account(l.Account)
	if err != nil {
		return err
	}
	if account.Mailbox != "" {
		return fmt.Errorf("account %s is app-only (it has a mailbox in the configuration): it needs no sign-in, run `outbridge sync`", account.Name)
	}
	row, err := p.store.Account(e.ctx, account.Name)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return err
	}
	policy := account.policy(row)
	authority, err := c.authority(p.registration, c.scopes(account, policy))
	if err != nil {
		return err
	}
	teller := &waitTeller{w: io.Discard} // until there is a code, nothing is tried again
	authority.HTTP = &http.Client{Transport: teller}
	p.graph.http.Transport = &waitTeller{base: p.graph.http.Transport, w: e.stderr}
	var who bridge.Identity
	waiting := func() {}
	keep := func(ctx context.Context, token *oauth2.Token) (err error) {
		who, err = p.keepSignIn(ctx, account.Name, token, l.Switch)
		return err
	}
	if l.Flow == "browser" {
		err = l.inBrowser(e, authority, row.State.Claims, keep)
	} else {
		err = withDevice(e.ctx, authority, row.State.Claims, func(d *graph.DeviceAuth) {
			fmt.Fprintf(e.stdout, "To sign in as %s, open %s and enter the code %s", account.Name, d.VerificationURI, d.UserCode)
			if left := time.Until(d.Expires).Round(time.Minute); left > 0 {
				fmt.Fprintf(e.stdout, " (valid for %d minutes)", int(left.Minutes()))
			}
			fmt.Fprintln(e.stdout, ".")
			teller.w = e.stderr
			waiting = sayLater(e.stderr, "Waiting until the code is entered; press Ctrl-C to give up.")
		}, keep)
		waiting()
	}
	if err != nil {
		return l.worded(err)
	}
	m, err := p.mailbox(e.ctx, account)
	if err != nil {
		return err
	}
	cals, err := m.Graph.Calendars(e.ctx)
	if err != nil {
		return fmt.Errorf("signed in as %s, but the calendars cannot be read: %w", who.Address, l.worded(err))
	}
	var names []string
	for _, cal := range cals {
		names = append(names, cal.Name)
	}
	fmt.Fprintf(e.stdout, "Signed in as %s. Calendars: %s.\n", who.Address, strings.Join(names, ", "))
	if other, err := p.twin(e.ctx, account.Name, who); err != nil {
		return err
	} else if other != "" {
		fmt.Fprintf(e.stdout, "Note: %s.\n", (twin{reading{account: account.Name, address: who.Address}, reading{account: other}}).sentence())
	}
	if row, err = p.store.Account(e.ctx, account.Name); err != nil || !policy.Write {
		return err
	}
	if !c.mayWrite(account, row) {
		return fmt.Errorf("signed in, but Microsoft did not grant Calendars.ReadWrite, so clients cannot change anything: add that permission to the app registration, and run `outbridge login %s` again", account.Name)
	}
	fmt.Fprintln(e.stdout, policyWords(policy))
	return nil
}

// twin is another account that reads the mailbox of who has signed in; "": there is none.
func (p *program) twin(ctx context.Context, account string, who bridge.Identity) (string, error) {
	for _, a := range p.accounts {
		if a.Name == account {
			continue
		}
		row, err := p.store.Account(ctx, a.Name)
		if err != nil && !errors.Is(err, bridge.ErrNotFound) {
			return "", err
		}
		if who.ID != "" && row.Identity.ID == who.ID || who.Address != "" && strings.EqualFold(a.Mailbox, who.Address) {
			return a.Name, nil
		}
	}
	return "", nil
}

// signIn signs an account in with a device code and stores the token. show is called with the code for the person.
func (p *program) signIn(ctx context.Context, account string, show func(*graph.DeviceAuth)) error {
	a, err := p.account(account)
	if err != nil {
		return err
	}
	row, err := p.store.Account(ctx, account)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return err
	}
	authority, err := p.conf.authority(p.registration, p.conf.scopes(a, a.policy(row)))
	if err != nil {
		return err
	}
	return withDevice(ctx, authority, "", show, func(ctx context.Context, token *oauth2.Token) error {
		_, err := p.keepSignIn(ctx, account, token, false)
		return err
	})
}

// withDevice signs in with a device code and passes the token to keep.
func withDevice(ctx context.Context, authority *graph.Authority, claims string, show func(*graph.DeviceAuth), keep func(context.Context, *oauth2.Token) error) error {
	device, err := authority.DeviceCodeWith(ctx, claims)
	if err != nil {
		return err
	}
	show(device)
	token, err := authority.Wait(ctx, device.DeviceSecret)
	if err != nil {
		return err
	}
	return keep(ctx, token)
}
