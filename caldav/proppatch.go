package caldav

import (
	"encoding/xml"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxPropertyValue bounds one value that PROPPATCH sets, in octets. A VTIMEZONE with a long history fits.
const maxPropertyValue = 64 << 10

// patch is one property of a PROPPATCH with what became of it.
type patch struct {
	prop   requestedProp
	value  string // as the store keeps it
	remove bool
	status string // "200 OK", or why not
	code   string // precondition element
}

const (
	statusOK        = "200 OK"
	statusForbidden = "403 Forbidden"
	statusConflict  = "409 Conflict"
	statusTooLarge  = "507 Insufficient Storage"
)

// proppatch answers PROPPATCH (RFC 4918 §9.2) with a 207 in every case: a bare 403 stops macOS Calendar for the
// whole account. Also on a read-only calendar a principal may keep its own name and colour.
func (x *exchange) proppatch() error {
	n, err := readXML(x.rw, x.req)
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
		set := map[xml.Name]string{}
		var remove []xml.Name
		for _, t := range patches { // in document order, the last one counts
			delete(set, t.prop.name)
			if t.remove {
				remove = append(remove, t.prop.name)
			} else {
				set[t.prop.name] = t.value
			}
		}
		remove = withoutKeys(remove, set)
		if err := x.stored.SetProperties(x.ctx, x.principal, r.href, set, remove); err != nil {
			return err
		}
	}
	x.beginMultistatus()
	x.raw("<D:response><D:href>" + r.href + "</D:href>")
	for _, t := range patches {
		if !ok && t.status == statusOK {
			t.status = "424 Failed Dependency"
		}
		x.propstat([]*requestedProp{&t.prop}, t.status, t.code)
	}
	x.raw("</D:response>\n")
	x.endMultistatus()
	return nil
}

func (n *node) all() []*node {
	if n == nil {
		return nil
	}
	return n.children
}

func withoutKeys(names []xml.Name, set map[xml.Name]string) []xml.Name {
	kept := names[:0]
	for _, n := range names {
		if _, ok := set[n]; !ok {
			kept = append(kept, n)
		}
	}
	return kept
}

var colorForm = regexp.MustCompile(`^#[0-9A-Fa-f]{6}([0-9A-Fa-f]{2})?$`)

// check decides on one property and brings its value to the stored form.
func (t *patch) check(x *exchange, r *resource, n *node) {
	known := t.prop.known
	if x.stored == nil || known == nil || known.settable&r.kind == 0 {
		t.status, t.code = statusForbidden, "D:cannot-modify-protected-property"
		return
	}
	t.status = statusOK
	if t.remove {
		return
	}
	t.value = n.text
	switch t.prop.name {
	case dav("displayname"):
		if t.value = strings.TrimSpace(t.value); t.value == "" {
			t.remove = true // CalDav Synchronizer does not list a calendar without a name
		}
	case apple("calendar-color"):
		color := n.trimmed()
		if !colorForm.MatchString(color) {
			t.status = statusConflict
			return
		}
		if len(color) == len("#rrggbb") {
			color += "FF"
		}
		t.value = strings.ToUpper(color)
		for _, a := range n.attrs {
			if a.Name.Local == "symbolic-color" && a.Value != "" {
				t.value += " " + a.Value
			}
		}
	case apple("calendar-order"):
		order, err := strconv.Atoi(n.trimmed())
		if err != nil {
			t.status = statusConflict
			return
		}
		t.value = strconv.Itoa(order)
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
		if cal, err := parseICS([]byte(t.value)); err != nil || len(childrenNamed(cal.Component, "VTIMEZONE")) != 1 {
			t.status, t.code = statusForbidden, "C:valid-calendar-data"
			return
		}
	}
	if len(t.value) > maxPropertyValue || !utf8.ValidString(t.value) {
		t.status = statusTooLarge
	}
}
