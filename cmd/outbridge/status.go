package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

type statusCmd struct {
	configFlag
	jsonFlag
	All    bool `help:"List every account, also where there are many and nothing is wrong."`
	Losses bool `help:"Also list every difference: what iCalendar could not express, and why."`
}

// maxLosses limits the list of losses of one calendar.
const maxLosses = 1000

type statusReport struct {
	Organization *organizationStatus `json:"organization,omitempty"`
	// FormerMembers are kept of an organization that the configuration has no longer.
	FormerMembers int `json:"former_members,omitempty"`
	// States counts the accounts by their state, where Accounts are only those that something is wrong with.
	States     map[string]int  `json:"states,omitempty"`
	Accounts   []accountStatus `json:"accounts"`
	Credential *credential     `json:"credential,omitempty"` // the app's, if it is known when it expires
	Disk       *diskStatus     `json:"disk,omitempty"`       // of the database, as far as the system tells
	// Certificates are those that [tls] domains gets.
	Certificates []certificateStatus `json:"certificates,omitempty"`
}

type diskStatus struct {
	disk
	Warning string `json:"warning,omitempty"`
}

type accountStatus struct {
	Account  string      `json:"account"`
	SignedIn string      `json:"signed_in,omitempty"` // address of the person who signed in
	State    stateStatus `json:"state"`
	LastGood *time.Time  `json:"last_good"`
	Waiting  *waiting    `json:"waiting,omitempty"` // for Microsoft, which does not answer; Until is zero between rounds
	// Notifications is when the change notifications end, NotificationFault why there are none.
	Notifications     *time.Time      `json:"notifications_until"`
	NotificationFault string          `json:"notification_fault,omitempty"`
	Writing           *writingStatus  `json:"writing,omitempty"` // nil: clients only read
	Probe             *bridge.Learned `json:"probe,omitempty"`   // what a probe has found out; nil: nothing
	// SameAs is another account that reads the same mailbox.
	SameAs string `json:"same_mailbox_as,omitempty"`
	// SharedTwice are the mailboxes that it has as shared and that are read already.
	SharedTwice []sharedTwice    `json:"shared_read_twice,omitempty"`
	Calendars   []calendarStatus `json:"calendars"`
}

type sharedTwice struct {
	Mailbox  string `json:"mailbox"`
	Account  string `json:"account"` // that reads it too
	sentence string
}

// stateStatus is a bridge.State in words.
type stateStatus struct {
	Code     string        `json:"code"`
	Reason   bridge.Reason `json:"reason,omitempty"`
	Sentence string        `json:"sentence"` // what is wrong; "" when ok
	Action   string        `json:"action"`   // how to fix it; "" when there is nothing to do
	Since    time.Time     `json:"since"`
	Final    bool          `json:"final"` // retrying is pointless until a person has acted
	Claims   string        `json:"claims,omitempty"`
}

type calendarStatus struct {
	Calendar string `json:"calendar"`
	Name     string `json:"name"`
	bridge.Counts
	LastGood  *time.Time `json:"last_good"`
	CursorAge float64    `json:"cursor_age_seconds"` // since the stored cursor was written; -1: no cursor
	Syncing   bool       `json:"syncing"`            // the first round is not complete
	Error     string     `json:"error,omitempty"`
	Mailbox   string     `json:"mailbox,omitempty"` // address of the other mailbox that it is read from
	CanEdit   bool       `json:"can_edit"`          // in Outlook, by who signed in
	Listed    bool       `json:"listed"`            // Graph allows no delta, so it is listed and compared, which takes more requests
	Audited   *time.Time `json:"audited"`           // the last audit
	Found     int        `json:"audit_differences"` // what it found and read again
	Lacks     *time.Time `json:"lacks_after"`       // Graph does not list what begins after this time
	Again     int        `json:"audit_again"`       // what reading did not fix, so that Outlook's own list was taken for it

	LossList []convert.Loss `json:"loss_list,omitempty"` // with --losses
}

