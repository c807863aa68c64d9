package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

type writesCmd struct {
	Account string `arg:"" optional:"" help:"Only this account."`
	limitFlag
	Resume bool `help:"Let the account's changes go on that were paused because so many of them mailed people."`
	configFlag
	jsonFlag
}

// writeRow is a bridge.Intent as it is listed.
type writeRow struct {
	ID        int64               `json:"id"`
	Account   string              `json:"account"`
	Calendar  string              `json:"calendar"`
	Created   time.Time           `json:"created"`
	Changed   time.Time           `json:"changed"`
	Operation string              `json:"operation"`
	State     string              `json:"state"` // open, done, refused, failed, unknown
	Object    string              `json:"object"`
	UID       string              `json:"uid"`
	Summary   string              `json:"summary"`
	Password  string              `json:"password"` // label of the app password
	Client    string              `json:"client"`   // User-Agent
	Mails     int                 `json:"mails"`    // recipients
	Refusal   string              `json:"refusal,omitempty"`
	Kind      convert.RefusalKind `json:"refusal_kind,omitempty"`
}

func (cmd *writesCmd) Run(e *env) error {
	if err := cmd.limitFlag.check(); err != nil {
		return err
	}
	p, err := cmd.open(e)
	if err != nil {
		return err
	}
	defer p.store.Close()
	var only bridge.AccountID
	if cmd.Account != "" {
		if _, err := p.account(cmd.Account); err != nil {
			return err
		}
		a, err := p.store.EnsureAccount(e.ctx, cmd.Account)
		if err != nil {
			return err
		}
		only = a.ID
	}
	if cmd.Resume {
		return cmd.resume(e, p, only)
	}
	list, err := p.writes(e, only, cmd.Limit)
	if err != nil {
		return err
	}
	if cmd.JSON {
		return writeJSON(e.stdout, list)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(e.stdout, "No calendar program has changed anything so far.")
		return err
	}
	w := newTable(e.stdout)
	fmt.Fprintln(w, "ID\tWHEN\tACCOUNT\tCALENDAR\tCHANGE\tSTATE\tMAILED\tEVENT\tBY\tREASON")
	for _, one := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.ID, localTime(one.Created), one.Account, one.Calendar, one.Operation,
			one.State, strconv.Itoa(one.Mails), one.Summary, one.Password, one.Refusal)
	}
	return w.Flush()
}

func (cmd *writesCmd) resume(e *env, p *program, id bridge.AccountID) error {
	if id == 0 {
		return usageError{errors.New("--resume needs the name of an account")}
	}
	hold, err := p.store.WriteHold(e.ctx, id)
	if err != nil {
		return err
	}
	if hold.Since.IsZero() {
		_, err := fmt.Fprintf(e.stdout, "The changes of %s are not paused.\n", cmd.Account)
		return err
	}
	if err := p.store.SetWriteHold(e.ctx, id, bridge.WriteHold{Confirmed: time.Now().UTC()}); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "The changes of %s go on; clients send again what was refused meanwhile.\n", cmd.Account)
	return err
}

