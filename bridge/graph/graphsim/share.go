package graphsim

import (
	"net/url"
	"slices"
	"strings"
	"time"
)

// A CalendarGroup is a group of calendars in a mailbox, as Outlook shows them in its list.
type CalendarGroup struct {
	mailbox  *Mailbox
	id, name string
}

// AddCalendarGroup makes another calendar group, beside "My Calendars".
func (m *Mailbox) AddCalendarGroup(name string) *CalendarGroup {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	return m.addGroup(name)
}

func (m *Mailbox) addGroup(name string) *CalendarGroup {
	g := &CalendarGroup{mailbox: m, name: name}
	g.id = classicStart + m.tag + "AuAAAAAB" + m.filler + number(len(m.groups), 4) + "AAA="
	m.groups = append(m.groups, g)
	return g
}

// AddCalendar makes another calendar in the group. The colour is "#rrggbb", or "" for one that was never set.
func (g *CalendarGroup) AddCalendar(name, hexColor string) *Calendar {
	g.mailbox.server.mu.Lock()
	defer g.mailbox.server.mu.Unlock()
	return g.mailbox.addCalendar(name, hexColor, g)
}

// Share lets the owner of another mailbox read the calendar, with a token that has Calendars.Read.Shared.
func (c *Calendar) Share(with *Mailbox) {
	c.alter(func() {
		if c.shared == nil {
			c.shared = map[*Mailbox]bool{}
		}
		c.shared[with] = true
	})
}

// ShareToEdit lets the owner of another mailbox read and change the calendar, with a token that has Calendars.ReadWrite.Shared.
func (c *Calendar) ShareToEdit(with *Mailbox) {
	c.Share(with)
	c.alter(func() {
		if c.editors == nil {
			c.editors = map[*Mailbox]bool{}
		}
		c.editors[with] = true
	})
}

// Unshare takes it back.
func (c *Calendar) Unshare(with *Mailbox) {
	c.alter(func() {
		delete(c.shared, with)
		delete(c.editors, with)
	})
}

// SetPrivate makes the calendar show its private events to others as blank ones, which they can overwrite all the same.
func (c *Calendar) SetPrivate(private bool) { c.alter(func() { c.private = private }) }

// AddSharedCalendar makes a calendar that somebody else owns and has shared into the mailbox, where it is one of
// /me/calendars. Its events are at the path of the calendar only: /me/events answers 404 for them.
func (m *Mailbox) AddSharedCalendar(name string, by *Mailbox) *Calendar {
	m.server.mu.Lock()
	defer m.server.mu.Unlock()
	c := m.addCalendar(name, "", m.groups[0])
	c.sharer, c.canEdit = by, false
	return c
}

// owner is whose calendar it is.
func (c *Calendar) owner() *Mailbox {
	if c.sharer != nil {
		return c.sharer
	}
	return c.mailbox
}

// eventsPath is where its events are, below their user.
func (c *Calendar) eventsPath() string {
	if c.sharer == nil {
		return "events"
	}
	return "calendars/" + url.PathEscape(string(c.id)) + "/events"
}

// hides tells whether the caller finds an event in lists and not by its id.
func (c *call) hides(x *item, day time.Time) bool {
	e := x.ev
	if !day.IsZero() {
		e = x.instance(day).ev
	}
	return c.server.PrivateUnreadable && (c.guest() || x.cal.sharer != nil) && (e.Sensitivity == "private" || e.Sensitivity == "confidential")
}

func (m *Mailbox) sharesWith(other *Mailbox) bool {
	return slices.ContainsFunc(m.cals, func(c *Calendar) bool { return c.shared[other] })
}

func (s *Server) appMayRead(m *Mailbox) bool {
	return s.AppMailboxes == nil || slices.ContainsFunc(s.AppMailboxes, func(a string) bool { return strings.EqualFold(a, m.address) })
}

// blanks tells whether the caller sees nothing of an event but when it is.
func (c *call) blanks(cal *Calendar, e Event) bool {
	return cal.private && c.foreign(cal) && (e.Sensitivity == "private" || e.Sensitivity == "confidential")
}

// foreign tells whether the calendar is somebody else's for the caller.
func (c *call) foreign(cal *Calendar) bool { return c.guest() || cal.sharer != nil }

// guest tells whether a person asks for somebody else's mailbox.
func (c *call) guest() bool { return c.token.mailbox != nil && c.mailbox != c.token.mailbox }

// sees tells whether the caller may know of the calendar.
func (c *call) sees(cal *Calendar) bool { return !c.guest() || cal.shared[c.token.mailbox] }
