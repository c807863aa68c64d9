// Package dav serves what is published to CalDAV clients: it is caldav.Backend over the store. It does not know Outlook.
package dav

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/caldav"
)

const (
	// listPage is how many objects are listed at a time.
	listPage = 500
	// mostWithin is how many octets of entries are listed by time at once, some 5,000 objects.
	mostWithin = 1 << 20
)

// Backend serves the published calendars to caldav.Handler.
type Backend struct {
	Store Store
	Cache *Cache // of objects; nil: each is read from the store
	Push  Push   // nil: clients are offered no push
	// Zone finds the time zone that a mailbox names, by an IANA name or one of Microsoft's. Nil: calendars have no zone.
	Zone func(name string) (*time.Location, bool)
	// Served reports whether the user's account is in the configuration, or was added on the pages; others are refused,
	// whatever is stored of them. Nil: all are served.
	Served func(user string) bool
	// Policy is what clients may do to the calendars of an account as it is now. Nil: read them.
	Policy func(bridge.Account) bridge.Policy
}

// Store is what clients see.
type Store interface {
	Account(ctx context.Context, name string) (bridge.Account, error)
	Calendars(ctx context.Context, id bridge.AccountID) ([]bridge.Calendar, error)
	CheckPassword(ctx context.Context, user, password string) (label string, ok bool, err error)
	bridge.ObjectStore
	bridge.PropertyStore
}

// Push keeps subscriptions of clients to calendars; see caldav.PushBackend.
type Push interface {
	Key() []byte
	Topic(c caldav.Calendar) string
	Register(ctx context.Context, user string, calendar bridge.CalendarID, s caldav.PushSubscription) (r caldav.PushRegistration, created bool, err error)
	Unregister(ctx context.Context, user, id string) error
}

var (
	_ caldav.Backend        = Backend{}
	_ caldav.PropertyStore  = Backend{}
	_ caldav.PushBackend    = Backend{}
	_ caldav.AddressBackend = Backend{}
)

func (b Backend) Login(ctx context.Context, user, password string) (caldav.Principal, error) {
	label, ok, err := b.Store.CheckPassword(ctx, user, password)
	if err != nil {
		return caldav.Principal{}, err
	}
	if !ok || b.Served != nil && !b.Served(user) {
		return caldav.Principal{}, caldav.ErrUnauthorized
	}
	return caldav.Principal{Name: user, DisplayName: user, Password: label}, nil
}

func (b Backend) Calendars(ctx context.Context, p caldav.Principal) ([]caldav.Calendar, error) {
	a, err := b.Store.Account(ctx, p.Name)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, nil // a user whose account has not met its first round
	}
	if err != nil {
		return nil, err
	}
	list, err := b.Store.Calendars(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	policy, own := b.policy(a), a.Addresses(list)
	cals := make([]caldav.Calendar, len(list))
	for i, c := range list {
		cals[i] = b.calendar(c, p, a, policy.For(c, own))
	}
	return cals, nil
}

func (b Backend) Calendar(ctx context.Context, p caldav.Principal, name string) (caldav.Calendar, error) {
	c, err := b.Store.UserCalendar(ctx, p.Name, name)
	if err != nil {
		return caldav.Calendar{}, davError(err)
	}
	a, err := b.Store.Account(ctx, p.Name)
	if err != nil {
		return caldav.Calendar{}, davError(err)
	}
	var own []string
	policy := b.policy(a)
	if policy.Invitations == bridge.InvitationsReplies { // else it does not matter whose the calendar is
		// That takes the others to tell, but for the default one, which is polled the most.
		var all []bridge.Calendar
		if !c.Default {
			if all, err = b.Store.Calendars(ctx, a.ID); err != nil {
				return caldav.Calendar{}, err
			}
		}
		own = a.Addresses(all)
	}
	return b.calendar(c, p, a, policy.For(c, own)), nil
}

// zoneOf is the IANA name of the mailbox's own time zone, "" where that is not known.
func (b Backend) zoneOf(a bridge.Account) string {
	if b.Zone == nil {
		return ""
	}
	loc, ok := b.Zone(a.Settings.Zone)
	if !ok {
		return ""
	}
	return loc.String()
}