func (s *statusCmd) Run(e *env) error {
	p, err := s.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	report := statusReport{Accounts: []accountStatus{}}
	told := p.told(e.ctx)
	listed := p.accounts
	if p.sums(s.All) {
		if listed, report.States, err = p.troubled(e.ctx); err != nil {
			return err
		}
	}
	if report.Organization, err = p.organizationStatus(e.ctx); err != nil {
		return err
	}
	if report.FormerMembers, err = p.formerMembers(e.ctx); err != nil {
		return err
	}
	for _, a := range listed {
		st, err := p.accountStatus(e.ctx, a.Name, told, s.Losses)
		if err != nil {
			return err
		}
		report.Accounts = append(report.Accounts, st)
	}
	var twice []twin
	if !p.sums(s.All) {
		if twice, err = p.twins(e.ctx); err != nil {
			return err
		}
	}
	for _, t := range twice {
		i := slices.IndexFunc(report.Accounts, func(a accountStatus) bool { return a.Account == t.account })
		if i < 0 {
			continue
		}
		if a := &report.Accounts[i]; t.shared {
			a.SharedTwice = append(a.SharedTwice, sharedTwice{t.address, t.before.account, t.sentence()})
		} else {
			a.SameAs = t.before.account
		}
	}
	left, err := p.left(e.ctx)
	if err != nil {
		return err
	}
	report.Accounts = append(report.Accounts, left...)
	if report.Credential, err = p.conf.Microsoft.credential(time.Now()); err != nil {
		report.Credential = &credential{Warning: err.Error()}
	}
	report.Certificates = p.conf.ownCertificates(time.Now())
	report.Disk = p.conf.diskStatus()
	if s.JSON {
		return writeJSON(e.stdout, report)
	}
	return report.print(e.stdout, s.Losses)
}

// diskStatus is the room for the database; nil if nobody knows.
func (c *config) diskStatus() *diskStatus {
	d, err := c.databaseDisk()
	if err != nil || d.unknown {
		return nil
	}
	st := &diskStatus{disk: d}
	switch {
	case d.full():
		st.Warning = fmt.Sprintf("the disk of %s is full, so nothing can be synced: %s; make room", d.Folder, d)
	case d.low(c.databaseSize()):
		st.Warning = fmt.Sprintf("on the disk of %s only %s; make room before it is full", d.Folder, d)
	}
	return st
}

// print leaves out the hint at --losses where the differences are listed.
func (r statusReport) print(out io.Writer, listed bool) error {
	if r.Credential != nil && r.Credential.Warning != "" {
		fmt.Fprintln(out, "Warning: "+r.Credential.Warning+".")
	}
	for _, s := range r.Certificates {
		if s.Warning != "" {
			fmt.Fprintln(out, "Warning: "+s.Warning+".")
		}
	}
	if r.Disk != nil && r.Disk.Warning != "" {
		fmt.Fprintln(out, "Warning: "+r.Disk.Warning+".")
	}
	r.Organization.print(out)
	if r.FormerMembers > 0 {
		fmt.Fprintf(out, "Members of an organization that is not in the configuration any more: %d. Nothing of them is synced or served; `outbridge members forget` deletes what is theirs.\n", r.FormerMembers)
	}
	if r.States != nil {
		var parts []string
		for _, code := range slices.Sorted(maps.Keys(r.States)) {
			parts = append(parts, fmt.Sprintf("%d %s", r.States[code], code))
		}
		fmt.Fprintf(out, "Accounts: %s; `outbridge status --all` lists them all.\n", cmp.Or(strings.Join(parts, ", "), "none"))
	}
	if len(r.Accounts) == 0 && r.States == nil {
		fmt.Fprintln(out, "No accounts yet: add one on the web pages of `outbridge serve`, or an [[account]] to the configuration.")
		return nil
	}
	if len(r.Accounts) == 0 {
		return nil
	}
	w := newTable(out)
	for _, a := range r.Accounts {
		a.print(w)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if !listed && slices.ContainsFunc(r.Accounts, func(a accountStatus) bool {
		return slices.ContainsFunc(a.Calendars, func(c calendarStatus) bool { return c.Losses > 0 })
	}) {
		fmt.Fprintln(out, "Shown differently: details that calendar apps cannot show as Outlook does. `outbridge status --losses` lists them.")
	}
	for _, a := range r.Accounts {
		for _, c := range a.Calendars {
			for _, l := range c.LossList {
				fmt.Fprintf(out, "%s, %s: %s: %s: %s\n", a.Account, c.Calendar, l.Event, l.Field, l.Reason)
			}
		}
	}
	return nil
}

func (a accountStatus) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %s", a.Account, a.State.Code)
	for _, s := range []string{a.State.Sentence, a.State.Action} {
		if s != "" {
			fmt.Fprint(w, ". "+strings.TrimSuffix(s, "."))
		}
	}
	if a.SignedIn != "" {
		fmt.Fprintf(w, "\n  signed in as %s", a.SignedIn)
	}
	if a.SameAs != "" {
		fmt.Fprintf(w, "\n  the same mailbox as %s: everything in it is synced twice; one account is enough, with an app password for each device", a.SameAs)
	}
	for _, t := range a.SharedTwice {
		fmt.Fprintf(w, "\n  %s", t.sentence)
	}
	fmt.Fprintf(w, "\n  last sync: %s\n", ago(a.LastGood))
	if a.Waiting != nil {
		fmt.Fprintf(w, "  Outlook has not answered since %s; it is asked again %s\n", localTime(a.Waiting.Since), a.Waiting.again())
	}
	switch {
	case a.NotificationFault != "":
		fmt.Fprintf(w, "  notifications: off, so Outlook is polled: %s\n", a.NotificationFault)
	case a.Notifications != nil:
		fmt.Fprintf(w, "  notifications: until %s\n", localTime(*a.Notifications))
	}
	a.Writing.print(w)
	if a.Probe != nil {
		fmt.Fprintf(w, "  probe: %s\n", probeLine(*a.Probe))
	}
	if len(a.Calendars) > 0 {
		fmt.Fprintln(w, "  CALENDAR\tEVENTS\tREPEATING\tSHOWN DIFFERENTLY\tLAST SYNC\tCOMPARED WITH OUTLOOK")
	}
	for _, c := range a.Calendars {
		c.print(w)
	}
}

