package write

import (
	"context"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// More operations that mail than this in so long a time are no person's doing: a program has gone wild, or imports a calendar.
const (
	burstOperations = 20
	burstTime       = 10 * time.Minute
)

// mayWrite refuses what a calendar does not take at all.
func mayWrite(m Mailbox, c bridge.Calendar) error {
	switch {
	case !m.Policy.Write:
		return refuse(convert.RefusedReadOnly, `This account is read-only here; set access = "read-write" for it to let calendar programs change events.`)
	case !c.CanEdit:
		return refuse(convert.RefusedReadOnly, "Outlook lets you read this calendar and not change it; ask its owner for more rights.")
	}
	return nil
}

// mayTouch refuses what an event does not take. A private event that somebody else lets us see comes without what it says, so
// anything written to it would wipe that out.
func mayTouch(m Mailbox, c bridge.Calendar, s convert.Series) error {
	e := s.Event
	if (strings.EqualFold(e.Sensitivity, "private") || strings.EqualFold(e.Sensitivity, "confidential")) && c.IsForeign(m.Addresses) {
		return refuse(convert.RefusedReadOnly, "This is a private event of somebody else, which can be changed by its owner only.")
	}
	return nil
}

// mayMail holds the mails of a plan against the policy. Nobody answers for somebody else unless Outlook may mail whatever it does: an
// answer from a calendar that is shared goes out in its owner's name.
func mayMail(m Mailbox, c bridge.Calendar, plan convert.Plan) error {
	replies, others := 0, 0
	for _, s := range plan.Steps {
		for _, m := range s.Mails {
			switch {
			case len(m.To) == 0:
			case m.Kind == convert.MailReply:
				replies += len(m.To)
			default:
				others += len(m.To)
			}
		}
	}
	setting := m.Policy.Invitations
	if setting == "" {
		setting = bridge.InvitationsNever
	}
	switch {
	case others == 1 && setting != bridge.InvitationsOutlook:
		return refuse(convert.RefusedOrganizer, `Outlook would send mail to one person because of this change, and invitations = %q does not allow that; set invitations = "outlook" for this account, or change the meeting in Outlook.`, setting)
	case others > 1 && setting != bridge.InvitationsOutlook:
		return refuse(convert.RefusedOrganizer, `Outlook would send mail to %d people because of this change, and invitations = %q does not allow that; set invitations = "outlook" for this account, or change the meeting in Outlook.`, others, setting)
	case replies > 0 && setting == bridge.InvitationsReplies && c.IsForeign(m.Addresses):
		return refuse(convert.RefusedAttendee, "Outlook would send an answer in the name of the owner of this calendar; let the owner answer.")
	case replies > 0 && setting == bridge.InvitationsNever:
		return refuse(convert.RefusedAttendee, `Outlook would send your answer to the organizer, and invitations = "never" does not allow that; set invitations = "replies" for this account, or answer in Outlook.`)
	}
	return nil
}

// recipients counts whom a step mails.
func recipients(s convert.Step) (n int) {
	for _, m := range s.Mails {
		n += len(m.To)
	}
	return n
}

func mails(plan convert.Plan) (n int) {
	for _, s := range plan.Steps {
		n += recipients(s)
	}
	return n
}

// mayGo stops an account's writes where more of them mail than a person makes, until somebody confirms them: those that have mailed
// by then do not count any more.
func (w *Writer) mayGo(ctx context.Context, a bridge.Account, plan convert.Plan) error {
	paused := &Busy{After: 5 * time.Minute, Sentence: fmt.Sprintf("More than %d changes have mailed people within %d minutes, so changes of this account wait until somebody confirms them.",
		burstOperations, int(burstTime.Minutes()))}
	hold, err := w.Store.WriteHold(ctx, a.ID)
	if err != nil {
		return err
	}
	if !hold.Since.IsZero() {
		return paused
	}
	if mails(plan) == 0 {
		return nil
	}
	since := w.now().Add(-burstTime)
	if hold.Confirmed.After(since) {
		since = hold.Confirmed.Add(time.Second) // the store counts in seconds
	}
	n, _, err := w.Store.MailsSince(ctx, a.ID, since)
	if err != nil || n < burstOperations {
		return err
	}
	w.log().Warn("writes are paused: too many of them mail", "account", a.Name, "operations", n)
	hold.Since = w.now()
	if err := w.Store.SetWriteHold(ctx, a.ID, hold); err != nil {
		return err
	}
	return paused
}
