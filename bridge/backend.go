package bridge

import (
	"context"
	"encoding/xml"
	"errors"
	"iter"

	"github.com/emersion/go-ical"

	"outbridge/bridge/convert"
	"outbridge/caldav"
)

const (
	listPage = 500 // objects read at a time without their data
	dataPage = 50  // objects read at a time with it
)

// Backend serves the published calendars to caldav.Handler.
type Backend struct {
	Store Store
	Push  *Pusher // nil: clients are offered no push
}

var (
	_ caldav.Backend       = Backend{}
	_ caldav.PropertyStore = Backend{}
	_ caldav.PushBackend   = Backend{}
)

func (b Backend) Login(ctx context.Context, user, password string) (caldav.Principal, error) {
	ok, err := b.Store.CheckPassword(ctx, user, password)
	if err != nil {
		return caldav.Principal{}, err
	}
	if !ok {
		return caldav.Principal{}, caldav.ErrUnauthorized
	}
	return caldav.Principal{Name: user, DisplayName: user}, nil
}

func (b Backend) Calendars(ctx context.Context, p caldav.Principal) ([]caldav.Calendar, error) {
	a, err := b.Store.Account(ctx, p.Name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil // a user whose account has not met its first round
	}
	if err != nil {
		return nil, err
	}
	list, err := b.Store.Calendars(ctx, a.ID)
	if err != nil {
		return nil, err
	}
	cals := make([]caldav.Calendar, len(list))
	for i, c := range list {
		cals[i] = davCalendar(c, p, zoneOf(a))
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
	return davCalendar(c, p, zoneOf(a)), nil
}

// zoneOf is the IANA name of the mailbox's own time zone, "" where that is not known.
func zoneOf(a Account) string {
	_, iana, _ := convert.LoadZone(a.Settings.Zone)
	return iana
}

func davCalendar(c Calendar, p caldav.Principal, zone string) caldav.Calendar {
	return caldav.Calendar{
		Owner: p.Name, Name: c.Name, DisplayName: c.DisplayName, Color: c.Color, Order: c.Order, TimeZone: zone,
		Token: caldav.Token{Epoch: c.Epoch, Rev: c.Rev}, Modified: c.Modified, Key: c.ID,
	}
}

func (b Backend) Object(ctx context.Context, c caldav.Calendar, name string) (caldav.Object, error) {
	o, err := b.Store.Object(ctx, c.Key.(CalendarID), name)
	return davObject(o), davError(err)
}

func davObject(o Object) caldav.Object {
	return caldav.Object{
		Name: o.Name, ETag: o.ETag, Rev: o.Rev, Modified: o.Modified, Size: o.Size, Data: o.Data, Deleted: o.Deleted,
		First: o.First, Last: o.Last,
	}
}

func (b Backend) Objects(ctx context.Context, c caldav.Calendar, q caldav.Query) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		all := ObjectQuery{Names: q.Names, Start: q.Start, End: q.End, WithData: q.WithData}
		for o, err := range Objects(ctx, b.Store, c.Key.(CalendarID), all) {
			if !yield(davObject(o), err) {
				return
			}
		}
	}
}

// Objects yields all objects that q selects by name, whatever its Limit, reading a page at a time. It stops after an
// error.
func Objects(ctx context.Context, store interface {
	Objects(context.Context, CalendarID, ObjectQuery) ([]Object, error)
}, id CalendarID, q ObjectQuery) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		q.Limit = listPage
		switch {
		case q.Names != nil:
			q.Limit = min(len(q.Names)+1, listPage) // one more, so that all of them are known to be all
		case q.WithData:
			q.Limit = dataPage
		}
		for page := q; ; {
			list, err := store.Objects(ctx, id, page)
			if err != nil {
				yield(Object{}, err)
				return
			}
			for _, o := range list {
				if !yield(o, nil) {
					return
				}
			}
			if len(list) < page.Limit {
				return
			}
			page.After = list[len(list)-1].Name
		}
	}
}

func (b Backend) Changes(ctx context.Context, c caldav.Calendar, since caldav.Token) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		if since.Epoch != c.Token.Epoch || since.Rev > c.Token.Rev {
			yield(caldav.Object{}, caldav.ErrTokenGone)
			return
		}
		for rev := since.Rev; ; {
			list, err := b.Store.Changes(ctx, c.Key.(CalendarID), rev, listPage)
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

// PropertyPath is the path under which a PropertyStore has what a user's clients have set of a calendar.
func PropertyPath(user, calendar string) string { return caldav.CalendarPath(user, calendar) }

func (b Backend) Properties(ctx context.Context, p caldav.Principal, path string) (map[xml.Name]string, error) {
	return b.Store.Properties(ctx, p.Name, path)
}

func (b Backend) SetProperties(ctx context.Context, p caldav.Principal, path string, set map[xml.Name]string, remove []xml.Name) error {
	return b.Store.SetProperties(ctx, p.Name, path, set, remove)
}

// Put refuses: calendars are read-only.
func (b Backend) Put(context.Context, caldav.Calendar, string, *ical.Calendar, caldav.Match) (caldav.Object, error) {
	return caldav.Object{}, caldav.ErrForbidden
}

// Delete refuses: calendars are read-only.
func (b Backend) Delete(context.Context, caldav.Calendar, string, caldav.Match) error {
	return caldav.ErrForbidden
}

func davError(err error) error {
	if errors.Is(err, ErrNotFound) {
		return caldav.ErrNotFound
	}
	return err
}
