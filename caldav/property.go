package caldav

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PropertyStore keeps what clients set by PROPPATCH, for each principal apart. A Backend may implement it; without
// it nothing can be set. Path is the escaped URL path of a principal, its inbox, a home or a calendar as it stands in a
// DAV:href of the collection; values are opaque to the store. It is called concurrently, and SetProperties sets and removes all or
// nothing. Whoever removes a calendar removes what is kept under its path.
type PropertyStore interface {
	Properties(ctx context.Context, p Principal, path string) (map[xml.Name]string, error)
	SetProperties(ctx context.Context, p Principal, path string, set map[xml.Name]string, remove []xml.Name) error
}

// resource is what a property is asked of.
type resource struct {
	kind kind
	href string
	cal  Calendar // of a calendar and of an object
	obj  Object

	calendars []Calendar // of a home; nil until asked for
	stored    map[xml.Name]string
	loaded    bool // stored has been read
}

// property is one row of the property table: a live property, and on which kinds it may be.
type property struct {
	open, end string // its tags

	kinds    kind
	all      bool // part of an allprop answer (RFC 4918 §14.2): cheap, and of use to whoever names nothing
	settable kind // kinds on which PROPPATCH keeps a value

	// value appends the content of the element, and reports false where the resource has no such property.
	value func(x *exchange, r *resource) (bool, error)
	// href is in place of value where the content is one DAV:href.
	href func(x *exchange, r *resource) string
	// attrs returns attributes for the start tag, with a leading space.
	attrs func(x *exchange, r *resource) (string, error)
}

const kindCollections = kindAny &^ kindObject

// properties is what this server knows; any other name is a 404.
var properties = propertyTable()

// propertyNames is the order of allprop and propname.
var propertyNames = slices.SortedFunc(maps.Keys(properties), compareNames)

func compareNames(a, b xml.Name) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Local, b.Local))
}

