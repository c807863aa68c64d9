package web

import (
	"context"
	"errors"
	"strings"
	"time"

	"outbridge/bridge"
)

// accountStatus is an account and the state that it is in.
type accountStatus struct {
	Account
	State     bridge.State
	Sentence  string // what is wrong; "" if nothing is
	Advice    string // how to fix it; "" if there is nothing to do
	Level     string // how its state is shown: "good", "wait" or "bad"
	Word      string // the state in a word or two
	Button    string // the button that fixes it; "" if none does
	Good      time.Time
	Pulse     bridge.Pulse
	Zone      string
	Who       string // the address of the person who signed in; "" if nobody has
	Calendars []calendarStatus

	incomplete bool // a calendar lacks what begins after its window
}

// calendarStatus is a calendar and the state that it is in.
type calendarStatus struct {
	bridge.Calendar
	bridge.Counts
	Level string
	Word  string
}

func (h *Handler) accountStatus(ctx context.Context, a Account) (accountStatus, error) {
	v := accountStatus{Account: a, Pulse: h.Accounts.Pulse(a.Name)}
	row, err := h.Store.Account(ctx, a.Name)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return v, err
	}
	v.State, v.Zone, v.Who = row.State, row.Settings.Zone, row.Identity.Address
	v.Good = v.Pulse.LastGood(row.LastGood)
	if err == nil {
		cals, err := h.Store.Calendars(ctx, row.ID)
		if err != nil {
			return v, err
		}
		for _, c := range cals {
			c.Color = c.ShownColor()
			c.Good = v.Pulse.GoodOf(c.ID, c.Good)
			one := calendarStatus{Calendar: c, Level: "good", Word: "In sync"}
			if one.Counts, err = h.Store.Counts(ctx, c.ID); err != nil {
				return v, err
			}
			switch {
			case c.Fault != (bridge.Fault{}):
				one.Level, one.Word = "bad", "Last sync failed"
			case c.Good.IsZero():
				one.Level, one.Word = "wait", "First sync"
			case !c.Lacks().IsZero():
				one.Level, one.Word, v.incomplete = "wait", "Incomplete", true
			case one.Unread > 0:
				one.Level, one.Word = "wait", "Outlook does not show every event"
			}
			v.Calendars = append(v.Calendars, one)
		}
	}
	v.judge(row.TokenVersion)
	return v, nil
}

// judge turns the state into a word, a level and a button. version counts the sign-ins of the account.
func (v *accountStatus) judge(version int64) {
	v.Sentence, v.Advice = WordsFor(v.State.Fault).Sentence, action(v.State.Fault)
	switch v.State.Code {
	case bridge.StateOK:
		v.Level, v.Word = "good", "In sync with Outlook"
		if v.incomplete {
			v.Level, v.Word = "wait", "Incomplete"
			v.Sentence = "Microsoft does not list the later events of a calendar, so some of them may be missing."
			v.Advice = "There is nothing to do: the bridge tries again every hour."
		}
	case bridge.StateNew, "":
		v.Level, v.Word = "wait", "First sync"
		v.Sentence, v.Advice = "The first sync is in progress.", ""
	case bridge.StateUnavailable:
		v.Level, v.Word = "wait", "Microsoft is not responding"
	case bridge.StateSignIn:
		v.Level, v.Word, v.Button = "bad", "Sign-in needed", "Sign in again"
	case bridge.StateDenied:
		v.Level, v.Word = "bad", "Access denied"
	case bridge.StateConfiguration:
		v.Level, v.Word = "bad", "Setup needed"
	default:
		v.Level, v.Word = "bad", "Error"
	}
	if v.State.Final && v.State.TokenVersion != version {
		v.Level, v.Word, v.Button = "wait", "Signed in", ""
		v.Sentence, v.Advice = "The first sync with the new sign-in is in progress.", ""
	}
	if version == 0 && v.Mailbox == "" && v.Level != "good" {
		v.Level, v.Word, v.Button = "wait", "Not signed in yet", "Sign in to Microsoft"
		v.Sentence, v.Advice = "Nobody has signed in to this account yet.", ""
	}
	// Even if an administrator has to act first, signing in again may be what is left to do.
	if v.Button == "" && v.Level == "bad" && v.Mailbox == "" && v.State.Action.SignsIn() {
		v.Button = "Sign in again"
	}
	if strings.TrimSuffix(v.Advice, ".") == v.Button {
		v.Advice = "" // the button says it
	}
}
