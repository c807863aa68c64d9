package caldav

import (
	"encoding/xml"
	"errors"
	"net/http"
	"slices"
	"strings"

	"outbridge/caldav/ics"
)

// propRequest says which properties a PROPFIND or a REPORT asks for.
type propRequest struct {
	mode  propMode
	props []requestedProp
}

func (q *propRequest) has(name xml.Name) bool {
	return slices.ContainsFunc(q.props, func(p requestedProp) bool { return p.name == name })
}

type propMode uint8

const (
	propNamed propMode = iota
	propAll            // those that are there, no 404s
	propNames          // their names only
)

// requestedProp is a property with the tags that it is answered in. Known is nil for a name that is in no table.
type requestedProp struct {
	name      xml.Name
	open, end string
	known     *property
}

func newRequestedProp(name xml.Name) requestedProp {
	if p := properties[name]; p != nil {
		return requestedProp{name: name, open: p.open, end: p.end, known: p}
	}
	open, end := startTag(name)
	return requestedProp{name: name, open: open, end: end}
}

// Limits of what is asked of every resource. Clients ask for some twenty properties.
const (
	maxProps     = 500
	maxPropNames = 32 << 10 // octets of their tags
	// maxMissed is how many octets of names an answer says are not there, before it leaves them out as for RFC 8144.
	maxMissed = 16 << 20
)

var errTooManyProps = badRequest("the request names too many properties")

// add adds properties that the request does not have yet.
func (q *propRequest) add(names []*node) error {
	octets := 0
	for _, p := range q.props {
		octets += len(p.open)
	}
	q.props = slices.Grow(q.props, min(len(names), maxProps))
	for _, n := range names {
		if q.has(n.name) {
			continue
		}
		p := newRequestedProp(n.name)
		if octets += len(p.open); octets > maxPropNames || len(q.props) == maxProps {
			return errTooManyProps
		}
		q.props = append(q.props, p)
	}
	return nil
}

// parsePropRequest reads the DAV:prop, DAV:allprop or DAV:propname inside n; none of them means allprop.
func parsePropRequest(n *node) (*propRequest, error) {
	q := &propRequest{mode: propAll}
	if prop := n.child(dav("prop")); prop != nil {
		q.mode = propNamed
		return q, q.add(prop.children)
	}
	if n.child(dav("propname")) != nil {
		q.mode = propNames
	}
	for _, name := range propertyNames {
		if q.mode == propNames || properties[name].all {
			q.props = append(q.props, newRequestedProp(name))
		}
	}
	if include := n.child(dav("include")); include != nil && q.mode == propAll {
		return q, q.add(include.children)
	}
	return q, nil
}

// beginMultistatus begins a 207. endMultistatus finishes it.
func (x *exchange) beginMultistatus() {
	x.status = http.StatusMultiStatus
	h := x.rw.Header()
	h["Content-Type"] = xmlTypes
	h["Vary"] = varyPreferences
	x.beginRoot("multistatus")
}

func (x *exchange) endMultistatus() { x.raw("</multistatus>") }

// row appends the DAV:response of a resource. The propstat of what is there comes first, also when it is empty:
// KDE reads no other.
func (x *exchange) row(r *resource, q *propRequest) error {
	if err := x.ctx.Err(); err != nil {
		return err
	}
	x.raw("<response><href>")
	x.raw(x.h.Prefix)
	x.raw(r.href)
	x.raw("</href><propstat><prop>")
	var missing, tooMany []*requestedProp
	for i := range q.props {
		p := &q.props[i]
		ok, err := x.property(r, p, q.mode == propNames)
		switch {
		case errors.Is(err, ics.ErrTooMany):
			tooMany = append(tooMany, p)
		case err != nil:
			return err
		case !ok && q.mode == propNamed:
			missing = append(missing, p)
		}
		if err := x.flush(); err != nil {
			return err
		}
	}
	if q.mode != propNamed {
		if err := x.deadProperties(r, q); err != nil {
			return err
		}
	}
	x.raw("</prop><status>HTTP/1.1 200 OK</status></propstat>")
	x.notThere(missing)
	x.propstat(tooMany, "507 Insufficient Storage", MaxInstances)
	x.raw("</response>")
	return x.flush()
}

// property appends one property element, or nothing if the resource has no such property.
func (x *exchange) property(r *resource, p *requestedProp, nameOnly bool) (bool, error) {
	if p.known == nil {
		return x.deadProperty(r, p, nameOnly)
	}
	if p.known.kinds&r.kind == 0 {
		return false, nil
	}
	before := len(x.buf)
	x.raw(p.open)
	if p.known.attrs != nil && !nameOnly {
		attrs, err := p.known.attrs(x, r)
		if err != nil {
			return false, err
		}
		x.buf = append(append(x.buf[:len(x.buf)-1], attrs...), '>')
	}
	content := len(x.buf)
	ok := true
	var err error
	if p.known.href != nil {
		x.raw("<href>" + x.outside(p.known.href(x, r)) + "</href>")
	} else {
		ok, err = p.known.value(x, r)
	}
	if err != nil || !ok {
		x.buf = x.buf[:min(before, len(x.buf))] // an error may come after some of it was sent
		return false, err
	}
	if nameOnly {
		x.buf = x.buf[:content]
	}
	x.raw(p.end)
	return true, nil
}

