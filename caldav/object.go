package caldav

import (
	"cmp"
	"net/http"
	"strings"

	"outbridge/caldav/negotiate"
)

const objectType = "text/calendar; charset=utf-8; component=VEVENT"

// get answers GET and HEAD: an object's stored octets, all events of a calendar, or a line of text for a person who opened a collection.
func (x *exchange) get() error {
	r, err := x.resource()
	if err != nil {
		return err
	}
	h := x.rw.Header()
	if r.kind == kindCalendar && x.h.Export != nil {
		return x.export(r)
	}
	if r.kind != kindObject {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		x.raw("This is a CalDAV collection. Open it in a calendar program.\n")
		return nil
	}
	h["Content-Type"] = objectTypes
	x.set("Etag", entityTag(r))
	x.scheduleTag(r.obj)
	h["Cache-Control"] = notShared
	if !r.obj.Modified.IsZero() {
		x.set("Last-Modified", r.obj.Modified.UTC().Format(http.TimeFormat))
	}
	switch (negotiate.State{ETag: r.obj.ETag, Modified: r.obj.Modified}).Check(x.req) {
	case http.StatusPreconditionFailed:
		return ErrPrecondition
	case http.StatusNotModified:
		x.status = http.StatusNotModified
		return nil
	}
	// The tag is strong and clients hold it against getetag, so it cannot be another for gzip (RFC 9110 §8.8.1).
	x.uncoded = true
	x.buf = append(x.buf, r.obj.Data...)
	return nil
}

// scheduleTag sets the header of that name (RFC 6638 §8.2) where an object has one.
func (x *exchange) scheduleTag(o Object) {
	if o.ScheduleTag != "" {
		x.rw.Header().Set("Schedule-Tag", `"`+o.ScheduleTag+`"`)
	}
}

// refuseWrite is the answer to every write that is not done here. It is a 403 with DAV:need-privileges also where
// a resource is not there: were MKCALENDAR to succeed in any way, Apple's Reminders would repeat it forever.
func (x *exchange) refuseWrite() *statusError {
	lacks := privilege{x.target.href, x.privilege()}
	if lacks.name == "bind" || lacks.name == "unbind" {
		lacks.href = parentHref(lacks.href)
	}
	lacks.href = x.outside(lacks.href)
	return &statusError{status: http.StatusForbidden, condition: NeedPrivileges, lacks: lacks}
}

// privilege names what the request's method needs (RFC 3744 appendix B); bind and unbind are of the parent.
func (x *exchange) privilege() string {
	switch x.req.Method {
	case http.MethodPut:
		if x.req.Header.Get("If-None-Match") != "" {
			return "bind"
		}
		return "write-content"
	case http.MethodDelete, "MOVE":
		return "unbind"
	case "MKCALENDAR", "MKCOL", "COPY":
		return "bind"
	case http.MethodPost, "LOCK":
		return "write-content"
	case "UNLOCK":
		return "unlock"
	case "ACL":
		return "write-acl"
	}
	return "read"
}

func parentHref(href string) string {
	i := strings.LastIndexByte(strings.TrimSuffix(href, "/"), '/')
	return cmp.Or(href[:i+1], "/")
}
