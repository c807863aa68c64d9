package convert

import (
	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
)

// RecurrenceOf is the recurrence that the new event cal of a client gets in Outlook.
func RecurrenceOf(cal *ical.Calendar, mailboxZone string) (*graph.Recurrence, error) {
	s := Series{MailboxZone: mailboxZone}
	in := readObject(cal, s, nil)
	at, _, err := graphTimes(in.master, in, s, nil)
	if err != nil {
		return nil, err
	}
	return graphRecurrence(in, at, s, nil)
}