func propertyTable() map[xml.Name]*property {
	self := func(x *exchange, _ *resource) string { return principalHref(x.principal.Name) }
	table := map[xml.Name]*property{
		dav("resourcetype"):               {kinds: kindAny, all: true, value: resourceType},
		dav("displayname"):                {kinds: kindCollections, all: true, settable: kindCalendar, value: displayName},
		dav("current-user-principal"):     {kinds: kindAny, href: self},
		dav("principal-URL"):              {kinds: kindCollections, href: self},
		dav("principal-collection-set"):   {kinds: kindCollections, href: func(*exchange, *resource) string { return principalsPath }},
		dav("current-user-privilege-set"): {kinds: kindAny, value: privilegeSet},
		dav("supported-report-set"):       {kinds: kindAny, value: supportedReports},
		dav("acl"):                        {kinds: kindAny, value: accessList},
		dav("acl-restrictions"):           {kinds: kindAny, value: constant("<grant-only/><no-invert/>")},
		dav("inherited-acl-set"):          {kinds: kindAny, value: empty},
		dav("supported-privilege-set"):    {kinds: kindAny, value: supportedPrivileges},
		dav("alternate-URI-set"):          {kinds: kindPrincipal, value: empty},
		dav("owner"): {kinds: kindHome | kindCalendar | kindObject | kindBoxes, href: func(x *exchange, r *resource) string {
			return principalHref(cmp.Or(r.cal.Owner, x.principal.Name))
		}},
		dav("sync-token"):       {kinds: kindHome | kindCalendar | kindInbox, value: syncToken},
		dav("group-membership"): {kinds: kindPrincipal, value: empty},
		dav("getetag"): {kinds: kindCalendar | kindObject, all: true, value: func(x *exchange, r *resource) (bool, error) {
			if r.kind == kindObject {
				x.raw(`"`)
				x.text(r.obj.ETag)
				x.raw(`"`)
			} else {
				x.text(entityTag(r))
			}
			return true, nil
		}},
		dav("getcontenttype"):   {kinds: kindObject, all: true, value: constant(objectType)},
		dav("getcontentlength"): {kinds: kindObject, all: true, value: contentLength},
		dav("getlastmodified"):  {kinds: kindCalendar | kindObject, all: true, value: modified(http.TimeFormat)},
		dav("creationdate"):     {kinds: kindCalendar | kindObject, all: true, value: modified(time.RFC3339)},

		caldav("calendar-home-set"): {kinds: kindCollections, href: func(x *exchange, _ *resource) string {
			return homeHref(x.principal.Name)
		}},
		// Clients make the account's name and its own address in meetings of it: DAVx5 and Evolution of the former, Apple's of both.
		caldav("calendar-user-address-set"): {kinds: kindPrincipal | kindHome, value: userAddresses},
		cs("email-address-set"):             {kinds: kindPrincipal, value: emailAddresses},
		caldav("calendar-description"): {kinds: kindCalendar, settable: kindCalendar, value: storedOr(caldav("calendar-description"), func(x *exchange, r *resource) string {
			return r.cal.Description
		})},
		caldav("calendar-timezone"): {kinds: kindCalendar, settable: kindCalendar, value: storedOr(caldav("calendar-timezone"), calendarTimeZone)},
		caldav("calendar-timezone-id"): {kinds: kindCalendar, settable: kindCalendar, value: storedOr(caldav("calendar-timezone-id"), func(x *exchange, r *resource) string {
			return r.cal.TimeZone
		})},
		caldav("supported-calendar-component-set"): {kinds: kindCalendar | kindInbox, value: constant(`<C:comp name="VEVENT"/>`)},
		caldav("supported-calendar-component-sets"): {kinds: kindHome, value: constant(
			`<C:supported-calendar-component-set><C:comp name="VEVENT"/></C:supported-calendar-component-set>`)},
		caldav("supported-calendar-data"): {kinds: kindCalendar | kindBoxes, value: constant(`<C:calendar-data content-type="text/calendar" version="2.0"/>`)},
		caldav("supported-collation-set"): {kinds: kindCalendar, value: constant(
			`<C:supported-collation>i;ascii-casemap</C:supported-collation><C:supported-collation>i;octet</C:supported-collation>` +
				`<C:supported-collation>i;unicode-casemap</C:supported-collation>`)},
		caldav("max-resource-size"): {kinds: kindCalendar | kindBoxes, value: constant(strconv.Itoa(maxObjectSize))},
		caldav("schedule-calendar-transp"): {kinds: kindCalendar, settable: kindCalendar, value: func(x *exchange, r *resource) (bool, error) {
			v, _, err := x.storedValue(r, caldav("schedule-calendar-transp"))
			x.raw("<C:" + cmp.Or(v, "opaque") + "/>")
			return true, err
		}},
		caldav("default-alarm-vevent-date"):     {kinds: kindHome | kindCalendar, settable: kindHome | kindCalendar, value: onlyStored(caldav("default-alarm-vevent-date"))},
		caldav("default-alarm-vevent-datetime"): {kinds: kindHome | kindCalendar, settable: kindHome | kindCalendar, value: onlyStored(caldav("default-alarm-vevent-datetime"))},
		caldav("calendar-data"):                 {kinds: kindObject, value: calendarData},

		caldav("schedule-inbox-URL"):  {kinds: kindPrincipal, value: boxURL(inboxHref)},
		caldav("schedule-outbox-URL"): {kinds: kindPrincipal, value: boxURL(outboxHref)},
		caldav("calendar-user-type"): {kinds: kindPrincipal, value: func(x *exchange, _ *resource) (bool, error) {
			s, err := x.scheduling()
			x.raw("INDIVIDUAL")
			return s.Boxes, err
		}},
		caldav("schedule-default-calendar-URL"): {kinds: kindInbox, value: defaultCalendarURL},
		caldav("schedule-tag"): {kinds: kindObject, value: func(x *exchange, r *resource) (bool, error) {
			if r.cal.Schedules && r.obj.Data == nil { // a listing has no tag: it takes the octets
				o, err := x.h.Backend.Object(x.ctx, r.cal, r.obj.Name)
				if err != nil && !errors.Is(err, ErrNotFound) {
					return false, err
				}
				r.obj.ScheduleTag = o.ScheduleTag
			}
			x.text(`"` + r.obj.ScheduleTag + `"`)
			return r.obj.ScheduleTag != "", nil
		}},
		caldav("managed-attachments-server-URL"): {kinds: kindHome, value: attachmentProperty(func(x *exchange, _ AttachmentLimits) {
			x.raw("<href>")
			x.text(x.origin() + x.outside("/"))
			x.raw("</href>")
		})},
		caldav("max-attachment-size"): {kinds: kindHome | kindCalendar, value: attachmentProperty(func(x *exchange, l AttachmentLimits) {
			x.raw(strconv.FormatInt(min(l.Octets, maxAttachment), 10))
		})},
		caldav("max-attachments-per-resource"): {kinds: kindHome | kindCalendar, value: attachmentProperty(func(x *exchange, l AttachmentLimits) {
			x.raw(strconv.Itoa(l.Files))
		})},

		cs("getctag"):                  {kinds: kindHome | kindCalendar | kindInbox, all: true, value: syncToken},
		cs("calendar-proxy-read-for"):  {kinds: kindPrincipal, value: empty},
		cs("calendar-proxy-write-for"): {kinds: kindPrincipal, value: empty},

		push("transports"):         {kinds: kindCalendar, value: pushTransports},
		push("topic"):              {kinds: kindCalendar, value: pushTopic},
		push("supported-triggers"): {kinds: kindCalendar, value: pushTriggers},

		apple("calendar-color"): {kinds: kindCalendar, settable: kindCalendar, value: calendarColor, attrs: symbolicColor},
		apple("calendar-order"): {kinds: kindCalendar, settable: kindCalendar, value: storedOr(apple("calendar-order"), func(x *exchange, r *resource) string {
			return strconv.Itoa(r.cal.Order)
		})},
	}
	for name, p := range table {
		p.open, p.end = startTag(name)
	}
	return table
}

