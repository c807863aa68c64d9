package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

// organizationStatus is how the bridge fares with the organization's directory.
type organizationStatus struct {
	LastGood *time.Time                   `json:"last_good"` // look into the directory, to the hour
	Members  int                          `json:"members"`   // that have an account
	Left     int                          `json:"left"`      // that have left, and whose data is kept for the grace time
	LeftOut  map[bridge.LeftOutReason]int `json:"left_out"`  // members without an account, by the reason
	Doubt    *bridge.Doubt                `json:"doubt,omitempty"`
	Error    string                       `json:"error,omitempty"`
}

func (p *program) organizationStatus(ctx context.Context) (*organizationStatus, error) {
	if !p.conf.Organization.enabled() {
		return nil, nil
	}
	d, err := p.store.DirectoryStatus(ctx)
	if err != nil {
		return nil, err
	}
	members, err := p.store.Members(ctx)
	if err != nil {
		return nil, err
	}
	out, err := p.store.LeftOut(ctx)
	if err != nil {
		return nil, err
	}
	s := &organizationStatus{LastGood: known(d.Good), LeftOut: map[bridge.LeftOutReason]int{}, Doubt: d.Doubt, Error: faultLine(d.Fault, "")}
	if d.Object != "" {
		s.Error = "group " + d.Object + ": " + s.Error
	}
	for _, m := range members {
		if m.Left.IsZero() {
			s.Members++
		} else {
			s.Left++
		}
	}
	for _, o := range out {
		s.LeftOut[o.Reason]++
	}
	return s, nil
}

func (s *organizationStatus) print(w io.Writer) {
	if s == nil {
		return
	}
	fmt.Fprintf(w, "Organization: %d members with an account; directory read: %s\n", s.Members, ago(s.LastGood))
	if s.Error != "" {
		fmt.Fprintf(w, "  %s\n", s.Error)
	}
	if d := s.Doubt; d != nil {
		fmt.Fprintf(w, "  not believed since %s: the directory's answer would end %d accounts and leave %d. ", localTime(d.Since), d.Gone, d.Members)
		switch {
		case d.Confirmed:
			fmt.Fprintln(w, "It is confirmed, and holds from the next look on.")
		case d.Members == 0:
			fmt.Fprintln(w, "Everybody is served as before. Is the group right? If it is, run `outbridge members confirm`.")
		default:
			fmt.Fprintln(w, "Everybody is served as before. It is believed if it is still so after an hour; `outbridge members confirm` does not wait.")
		}
	}
	if s.Members == 0 && s.Error == "" && s.LastGood != nil {
		fmt.Fprintln(w, "  nobody in the directory's answer gets an account: is the group right? If its membership is hidden, the app also needs Member.Read.Hidden.")
	}
	if s.Left > 0 {
		fmt.Fprintf(w, "  left, and kept for the grace time: %d\n", s.Left)
	}
	if len(s.LeftOut) > 0 {
		var parts []string
		for _, reason := range slices.Sorted(maps.Keys(s.LeftOut)) {
			parts = append(parts, fmt.Sprintf("%d (%s)", s.LeftOut[reason], leftOutWords[reason]))
		}
		fmt.Fprintf(w, "  members without an account: %s; `outbridge members list --left-out` names them\n", strings.Join(parts, ", "))
	}
}

// formerMembers counts the accounts of an organization that the configuration has no longer.
func (p *program) formerMembers(ctx context.Context) (int, error) {
	if p.conf.Organization.enabled() {
		return 0, nil
	}
	list, err := p.store.Members(ctx)
	return len(list), err
}

// manyAccounts is from how many accounts on status sums them up.
const manyAccounts = 50

// sums reports whether status is to sum up, and list only what something is wrong with.
func (p *program) sums(all bool) bool {
	return !all && (len(p.accounts) > manyAccounts || p.conf.Organization.enabled())
}

// troubled are the accounts that something is wrong with, by one look at all rows, and how many there are of each state.
func (p *program) troubled(ctx context.Context) (list []accountConfig, states map[string]int, err error) {
	rows, err := p.store.Accounts(ctx)
	if err != nil {
		return nil, nil, err
	}
	byName := make(map[string]bridge.Account, len(rows))
	for _, row := range rows {
		byName[row.Name] = row
	}
	states = map[string]int{}
	for _, a := range p.accounts {
		row, code := byName[a.Name], bridge.StateNew
		if row.State.Code != "" {
			code = row.State.Code
		}
		if states[code]++; code != bridge.StateOK && code != bridge.StateNew {
			list = append(list, a)
		}
	}
	return list, states, nil
}
