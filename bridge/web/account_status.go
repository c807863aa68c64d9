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
	Sentence  Text   // what is wrong; "" if nothing is
	Advice    Text   // how to fix it; "" if there is nothing to do
	Level     string // how its state is shown: "good", "wait" or "bad"
	Word      Text   // the state in a word or two
	Button    Text   // the button that fixes it; "" if none does
	Good      time.Time
	Pulse     bridge.Pulse
	Zone      string
	Who       string // the address of the person who signed in; "" if nobody has
	Calendars []calendarStatus
	Next      Text // when the next sync begins
	CanSync   bool // a sync that is asked for now does something
	Progress  progress

	incomplete bool // a calendar lacks what begins after its window
}

// calendarStatus is a calendar and the state that it is in.
type calendarStatus struct {
	bridge.Calendar
	bridge.Counts
	Level string
	Word  Text
	Stale bool // its last good sync is too long ago
}

// accountStatus is an account with all that its pages show.
func (h *Handler) accountStatus(ctx context.Context, a Account) (accountStatus, error) {
	return h.standing(ctx, a, h.Store.Counts)
}

// standing is how an account fares. What its calendars hold is only counted with counts, which takes its time.
func (h *Handler) standing(ctx context.Context, a Account, counts func(context.Context, bridge.CalendarID) (bridge.Counts, error)) (accountStatus, error) {
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
			if counts != nil {
				if one.Counts, err = counts(ctx, c.ID); err != nil {
					return v, err
				}
			}
			one.Stale = isStale(h.now(), c.Good, h.staleAfter())
			switch {
			case c.Fault != (bridge.Fault{}):
				one.Level, one.Word = "bad", "Last sync failed"
			case c.Good.IsZero():
				one.Level, one.Word = "wait", "First sync"
			case one.Stale:
				one.Level, one.Word = "bad", "Out of date"
			case !c.Lacks().IsZero():
				one.Level, one.Word, v.incomplete = "wait", "Incomplete", true
			case one.Unread > 0:
				one.Level, one.Word = "wait", "Outlook does not show every event"
			}
			v.Calendars = append(v.Calendars, one)
		}
	}
	v.judge(row.TokenVersion)
	row.Name = a.Name
	v.Progress, _, _ = h.progress(ctx, row)
	if waits := v.Progress.waits; waits.Phase != "" && v.Level != "bad" {
		since := wall(waits.Since)
		if s := row.State; s.Code == bridge.StateUnavailable && s.Reason == bridge.ReasonUnavailable { // a round before this has failed
			if since = wall(s.Since); !civilDay(s.Since).Equal(civilDay(waits.Until)) {
				since = s.Since.Local().Format("2006-01-02 15:04")
			}
		}
		v.Level, v.Word = "wait", notAnswering
		v.Sentence = With("Outlook has not answered since {time}. It is asked again at {again}.", since, wall(waits.Until))
		v.Advice = "There is nothing to do: the bridge tries again automatically."
	}
	for i, c := range v.Calendars {
		if (v.Level == "bad" || v.Word == notSignedIn || v.Progress.waits.Phase != "") && c.Level == "good" { // the account's trouble is theirs
			v.Calendars[i].Level, v.Calendars[i].Word = "wait", "Not synced now"
		}
	}
	app, err := h.Accounts.App(ctx)
	if err != nil {
		return v, err
	}
	v.Next, v.CanSync = h.next(v, app.ClientID != "")
	return v, nil
}

// Watched reports whether the account's page is kept up to date: while something is under way that people wait for.
func (v accountStatus) Watched() bool { return v.Level == "wait" || v.Pulse.Busy }

// next is when an account is synced next, in words, and whether it can be synced now.
func (h *Handler) next(v accountStatus, registered bool) (when Text, can bool) {
	switch {
	case !registered:
		return "after the app registration is entered", false
	case v.Word == notSignedIn:
		return "after the sign-in", false
	case v.Progress.waits.Phase != "":
		return With("under way; Outlook is asked again at {again}", wall(v.Progress.waits.Until)), false
	case v.Pulse.Busy:
		return "now", true
	case v.State.Code == bridge.StateSignIn && v.Button != "":
		return "after you have signed in again", false
	case v.Pulse.Next.IsZero():
		return "soon", true
	}
	return until(h.now(), v.Pulse.Next), true
}

// notAnswering is the state of an account that Microsoft does not answer.
const notAnswering Text = "Microsoft is not responding"

// notSignedIn is the state of an account that nobody has signed in to.
const notSignedIn Text = "Not signed in yet"

// judge turns the state into a word, a level and a button. version counts the sign-ins of the account.
func (v *accountStatus) judge(version int64) {
	w := wordingFor(v.State.Fault)
	v.Sentence, v.Advice = w.Sentence, w.action(v.State.Fault)
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
		v.Level, v.Word = "wait", notAnswering
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
		v.Level, v.Word, v.Button = "wait", notSignedIn, "Sign in to Microsoft"
		v.Sentence, v.Advice = "Nobody has signed in to this account yet.", ""
	}
	// Even if an administrator has to act first, signing in again may be what is left to do.
	if v.Button == "" && v.Level == "bad" && v.Mailbox == "" && v.State.Action.SignsIn() {
		v.Button = "Sign in again"
	}
	if strings.TrimSuffix(v.Advice.String(), ".") == v.Button.String() {
		v.Advice = "" // the button says it
	}
}

// Syncing is whether a round is at work, and not only waiting for Microsoft.
func (v accountStatus) Syncing() bool { return v.Pulse.Busy && v.Progress.waits.Phase == "" }