func empty(*exchange, *resource) (bool, error) { return true, nil }

func constant(s string) func(*exchange, *resource) (bool, error) {
	return func(x *exchange, _ *resource) (bool, error) {
		x.raw(s)
		return true, nil
	}
}

// storedValue reads what the principal has set, once for each resource.
func (x *exchange) storedValue(r *resource, name xml.Name) (string, bool, error) {
	if x.stored == nil {
		return "", false, nil
	}
	if !r.loaded {
		m, err := x.stored.Properties(x.ctx, x.principal, r.href)
		if err != nil {
			return "", false, err
		}
		r.stored, r.loaded = m, true
	}
	v, ok := r.stored[name]
	return v, ok, nil
}

func onlyStored(name xml.Name) func(*exchange, *resource) (bool, error) {
	return func(x *exchange, r *resource) (bool, error) {
		v, ok, err := x.storedValue(r, name)
		x.text(v)
		return ok, err
	}
}

// storedOr prefers what the principal has set; an empty default is no property.
func storedOr(name xml.Name, or func(*exchange, *resource) string) func(*exchange, *resource) (bool, error) {
	return func(x *exchange, r *resource) (bool, error) {
		v, ok, err := x.storedValue(r, name)
		if !ok {
			v = or(x, r)
		}
		x.text(v)
		return ok || v != "", err
	}
}

func resourceType(x *exchange, r *resource) (bool, error) {
	switch r.kind {
	case kindObject:
	case kindPrincipal:
		x.raw("<collection/><principal/>")
	case kindCalendar:
		x.raw("<collection/><C:calendar/>")
	case kindInbox:
		x.raw("<collection/><C:schedule-inbox/>")
	case kindOutbox:
		x.raw("<collection/><C:schedule-outbox/>")
	default:
		x.raw("<collection/>")
	}
	return true, nil
}

func displayName(x *exchange, r *resource) (bool, error) {
	switch r.kind {
	case kindCalendar:
		v, _, err := x.storedValue(r, dav("displayname"))
		x.text(cmp.Or(v, r.cal.DisplayName, r.cal.Name))
		return true, err
	case kindHome, kindPrincipal:
		x.text(cmp.Or(x.principal.DisplayName, x.principal.Name))
	case kindPrincipals:
		x.raw("Principals")
	case kindInbox:
		x.raw("Inbox")
	case kindOutbox:
		x.raw("Outbox")
	default:
		x.raw("Calendars")
	}
	return true, nil
}

