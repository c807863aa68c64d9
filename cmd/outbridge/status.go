package main

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/sqlstore"
)

type statusCmd struct {
	configFlag
	jsonFlag
	Losses bool `help:"Also list what could not be carried over to iCalendar, with the reason."`
}

// maxLosses bounds the list of losses of one calendar.
const maxLosses = 1000

type statusReport struct {
	Accounts   []accountStatus `json:"accounts"`
	Credential *credential     `json:"credential,omitempty"` // the app's, where its end is known
}

type accountStatus struct {
	Account  string      `json:"account"`
	SignedIn string      `json:"signed_in,omitempty"` // the address of whoever signed in
	State    stateStatus `json:"state"`
	LastGood *time.Time  `json:"last_good"`
	// Notifications is when the subscription to changes ends, NotificationFault why there is none.
	Notifications     *time.Time       `json:"notifications_until"`
	NotificationFault string           `json:"notification_fault,omitempty"`
	Calendars         []calendarStatus `json:"calendars"`
}

// stateStatus is a bridge.State in words.
type stateStatus struct {
	Code     string        `json:"code"`
	Reason   bridge.Reason `json:"reason,omitempty"`
	Sentence string        `json:"sentence"` // what is the matter; "" when ok
	Action   string        `json:"action"`   // how to fix it; "" when there is nothing to do
	Since    time.Time     `json:"since"`
	Final    bool          `json:"final"` // trying again is pointless until a person has acted
	Claims   string        `json:"claims,omitempty"`
}

type calendarStatus struct {
	Calendar string `json:"calendar"`
	Name     string `json:"name"`
	bridge.Counts
	LastGood  *time.Time `json:"last_good"`
	CursorAge float64    `json:"cursor_age_seconds"` // since the stored cursor was written; -1: there is none
	Syncing   bool       `json:"syncing"`            // its first round is not complete
	Error     string     `json:"error,omitempty"`
	Mailbox   string     `json:"mailbox,omitempty"` // address of the other mailbox that it is read from
	CanEdit   bool       `json:"can_edit"`          // in Outlook; clients cannot in any case
	Listed    bool       `json:"listed"`            // Graph allows no delta: it is listed and compared, which takes more requests
	Audited   *time.Time `json:"audited"`           // the last audit
	Found     int        `json:"audit_differences"` // what it found, and had read anew
	Lacks     *time.Time `json:"lacks_after"`       // Graph does not list what begins after this time
	Again     int        `json:"audit_again"`       // what reading did not mend, so that Outlook's own list was taken for it

	LossList []convert.Loss `json:"loss_list,omitempty"` // with --losses
}

