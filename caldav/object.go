package caldav

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/emersion/go-webdav"
	webdavcal "github.com/emersion/go-webdav/caldav"

	"outbridge/caldav/ics"
	"outbridge/caldav/negotiate"
)

const (
	objectType = "text/calendar; charset=utf-8; component=VEVENT"
	// maxObjectSize is CALDAV:max-resource-size (RFC 4791 §5.2.5), in octets.
	maxObjectSize = 1 << 20
)

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
	h.Set("Content-Type", objectType)
	h.Set("ETag", entityTag(r))
	h.Set("Cache-Control", "private, no-cache")
	if !r.obj.Modified.IsZero() {
		h.Set("Last-Modified", r.obj.Modified.UTC().Format(http.TimeFormat))
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

// match brings the conditional headers of a write to what a Backend compares inside its transaction. Of a list of
// tags it passes on the one that the object has now, and for a date the tag of the object that was not changed since.
func (x *exchange) match(now *Object) (Match, error) {
	one := func(tags negotiate.Tags) webdav.ConditionalMatch {
		switch {
		case len(tags) == 0:
			return ""
		case tags[0] == "*":
			return "*"
		case now != nil && tags.Has(now.ETag):
			return webdav.ConditionalMatch(`"` + now.ETag + `"`)
		}
		return webdav.ConditionalMatch(`"` + tags[0] + `"`)
	}
	m := Match{IfMatch: one(negotiate.IfMatch(x.req.Header)), IfNoneMatch: one(negotiate.IfNoneMatch(x.req.Header))}
	if since := x.req.Header.Get("If-Unmodified-Since"); since != "" && !m.IfMatch.IsSet() && now != nil {
		if (negotiate.State{Modified: now.Modified}).ModifiedSince(since) {
			return m, ErrPrecondition
		}
		m.IfMatch = webdav.ConditionalMatch(`"` + now.ETag + `"`)
	}
	return m, nil
}

// writable looks up the object of a write, nil if there is none yet, in a calendar that takes writes.
func (x *exchange) writable() (Calendar, *Object, error) {
	if x.target.kind != kindObject {
		return Calendar{}, nil, x.refuseWrite()
	}
	c, err := x.calendar()
	if err != nil {
		return c, nil, err
	}
	if !c.Writable {
		return c, nil, x.refuseWrite()
	}
	o, err := x.h.Backend.Object(x.ctx, c, x.target.object)
	if errors.Is(err, ErrNotFound) {
		return c, nil, nil
	}
	return c, &o, err
}

// put answers PUT (RFC 4791 §5.3.2).
func (x *exchange) put() error {
	c, now, err := x.writable()
	if errors.Is(err, ErrNotFound) {
		return &statusError{status: http.StatusConflict, sentence: "no such calendar"}
	}
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.rw, x.req.Body, maxObjectSize))
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return forbidden(maxResourceSize).because("An event may have at most 1 MiB.")
	}
	if err != nil {
		return badRequest("cannot read the request body")
	}
	// Only a media type that means something else is believed.
	if t, _, err := mime.ParseMediaType(x.req.Header.Get("Content-Type")); err == nil && t != "text/calendar" && t != "text/plain" && t != "application/octet-stream" {
		return forbidden(supportedCalendarData).because("Only iCalendar, text/calendar, is kept here.")
	}
	cal, err := ics.Decode(body)
	if err != nil {
		return forbidden(validCalendarData).because("The body is not iCalendar.")
	}
	component, uid, err := webdavcal.ValidateCalendarObject(cal)
	if err != nil || uid == "" {
		return forbidden(validObjectResource).because("A resource holds the components of one UID, and no METHOD.")
	}
	if component != "VEVENT" {
		return forbidden(supportedComponent).because("Only events are kept here.")
	}
	m, err := x.match(now)
	if err != nil {
		return err
	}
	o, err := x.h.Backend.Put(x.ctx, c, x.target.object, cal, m)
	if err != nil {
		return err
	}
	x.status = http.StatusCreated
	if now != nil {
		x.status = http.StatusNoContent
	}
	// A strong ETag would say that the octets are stored as sent (RFC 4791 §5.3.4), and Evolution would not
	// fetch what was made of them.
	if bytes.Equal(o.Data, body) {
		x.rw.Header().Set("ETag", `"`+o.ETag+`"`)
	}
	if o.Name != "" && o.Name != x.target.object {
		x.rw.Header().Set("Location", x.outside(calendarHref(x.target.user, x.target.calendar)+escapeSegment(o.Name)))
	}
	return nil
}

// delete answers DELETE.
func (x *exchange) delete() error {
	c, now, err := x.writable()
	if err != nil {
		return err
	}
	if now == nil {
		return ErrNotFound
	}
	m, err := x.match(now)
	if err != nil {
		return err
	}
	if err := x.h.Backend.Delete(x.ctx, c, x.target.object, m); err != nil {
		return err
	}
	x.status = http.StatusNoContent
	return nil
}

// refuseWrite is the answer to every write that is not done here. It is a 403 with DAV:need-privileges also where
// a resource is not there: were MKCALENDAR to succeed in any way, Apple's Reminders would repeat it forever.
func (x *exchange) refuseWrite() *statusError {
	lacks := privilege{x.target.href, x.privilege()}
	if lacks.name == "bind" || lacks.name == "unbind" {
		lacks.href = parentHref(lacks.href)
	}
	lacks.href = x.outside(lacks.href)
	return &statusError{status: http.StatusForbidden, condition: needPrivileges, lacks: lacks}
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
