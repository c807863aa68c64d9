package dav

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/write"
	"outbridge/caldav"
)

// Writing is a Backend with calendars that take writes: those of accounts whose Policy has it.
type Writing struct {
	Backend
	Writer Writer

	tags scheduleTags
}

// Writer carries out writes; *write.Writer is the real one.
type Writer interface {
	Put(ctx context.Context, r write.Request) (write.Result, error)
	Delete(ctx context.Context, r write.Request) error
	Move(ctx context.Context, r write.Request) (write.Result, error)
	Copy(ctx context.Context, r write.Request) (write.Result, error)
	// Object finds an object by any of its names.
	Object(ctx context.Context, c bridge.CalendarID, name string) (bridge.Object, error)
	// Refuse keeps that a Put was refused before it came to the Writer.
	Refuse(ctx context.Context, r write.Request, refusal convert.Refusal)
	Attach(ctx context.Context, r write.Request, rids []string, f write.NewFile) (write.Result, string, error)
	Reattach(ctx context.Context, r write.Request, key string, f write.NewFile) (write.Result, string, error)
	Detach(ctx context.Context, r write.Request, rids []string, key string) (write.Result, error)
	// OpenFile is a file of an event by what clients know it by.
	OpenFile(ctx context.Context, account, key string) (write.OpenedFile, error)
	FreeBusy(ctx context.Context, account string, q write.BusyQuery) ([]write.Availability, error)
}

var (
	_ caldav.Backend           = (*Writing)(nil)
	_ caldav.WriteBackend      = (*Writing)(nil)
	_ caldav.PropertyStore     = (*Writing)(nil)
	_ caldav.PushBackend       = (*Writing)(nil)
	_ caldav.AddressBackend    = (*Writing)(nil)
	_ caldav.AttachmentBackend = (*Writing)(nil)
	_ caldav.ScheduleBackend   = (*Writing)(nil)
)

func (b *Writing) Object(ctx context.Context, c caldav.Calendar, name string) (caldav.Object, error) {
	o, err := b.Backend.Object(ctx, c, name)
	if errors.Is(err, caldav.ErrNotFound) && c.Writable {
		var found bridge.Object
		if found, err = b.Writer.Object(ctx, c.Key.(bridge.CalendarID), name); err == nil {
			o = davObject(found)
		}
		err = davError(err)
	}
	if err != nil {
		return o, err
	}
	o.ReadOnly, err = b.isPrivate(ctx, c, o)
	return b.tagged(c, o), err
}

// isPrivate reports whether an object is a private event of somebody else: it comes without what it says, so that whatever is
// written to it would wipe that out.
func (b *Writing) isPrivate(ctx context.Context, c caldav.Calendar, o caldav.Object) (bool, error) {
	if !c.Writable || !saysPrivate(o.Data) {
		return false, nil
	}
	cal, err := b.Store.UserCalendar(ctx, c.Owner, c.Name)
	if err != nil {
		return false, davError(err)
	}
	all, err := b.Store.Calendars(ctx, cal.Account)
	if err != nil {
		return false, err
	}
	a, err := b.Store.Account(ctx, c.Owner)
	return cal.IsForeign(a.Addresses(all)), err
}

// saysPrivate reports whether any component of an object is of such a class.
func saysPrivate(data []byte) bool {
	for {
		_, class, ok := bytes.Cut(data, []byte("\nCLASS:"))
		if !ok || bytes.HasPrefix(class, []byte("PRIVATE")) || bytes.HasPrefix(class, []byte("CONFIDENTIAL")) {
			return ok
		}
		data = class
	}
}

func (b *Writing) Objects(ctx context.Context, c caldav.Calendar, q caldav.Query) iter.Seq2[caldav.Object, error] {
	if !c.Writable {
		return b.Backend.Objects(ctx, c, q)
	}
	return func(yield func(caldav.Object, error) bool) {
		missing := map[string]bool{}
		for _, name := range q.Names {
			missing[name] = true
		}
		for o, err := range b.Backend.Objects(ctx, c, q) {
			delete(missing, o.Name)
			if !yield(b.tagged(c, o), err) || err != nil {
				return
			}
		}
		for _, name := range q.Names {
			if !missing[name] {
				continue
			}
			o, err := b.Writer.Object(ctx, c.Key.(bridge.CalendarID), name)
			if errors.Is(err, bridge.ErrNotFound) {
				continue
			}
			found := b.tagged(c, davObject(o))
			if found.Name = name; !q.WithData {
				found.Data = nil
			}
			if !yield(found, err) || err != nil {
				return
			}
		}
	}
}

