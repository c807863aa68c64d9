package caldav

import "strings"

// chunkSize is how many objects are asked of the backend by name at once.
const chunkSize = 100

// report answers REPORT (RFC 3253 §3.6). The Depth header is not looked at: clients send 0, 1, infinity or none
// with one and the same report, and there is but one depth that each of them can mean.
func (x *exchange) report() error {
	n, err := readXML(x.rw, x.req)
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
	if x.data, err = parseDataRequest(n); err != nil {
		return err
	}
	switch {
	case n.name == dav("sync-collection") && r.kind == kindCalendar:
		return x.syncCalendar(n, r)
	case n.name == dav("sync-collection") && r.kind == kindHome:
		return x.syncHome(n, r)
	case n.name == caldav("calendar-multiget") && r.kind == kindCalendar:
		return x.multiget(n, r)
	case n.name == caldav("calendar-query") && r.kind == kindCalendar:
		return x.query(n, r)
	case n.name == caldav("free-busy-query") && r.kind == kindCalendar:
		return x.freeBusy(n, r)
	case n.name == dav("expand-property"):
		return x.expandProperty(n, r)
	case n.name == dav("principal-property-search") && r.kind&(kindCalendar|kindObject) == 0:
		return x.principalSearch(n)
	case n.name == dav("principal-search-property-set") && r.kind&(kindCalendar|kindObject) == 0:
		return x.principalSearchProperties()
	}
	return forbidden("D:supported-report")
}

// multiget answers CALDAV:calendar-multiget (RFC 4791 §7.9): every href once, absent ones with a 404.
func (x *exchange) multiget(n *node, r *resource) error {
	q := parsePropRequest(n)
	x.beginMultistatus()
	names := make([]string, 0, chunkSize)
	seen := map[string]bool{}
	for _, c := range n.children {
		if c.name != dav("href") {
			continue
		}
		href := c.trimmed()
		if seen[href] {
			continue
		}
		seen[href] = true
		t, err := parseHref(href)
		if err != nil || t.kind != kindObject || t.user != x.target.user || t.calendar != x.target.calendar {
			if err := x.statusRow(string(appendText(nil, href)), "404 Not Found", ""); err != nil {
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
		if names = append(names, t.object); len(names) == chunkSize {
			if err := x.namedRows(r, names, q, true, nil); err != nil {
				return err
			}
			names = names[:0]
		}
	}
	if err := x.namedRows(r, names, q, true, nil); err != nil {
		return err
	}
	x.endMultistatus()
	return nil
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
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, want) {
		if err != nil {
			return err
		}
		if !absent[o.Name] {
			continue
		}
		delete(absent, o.Name)
		if keep == nil || keep(o) {
			if err := x.row(objectResource(r, o), q); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		if report404 && absent[name] {
			if err := x.statusRow(r.href+escapeSegment(name), "404 Not Found", ""); err != nil {
				return err
			}
		}
	}
	return nil
}

// query answers CALDAV:calendar-query (RFC 4791 §7.8). The common filters, a time range over VEVENTs, are settled
// by the bounds that the backend keeps; what those leave open, and any other filter, takes the object's text.
func (x *exchange) query(n *node, r *resource) error {
	f, err := parseFilter(n)
	if err != nil {
		return err
	}
	if err := x.queryZone(n); err != nil {
		return err
	}
	q := parsePropRequest(n)
	z := x.zones.of(r.cal.TimeZone)
	keep := func(o Object) bool {
		ok, err := z.selects(o.Data, f)
		if err != nil {
			x.h.log().DebugContext(x.ctx, "object not judged, so selected", "path", r.href, "object", o.Name, "err", err)
		}
		return ok
	}
	x.beginMultistatus()
	p := f.plan()
	if p.nothing {
		x.endMultistatus()
		return nil
	}
	want := Query{WithData: x.data != nil || !p.exact}
	if p.within != nil {
		want.Start, want.End = p.within.query()
	}
	var open []string // not settled by their bounds, and without their data
	for o, err := range x.h.Backend.Objects(x.ctx, r.cal, want) {
		if err != nil {
			return err
		}
		v := inside
		switch {
		case p.within != nil:
			v = p.within.judge(o)
			if v == inside && !p.exact {
				v = unsure
			}
		case !p.exact:
			v = unsure
		}
		if v == outside || v == unsure && want.WithData && !keep(o) {
			continue
		}
		if v == unsure && !want.WithData {
			if open = append(open, o.Name); len(open) == chunkSize {
				if err := x.namedRows(r, open, q, false, keep); err != nil {
					return err
				}
				open = open[:0]
			}
			continue
		}
		if err := x.row(objectResource(r, o), q); err != nil {
			return err
		}
	}
	if err := x.namedRows(r, open, q, false, keep); err != nil {
		return err
	}
	x.endMultistatus()
	return nil
}

// queryZone reads the zone for floating times out of CALDAV:timezone (RFC 4791 §9.8) or CALDAV:timezone-id (RFC
// 7809 §6.2). Of a VTIMEZONE only the TZID counts; one that names no zone known here changes nothing.
func (x *exchange) queryZone(n *node) error {
	if id := n.child(caldav("timezone-id")); id != nil {
		loc, err := x.zones.load(id.trimmed())
		if err != nil {
			return forbidden("C:valid-timezone")
		}
		x.zones.requested = loc
		return nil
	}
	zone := n.child(caldav("timezone"))
	if zone == nil {
		return nil
	}
	cal, err := parseICS([]byte(strings.TrimSpace(zone.text) + "\r\n"))
	if err != nil {
		return forbidden("C:valid-calendar-data")
	}
	for _, c := range childrenNamed(cal.Component, "VTIMEZONE") {
		if p := c.Props.Get("TZID"); p != nil {
			if loc, err := x.zones.load(p.Value); err == nil {
				x.zones.requested = loc
			}
		}
	}
	return nil
}