func (s *statusCmd) Run(e *env) error {
	c, store, err := s.open(e)
	if err != nil {
		return err
	}
	defer store.Close()
	report := statusReport{Accounts: []accountStatus{}}
	for _, a := range c.Accounts {
		st, err := accountState(e, store, a.Name, s.Losses)
		if err != nil {
			return err
		}
		report.Accounts = append(report.Accounts, st)
	}
	if report.Credential, err = c.Microsoft.credential(time.Now()); err != nil {
		report.Credential = &credential{Warning: err.Error()}
	}
	if s.JSON {
		return writeJSON(e.stdout, report)
	}
	if report.Credential != nil && report.Credential.Warning != "" {
		fmt.Fprintln(e.stdout, "Warning: "+report.Credential.Warning+".")
	}
	if len(report.Accounts) == 0 {
		fmt.Fprintln(e.stdout, "There is no account yet: add one on the pages of `outbridge serve`, or an [[account]] to the configuration.")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
	for _, a := range report.Accounts {
		fmt.Fprintf(w, "%s: %s", a.Account, a.State.Code)
		for _, s := range []string{a.State.Sentence, a.State.Action} {
			if s != "" {
				fmt.Fprint(w, ". "+strings.TrimSuffix(s, "."))
			}
		}
		if a.SignedIn != "" {
			fmt.Fprintf(w, "\n  signed in as %s", a.SignedIn)
		}
		fmt.Fprintf(w, "\n  last good round: %s\n", ago(a.LastGood))
		switch {
		case a.NotificationFault != "":
			fmt.Fprintf(w, "  notifications: none, changes are polled for: %s\n", a.NotificationFault)
		case a.Notifications != nil:
			fmt.Fprintf(w, "  notifications: until %s\n", a.Notifications.Local().Format(time.DateTime))
		}
		if len(a.Calendars) > 0 {
			fmt.Fprintln(w, "  CALENDAR\tEVENTS\tSERIES\tADJUSTED\tLOSSES\tLAST GOOD ROUND\tCURSOR AGE\tAUDIT")
		}
		for _, c := range a.Calendars {
			age := "none"
			if c.CursorAge >= 0 {
				age = (time.Duration(c.CursorAge) * time.Second).String()
			}
			fmt.Fprintf(w, "  %s\t%d\t%d\t%d\t%d\t%s\t%s\t%s", c.Calendar, c.Events, c.Series, c.Adjusted, c.Losses, ago(c.LastGood), age, c.audit())
			if c.Mailbox != "" {
				fmt.Fprint(w, "\tof "+c.Mailbox)
			}
			if !c.CanEdit {
				fmt.Fprint(w, "\tread-only in Outlook")
			}
			if c.Listed {
				fmt.Fprint(w, "\tlisted and compared: Graph lets guests follow no changes")
			}
			if c.Lacks != nil {
				fmt.Fprintf(w, "\tGraph does not list what begins after %s", c.Lacks.Local().Format(time.DateOnly))
			}
			if c.Syncing {
				fmt.Fprint(w, "\tfirst sync in progress")
			}
			if c.Error != "" {
				fmt.Fprint(w, "\t"+c.Error)
			}
			fmt.Fprintln(w)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, a := range report.Accounts {
		for _, c := range a.Calendars {
			for _, l := range c.LossList {
				fmt.Fprintf(e.stdout, "%s, %s: %s: %s: %s\n", a.Account, c.Calendar, l.Event, l.Field, l.Reason)
			}
		}
	}
	return nil
}

func accountState(e *env, store *sqlstore.Store, name string, losses bool) (accountStatus, error) {
	st := accountStatus{Account: name, Calendars: []calendarStatus{}}
	a, err := store.Account(e.ctx, name)
	if errors.Is(err, bridge.ErrNotFound) || err == nil && a.State.Code == bridge.StateNew {
		st.State = stateStatus{Code: bridge.StateNew, Sentence: "It has not been synced yet.",
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
	st.LastGood, st.SignedIn = known(a.LastGood), a.Identity.Address
	sub, err := store.Subscription(e.ctx, a.ID)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return st, err
	}
	if st.NotificationFault = faultLine(sub.Fault, name); sub.GraphID != "" {
		st.Notifications = known(sub.Expires)
	}
	cals, err := store.Calendars(e.ctx, a.ID)
	if err != nil {
		return st, err
	}
	for _, c := range cals {
		cs := calendarStatus{
			Calendar: c.DisplayName, Name: c.Name, LastGood: known(c.Good), CursorAge: -1, Error: faultLine(c.Fault, name),
			Syncing: c.Good.IsZero() && c.Fault == (bridge.Fault{}),
			Mailbox: c.Mailbox, CanEdit: c.CanEdit, Listed: c.Way == bridge.WayView, Audited: known(c.Audit.At), Found: c.Audit.Found,
			Again: c.Audit.Again,
		}
		if c.Pending == bridge.PendingSweepFirst || c.Pending == bridge.PendingBeyond {
			cs.Lacks = known(c.Window.End)
			if st.State.Code == bridge.StateOK {
				st.State.Code, st.State.Sentence = "incomplete", "Not everything of its calendars can be listed"
				st.State.Action = "Nothing is to be done: it is tried again every hour"
			}
		}
		if !c.Checked.IsZero() {
			cs.CursorAge = time.Since(c.Checked).Truncate(time.Second).Seconds()
		}
		if cs.Counts, err = store.Counts(e.ctx, c.ID); err != nil {
			return st, err
		}
		if losses {
			if cs.LossList, err = store.Losses(e.ctx, c.ID, maxLosses); err != nil {
				return st, err
			}
		}
		st.Calendars = append(st.Calendars, cs)
	}
	return st, nil
}

func (c calendarStatus) audit() string {
	switch {
	case c.Audited == nil:
		return "not yet"
	case c.Again > 0:
		return fmt.Sprintf("%s, %d differences mended, %d of them found twice and taken from Outlook's own list",
			c.Audited.Local().Format(time.DateTime), c.Found, c.Again)
	case c.Found > 0:
		return fmt.Sprintf("%s, %d differences mended", c.Audited.Local().Format(time.DateTime), c.Found)
	}
	return c.Audited.Local().Format(time.DateTime) + ", as in Outlook"
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
	return fmt.Sprintf("%s (%s ago)", t.Local().Format("2006-01-02 15:04:05"), time.Since(*t).Truncate(time.Second))
}
