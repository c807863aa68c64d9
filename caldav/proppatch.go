package caldav

import (
	"encoding/xml"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"outbridge/caldav/ics"
)

// maxPropertyValue bounds one value that PROPPATCH sets, in octets. A VTIMEZONE with a long history fits.
const maxPropertyValue = 64 << 10

// patch is one property of a PROPPATCH with what became of it.
type patch struct {
	prop   requestedProp
	value  string // as the store keeps it
	zone   string // IANA name of a calendar-timezone, if it has one
	remove bool
	status string // "200 OK", or why not
	why    Condition
}

const (
	statusOK        = "200 OK"
	statusForbidden = "403 Forbidden"
	statusConflict  = "409 Conflict"
	statusTooLarge  = "507 Insufficient Storage"
)

// proppatch answers PROPPATCH (RFC 4918 §9.2), and a refusal is inside of a 207: a bare 403 stops macOS Calendar for
// the whole account. Also on a read-only calendar a principal may keep its own name and colour.
func (x *exchange) proppatch() error {
	n, err := x.readXML()
	if err != nil {
		return err
	}
	if n == nil || n.name != dav("propertyupdate") {
		return badRequest("the request body is not a DAV:propertyupdate")
	}
	r, err := x.resource()
	if err != nil {
		return err
	}
	var patches []*patch
	ok := true
	for _, action := range n.children {
		if action.name != dav("set") && action.name != dav("remove") {
			continue
		}
		for _, p := range action.child(dav("prop")).all() {
			if len(patches) == maxProps {
				return errTooManyProps
			}
			t := &patch{prop: newRequestedProp(p.name), remove: action.name == dav("remove")}
			t.check(x, r, p)
			ok = ok && t.status == statusOK
			patches = append(patches, t)
		}
	}
	if len(patches) == 0 {
		return badRequest("the DAV:propertyupdate names no property")
	}
	if ok {
		c := newChanges(x, r)
		for _, t := range patches { // in document order, the last one counts
			c.add(t)
		}
		if full, err := c.tooMany(); err != nil {
			return err
		} else if full {
			ok = false
			for _, t := range patches {
				t.status = statusTooLarge
			}
		} else if err := x.stored.SetProperties(x.ctx, x.principal, r.href, c.set, c.removed()); err != nil {
			return err
		}
	}
	if ok && x.prefers("return=minimal") {
		return nil // 200 with no body (RFC 8144 §2.2)
	}
	x.beginMultistatus()
	x.raw("<response><href>" + x.outside(r.href) + "</href>")
	for _, t := range patches {
		if !ok && t.status == statusOK {
			t.status = "424 Failed Dependency"
		}
		x.propstat([]*requestedProp{&t.prop}, t.status, t.why)
	}
	x.raw("</response>")
	x.endMultistatus()
	return nil
}

func (n *node) all() []*node {
	if n == nil {
		return nil
	}
	return n.children
}

// changes is what a PROPPATCH does to the stored properties of a resource.
type changes struct {
	x      *exchange
	r      *resource
	set    map[xml.Name]string
	remove map[xml.Name]bool
}

func newChanges(x *exchange, r *resource) *changes {
	return &changes{x: x, r: r, set: map[xml.Name]string{}, remove: map[xml.Name]bool{}}
}

func (c *changes) put(name xml.Name, value string) {
	delete(c.remove, name)
	c.set[name] = value
}

func (c *changes) drop(name xml.Name) {
	delete(c.set, name)
	c.remove[name] = true
}

// add takes a patch. A calendar's zone is one thing with two properties, and either follows the other (RFC 7809 §5.2).
func (c *changes) add(t *patch) {
	zone, id := caldav("calendar-timezone"), caldav("calendar-timezone-id")
	switch {
	case t.prop.name != zone && t.prop.name != id:
	case t.remove:
		c.drop(zone)
		c.drop(id)
		return
	case t.prop.name == zone:
		c.drop(id)
		if t.zone != "" {
			c.put(id, t.zone)
		}
	default:
		c.drop(zone)
		if f := c.x.h.TimeZone; f != nil && f(t.value) != nil {
			c.put(zone, string(f(t.value)))
		}
	}
	if t.remove {
		c.drop(t.prop.name)
	} else {
		c.put(t.prop.name, t.value)
	}
}

