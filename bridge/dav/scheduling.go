package dav

import (
	"context"
	"errors"

	"outbridge/bridge"
	"outbridge/bridge/write"
	"outbridge/caldav"
)

// Scheduling: boxes are there where Outlook mails for clients, who would mail by themselves otherwise.
func (b *Writing) Scheduling(ctx context.Context, p caldav.Principal) (s caldav.Scheduling, err error) {
	a, err := b.Store.Account(ctx, p.Name)
	if errors.Is(err, bridge.ErrNotFound) || err == nil && !b.policy(a).Mails() {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	list, err := b.Store.Calendars(ctx, a.ID)
	if err != nil {
		return s, err
	}
	s.Boxes = true
	for _, c := range list {
		if c.Default && c.Mailbox == "" {
			s.Default = c.Name
		}
	}
	return s, nil
}

var busyStatuses = map[write.Knowledge]caldav.BusyStatus{
	write.KnownTimes: caldav.BusyKnown, write.UnknownPerson: caldav.BusyUnknownUser, write.HiddenTimes: caldav.BusyNoAuthority, write.UnansweredTime: caldav.BusyUnavailable,
}

var busyTypes = map[write.BusyKind]caldav.BusyType{write.BusyTime: caldav.Busily, write.TentativeTime: caldav.Tentatively, write.AwayTime: caldav.Away}

func (b *Writing) FreeBusy(ctx context.Context, p caldav.Principal, q caldav.BusyQuery) ([]caldav.Busy, error) {
	s, err := b.Scheduling(ctx, p)
	if err != nil {
		return nil, err
	}
	if !s.Boxes {
		return nil, caldav.ErrNotFound
	}
	list, err := b.Writer.FreeBusy(ctx, p.Name, write.BusyQuery{Addresses: q.Recipients, Start: q.Start, End: q.End, Mask: q.Mask})
	if err != nil {
		return nil, davError(err)
	}
	out := make([]caldav.Busy, len(list))
	for i, a := range list {
		out[i].Status = busyStatuses[a.Why]
		for _, period := range a.Periods {
			out[i].Periods = append(out[i].Periods, caldav.BusyPeriod{Start: period.Start, End: period.End, Type: busyTypes[period.Kind]})
		}
	}
	return out, nil
}