func (p *program) writes(e *env, only bridge.AccountID, limit int) ([]writeRow, error) {
	rows, err := p.store.Intents(e.ctx, only, limit)
	if err != nil {
		return nil, err
	}
	accounts, err := p.store.Accounts(e.ctx)
	if err != nil {
		return nil, err
	}
	names, calendars := map[bridge.AccountID]string{}, map[bridge.CalendarID]string{}
	for _, a := range accounts {
		names[a.ID] = a.Name
		cals, err := p.store.Calendars(e.ctx, a.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range cals {
			calendars[c.ID] = c.DisplayName
		}
	}
	list := []writeRow{}
	for _, i := range rows {
		one := writeRow{ID: i.ID, Account: names[i.Account], Calendar: calendars[i.Calendar], Created: i.Created, Changed: i.Changed, Operation: i.Operation,
			State: i.State, Object: i.Name, UID: i.UID, Summary: i.Summary, Password: i.Password, Client: i.Client, Mails: i.Mails}
		if i.Refusal != nil {
			one.Refusal, one.Kind = i.Refusal.Sentence, i.Refusal.Kind
		}
		list = append(list, one)
	}
	return list, nil
}

// writingStatus is what clients may change of an account, and how their changes of the last day fared.
type writingStatus struct {
	Account        string             `json:"-"`
	Invitations    bridge.Invitations `json:"invitations"`
	OnlineMeetings bool               `json:"online_meetings"`
	Denied         string             `json:"denied,omitempty"` // why nothing can be written all the same, and what to do
	Written        int                `json:"written"`
	Waiting        int                `json:"waiting"` // of any age
	Refused        int                `json:"refused"`
	Failed         int                `json:"failed"`
	Unknown        int                `json:"unknown"` // of any age: they may have been done, and sent mail
	Mails          int                `json:"mails"`   // recipients
	LastRefusal    string             `json:"last_refusal,omitempty"`
	Paused         *time.Time         `json:"paused"` // since when, because so many changes mailed people
}

func (p *program) writingStatus(ctx context.Context, row bridge.Account) (*writingStatus, error) {
	a, err := p.account(row.Name)
	policy := a.policy(row)
	if err != nil || !policy.Write {
		return nil, nil
	}
	st := &writingStatus{Account: row.Name, Invitations: policy.Invitations, OnlineMeetings: policy.OnlineMeetings}
	if !p.conf.mayWrite(a, row) {
		st.Denied = fmt.Sprintf("the sign-in does not allow changes: add the permission Calendars.ReadWrite to the app registration, then run `outbridge login %s`", row.Name)
	}
	hold, err := p.store.WriteHold(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	st.Paused = known(hold.Since)
	list, err := p.store.Intents(ctx, row.ID, maxWritesCounted)
	if err != nil {
		return nil, err
	}
	day := time.Now().Add(-24 * time.Hour)
	for _, i := range list {
		recent := i.Changed.After(day)
		if recent {
			st.Mails += i.Mails
		}
		switch {
		case i.State == bridge.IntentOpen:
			st.Waiting++
		case i.State == bridge.IntentUnknown:
			st.Unknown++
		case !recent:
		case i.State == bridge.IntentDone:
			st.Written++
		case i.State == bridge.IntentRefused:
			st.Refused++
		default:
			st.Failed++
		}
		if recent && i.Refusal != nil && st.LastRefusal == "" {
			st.LastRefusal = i.Refusal.Sentence
		}
	}
	return st, nil
}

// maxWritesCounted bounds what a status looks at.
const maxWritesCounted = 1000

func (st *writingStatus) print(w io.Writer) {
	if st == nil {
		return
	}
	fmt.Fprintf(w, "  clients may write; Outlook may mail: %s", map[bridge.Invitations]string{
		bridge.InvitationsNever: "nothing", bridge.InvitationsReplies: "answers to invitations", bridge.InvitationsOutlook: "invitations, updates, cancellations and answers",
	}[st.Invitations])
	if st.Denied != "" {
		fmt.Fprintf(w, "\n  nothing can be written: %s", st.Denied)
	}
	if st.Paused != nil {
		fmt.Fprintf(w, "\n  paused since %s, because so many changes mailed people: look at `outbridge writes`, then run `outbridge writes %s --resume`", localTime(*st.Paused), st.Account)
	}
	fmt.Fprintf(w, "\n  writes of the last day: %d done, %d refused, %d failed; mailed to %d", st.Written, st.Refused, st.Failed, st.Mails)
	if st.Waiting > 0 {
		fmt.Fprintf(w, "; %d under way", st.Waiting)
	}
	if st.Unknown > 0 {
		fmt.Fprintf(w, "; %d that may have been done and sent mail, see `outbridge writes`", st.Unknown)
	}
	fmt.Fprintln(w)
	if st.LastRefusal != "" {
		fmt.Fprintf(w, "  last refused: %s\n", st.LastRefusal)
	}
}
