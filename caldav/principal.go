package caldav

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"net/http"
	"strings"
)

// maxExpandedProps bounds the properties of one expand-property, those inside of others included.
const maxExpandedProps = 300

// expandedProp is a property that is asked for with properties of what it names.
type expandedProp struct {
	requestedProp
	inner []expandedProp
}

// parseExpanded reads the DAV:property elements in n, each name once; count is of all so far.
func parseExpanded(n *node, count *int) ([]expandedProp, error) {
	var list []expandedProp
	seen := map[xml.Name]bool{}
	for _, c := range n.children {
		if c.name != dav("property") {
			continue
		}
		if *count++; *count > maxExpandedProps {
			return nil, errTooManyProps
		}
		p := propertyElement(c)
		if p == nil {
			return nil, badRequest("malformed DAV:property")
		}
		inner, err := parseExpanded(c, count)
		if err != nil {
			return nil, err
		}
		if !seen[p.name] {
			seen[p.name] = true
			list = append(list, expandedProp{*p, inner})
		}
	}
	return list, nil
}

// expandProperty answers DAV:expand-property (RFC 3253 §3.8). macOS sends it to a principal for its proxies.
func (x *exchange) expandProperty(n *node, r *resource) error {
	count := 0
	props, err := parseExpanded(n, &count)
	if err != nil {
		return err
	}
	x.beginMultistatus()
	if err := x.expandedRow(props, r); err != nil {
		return err
	}
	x.endMultistatus()
	return x.flush()
}

func (x *exchange) expandedRow(props []expandedProp, r *resource) error {
	x.raw("<response><href>" + x.outside(r.href) + "</href><propstat><prop>")
	var missing []*requestedProp
	for i := range props {
		p, inner := &props[i].requestedProp, props[i].inner
		if len(inner) > 0 && p.known != nil && p.known.kinds&r.kind != 0 && p.known.href != nil {
			t, err := parsePath(p.known.href(x, r))
			if err == nil && t.kind&(kindCalendar|kindObject) == 0 && (t.user == "" || t.user == x.principal.Name) {
				x.raw(p.open)
				if err := x.expandedRow(inner, &resource{kind: t.kind, href: t.href}); err != nil {
					return err
				}
				x.raw(p.end)
				continue
			}
		}
		ok, err := x.property(r, p, false)
		if err != nil {
			return err
		}
		if !ok {
			missing = append(missing, p)
		}
		if err := x.flush(); err != nil {
			return err
		}
	}
	x.raw("</prop><status>HTTP/1.1 200 OK</status></propstat>")
	x.notThere(missing)
	x.raw("</response>")
	return x.flush()
}

// maxSearches bounds the properties that one principal search looks into.
const maxSearches = 50

// principalSearch answers DAV:principal-property-search (RFC 3744 §9.4) over the one principal that may be seen. Any
// Depth will do, though the RFC knows 0 alone: Thunderbird sends 1.
func (x *exchange) principalSearch(n *node, _ *resource) error {
	if n.child(dav("property-search")) == nil {
		return badRequest("a DAV:principal-property-search names no property")
	}
	q, err := parsePropRequest(n)
	if err != nil {
		return err
	}
	r := x.principalResource()
	found, searches := true, 0
	for _, s := range n.children {
		if s.name != dav("property-search") {
			continue
		}
		match := strings.ToLower(s.child(dav("match")).trimmed())
		for _, p := range s.child(dav("prop")).all() {
			if searches++; searches > maxSearches {
				return errTooManyProps
			}
			found = found && strings.Contains(strings.ToLower(x.searchText(r, p)), match)
		}
	}
	x.beginMultistatus()
	if found {
		if err := x.row(r, q); err != nil {
			return err
		}
	}
	x.endMultistatus()
	return nil
}

// searchText is what a principal search compares with: what the property is answered with, without the tags.
func (x *exchange) searchText(r *resource, n *node) string {
	p := newRequestedProp(n.name)
	before := len(x.buf)
	ok, err := x.property(r, &p, false)
	rendered := append([]byte(`<r`+rootNamespaces+`>`), x.buf[before:]...)
	x.buf = x.buf[:before]
	if !ok || err != nil {
		return "\x00"
	}
	root, err := readXML(bytes.NewReader(append(rendered, "</r>"...)))
	if err != nil {
		return "\x00"
	}
	var b strings.Builder
	root.writeText(&b)
	return b.String()
}

func (n *node) writeText(b *strings.Builder) {
	b.WriteString(n.text)
	for _, c := range n.children {
		c.writeText(b)
	}
}

// principalSearchProperties answers DAV:principal-search-property-set (RFC 3744 §9.5).
func (x *exchange) principalSearchProperties(*node, *resource) error {
	x.status = http.StatusOK
	x.rw.Header().Set("Content-Type", xmlType)
	x.beginRoot("principal-search-property-set")
	for _, p := range [][2]string{{"displayname", "Name"}, {"C:calendar-home-set", "Calendar home"}} {
		x.raw("<principal-search-property><prop><" + p[0] + `/></prop><description xml:lang="en">` + p[1] +
			"</description></principal-search-property>")
	}
	x.raw("</principal-search-property-set>\n")
	return nil
}

// propertyElement reads a DAV:property of an expand-property report; nil if it has no name.
func propertyElement(n *node) *requestedProp {
	name := n.attr("name")
	space := cmp.Or(n.attr("namespace"), nsDAV)
	if !validName(name) || len(name)+len(space) > maxSegment*4 {
		return nil
	}
	p := newRequestedProp(xml.Name{Space: space, Local: name})
	return &p
}

// validName reports whether s can be written as an XML element name. It knows the ASCII names only, which all
// properties have.
func validName(s string) bool {
	for i, c := range s {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c != '-' && c != '.' && (c < '0' || c > '9')) {
			return false
		}
	}
	return s != ""
}
