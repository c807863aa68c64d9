package graphsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// Kinds of a Mail.
const (
	MailInvitation   = "invitation"
	MailUpdate       = "update"
	MailCancellation = "cancellation"
	MailReply        = "reply"
)

// A Mail is a message that Outlook has sent, once for all of its recipients.
type Mail struct {
	At         time.Time
	Mailbox    string // the address of who sends it: the owner of the calendar
	Kind       string
	Response   string        // of a reply: accepted, tentativelyAccepted, declined
	To         []string      // addresses, in lower case, sorted
	Event      graph.EventID // immutable; of a series the master's
	Occurrence string        // of one occurrence, by its original date in the series' zone (yyyy-mm-dd)
	ICalUID    string
	Subject    string
	Call       string // the request that it is due to: "PATCH /v1.0/me/events/…"; "": a person did something in Outlook
}

// Mails are those that Outlook has sent since the last ResetMails, oldest first.
func (s *Server) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// ResetMails empties the ledger.
func (s *Server) ResetMails() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mails = nil
}

// mail sends a message about an event or its occurrence of a day to some, and lets it arrive in the mailboxes that are on this server.
func (s *Server) mail(x *item, day time.Time, kind string, to []string, call string) {
	s.sendMail(x, day, kind, to, call, false)
}

// sendMail is mail; along: the message only goes with one about the series.
func (s *Server) sendMail(x *item, day time.Time, kind string, to []string, call string, along bool) {
	to = slices.Clone(to)
	for i := range to {
		to[i] = strings.ToLower(to[i])
	}
	slices.Sort(to)
	if to = slices.Compact(to); len(to) == 0 {
		return
	}
	x.sent = true
	m := Mail{At: s.now(), Mailbox: x.cal.owner().address, Kind: kind, To: to, Event: x.id(true), ICalUID: x.uid(), Subject: x.at(day).Subject, Call: call}
	if !day.IsZero() {
		m.Occurrence = day.Format(time.DateOnly)
	}
	s.mails = append(s.mails, m)
	for _, address := range to {
		if along {
			continue // the series has arrived as a whole
		}
		s.noteMail(m, address, contents(x.at(day)))
		box := s.mailbox(address)
		switch {
		case box == nil || box == x.cal.owner():
		case kind == MailCancellation:
			box.receiveCancellation(x, day)
		default:
			box.receive(x, day)
		}
	}
}

// noteMail looks whether somebody is told twice of one thing.
func (s *Server) noteMail(m Mail, to, contents string) {
	if s.told == nil {
		s.told = map[string]string{}
	}
	thing := strings.Join([]string{m.ICalUID, m.Occurrence, m.Mailbox, to}, "|")
	now := m.Kind + m.Response + contents
	last := s.told[thing]
	invited := strings.HasPrefix(last, MailInvitation) || strings.HasPrefix(last, MailUpdate)
	twice := last == now || m.Kind == MailUpdate && last == MailInvitation+contents || m.Kind == MailInvitation && invited ||
		m.Kind == MailCancellation && strings.HasPrefix(last, MailCancellation)
	if twice && m.Call != "" {
		s.violation("a %s to %s for %q %s, who has been told (%s)", m.Kind, to, m.Subject, m.Occurrence, m.Call)
	}
	s.told[thing] = now
	if m.Kind != MailReply {
		// Whoever was told of something new may answer again.
		delete(s.told, strings.Join([]string{m.ICalUID, m.Occurrence, to, m.Mailbox}, "|"))
	}
}

// forgetOccurrences takes back what was told of single occurrences, since others take their place.
func (s *Server) forgetOccurrences(x *item) {
	for thing := range s.told {
		if parts := strings.Split(thing, "|"); parts[0] == x.uid() && parts[1] != "" {
			delete(s.told, thing)
		}
	}
}

