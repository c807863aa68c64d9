package graphsim

import (
	"slices"
	"strings"
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

// Unshare takes it back.
func (c *Calendar) Unshare(with *Mailbox) { c.alter(func() { delete(c.shared, with) }) }

func (m *Mailbox) sharesWith(other *Mailbox) bool {
	return slices.ContainsFunc(m.cals, func(c *Calendar) bool { return c.shared[other] })
}

func (s *Server) appMayRead(m *Mailbox) bool {
	return s.AppMailboxes == nil || slices.ContainsFunc(s.AppMailboxes, func(a string) bool { return strings.EqualFold(a, m.address) })
}

// guest tells whether a person asks for somebody else's mailbox.
func (c *call) guest() bool { return c.token.mailbox != nil && c.mailbox != c.token.mailbox }

// sees tells whether the caller may know of the calendar.
func (c *call) sees(cal *Calendar) bool { return !c.guest() || cal.shared[c.token.mailbox] }
