package main

import (
	"fmt"
	"strconv"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

type writesCmd struct {
	Account string `arg:"" optional:"" help:"Only this account."`
	Limit   int    `help:"How many of the latest to list." default:"50"`
	Resume  bool   `help:"Let an account go on that has stopped since its clients would have sent too many mails."`
	configFlag
	jsonFlag
}

// write is a bridge.Intent as it is listed.
type write struct {
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
	if cmd.Limit < 1 {
		return usageError{fmt.Errorf("--limit = %d: it must be at least 1", cmd.Limit)}
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

func (p *program) writes(e *env, only bridge.AccountID, limit int) ([]write, error) {
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
	list := []write{}
	for _, i := range rows {
		one := write{ID: i.ID, Account: names[i.Account], Calendar: calendars[i.Calendar], Created: i.Created, Changed: i.Changed, Operation: i.Operation,
			State: i.State, Object: i.Name, UID: i.UID, Summary: i.Summary, Password: i.Password, Client: i.Client, Mails: i.Mails}
		if i.Refusal != nil {
			one.Refusal, one.Kind = i.Refusal.Sentence, i.Refusal.Kind
		}
		list = append(list, one)
	}
	return list, nil
}
