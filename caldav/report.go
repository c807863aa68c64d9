package caldav

import (
	"encoding/xml"
	"strings"

	"outbridge/caldav/ics"
)

// chunkSize is how many objects are asked of the backend by name at once.
const chunkSize = 100

// reports are the reports known here, and what they may be asked of; DAV:supported-report-set says the same.
var reports = map[xml.Name]struct {
	kinds  kind
	answer func(*exchange, *node, *resource) error
}{
	dav("sync-collection"):               {kindCalendar | kindHome | kindInbox, (*exchange).sync},
	caldav("calendar-multiget"):          {kindCalendar | kindHome | kindObject | kindInbox, (*exchange).multiget},
	caldav("calendar-query"):             {kindCalendar | kindHome | kindObject | kindInbox, (*exchange).query},
	caldav("free-busy-query"):            {kindCalendar | kindHome, (*exchange).freeBusy},
	dav("expand-property"):               {kindAny, (*exchange).expandProperty},
	dav("acl-principal-prop-set"):        {kindAny, (*exchange).aclPrincipals},
	dav("principal-match"):               {kindCollections, (*exchange).principalMatch},
	dav("principal-property-search"):     {kindAny, (*exchange).principalSearch},
	dav("principal-search-property-set"): {kindCollections &^ kindCalendar, (*exchange).principalSearchProperties},
}

// report answers REPORT (RFC 3253 §3.6). On a calendar the Depth header is not looked at: clients send 0, 1,
// infinity or none with one and the same report, and there is but one depth that each of them can mean.
func (x *exchange) report() error {
	n, err := x.readXML()
	if err != nil {
		return err
	}
	if n == nil {
		return badRequest("a REPORT needs a request body")
	}
	r, err := x.resource()
	if err != nil {
		return err
	}
	x.minimal = x.prefersMinimal()
	if x.data, err = parseDataRequest(n); err != nil {
		return err
	}
	if k := reports[n.name]; k.kinds&r.kind != 0 {
		return k.answer(x, n, r)
	}
	return forbidden(supportedReport)
}

// calendarsIn lists the calendars that a query of r goes over (RFC 4791 §7.8): r itself, or those of a home where
// the Depth header reaches them. An inbox has none.
func (x *exchange) calendarsIn(r *resource) ([]*resource, error) {
	switch r.kind {
	case kindHome:
	case kindInbox:
		return nil, nil
	default:
		return []*resource{r}, nil
	}
	cals, err := x.homeCalendars(r)
	list := make([]*resource, len(cals))
	for i, c := range cals {
		list[i] = x.calendarResource(c)
	}
	return list, err
}

// multiget answers CALDAV:calendar-multiget (RFC 4791 §7.9): every href once, those that are absent or not in the
// scope of r with a 404.
func (x *exchange) multiget(n *node, r *resource) error {
	q, err := parsePropRequest(n)
	if err != nil {
		return err
	}
	in := map[string]*resource{}
	switch r.kind {
	case kindObject:
		in[r.cal.Name] = x.calendarResource(r.cal)
	default:
		cals, err := x.calendarsIn(r)
		if err != nil {
			return err
		}
		for _, c := range cals {
			in[c.cal.Name] = c
		}
	}
	x.beginMultistatus()
	var from *resource            // the calendar that names are of
	whole := r.kind != kindObject // else it is that object alone
	names := make([]string, 0, chunkSize)
	seen := make(map[string]bool, len(n.children))
	for _, c := range n.children {
		if c.name != dav("href") {
			continue
		}
		href := c.trimmed()
		if seen[href] {
			continue
		}
		seen[href] = true
		if name, ok := x.member(from, href); ok && whole && len(names) < chunkSize {
			names = append(names, name)
			continue
		}
		t, err := x.parseHref(href)
		cal := in[t.calendar]
		if err != nil || t.kind != kindObject || t.user != x.target.user || cal == nil || r.kind == kindObject && t.href != r.href {
			if err := x.statusRow(string(appendText(nil, href)), "404 Not Found", Condition{}); err != nil {
				return err
			}
			continue
		}
		if t.href != href {
			if seen[t.href] {
				continue
			}
			seen[t.href] = true
		}
		if len(names) == chunkSize || cal != from {
			if err := x.namedRows(from, names, q, true, nil); err != nil {
				return err
			}
			from, names = cal, names[:0]
		}
		names = append(names, t.object)
	}
	if err := x.namedRows(from, names, q, true, nil); err != nil {
		return err
	}
	x.endMultistatus()
	return nil
}

// member is parseHref for what nearly all hrefs are: written as they were told, and of the same calendar, nil for none, as the one before.
func (x *exchange) member(calendar *resource, href string) (name string, ok bool) {
	if calendar == nil || x.h.Prefix != "" { // with a prefix, an href has two forms
		return "", false
	}
	name, ok = strings.CutPrefix(href, calendar.href)
	return name, ok && strings.HasSuffix(name, ".ics") && len(name) <= maxSegment && isUnreserved(name)
}