// addresses are the principal's.
func (x *exchange) addresses() ([]string, error) {
	b, ok := x.h.Backend.(AddressBackend)
	if !ok {
		return nil, nil
	}
	return b.Addresses(x.ctx, x.principal)
}

// userAddresses is CALDAV:calendar-user-address-set (RFC 6638 §2.4.1): the preferred address first, which Thunderbird and DAVx5
// take, and marked, which Apple's clients look for.
func userAddresses(x *exchange, _ *resource) (bool, error) {
	list, err := x.addresses()
	for i, a := range list {
		x.raw("<href")
		if i == 0 {
			x.raw(` preferred="1"`)
		}
		x.raw(">")
		x.text((&url.URL{Scheme: "mailto", Opaque: mailtoEscapes.Replace(a)}).String())
		x.raw("</href>")
	}
	if len(list) == 0 || err != nil {
		return false, err
	}
	s, err := x.scheduling()
	if s.Boxes { // Apple's clients name an organizer by it
		x.raw("<href>" + x.outside(principalHref(x.principal.Name)) + "</href>")
	}
	return true, err
}

// mailtoEscapes are for what an address may have and a mailto URL may not (RFC 6068 §2).
var mailtoEscapes = strings.NewReplacer("%", "%25", "?", "%3F", "&", "%26", "#", "%23", "/", "%2F")

// emailAddresses is CS:email-address-set.
func emailAddresses(x *exchange, _ *resource) (bool, error) {
	list, err := x.addresses()
	for _, a := range list {
		x.raw("<CS:email-address>")
		x.text(a)
		x.raw("</CS:email-address>")
	}
	return len(list) > 0, err
}

func supportedReports(x *exchange, r *resource) (bool, error) {
	const objects, all = "C:calendar-query C:calendar-multiget ", "expand-property acl-principal-prop-set principal-property-search"
	reports := "principal-match principal-search-property-set " + all
	switch r.kind {
	case kindCalendar:
		reports = "sync-collection C:free-busy-query " + objects + "principal-match " + all
	case kindInbox:
		reports = "sync-collection " + objects + reports
	case kindHome:
		// macOS synchronizes no calendar by token whose home does not list sync-collection.
		reports = "sync-collection C:free-busy-query " + objects + reports
	case kindObject:
		reports = objects + all
	}
	for name := range strings.FieldsSeq(reports) {
		x.raw("<supported-report><report><" + name + "/></report></supported-report>")
	}
	return true, nil
}

func syncToken(x *exchange, r *resource) (bool, error) {
	switch r.kind {
	case kindCalendar:
		x.text(r.cal.Token.String())
		return true, nil
	case kindInbox:
		x.raw(inboxToken.String())
		return true, nil
	}
	cals, err := x.homeCalendars(r)
	x.raw(newHomeState(cals).String())
	return true, err
}

// homeCalendars lists the calendars of a home, once for each resource.
func (x *exchange) homeCalendars(r *resource) ([]Calendar, error) {
	if r.calendars == nil {
		cals, err := x.h.Backend.Calendars(x.ctx, x.principal)
		if err != nil {
			return nil, err
		}
		r.calendars = append([]Calendar{}, cals...)
	}
	return r.calendars, nil
}

// entityTag is the quoted ETag of an object, or of a calendar for its state.
func entityTag(r *resource) string {
	if r.kind == kindCalendar {
		return `"` + r.cal.Token.Epoch + "-" + strconv.FormatInt(r.cal.Token.Rev, 10) + `"`
	}
	return `"` + r.obj.ETag + `"`
}

func contentLength(x *exchange, r *resource) (bool, error) {
	x.buf = strconv.AppendInt(x.buf, int64(r.obj.Size), 10)
	return true, nil
}