func (c calendarStatus) print(w io.Writer) {
	fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t%s\t%s", c.Calendar, c.Events, c.Series, c.Losses, ago(c.LastGood), c.audit())
	if c.Mailbox != "" {
		fmt.Fprint(w, "\tfrom "+c.Mailbox)
	}
	if !c.CanEdit {
		fmt.Fprint(w, "\tread-only in Outlook")
	}
	if c.Listed {
		fmt.Fprint(w, "\tread in full each time: Graph does not report changes to guests")
	}
	if c.Lacks != nil {
		fmt.Fprintf(w, "\tGraph does not list what begins after %s", c.Lacks.Local().Format(time.DateOnly))
	}
	if c.Unread > 0 {
		fmt.Fprintf(w, "\tevents that Outlook lists and does not show: %d", c.Unread)
	}
	if c.Syncing {
		fmt.Fprint(w, "\tfirst sync in progress")
	}
	if c.Error != "" {
		fmt.Fprint(w, "\t"+c.Error)
	}
	fmt.Fprintln(w)
}

// again is when Microsoft is asked again.
func (w *waiting) again() string {
	switch {
	case w.Until.IsZero():
		return "with each sync"
	case time.Now().Before(w.Until):
		return "at " + w.Until.Local().Format(time.TimeOnly)
	}
	return "now"
}

// waiting is that Microsoft does not answer an account, whose state this is; nil: it does.
func (t told) waiting(name string, state bridge.State) *waiting {
	w, waits := t.Waits[name]
	waits = waits && time.Since(w.Until) < pulseRowGap // else the server that told so has ended
	if !waits {
		w = waiting{}
	}
	if state.Code == bridge.StateUnavailable && state.Reason == bridge.ReasonUnavailable {
		w.Since = state.Since // a round before this has failed
	}
	if w.Since.IsZero() {
		return nil
	}
	return &w
}