// Addresses are those of the mailbox, by which invitations may name it.
func (b Backend) Addresses(ctx context.Context, p caldav.Principal) ([]string, error) {
	a, err := b.Store.Account(ctx, p.Name)
	if errors.Is(err, bridge.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := b.Store.Calendars(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(a.Addresses(list), func(address string) bool {
		local, domain, ok := strings.Cut(address, "@")
		return !ok || local == "" || domain == ""
	}), nil
}

// calendar is one of an account, with the policy for it.
func (b Backend) calendar(c bridge.Calendar, p caldav.Principal, a bridge.Account, policy bridge.Policy) caldav.Calendar {
	return caldav.Calendar{
		Owner: p.Name, Name: c.Name, DisplayName: c.DisplayName, Color: c.ShownColor(), Order: c.Order, TimeZone: b.zoneOf(a),
		Writable: policy.Write, Schedules: policy.Mails(), Attachments: policy.Write && policy.Attachments,
		Token: caldav.Token{Epoch: c.Epoch, Rev: c.Rev}, Modified: c.Modified, Key: c.ID,
	}
}

func (b Backend) policy(a bridge.Account) bridge.Policy {
	if b.Policy == nil {
		return bridge.Policy{}
	}
	return b.Policy(a)
}

func (b Backend) Object(ctx context.Context, c caldav.Calendar, name string) (caldav.Object, error) {
	if b.Cache != nil {
		return b.Cache.object(ctx, b.Store, c, name)
	}
	o, err := b.Store.Object(ctx, c.Key.(bridge.CalendarID), name)
	return davObject(o), davError(err)
}

func davObject(o bridge.Object) caldav.Object {
	return caldav.Object{
		Name: o.Name, ETag: o.ETag, Rev: o.Rev, Modified: o.Modified, Size: o.Size, Data: o.Data, Deleted: o.Deleted,
		First: o.First, Last: o.Last, Timetable: o.Timetable,
	}
}

func (b Backend) Objects(ctx context.Context, c caldav.Calendar, q caldav.Query) iter.Seq2[caldav.Object, error] {
	if b.Cache != nil && q.WithData && q.Names != nil && q.Start.IsZero() && q.End.IsZero() {
		return b.Cache.objects(ctx, b.Store, c, q.Names)
	}
	return func(yield func(caldav.Object, error) bool) {
		if q.Names == nil && !q.WithData && !q.Start.IsZero() && !q.End.IsZero() {
			found, ok, err := b.within(ctx, c, q.Start, q.End)
			if err != nil {
				yield(caldav.Object{}, err)
				return
			}
			if ok {
				for o := range found {
					if !yield(o, nil) {
						return
					}
				}
				return
			}
		}
		every := bridge.ObjectQuery{Names: q.Names, Start: q.Start, End: q.End, WithData: q.WithData}
		for o, err := range bridge.Objects(ctx, b.Store, c.Key.(bridge.CalendarID), every) {
			if !yield(davObject(o), err) {
				return
			}
		}
	}
}

// within yields the objects that may have an instance from start to end, with their timetables. ok is false where they are too many.
func (b Backend) within(ctx context.Context, c caldav.Calendar, start, end time.Time) (_ iter.Seq[caldav.Object], ok bool, err error) {
	id, long := c.Key.(bridge.CalendarID), end.Sub(start)
	if b.Cache != nil {
		if found, ok, err := b.Cache.within(ctx, b.Store, c, start, end); ok || err != nil {
			return found, ok, err
		}
		if b.Cache.hasMany(id, long) {
			return nil, false, nil
		}
	}
	list, ok, err := readEntries(ctx, b.Store, id, start, end, mostWithin)
	if err != nil {
		return nil, false, err
	}
	if !ok && b.Cache != nil {
		b.Cache.tooMany(id, long)
	}
	return entriesWithin(list.chunks, start.Unix(), end.Unix()), ok, nil
}

func (b Backend) Changes(ctx context.Context, c caldav.Calendar, since caldav.Token) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		if since.Epoch != c.Token.Epoch || since.Rev > c.Token.Rev {
			yield(caldav.Object{}, caldav.ErrTokenGone)
			return
		}
		for rev := since.Rev; ; {
			list, err := b.Store.Changes(ctx, c.Key.(bridge.CalendarID), rev, listPage)
			if err != nil {
				yield(caldav.Object{}, err)
				return
			}
			for _, o := range list {
				if o.Rev > c.Token.Rev {
					return // published since: it is for the next token
				}
				if !yield(davObject(o), nil) {
					return
				}
				rev = o.Rev
			}
			if len(list) < listPage {
				return
			}
		}
	}
}

func (b Backend) Properties(ctx context.Context, p caldav.Principal, path string) (map[xml.Name]string, error) {
	return b.Store.Properties(ctx, p.Name, path)
}

func (b Backend) SetProperties(ctx context.Context, p caldav.Principal, path string, set map[xml.Name]string, remove []xml.Name) error {
	return b.Store.SetProperties(ctx, p.Name, path, set, remove)
}

func davError(err error) error {
	if errors.Is(err, bridge.ErrNotFound) {
		return caldav.ErrNotFound
	}
	if errors.Is(err, bridge.ErrNoRoom) { // not 507, which is of the client's mailbox
		return &caldav.Refused{Err: fmt.Errorf("%w: %w", caldav.ErrUnavailable, err), Sentence: "The disk of the calendar server is full. Its administrator has to make room."}
	}
	return err
}

func (b Backend) PushKey(context.Context) ([]byte, error) {
	if b.Push == nil {
		return nil, nil
	}
	return b.Push.Key(), nil
}

func (b Backend) PushTopic(c caldav.Calendar) string {
	if b.Push == nil {
		return ""
	}
	return b.Push.Topic(c)
}

func (b Backend) PushRegister(ctx context.Context, u caldav.Principal, c caldav.Calendar, s caldav.PushSubscription) (caldav.PushRegistration, bool, error) {
	if b.Push == nil {
		return caldav.PushRegistration{}, false, caldav.ErrPushUnavailable
	}
	r, created, err := b.Push.Register(ctx, u.Name, c.Key.(bridge.CalendarID), s)
	return r, created, davError(err)
}

func (b Backend) PushUnregister(ctx context.Context, u caldav.Principal, id string) error {
	if b.Push == nil {
		return caldav.ErrNotFound
	}
	return davError(b.Push.Unregister(ctx, u.Name, id))
}