// tagged is an object with its Schedule-Tag, where its data is there.
func (b *Writing) tagged(c caldav.Calendar, o caldav.Object) caldav.Object {
	if c.Schedules && bytes.Contains(o.Data, []byte("\nORGANIZER")) {
		o.ScheduleTag = b.tags.of(o.ETag, o.Data)
	}
	return o
}

// scheduleTags remembers the Schedule-Tags of octets by their ETags, since it takes reading the octets to make one.
type scheduleTags struct {
	mu   sync.Mutex
	tags map[string]string
}

const maxScheduleTags = 10000

func (s *scheduleTags) of(etag string, data []byte) string {
	s.mu.Lock()
	tag, ok := s.tags[etag]
	s.mu.Unlock()
	if ok {
		return tag
	}
	tag = write.ScheduleTag(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tags == nil || len(s.tags) >= maxScheduleTags {
		s.tags = map[string]string{}
	}
	s.tags[etag] = tag
	return tag
}

func (b *Writing) Put(ctx context.Context, c caldav.Calendar, name string, r caldav.PutRequest) (caldav.Written, error) {
	q, err := b.request(ctx, c, name, r.WriteRequest)
	if err != nil {
		return caldav.Written{}, err
	}
	q.Octets, q.New = r.Octets, r.Data
	return b.written(ctx, c, r.Principal)(b.Writer.Put(ctx, q))
}

func (b *Writing) Delete(ctx context.Context, c caldav.Calendar, name string, r caldav.WriteRequest) error {
	q, err := b.request(ctx, c, name, r)
	if err != nil {
		return err
	}
	return b.refusal(ctx, r.Principal, b.Writer.Delete(ctx, q))
}

func (b *Writing) Move(ctx context.Context, c caldav.Calendar, name string, to caldav.Destination, r caldav.WriteRequest) (caldav.Written, error) {
	return b.place(ctx, c, name, to, r, b.Writer.Move)
}

func (b *Writing) Copy(ctx context.Context, c caldav.Calendar, name string, to caldav.Destination, r caldav.WriteRequest) (caldav.Written, error) {
	return b.place(ctx, c, name, to, r, b.Writer.Copy)
}

// place is Move and Copy. Nothing is ever put in the place of another event: that would delete it, and mail its people.
func (b *Writing) place(ctx context.Context, c caldav.Calendar, name string, to caldav.Destination, r caldav.WriteRequest, do func(context.Context, write.Request) (write.Result, error)) (caldav.Written, error) {
	q, err := b.request(ctx, c, name, r)
	if err != nil {
		return caldav.Written{}, err
	}
	if q.To, err = b.Store.UserCalendar(ctx, r.Principal.Name, to.Calendar.Name); err != nil {
		return caldav.Written{}, davError(err)
	}
	q.ToName = to.Name
	switch _, err := b.Store.Object(ctx, q.To.ID, to.Name); {
	case err == nil && !to.Overwrite:
		return caldav.Written{}, caldav.ErrPrecondition
	case err == nil:
		return caldav.Written{}, &caldav.Refused{Condition: caldav.ValidCalendarObject, Sentence: "There is another event of that name; delete it first."}
	case !errors.Is(err, bridge.ErrNotFound):
		return caldav.Written{}, err
	}
	return b.written(ctx, to.Calendar, r.Principal)(do(ctx, q))
}

// request is what a write asks of the Writer, and whether a date that it names has passed.
func (b *Writing) request(ctx context.Context, c caldav.Calendar, name string, r caldav.WriteRequest) (write.Request, error) {
	cal, err := b.Store.UserCalendar(ctx, r.Principal.Name, c.Name)
	if err != nil {
		return write.Request{}, davError(err)
	}
	q := write.Request{
		Account: r.Principal.Name, Password: r.Principal.Password, Client: r.Client, Calendar: cal, Name: name, Silent: r.Silent,
		Match: write.Match{IfMatch: r.Match.IfMatch, IfNoneMatch: r.Match.IfNoneMatch, IfScheduleTag: r.Match.IfScheduleTag},
	}
	if r.Match.IfMatch == nil && !r.Match.IfUnmodifiedSince.IsZero() {
		o, err := b.Object(ctx, c, name)
		if err != nil && !errors.Is(err, caldav.ErrNotFound) {
			return q, err
		}
		if err == nil && !(caldav.Match{IfUnmodifiedSince: r.Match.IfUnmodifiedSince}).Holds(&o) {
			return q, caldav.ErrPrecondition
		}
	}
	return q, nil
}

// written turns what came of a write into what a client is told.
func (b *Writing) written(ctx context.Context, c caldav.Calendar, p caldav.Principal) func(write.Result, error) (caldav.Written, error) {
	return func(r write.Result, err error) (caldav.Written, error) {
		if err != nil {
			return caldav.Written{}, b.refusal(ctx, p, err)
		}
		o := b.tagged(c, davObject(r.Object))
		o.Deleted = o.Deleted || o.Name == ""
		return caldav.Written{Object: o, Created: r.Created}, nil
	}
}

var conditions = map[convert.RefusalKind]caldav.Condition{
	convert.RefusedReadOnly:   caldav.NeedPrivileges,
	convert.RefusedData:       caldav.ValidCalendarData,
	convert.RefusedObject:     caldav.ValidCalendarObject,
	convert.RefusedComponent:  caldav.SupportedComponent,
	convert.RefusedAttendees:  caldav.MaxAttendeesPerInstance,
	convert.RefusedSize:       caldav.MaxResourceSize,
	convert.RefusedAttachment: caldav.MaxAttachmentSize,
	convert.RefusedUID:        caldav.NoUIDConflict,
	convert.RefusedOrganizer:  caldav.AllowedOrganizerChange,
	convert.RefusedAttendee:   caldav.AllowedAttendeeChange,
	convert.RefusedOrganizers: caldav.SameOrganizer,
	write.RefusedOccurrence:   caldav.ValidRecurrenceID,
	write.RefusedFile:         caldav.ValidManagedID,
	write.RefusedFiles:        caldav.MaxAttachmentsPerResource,
}

// refusal is an error of the Writer as package caldav answers it.
func (b *Writing) refusal(ctx context.Context, p caldav.Principal, err error) error {
	var refused *write.Refused
	var busy *write.Busy
	switch {
	case errors.As(err, &refused):
		r := &caldav.Refused{Condition: conditions[refused.Kind], Sentence: refused.Sentence, Object: refused.Object}
		if refused.Calendar != 0 {
			r.Calendar = b.nameOf(ctx, p, refused.Calendar)
		}
		return r
	case errors.As(err, &busy):
		return &caldav.Refused{Err: caldav.ErrUnavailable, RetryAfter: busy.After, Sentence: busy.Sentence}
	case errors.Is(err, write.ErrPrecondition):
		return caldav.ErrPrecondition
	case errors.Is(err, write.ErrNotFound):
		return caldav.ErrNotFound
	case errors.Is(err, write.ErrFull):
		return &caldav.Refused{Err: caldav.ErrFull, Condition: caldav.QuotaNotExceeded, Sentence: "The mailbox is full."}
	}
	return davError(err)
}

// nameOf is the path segment of a calendar of the principal's, "" where it is not known.
func (b *Writing) nameOf(ctx context.Context, p caldav.Principal, id bridge.CalendarID) string {
	list, err := b.Calendars(ctx, p)
	i := slices.IndexFunc(list, func(c caldav.Calendar) bool { return c.Key == id })
	if err != nil || i < 0 {
		return ""
	}
	return list[i].Name
}

// Refuse keeps a PUT that was refused for what was sent; see caldav.Handler.
func (b *Writing) Refuse(ctx context.Context, c caldav.Calendar, name string, r caldav.WriteRequest, sentence string) {
	q, err := b.request(ctx, c, name, caldav.WriteRequest{Principal: r.Principal, Client: r.Client})
	if err == nil {
		b.Writer.Refuse(ctx, q, convert.Refusal{Kind: convert.RefusedData, Sentence: sentence})
	}
}
