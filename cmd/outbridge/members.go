package main

import (
	"errors"
	"fmt"
	"time"

	"outbridge/bridge"
)

type membersCmd struct {
	List    membersListCmd    `cmd:"" help:"List the members that have an account."`
	Sync    membersSyncCmd    `cmd:"" help:"Look into the directory now."`
	Confirm membersConfirmCmd `cmd:"" help:"Believe an answer of the directory that ends most accounts."`
	Forget  membersForgetCmd  `cmd:"" help:"Delete the accounts of an organization that the configuration has no longer."`
}

type membersListCmd struct {
	configFlag
	jsonFlag
	LeftOut bool `help:"List the members without an account, and why they have none."`
}

// memberStatus is a member with an account.
type memberStatus struct {
	Account  string     `json:"account"`
	ObjectID string     `json:"object_id"`
	Address  string     `json:"address"`
	Name     string     `json:"name"`
	State    string     `json:"state"` // "left", or the code of the account's
	Left     *time.Time `json:"left,omitempty"`
	Removed  *time.Time `json:"removed_after,omitempty"` // what is of a leaver is kept until then
}

// leftOutStatus is a member without an account.
type leftOutStatus struct {
	ObjectID string               `json:"object_id"`
	Address  string               `json:"address"`
	Name     string               `json:"name"`
	Reason   bridge.LeftOutReason `json:"reason"`
	Sentence string               `json:"sentence"`
}

// leftOutWords say why a member has no account.
var leftOutWords = map[bridge.LeftOutReason]string{
	bridge.LeftOutGuest:      "a guest, whose mailbox is elsewhere",
	bridge.LeftOutDisabled:   "may not sign in to Microsoft, as rooms and shared mailboxes may not",
	bridge.LeftOutNoAddress:  "has no mail address",
	bridge.LeftOutDenied:     "is named in deny",
	bridge.LeftOutNotAllowed: "is not named in allow",
	bridge.LeftOutConfigured: "another account reads the same mailbox",
}

var errNoOrganization = errors.New("the configuration has no [organization]: name groups there, or members = \"all\"")

// openOrganization is open for commands that are about one.
func (f configFlag) openOrganization(e *env) (*program, error) {
	p, err := f.open(e)
	if err == nil && !p.conf.Organization.enabled() {
		p.store.Close()
		return nil, errNoOrganization
	}
	return p, err
}

func (l *membersListCmd) Run(e *env) error {
	p, err := l.openOrganization(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if l.LeftOut {
		return l.leftOut(e, p)
	}
	list, err := p.store.Members(e.ctx)
	if err != nil {
		return err
	}
	rows, err := p.store.Accounts(e.ctx)
	if err != nil {
		return err
	}
	states := map[bridge.AccountID]string{}
	for _, row := range rows {
		states[row.ID] = row.State.Code
	}
	all := []memberStatus{}
	for _, m := range list {
		one := memberStatus{Account: m.Name, ObjectID: m.ObjectID, Address: m.Mailbox, Name: m.DisplayName, State: states[m.ID], Left: known(m.Left)}
		if one.Left != nil {
			one.State, one.Removed = "left", known(p.conf.grace.After(m.Left))
		}
		all = append(all, one)
	}
	if l.JSON {
		return writeJSON(e.stdout, all)
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ACCOUNT\tADDRESS\tNAME\tSTATE")
	for _, m := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s", m.Account, m.Address, m.Name, m.State)
		if m.Left != nil {
			fmt.Fprintf(w, " %s, removed after %s", localTime(*m.Left), localTime(*m.Removed))
		}
		fmt.Fprintln(w)
	}
	return w.Flush()
}

func (l *membersListCmd) leftOut(e *env, p *program) error {
	list, err := p.store.LeftOut(e.ctx)
	if err != nil {
		return err
	}
	all := []leftOutStatus{}
	for _, o := range list {
		all = append(all, leftOutStatus{o.ObjectID, o.Address, o.DisplayName, o.Reason, leftOutWords[o.Reason]})
	}
	if l.JSON {
		return writeJSON(e.stdout, all)
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ADDRESS\tNAME\tWHY NOT")
	for _, o := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\n", o.Address, o.Name, o.Sentence)
	}
	return w.Flush()
}

type membersSyncCmd struct {
	configFlag
}

func (s *membersSyncCmd) Run(e *env) error {
	p, err := s.openOrganization(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	p.oneShot(e, syncAttempts)
	if err := p.lookOnce(e.ctx); err != nil {
		return err
	}
	o, err := p.organizationStatus(e.ctx)
	if err != nil {
		return err
	}
	o.print(e.stdout)
	return nil
}

type membersConfirmCmd struct {
	configFlag
}

func (c *membersConfirmCmd) Run(e *env) error {
	p, err := c.openOrganization(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	d, err := p.store.DirectoryStatus(e.ctx)
	if err != nil {
		return err
	}
	if d.Doubt == nil {
		return errors.New("there is nothing to confirm: the last answer of the directory was believed")
	}
	doubt := *d.Doubt
	doubt.Confirmed = true
	d.Doubt = &doubt
	if err := p.store.SetDirectoryStatus(e.ctx, d); err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "Confirmed: %d accounts end at the next look, which is within %s; `outbridge members sync` looks now. What is theirs is kept for %s.\n",
		doubt.Gone, directoryRounds*p.conf.interval, p.conf.Organization.Grace)
	return nil
}

type membersForgetCmd struct {
	configFlag
	Force bool `help:"Delete them. Without it, it is only said how many they are."`
}

// forgottenAtOnce bounds how many accounts are removed between two looks at whether to go on.
const forgottenAtOnce = 100

func (f *membersForgetCmd) Run(e *env) error {
	p, err := f.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	if p.conf.Organization.enabled() {
		return errors.New("the configuration has an [organization], whose members are served: take it out first, and reload or restart the server")
	}
	list, err := p.store.Members(e.ctx)
	if err != nil {
		return err
	}
	if !f.Force {
		return fmt.Errorf("%d accounts would be deleted, with their app passwords, feeds and calendars here; nothing changes in Outlook: run it with --force", len(list))
	}
	now := time.Now()
	for i := range list {
		list[i].Left = now
	}
	out, err := p.store.LeftOut(e.ctx)
	if err == nil {
		err = p.store.ChangeMembers(e.ctx, bridge.MemberChanges{Change: list, In: out})
	}
	removed := 0
	for err == nil {
		var names []string
		if names, err = p.store.RemoveDeparted(e.ctx, now, forgottenAtOnce); len(names) == 0 {
			break
		}
		removed += len(names)
	}
	if err == nil {
		err = p.store.SetDirectoryStatus(e.ctx, bridge.DirectoryStatus{})
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.stdout, "Deleted: %d accounts.\n", removed)
	return nil
}
