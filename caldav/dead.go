package caldav

import (
	"encoding/xml"
	"maps"
	"slices"
	"strconv"
)

// Dead properties (RFC 4918 §4): what a client keeps on a collection and this server does not know.

const (
	kindDead          = kindPrincipal | kindHome | kindCalendar | kindInbox // where Apple's clients keep an availability
	maxDeadProperties = 100                                                 // of one resource
	maxStored         = 1 << 20                                             // octets of all that is kept of one
)

// deadValue is an element as it is stored: the attributes, a '>', and the content. It declares every namespace that
// it uses. One that is longer than what is kept ends somewhere beyond that.
func deadValue(n *node) string { return string(appendDead(nil, n)) }

func appendDead(b []byte, n *node) []byte {
	b = append(deadAttrs(b, n), '>')
	for _, p := range n.parts {
		switch {
		case len(b) > maxPropertyValue:
			return b
		case p.child == nil:
			b = appendText(b, p.text[:min(len(p.text), maxPropertyValue+1)])
		default:
			b = appendElement(b, p.child)
		}
	}
	return b
}

func appendElement(b []byte, n *node) []byte {
	b = append(b, "<"+n.name.Local+` xmlns="`+attributeValue(n.name.Space)+`"`...)
	b = appendDead(b, n)
	return append(b, "</"+n.name.Local+">"...)
}

func deadAttrs(b []byte, n *node) []byte {
	for i, a := range n.attrs {
		switch a.Name.Space {
		case "xmlns":
			continue
		case "":
			if a.Name.Local == "xmlns" {
				continue
			}
			b = append(b, " "+a.Name.Local...)
		case "http://www.w3.org/XML/1998/namespace", "xml":
			b = append(b, " xml:"+a.Name.Local...)
		default:
			prefix := "a" + strconv.Itoa(i)
			b = append(b, " xmlns:"+prefix+`='`+attributeValue(a.Name.Space)+`' `+prefix+":"+a.Name.Local...)
		}
		b = append(b, `='`+attributeValue(a.Value)+`'`...)
	}
	return b
}

// deadProperty appends a property that is in no table, if the principal has set it.
func (x *exchange) deadProperty(r *resource, p *requestedProp, nameOnly bool) (bool, error) {
	if r.kind&kindDead == 0 {
		return false, nil
	}
	v, ok, err := x.storedValue(r, p.name)
	if err != nil || !ok {
		return false, err
	}
	if nameOnly {
		v = ">"
	}
	x.raw(p.open[:len(p.open)-1] + v + p.end)
	return true, nil
}

// deadProperties appends all of them, for allprop and propname.
func (x *exchange) deadProperties(r *resource, q *propRequest) error {
	if r.kind&kindDead == 0 || x.stored == nil {
		return nil
	}
	if _, _, err := x.storedValue(r, xml.Name{}); err != nil {
		return err
	}
	for _, name := range slices.SortedFunc(maps.Keys(r.stored), compareNames) {
		if properties[name] != nil || q.has(name) {
			continue
		}
		p := newRequestedProp(name)
		if _, err := x.deadProperty(r, &p, q.mode == propNames); err != nil {
			return err
		}
		if err := x.flush(); err != nil {
			return err
		}
	}
	return nil
}
