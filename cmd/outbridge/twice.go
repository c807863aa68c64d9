package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"outbridge/bridge"
)

// reading is that an account reads a mailbox: its own, or one that it has as shared.
type reading struct {
	account, address string
	shared           bool
	id               string // of who signed in; "": not known
}

// twin is a mailbox that is read twice, which is allowed and seldom meant.
type twin struct {
	reading
	before reading // the first to read it
}

// twins are the readings of mailboxes that are read already. Accounts come before what others have as shared.
func twins(list []reading) (found []twin) {
	first, mine := map[string]reading{}, map[[2]string]reading{}
	for _, shared := range []bool{false, true} {
		for _, r := range list {
			if r.shared != shared {
				continue
			}
			// Who signs in may do so under any address, and has one id.
			var keys []string
			if r.id != "" {
				keys = append(keys, "id "+r.id)
			}
			if r.address != "" {
				keys = append(keys, strings.ToLower(r.address))
			}
			for _, key := range keys {
				before, twice := mine[[2]string{r.account, key}]
				if !twice {
					before, twice = first[key]
				}
				if twice {
					found = append(found, twin{r, before})
					break
				}
			}
			for _, key := range keys {
				if _, taken := first[key]; !taken {
					first[key] = r
				}
				mine[[2]string{r.account, key}] = r
			}
		}
	}
	return found
}

func (t twin) sentence() string {
	switch {
	case !t.shared:
		return fmt.Sprintf("the accounts %s and %s both read the mailbox of %s, so everything in it is kept and synced twice; one account is enough, with an app password for each device",
			t.before.account, t.account, t.address)
	case t.before.account == t.account:
		return fmt.Sprintf("the account %s has %s as shared, which it reads already; take it out of its shared mailboxes", t.account, t.address)
	case t.before.shared:
		return fmt.Sprintf("the accounts %s and %s both have the mailbox of %s as shared, so its calendar is kept and synced twice; where one of them is enough, take it out of the other's shared mailboxes",
			t.before.account, t.account, t.address)
	}
	return fmt.Sprintf("the account %s has the mailbox of %s as shared, which is the account %s too, so its calendar is kept and synced twice; where one of them is enough, take it out of the shared mailboxes of %s",
		t.account, t.address, t.before.account, t.account)
}

// readings are what the file says that is read.
func (a accountConfig) readings(row bridge.Account) []reading {
	own := reading{account: a.Name, address: a.Mailbox}
	if a.Mailbox == "" {
		own.address, own.id = row.Identity.Address, row.Identity.ID
	}
	list := []reading{own}
	for _, address := range a.Shared {
		list = append(list, reading{account: a.Name, address: address, shared: true})
	}
	return list
}

// twins are the mailboxes that the file has twice. Who signs in is not in it.
func (c *config) twins() []twin {
	var list []reading
	for _, a := range c.Accounts {
		list = append(list, a.readings(bridge.Account{})...)
	}
	return twins(list)
}

// twins are the mailboxes that are read twice, with what is known of who has signed in.
func (p *program) twins(ctx context.Context) ([]twin, error) {
	var list []reading
	for _, a := range p.accounts {
		row, err := p.store.Account(ctx, a.Name)
		if err != nil && !errors.Is(err, bridge.ErrNotFound) {
			return nil, err
		}
		list = append(list, a.readings(row)...)
	}
	return twins(list), nil
}