// notThere appends the names of properties that a resource does not have, unless the client, or what it has been told
// already, says not to.
func (x *exchange) notThere(props []*requestedProp) {
	if x.minimal || x.missed > maxMissed {
		return
	}
	before := len(x.buf)
	x.propstat(props, "404 Not Found", Condition{})
	x.missed += len(x.buf) - before
}

// propstat appends the names of properties under a status that is not 200 (RFC 4918 §14.22).
func (x *exchange) propstat(props []*requestedProp, status string, why Condition) {
	if len(props) == 0 {
		return
	}
	x.raw("<propstat><prop>")
	for _, p := range props {
		x.raw(p.open[:len(p.open)-1] + "/>")
	}
	x.raw("</prop><status>HTTP/1.1 " + status + "</status>")
	x.errorElement(&statusError{condition: why}, "")
	x.raw("</propstat>")
}

// statusRow appends a DAV:response that has a status and no properties.
func (x *exchange) statusRow(href, status string, why Condition) error {
	x.raw("<response><href>" + href + "</href><status>HTTP/1.1 " + status + "</status>")
	x.errorElement(&statusError{condition: why}, "")
	x.raw("</response>")
	return x.flush()
}

// resource looks up what the request path names.
func (x *exchange) resource() (*resource, error) {
	r := &resource{kind: x.target.kind, href: x.target.href}
	var err error
	if r.kind&(kindCalendar|kindObject) != 0 {
		if r.cal, err = x.calendar(); err != nil {
			return nil, err
		}
	}
	if r.kind == kindObject {
		r.obj, err = x.h.Backend.Object(x.ctx, r.cal, x.target.object)
	}
	return r, err
}

// propfind answers PROPFIND (RFC 4918 §9.1). Depth infinity, which is also what no Depth header means, gives the
// members of depth 1.
func (x *exchange) propfind() error {
	members := true
	switch strings.ToLower(x.req.Header.Get("Depth")) {
	case "0":
		members = false
	case "", "1", "infinity":
	default:
		return badRequest("malformed Depth header")
	}
	q, err := x.propfindBody()
	if err != nil {
		return err
	}
	r, err := x.resource()
	if err != nil {
		return err
	}
	x.minimal = x.prefersMinimal()
	x.beginMultistatus()
	if !members || !x.prefers("depth-noroot") {
		if err := x.row(r, q); err != nil {
			return err
		}
	}
	if members {
		if err := x.members(r, func(m *resource) error { return x.row(m, q) }); err != nil {
			return err
		}
	}
	x.endMultistatus()
	return nil
}

// propfindBody reads a DAV:propfind (RFC 4918 §14.20); an empty one, or none, means allprop.
func (x *exchange) propfindBody() (*propRequest, error) {
	n, err := x.readXML()
	if err != nil {
		return nil, err
	}
	if n == nil {
		return parsePropRequest(nil)
	}
	if n.name != dav("propfind") {
		return nil, badRequest("the request body is not a DAV:propfind")
	}
	kinds := 0
	for _, name := range []string{"prop", "allprop", "propname"} {
		if n.child(dav(name)) != nil {
			kinds++
		}
	}
	if kinds != 1 && len(n.children) > 0 {
		return nil, badRequest("a DAV:propfind holds one of DAV:prop, DAV:allprop and DAV:propname")
	}
	return parsePropRequest(n)
}

// members calls f for each member of r, in order. What f is given is another one after that.
func (x *exchange) members(r *resource, f func(*resource) error) error {
	switch r.kind {
	case kindRoot:
		var children []resource
		switch r.href {
		case "/":
			children = []resource{{kind: kindRoot, href: rootPath}}
		case rootPath:
			children = []resource{{kind: kindPrincipals, href: principalsPath}, {kind: kindRoot, href: calendarsPath}}
		default:
			children = []resource{{kind: kindHome, href: homeHref(x.principal.Name)}}
		}
		for i := range children {
			if err := f(&children[i]); err != nil {
				return err
			}
		}
	case kindPrincipals:
		return f(x.principalResource())
	case kindHome:
		cals, err := x.homeCalendars(r)
		if err != nil {
			return err
		}
		for _, c := range cals {
			if err := f(x.calendarResource(c)); err != nil {
				return err
			}
		}
	case kindCalendar:
		one := new(resource)
		for o, err := range x.h.Backend.Objects(x.ctx, r.cal, Query{}) {
			if err != nil {
				return err
			}
			*one = objectOf(r, o)
			if err := f(one); err != nil {
				return err
			}
		}
	}
	return nil
}

// descend calls f for r and everything below it.
func (x *exchange) descend(r *resource, f func(*resource) error) error {
	if err := f(r); err != nil {
		return err
	}
	return x.members(r, func(m *resource) error { return x.descend(m, f) })
}

func (x *exchange) calendarResource(c Calendar) *resource {
	return &resource{kind: kindCalendar, href: calendarHref(x.principal.Name, c.Name), cal: c}
}

// objectOf makes the resource of an object in calendar r.
func objectOf(r *resource, o Object) resource {
	return resource{kind: kindObject, href: r.href + escapeSegment(o.Name), cal: r.cal, obj: o}
}
