package graphsim

import (
	"fmt"
	"slices"
	"strings"

	"outbridge/bridge/graph"
)

// Invite adds a meeting as Create does, and mails the invitations. From then on Outlook mails what its owner changes of it, and what
// Graph is asked to, and the copies in mailboxes of this server follow.
func (c *Calendar) Invite(e Event) graph.EventID {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x := c.create(e)
	s.mail(x, noDay, MailInvitation, addresses(x.ev.Attendees), "")
	return x.id(true)
}

// Receive puts an invitation from outside into the default calendar, which somebody has organized whose mailbox is not on this server.
// Without an ICalUID it gets one.
func (m *Mailbox) Receive(e Event) graph.EventID {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	if e.ICalUID == "" {
		e.ICalUID = guid(fmt.Sprint("invitation ", len(m.items), m.address)) + "@outside.example"
	}
	return m.invited(e.clone()).id(true)
}

// ReceiveUpdate is an update from outside of an invitation: the organizer's event, as it was last sent, is edited and sent again, and
// whatever the owner of the mailbox has changed of what is the organizer's is lost.
func (m *Mailbox) ReceiveUpdate(id graph.EventID, edit func(*Event)) error {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	x, day, err := m.find(id)
	if err != nil {
		return err
	}
	if x.theirs == nil || !day.IsZero() {
		return ErrNotFound
	}
	e := x.theirs.clone()
	edit(&e)
	x.overwrite(e)
	for thing := range m.server.told { // it may be answered again
		if strings.HasPrefix(thing, x.uid()+"|") {
			delete(m.server.told, thing)
		}
	}
	return nil
}

// ReceiveReply is the answer of an attendee, from outside or not, to a meeting or to one occurrence of it: accepted,
// tentativelyAccepted or declined.
func (c *Calendar) ReceiveReply(id graph.EventID, address, response string) error {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, day, err := c.in(id)
	if err != nil {
		return err
	}
	x.answered(day, address, response, s.now())
	return nil
}

// Event is an event, a master or an occurrence as it is now.
func (c *Calendar) Event(id graph.EventID) (Event, error) {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	x, day, err := c.in(id)
	if err != nil {
		return Event{}, err
	}
	return x.at(day).clone(), nil
}

// Events are the ids of the single events and masters, in the order in which they were made.
func (c *Calendar) Events() []graph.EventID {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	var all []graph.EventID
	for _, x := range c.sorted() {
		all = append(all, x.id(true))
	}
	return all
}

// Occurrences are the original dates (yyyy-mm-dd) of a series' exceptions, and of its cancellations.
func (c *Calendar) Occurrences(master graph.EventID) (exceptions, cancelled []string, err error) {
	s := c.mailbox.server
	s.mu.Lock()
	defer s.mu.Unlock()
	x, _, err := c.in(master)
	if err != nil {
		return nil, nil, err
	}
	for day := range x.exceptions {
		exceptions = append(exceptions, day.Format("2006-01-02"))
	}
	for day := range x.cancelled {
		cancelled = append(cancelled, day.Format("2006-01-02"))
	}
	slices.Sort(exceptions)
	slices.Sort(cancelled)
	return exceptions, cancelled, nil
}