func (c *changes) removed() []xml.Name { return slices.Collect(maps.Keys(c.remove)) }

// tooMany reports whether the resource would have more dead properties, or more octets, than are kept. What was kept
// under another limit may stay.
func (c *changes) tooMany() (bool, error) {
	if _, _, err := c.x.storedValue(c.r, xml.Name{}); err != nil {
		return false, err
	}
	after := maps.Clone(c.r.stored)
	if after == nil {
		after = map[xml.Name]string{}
	}
	maps.Copy(after, c.set)
	n, size := 0, 0
	for name := range after {
		if c.remove[name] {
			delete(after, name)
			continue
		}
		size += len(after[name])
		if properties[name] == nil {
			n++
		}
	}
	before := 0
	for _, value := range c.r.stored {
		before += len(value)
	}
	return n > maxDeadProperties && n > len(c.r.stored) || size > maxStored && size > before, nil
}

var colorForm = regexp.MustCompile(`^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$`)

// check decides on one property and brings its value to the stored form.
func (t *patch) check(x *exchange, r *resource, n *node) {
	settable := kindDead
	if t.prop.known != nil {
		settable = t.prop.known.settable
	}
	if x.stored == nil || settable&r.kind == 0 {
		t.status, t.why = statusForbidden, protectedProperty
		return
	}
	t.status = statusOK
	if t.remove {
		return
	}
	if t.value = n.text; t.prop.known == nil {
		t.value = deadValue(n)
	}
	switch t.prop.name {
	case dav("displayname"):
		// CalDav Synchronizer does not list a calendar without a name. What the calendar says by itself is not kept, here and
		// below: it would hide what Outlook says later.
		if t.value = strings.TrimSpace(t.value); t.value == "" || t.value == r.cal.DisplayName {
			t.remove = true
		}
	case caldav("calendar-description"):
		t.remove = t.value == r.cal.Description
	case apple("calendar-color"):
		color := n.trimmed()
		if !colorForm.MatchString(color) {
			t.status = statusConflict
			return
		}
		t.value = fullColor(color)
		t.remove = t.value == fullColor(r.cal.Color)
		for _, a := range n.attrs {
			if a.Name.Local == "symbolic-color" && a.Value != "" {
				t.value += " " + strings.Join(strings.Fields(a.Value), " ")
			}
		}
		t.value += "\t" + r.cal.Color
	case apple("calendar-order"):
		order, err := strconv.Atoi(n.trimmed())
		if err != nil {
			t.status = statusConflict
			return
		}
		t.value = strconv.Itoa(order)
		t.remove = order == r.cal.Order
	case caldav("schedule-calendar-transp"):
		switch {
		case n.child(caldav("transparent")) != nil:
			t.value = "transparent"
		case n.child(caldav("opaque")) != nil:
			t.value = "opaque"
		default:
			t.status = statusConflict
			return
		}
	case caldav("calendar-timezone"):
		if len(t.value) > maxPropertyValue {
			break
		}
		cal, err := decodeTimezone(t.value)
		if err != nil || len(ics.Children(cal.Component, "VTIMEZONE")) != 1 {
			t.status, t.why = statusForbidden, ValidCalendarData
			return
		}
		f, err := x.zoneOf(cal)
		if err != nil {
			t.status, t.why = statusForbidden, ValidCalendarData
			return
		}
		if f.loc != nil && f == namedZone(f.loc) {
			t.zone = f.id
		}
	case caldav("calendar-timezone-id"):
		loc, err := x.ics.Zone(n.trimmed())
		if err != nil {
			t.status, t.why = statusForbidden, validTimezone
			return
		}
		t.value = loc.String()
	}
	if len(t.value) > maxPropertyValue || !utf8.ValidString(t.value) {
		t.status = statusTooLarge
	}
}