// modified serves both dates; no creation date is kept, and allprop clients want one.
func modified(layout string) func(*exchange, *resource) (bool, error) {
	return func(x *exchange, r *resource) (bool, error) {
		t := r.cal.Modified
		if r.kind == kindObject {
			t = r.obj.Modified
		}
		x.buf = t.UTC().AppendFormat(x.buf, layout)
		return !t.IsZero(), nil
	}
}

func calendarTimeZone(x *exchange, r *resource) string {
	if x.h.TimeZone == nil || r.cal.TimeZone == "" {
		return ""
	}
	return string(x.h.TimeZone(r.cal.TimeZone))
}

// storedColor is the colour that the principal has set. It is kept as "#RRGGBBAA", after a space Apple's name for it, and
// after a tab the colour that the calendar itself had then: once that is another, what was set is over.
func (x *exchange) storedColor(r *resource) (color, name string, ok bool, err error) {
	v, ok, err := x.storedValue(r, apple("calendar-color"))
	v, of, known := strings.Cut(v, "\t")
	if known && !strings.EqualFold(of, r.cal.Color) {
		return "", "", false, err
	}
	color, name, _ = strings.Cut(v, " ")
	return color, name, ok, err
}

// fullColor is "#RRGGBBAA", as Apple writes it, of a colour with or without its alpha.
func fullColor(color string) string {
	if len(color) == len("#rrggbb") {
		color += "FF"
	}
	return strings.ToUpper(color)
}

func calendarColor(x *exchange, r *resource) (bool, error) {
	color, _, ok, err := x.storedColor(r)
	if !ok && len(r.cal.Color) == len("#rrggbb") {
		color, ok = fullColor(r.cal.Color), true
	}
	x.text(color)
	return ok, err
}

func symbolicColor(x *exchange, r *resource) (string, error) {
	_, name, ok, err := x.storedColor(r)
	ok = ok && name != ""
	if !ok {
		return "", err
	}
	return ` symbolic-color="` + attributeValue(name) + `"`, err
}

// homeState is a sync token of a home: for each calendar a hash of its name and one of everything that a client
// could want to hear about. It names no removed calendar; an old token that has one is not valid any more, and
// the client lists the home again.
type homeState map[[4]byte][6]byte

const homePrefix = "urn:outbridge:home:"

func newHomeState(cals []Calendar) homeState {
	s := homeState{}
	for _, c := range cals {
		s[homeKey(c.Name)] = calendarState(c)
	}
	return s
}

func homeKey(name string) (k [4]byte) {
	sum := sha256.Sum256([]byte(name))
	copy(k[:], sum[:])
	return
}

func calendarState(c Calendar) (v [6]byte) {
	h := sha256.New()
	for _, s := range []string{c.Name, c.Owner, c.DisplayName, c.Description, c.Color, c.TimeZone, c.Token.String(),
		strconv.Itoa(c.Order), strconv.FormatBool(c.Writable)} {
		_ = binary.Write(h, binary.BigEndian, uint32(len(s)))
		h.Write([]byte(s))
	}
	if c.Schedules || c.Attachments { // else as it always was, and nobody has to list the home anew
		_ = binary.Write(h, binary.BigEndian, []bool{c.Schedules, c.Attachments})
	}
	copy(v[:], h.Sum(nil))
	return
}

func (s homeState) String() string {
	var b []byte
	for _, k := range slices.SortedFunc(maps.Keys(s), func(a, b [4]byte) int { return slices.Compare(a[:], b[:]) }) {
		v := s[k]
		b = append(append(b, k[:]...), v[:]...)
	}
	return homePrefix + base64.RawURLEncoding.EncodeToString(b)
}

func parseHomeState(token string) (homeState, error) {
	enc, ok := strings.CutPrefix(token, homePrefix)
	b, err := base64.RawURLEncoding.DecodeString(enc)
	if !ok || err != nil || len(b)%10 != 0 {
		return nil, ErrTokenGone
	}
	s := homeState{}
	for ; len(b) > 0; b = b[10:] {
		s[[4]byte(b)] = [6]byte(b[4:])
	}
	return s, nil
}