// contents sums up what attendees see of an event.
func contents(e Event) string {
	e.Categories, e.ReminderMinutes, e.ShowAs, e.Sensitivity, e.Response, e.ResponseTime, e.Properties, e.TransactionID = nil, nil, "", "", "", time.Time{}, nil, ""
	var who []string
	for _, a := range e.Attendees {
		who = append(who, strings.ToLower(a.EmailAddress.Address)+a.Type)
	}
	e.Attendees = nil
	b, _ := json.Marshal(e) // what cannot be marshalled is in Extra, and the same
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(b, "%q", who)))
}

// uid is the iCalUId of the event or series.
func (x *item) uid() string {
	if x.ev.ICalUID != "" {
		return x.ev.ICalUID
	}
	return globalObjectID(x.cal.mailbox, x.n, x.created, time.Time{})
}

func addresses(list []graph.Attendee) []string {
	var all []string
	for _, a := range list {
		if a.EmailAddress.Address != "" {
			all = append(all, a.EmailAddress.Address)
		}
	}
	return all
}

// announce mails what a change of a meeting from before to after makes Outlook mail, if its calendar's owner organizes it: everybody is
// told of what they can see, and only those concerned of a change of the attendees alone. exceptions are those that a series had before,
// with their attendees.
func (x *item) announce(day time.Time, before, after Event, visible bool, exceptions map[time.Time][]graph.Attendee, call string) {
	s := x.cal.mailbox.server
	if !after.organizedBy(x.cal.owner()) {
		return
	}
	var added, kept, changed, removed []string
	for _, a := range after.Attendees {
		switch i := attending(before.Attendees, a.EmailAddress.Address); {
		case i < 0:
			added = append(added, a.EmailAddress.Address)
		case before.Attendees[i].Type != a.Type:
			changed = append(changed, a.EmailAddress.Address)
			fallthrough
		default:
			kept = append(kept, a.EmailAddress.Address)
		}
	}
	for _, a := range before.Attendees {
		if attending(after.Attendees, a.EmailAddress.Address) < 0 {
			removed = append(removed, a.EmailAddress.Address)
		}
	}
	if !visible {
		kept = changed
	}
	s.mail(x, day, MailCancellation, removed, call)
	s.mail(x, day, MailUpdate, kept, call)
	s.mail(x, day, MailInvitation, added, call)
	if visible {
		for _, d := range slices.SortedFunc(maps.Keys(exceptions), time.Time.Compare) {
			// Who was taken out of the series is not told of its exceptions; who is only in the exception is.
			to := slices.DeleteFunc(addresses(exceptions[d]), func(a string) bool { return slices.Contains(removed, a) })
			s.sendMail(x, d, MailUpdate, to, call, true)
		}
	}
}

// attending is where somebody is in a list; -1: nowhere.
func attending(list []graph.Attendee, address string) int {
	return slices.IndexFunc(list, func(a graph.Attendee) bool { return strings.EqualFold(a.EmailAddress.Address, address) })
}

// organizedBy tells whether a mailbox's owner organizes the event.
func (e Event) organizedBy(m *Mailbox) bool {
	return e.Organizer.Address == "" || strings.EqualFold(e.Organizer.Address, m.address)
}

// byUID finds the event or series with an iCalUId.
func (m *Mailbox) byUID(uid string) *item {
	for _, x := range m.items {
		if x != nil && strings.EqualFold(x.uid(), uid) {
			return x
		}
	}
	return nil
}

// receive is an invitation or an update that arrives: all that the organizer decides is as he has it.
func (m *Mailbox) receive(from *item, day time.Time) {
	e := from.ev.clone()
	owner := from.cal.owner()
	e.Organizer = graph.EmailAddress{Name: owner.name, Address: owner.address}
	e.ICalUID = from.uid()
	if e.Zone == "" {
		e.Zone = from.cal.mailbox.zone
	}
	x := m.byUID(from.uid())
	switch {
	case x == from: // in a calendar that its owner has shared into this mailbox
		return
	case x == nil && !day.IsZero():
		one := from.instance(day).ev.clone()
		one.Organizer, one.ICalUID, one.Zone = e.Organizer, e.ICalUID, cmp.Or(one.Zone, e.Zone)
		m.invited(one)
		return
	case x == nil:
		x = m.invited(e)
	case day.IsZero():
		x.overwrite(e)
	}
	if from.series == nil || x.series == nil {
		return
	}
	for _, d := range slices.SortedFunc(maps.Keys(from.exceptions), time.Time.Compare) {
		if theirs := from.exceptions[d].clone(); (day.IsZero() || day.Equal(d)) && !x.cancelled[d] && x.series.has(d) {
			mine := x.exceptionDraft(d)
			theirs.Organizer, theirs.ICalUID, theirs.Zone = e.Organizer, e.ICalUID, cmp.Or(theirs.Zone, e.Zone)
			x.setException(d, mine.asSent(theirs))
			x.update()
		}
	}
}