// namedRows answers for objects by name, at most a chunk of them. Absent ones are a 404 or, where they have only
// just gone, nothing. Keep, if it is not nil, looks at an object with its data before it is answered for.
func (x *exchange) namedRows(r *resource, names []string, q *propRequest, report404 bool, keep func(Object) bool) error {
	if len(names) == 0 {
		return nil
	}
	absent := make(map[string]bool, len(names))
	for _, name := range names {
		absent[name] = true
	}
	want := Query{Names: names, WithData: x.data != nil || keep != nil}
	one := new(resource)
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, want) {
		if err != nil {
			return err
		}
		if !absent[o.Name] {
			continue
		}
		delete(absent, o.Name)
		if keep == nil || keep(o) {
			*one = objectOf(r, o)
			if err := x.row(one, q); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if report404 && absent[name] {
			if err := x.statusRow(x.outside(r.href)+escapeSegment(name), "404 Not Found", Condition{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// query answers CALDAV:calendar-query (RFC 4791 §7.8).
func (x *exchange) query(n *node, r *resource) error {
	f, err := parseFilter(n)
	if err != nil {
		return err
	}
	if err := x.queryZone(n); err != nil {
		return err
	}
	q, err := parsePropRequest(n)
	if err != nil {
		return err
	}
	p := f.plan()
	x.beginMultistatus()
	switch depth := x.req.Header.Get("Depth"); {
	case p.nothing:
	case r.kind == kindObject:
		reader, err := x.reader(r.cal)
		if err != nil {
			return err
		}
		if x.selects(reader, r.cal, r.obj, f) {
			err = x.row(r, q)
		}
		if err != nil {
			return err
		}
	case r.kind == kindHome && (depth == "" || depth == "0"):
		// A home has no objects of its own. On a calendar, depth 0 is taken for 1: Evolution means that.
	default:
		cals, err := x.calendarsIn(r)
		if err != nil {
			return err
		}
		for _, c := range cals {
			if err := x.queryCalendar(c, f, p, q); err != nil {
				return err
			}
		}
	}
	x.endMultistatus()
	return nil
}

// selects matches an object, with its data, against a filter.
func (x *exchange) selects(reader *ics.Reader, c Calendar, o Object, f *compFilter) bool {
	ok, err := f.selects(reader, o.Data)
	if err != nil {
		x.h.log().DebugContext(x.ctx, "object not judged, so selected", "calendar", c.Name, "object", o.Name, "err", err)
	}
	return ok
}

// queryCalendar answers for the objects of one calendar.
func (x *exchange) queryCalendar(r *resource, f *compFilter, p plan, q *propRequest) error {
	reader, err := x.reader(r.cal)
	if err != nil {
		return err
	}
	if p.exact && p.within != nil {
		return x.queryRange(r, *p.within, reader, q)
	}
	want := Query{WithData: x.data != nil || !p.exact}
	if p.within != nil {
		wide := p.within.Wide()
		want.Start, want.End = wide.Start, wide.End
	}
	one := new(resource)
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, want) {
		if err != nil {
			return err
		}
		if p.within != nil && judge(*p.within, o) == outside || !p.exact && !x.selects(reader, r.cal, o, f) {
			continue
		}
		*one = objectOf(r, o)
		if err := x.row(one, q); err != nil {
			return err
		}
	}
	return nil
}

// queryRange answers the filter that most clients send, a time range over VEVENTs. It is settled by the bounds and
// timetables that the backend keeps and by the spans of earlier queries; only what those leave open takes an object's text.
func (x *exchange) queryRange(r *resource, within ics.Span, reader *ics.Reader, q *propRequest) error {
	closed := !within.Start.IsZero() && !within.End.IsZero()
	zone := x.floating[r.cal.Name].id
	if x.zone.loc != nil {
		zone = x.zone.id
	}
	key := func(o Object) spanKey {
		return spanKey{r.cal.Owner, r.cal.Name, o.Name, o.ETag, zone}
	}
	settled := map[string]bool{} // of those below, the ones that are in the range for sure
	keep := func(o Object) bool {
		switch {
		case settled[o.Name]:
			return true
		case closed:
			s, ok := spansOf(reader, o.Data, within)
			if ok {
				x.h.spans.keep(key(o), s)
				return s.in(within)
			}
		}
		return x.selects(reader, r.cal, o, &compFilter{comps: []*compFilter{{name: "VEVENT", within: &within}}})
	}
	var names []string // whose data is still to be read
	wide := within.Wide()
	want := Query{Start: wide.Start, End: wide.End}
	one := new(resource)
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, want) {
		if err != nil {
			return err
		}
		v := judge(within, o)
		if v == unsure {
			if in, known := ics.Timetable(o.Timetable).Overlaps(reader, within); known {
				if v = outside; in {
					v = inside
				}
			}
		}
		if v == unsure && closed {
			if s := x.h.spans.find(key(o), within); s != nil {
				if v = outside; s.in(within) {
					v = inside
				}
			}
		}
		switch {
		case v == outside:
			continue
		case v == inside && x.data == nil:
			*one = objectOf(r, o)
			err = x.row(one, q)
		default:
			settled[o.Name] = v == inside
			names = append(names, o.Name)
		}
		if err == nil && len(names) == chunkSize {
			err = x.namedRows(r, names, q, false, keep)
			names, settled = names[:0], map[string]bool{}
		}
		if err != nil {
			return err
		}
	}
	return x.namedRows(r, names, q, false, keep)
}

// queryZone reads the zone for floating times out of CALDAV:timezone (RFC 4791 §9.8) or CALDAV:timezone-id (RFC
// 7809 §6.2).
func (x *exchange) queryZone(n *node) error {
	if id := n.child(caldav("timezone-id")); id != nil {
		loc, err := x.ics.Zone(id.trimmed())
		if err != nil {
			return forbidden(validTimezone)
		}
		x.zone = namedZone(loc)
		return nil
	}
	zone := n.child(caldav("timezone"))
	if zone == nil {
		return nil
	}
	if len(zone.text) > maxPropertyValue {
		return forbidden(ValidCalendarData)
	}
	cal, err := decodeTimezone(zone.text)
	if err == nil {
		x.zone, err = x.zoneOf(cal)
	}
	if err != nil {
		return forbidden(ValidCalendarData)
	}
	return nil
}
