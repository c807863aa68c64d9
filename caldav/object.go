package caldav

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/emersion/go-webdav"
	webdavcal "github.com/emersion/go-webdav/caldav"

	"outbridge/caldav/ics"
)

const (
	objectType = "text/calendar; charset=utf-8; component=VEVENT"
	// maxObjectSize is CALDAV:max-resource-size (RFC 4791 §5.2.5), in octets.
	maxObjectSize = 1 << 20
)

// get answers GET and HEAD: an object's stored octets, or a line of text for a person who opened a collection.
func (x *exchange) get() error {
	r, err := x.resource()
	if err != nil {
		return err
	}
	h := x.rw.Header()
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
	if match := entityTags(x.req.Header, "If-Match"); len(match) > 0 && !anyTag(match, r.obj.ETag) {
		return ErrPrecondition
	}
	if none := entityTags(x.req.Header, "If-None-Match"); len(none) > 0 {
		if anyTag(none, r.obj.ETag) {
			x.status = http.StatusNotModified
			return nil
		}
	} else if since, err := http.ParseTime(x.req.Header.Get("If-Modified-Since")); err == nil &&
		!r.obj.Modified.IsZero() && !r.obj.Modified.Truncate(time.Second).After(since) {
		x.status = http.StatusNotModified
		return nil
	}
	x.buf = append(x.buf, r.obj.Data...)
	return nil
}

// entityTags reads a conditional header (RFC 9110 §13.1) as bare tags, "*" for any. It undoes what clients and
// proxies do to a strong tag: a weak mark, a content-coding suffix, and Evolution's backslashes before quotes.
func entityTags(h http.Header, name string) []string {
	var tags []string
	for _, field := range h.Values(name) {
		for tag := range strings.SplitSeq(field, ",") {
			tag = strings.TrimSpace(tag)
			tag = strings.TrimPrefix(strings.TrimPrefix(tag, "W/"), "w/")
			tag = strings.Trim(tag, `\"`)
			for _, suffix := range []string{"-gzip", "-br", ";gz", ";br"} {
				tag = strings.TrimSuffix(tag, suffix)
			}
			if tag != "" {
				tags = append(tags, tag)
			}
		}
	}
	return tags
}

func anyTag(tags []string, etag string) bool {
	for _, t := range tags {
		if t == "*" || t == etag {
			return true
		}
	}
	return false
}

// match brings the conditional headers of a write to what a Backend compares inside its transaction. Of a list of
// tags it passes on the one that the object has now.
func (x *exchange) match(now *Object) Match {
	one := func(name string) webdav.ConditionalMatch {
		tags := entityTags(x.req.Header, name)
		switch {
		case len(tags) == 0:
			return ""
		case tags[0] == "*":
			return "*"
		case len(tags) > 1 && now != nil && anyTag(tags, now.ETag):
			return webdav.ConditionalMatch(`"` + now.ETag + `"`)
		}
		return webdav.ConditionalMatch(`"` + tags[0] + `"`)
	}
	return Match{IfMatch: one("If-Match"), IfNoneMatch: one("If-None-Match")}
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
		return &statusError{status: http.StatusConflict, message: "no such calendar"}
	}
	if err != nil {
		return err
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.rw, x.req.Body, maxObjectSize))
	if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
		return forbidden("C:max-resource-size")
	}
	if err != nil {
		return badRequest("cannot read the request body")
	}
	// Only a media type that means something else is believed.
	if t, _, err := mime.ParseMediaType(x.req.Header.Get("Content-Type")); err == nil && t != "text/calendar" && t != "text/plain" && t != "application/octet-stream" {
		return forbidden("C:supported-calendar-data")
	}
	cal, err := ics.Decode(body)
	if err != nil {
		return forbidden("C:valid-calendar-data")
	}
	component, uid, err := webdavcal.ValidateCalendarObject(cal)
	if err != nil || uid == "" {
		return forbidden("C:valid-calendar-object-resource")
	}
	if component != "VEVENT" {
		return forbidden("C:supported-calendar-component")
	}
	o, err := x.h.Backend.Put(x.ctx, c, x.target.object, cal, x.match(now))
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
		x.rw.Header().Set("Location", calendarHref(x.target.user, x.target.calendar)+escapeSegment(o.Name))
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
	if err := x.h.Backend.Delete(x.ctx, c, x.target.object, x.match(now)); err != nil {
		return err
	}
	x.status = http.StatusNoContent
	return nil
}

// refuseWrite is the answer to every write that is not done here. It is a 403 with DAV:need-privileges also where
// a resource is not there: were MKCALENDAR to succeed in any way, Apple's Reminders would repeat it for ever.
func (x *exchange) refuseWrite() error {
	href := x.target.href
	p := x.privilege()
	if p == "bind" || p == "unbind" {
		href = parentHref(href)
	}
	return needPrivileges(href, p)
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