// invited puts an invitation into the default calendar.
func (m *Mailbox) invited(e Event) *item {
	reminder, sent := 15, e.clone()
	e.Response, e.ResponseTime, e.ShowAs, e.Categories, e.ReminderMinutes = "", time.Time{}, "tentative", nil, &reminder
	e.TransactionID, e.Properties, e.HasAttachments = "", nil, false
	x := m.cals[0].create(e)
	x.theirs = &sent
	return x
}

// overwrite takes over what the organizer has sent.
func (x *item) overwrite(e Event) {
	sent := e.clone()
	mine := x.ev.asSent(e)
	if err := x.set(mine); err != nil {
		return
	}
	x.theirs = &sent
	x.update()
}

// asSent is the event as the organizer has sent it, with what is the invitee's own.
func (e Event) asSent(theirs Event) Event {
	mine := theirs.clone()
	mine.Response, mine.ResponseTime, mine.ShowAs, mine.Categories, mine.ReminderMinutes = e.Response, e.ResponseTime, e.ShowAs, slices.Clone(e.Categories), e.ReminderMinutes
	mine.Sensitivity, mine.Properties, mine.TransactionID, mine.HasAttachments = e.Sensitivity, maps.Clone(e.Properties), "", e.HasAttachments
	if !e.Start.Equal(mine.Start) || !e.End.Equal(mine.End) || e.AllDay != mine.AllDay {
		mine.Response, mine.ResponseTime, mine.ShowAs = "notResponded", time.Time{}, "tentative"
	}
	return mine
}

// receiveCancellation is one that arrives.
func (m *Mailbox) receiveCancellation(from *item, day time.Time) {
	x := m.byUID(from.uid())
	if x == nil || x == from || !day.IsZero() && (x.series == nil || x.cancelled[day] || !x.series.has(day)) {
		return
	}
	_ = x.edit(day, func(e *Event) { // an occurrence that stays where it is crosses none
		if !e.Cancelled {
			cancelByOrganizer(e)
		}
	})
}

// reply mails the owner's answer to the organizer, in whose calendar it shows.
func (s *Server) reply(x *item, day time.Time, response, call string) {
	e, owner := x.at(day), x.cal.owner()
	m := Mail{At: s.now(), Mailbox: owner.address, Kind: MailReply, Response: response, To: []string{strings.ToLower(e.Organizer.Address)},
		Event: x.id(true), ICalUID: x.uid(), Subject: e.Subject, Call: call}
	if !day.IsZero() {
		m.Occurrence = day.Format(time.DateOnly)
	}
	s.mails = append(s.mails, m)
	s.noteMail(m, m.To[0], "")
	if box := s.mailbox(e.Organizer.Address); box != nil {
		if theirs := box.byUID(x.uid()); theirs != nil {
			theirs.answered(day, owner.address, response, s.now())
		}
	}
}

// answered notes an attendee's answer, to an occurrence or to the whole of it.
func (x *item) answered(day time.Time, address, response string, at time.Time) {
	_ = x.edit(day, func(e *Event) { // nothing moves
		e.Attendees = slices.Clone(e.Attendees)
		if i := attending(e.Attendees, address); i >= 0 {
			e.Attendees[i].Status = graph.ResponseStatus{Response: response, Time: at.UTC().Format(time.RFC3339)}
		}
	})
}
