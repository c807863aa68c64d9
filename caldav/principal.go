package caldav

import (
	"cmp"
	"encoding/xml"
	"net/http"
	"strings"
)

// expandProperty answers DAV:expand-property (RFC 3253 §3.8). macOS sends it to a principal for its proxies.
func (x *exchange) expandProperty(n *node, r *resource) error {
	x.beginMultistatus()
	if err := x.expandedRow(n, r); err != nil {
		return err
	}
	x.endMultistatus()
	return x.flush()
}

func (x *exchange) expandedRow(n *node, r *resource) error {
	x.raw("<D:response><D:href>" + r.href + "</D:href><D:propstat><D:prop>")
	var missing []*requestedProp
	for _, c := range n.children {
		if c.name != dav("property") {
			continue
		}
		p := propertyElement(c)
		if p == nil {
			return badRequest("malformed DAV:property")
		}
		if len(c.children) > 0 && p.known != nil && p.known.kinds&r.kind != 0 && p.known.href != nil {
			t, err := parsePath(p.known.href(x, r))
			if err == nil && t.kind&(kindCalendar|kindObject) == 0 && (t.user == "" || t.user == x.principal.Name) {
				x.raw(p.open)
				if err := x.expandedRow(c, &resource{kind: t.kind, href: t.href}); err != nil {
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
	}
	x.raw("</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>")
	if !x.minimal {
		x.propstat(missing, "404 Not Found", precondition{})
	}
	x.raw("</D:response>\n")
	return nil
}

// principalSearch answers DAV:principal-property-search (RFC 3744 §9.4) over the one principal that may be seen. Any
// Depth will do, though the RFC knows 0 alone: Thunderbird sends 1.
func (x *exchange) principalSearch(n *node, _ *resource) error {
	if n.child(dav("property-search")) == nil {
		return badRequest("a DAV:principal-property-search names no property")
	}
	q := parsePropRequest(n)
	r := x.principalResource()
	found := true
	for _, s := range n.children {
		if s.name != dav("property-search") {
			continue
		}
		match := strings.ToLower(s.child(dav("match")).trimmed())
		for _, p := range s.child(dav("prop")).all() {
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
	root, err := parseXML(append(rendered, "</r>"...))
	if err != nil {
		return "\x00"
	}
	return root.allText()
}

func (n *node) allText() string {
	s := n.text
	for _, c := range n.children {
		s += c.allText()
	}
	return s
}

// principalSearchProperties answers DAV:principal-search-property-set (RFC 3744 §9.5).
func (x *exchange) principalSearchProperties(*node, *resource) error {
	x.status = http.StatusOK
	x.rw.Header().Set("Content-Type", xmlType)
	x.raw(`<?xml version="1.0" encoding="utf-8"?>` + "\n<D:principal-search-property-set" + rootNamespaces + ">")
	for _, p := range [][2]string{{"D:displayname", "Name"}, {"C:calendar-home-set", "Calendar home"}} {
		x.raw("<D:principal-search-property><D:prop><" + p[0] + `/></D:prop><D:description xml:lang="en">` + p[1] +
			"</D:description></D:principal-search-property>")
	}
	x.raw("</D:principal-search-property-set>\n")
	return nil
}

// propertyElement reads a DAV:property of an expand-property report; nil if it has no name.
func propertyElement(n *node) *requestedProp {
	name := n.attr("name")
	if !validName(name) {
		return nil
	}
	space := cmp.Or(n.attr("namespace"), nsDAV)
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