// accountStatus is the stored status of an account, with what a server last told.
func (p *program) accountStatus(ctx context.Context, name string, told told, losses bool) (accountStatus, error) {
	st, pulse := accountStatus{Account: name, Calendars: []calendarStatus{}}, told.Good.of(name)
	a, err := p.store.Account(ctx, name)
	st.Waiting = told.waiting(name, a.State)
	if errors.Is(err, bridge.ErrNotFound) || err == nil && a.State.Code == bridge.StateNew {
		st.State = stateStatus{Code: bridge.StateNew, Sentence: "Not synced yet.",
			Action: fmt.Sprintf("Run `outbridge login %s`, then `outbridge serve`.", name)}
		if a.TokenVersion > 0 {
			st.State.Action = "Run `outbridge serve`."
		}
		return st, nil
	}
	if err != nil {
		return st, err
	}
	sentence, action := inWords(a.State.Fault, name)
	st.State = stateStatus{a.State.Code, a.State.Reason, sentence, action, a.State.Since, a.State.Final, a.State.Claims}
	st.LastGood, st.SignedIn = known(pulse.LastGood(a.LastGood)), a.Identity.Address
	sub, err := p.store.Subscription(ctx, a.ID)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return st, err
	}
	if st.NotificationFault = faultLine(sub.Fault, name); sub.GraphID != "" {
		st.Notifications = known(sub.Expires)
	}
	if st.Writing, err = p.writingStatus(ctx, a); err != nil {
		return st, err
	}
	learned, err := p.learned(ctx, a)
	if err != nil {
		return st, err
	}
	if !learned.At.IsZero() {
		learned.Of = ""
		st.Probe = &learned
	}
	cals, err := p.store.Calendars(ctx, a.ID)
	if err != nil {
		return st, err
	}
	for _, c := range cals {
		cs := calendarStatus{
			Calendar: c.DisplayName, Name: c.Name, LastGood: known(pulse.GoodOf(c.ID, c.Good)), CursorAge: -1, Error: faultLine(c.Fault, name),
			Syncing: c.Good.IsZero() && c.Fault == (bridge.Fault{}),
			Mailbox: c.Mailbox, CanEdit: c.CanEdit, Listed: c.Way == bridge.WayView, Audited: known(c.Audit.At), Found: c.Audit.Found,
			Again: c.Audit.Again,
		}
		if lacks := c.Lacks(); !lacks.IsZero() {
			cs.Lacks = known(lacks)
			if st.State.Code == bridge.StateOK {
				st.State.Code, st.State.Sentence = "incomplete", "Not everything of its calendars can be listed"
				st.State.Action = "Nothing is to be done: it is tried again every hour"
			}
		}
		if !c.Checked.IsZero() {
			cs.CursorAge = time.Since(c.Checked).Truncate(time.Second).Seconds()
		}
		if cs.Counts, err = p.store.Counts(ctx, c.ID); err != nil {
			return st, err
		}
		if cs.Unread > 0 && st.State.Code == bridge.StateOK {
			st.State.Code, st.State.Sentence = "incomplete", "Some events are as Outlook lists them, which does not show them by themselves"
			st.State.Action = "See `outbridge status --losses`; Outlook is asked for them again every hour"
		}
		if losses {
			if cs.LossList, err = p.store.Losses(ctx, c.ID, maxLosses); err != nil {
				return st, err
			}
		}
		st.Calendars = append(st.Calendars, cs)
	}
	return st, nil
}

// left are the accounts that the database still has something of, by name, and that are no accounts any more.
func (p *program) left(ctx context.Context) ([]accountStatus, error) {
	rows, err := p.store.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	passwords, err := p.store.Passwords(ctx, "")
	if err != nil {
		return nil, err
	}
	feeds, err := p.store.Feeds(ctx, "")
	if err != nil {
		return nil, err
	}
	good, leavers := map[string]*time.Time{}, map[string]bool{}
	for _, one := range passwords {
		good[one.User] = nil
	}
	for _, one := range feeds {
		good[one.User] = nil
	}
	for _, one := range rows {
		if one.Directory {
			leavers[one.Name] = true // the organization's part tells of them, or FormerMembers
			continue
		}
		good[one.Name] = known(one.LastGood)
	}
	var list []accountStatus
	for _, name := range slices.Sorted(maps.Keys(good)) {
		if _, err := p.account(name); err == nil || leavers[name] {
			continue
		}
		list = append(list, accountStatus{Account: name, LastGood: good[name], Calendars: []calendarStatus{}, State: stateStatus{
			Code: bridge.StateConfiguration, Final: true,
			Sentence: "It is not in the configuration any more, so it is not synced, and its app passwords and feeds are refused; what it had is still in the database.",
			Action:   "Put its [[account]] back; or, to delete what it had, add an account of this name on the web pages and remove it there.",
		}})
	}
	return list, nil
}

func (c calendarStatus) audit() string {
	switch {
	case c.Audited == nil:
		return "not yet"
	case c.Again > 0:
		return fmt.Sprintf("%s, %d differences fixed, %d of them found twice and taken from Outlook's own list",
			localTime(*c.Audited), c.Found, c.Again)
	case c.Found > 0:
		return fmt.Sprintf("%s, %d differences fixed", localTime(*c.Audited), c.Found)
	}
	return localTime(*c.Audited) + ", same as Outlook"
}

func known(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return fmt.Sprintf("%s (%s ago)", localTime(*t), time.Since(*t).Truncate(time.Second))
}
