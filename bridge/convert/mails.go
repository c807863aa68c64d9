package convert

import (
	"slices"
	"strings"

	"outbridge/bridge/graph"
)

// What Outlook mails (measured, and learn.microsoft.com/graph/api/event-update): whoever is invited is told of everything that
// they see, the organizer of every answer, and each modified occurrence of a series is told of by itself.

// recipients are whom Outlook mails to about an event of the owner's.
func (d *differ) recipients(list []graph.Attendee) (to []string) {
	for _, a := range list {
		address := cleanAddress(a.EmailAddress.Address)
		if isAddress(address) && !d.own.has(address) && !slices.ContainsFunc(to, func(s string) bool { return strings.EqualFold(s, address) }) {
			to = append(to, address)
		}
	}
	return to
}

// mail is one of a kind, none where it goes to nobody.
func mail(kind string, to []string) []Mail {
	if len(to) == 0 {
		return nil
	}
	return []Mail{{Kind: kind, To: to}}
}

// updateMails are those of an update of e.
func (d *differ) updateMails(e graph.Event, f fields) []Mail {
	if d.role == invited || !f.visible() && f["attendees"] == nil {
		return nil
	}
	before := d.recipients(e.Attendees)
	now := after(e, f)
	later := d.recipients(now.Attendees)
	without := func(list, other []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
			return slices.ContainsFunc(other, func(o string) bool { return strings.EqualFold(s, o) })
		})
	}
	added, removed := without(later, before), without(before, later)
	told := without(later, added)
	if !f.visible() {
		told = slices.DeleteFunc(told, func(s string) bool { return kindFor(e, s) == kindFor(now, s) })
	}
	return slices.Concat(mail(MailInvitation, added), mail(MailUpdate, told), mail(MailCancellation, removed))
}

// kindFor is the type of an attendee.
func kindFor(e graph.Event, address string) string {
	for _, a := range e.Attendees {
		if strings.EqualFold(cleanAddress(a.EmailAddress.Address), address) {
			return strings.ToLower(a.Type)
		}
	}
	return ""
}

// exceptionMails are those of the modified occurrences of a series whose master is updated: each is told of once more.
func (d *differ) exceptionMails(f fields) (list []Mail) {
	if !f.visible() {
		return nil
	}
	for _, date := range sortedKeys(d.exceptions) {
		for _, m := range d.updateMails(d.exceptions[date], f) {
			if m.Kind == MailUpdate {
				list = append(list, m)
			}
		}
	}
	return list
}

// reply is the answer that the organizer gets.
func (d *differ) reply(e graph.Event, silent bool) []Mail {
	boss := cleanAddress(e.Organizer.EmailAddress.Address)
	if silent || !isAddress(boss) {
		return nil
	}
	return mail(MailReply, []string{boss})
}
