package caldav

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/emersion/go-ical"
	webdavcal "github.com/emersion/go-webdav/caldav"
	"golang.org/x/text/encoding/charmap"
	unicode16 "golang.org/x/text/encoding/unicode"

	"outbridge/caldav/ics"
	"outbridge/caldav/negotiate"
)

const (
	// maxObjectSize is CALDAV:max-resource-size (RFC 4791 §5.2.5), in octets.
	maxObjectSize = 1 << 20
	// maxAttachment is what a file may have, in octets. maxInline is an object with one of them inside, in base64 and folded.
	maxAttachment = 25 << 20
	maxInline     = maxObjectSize + maxAttachment/3*4 + maxAttachment/3*4/20
)

// writer is the backend for a write to a calendar, or the refusal.
func (x *exchange) writer(c Calendar) (WriteBackend, error) {
	w, ok := x.h.Backend.(WriteBackend)
	if !ok || !c.Writable {
		return nil, x.refuseWrite().because("This calendar can only be read here.")
	}
	return w, nil
}

// writable looks up the calendar of an object that is to be written.
func (x *exchange) writable() (Calendar, WriteBackend, error) {
	if x.target.kind != kindObject {
		return Calendar{}, nil, x.refuseWrite()
	}
	c, err := x.calendar()
	if err != nil {
		return c, nil, err
	}
	w, err := x.writer(c)
	return c, w, err
}

// writeRequest reads the headers of a write. An If-Schedule-Tag-Match that is empty, as some of Apple's are, is none.
func (x *exchange) writeRequest() WriteRequest {
	h := x.req.Header
	r := WriteRequest{
		Principal: x.principal,
		Match: Match{
			IfMatch: negotiate.IfMatch(h).Bare(), IfNoneMatch: negotiate.IfNoneMatch(h).Bare(),
			IfScheduleTag: negotiate.Required(h, "If-Schedule-Tag-Match").Bare(),
		},
		Silent: strings.EqualFold(strings.TrimSpace(h.Get("Schedule-Reply")), "F"),
		Client: h.Get("User-Agent"),
	}
	if t, err := http.ParseTime(h.Get("If-Unmodified-Since")); err == nil {
		r.Match.IfUnmodifiedSince = t
	}
	return r
}

// put answers PUT (RFC 4791 §5.3.2).
func (x *exchange) put() error {
	c, w, err := x.writable()
	if errors.Is(err, ErrNotFound) {
		return &statusError{status: http.StatusConflict, sentence: "no such calendar"} // RFC 4918 §9.7.1
	}
	if err != nil {
		return err
	}
	r, sent, err := x.putRequest(c)
	if err != nil {
		var se *statusError
		if tell := x.h.RefusedWrite; tell != nil && errors.As(err, &se) && se.status == http.StatusForbidden {
			tell(x.ctx, c, x.target.object, x.writeRequest(), se.sentence)
		}
		return err
	}
	done, err := w.Put(x.ctx, c, x.target.object, r)
	if err != nil {
		return x.unmet(c, err)
	}
	return x.written(c, x.target.object, done, sent)
}

// putRequest reads a PUT, and returns its body as it was sent, too.
func (x *exchange) putRequest(c Calendar) (r PutRequest, sent []byte, err error) {
	// Only a media type that means something else is believed.
	t, params, err := mime.ParseMediaType(x.req.Header.Get("Content-Type"))
	if err == nil && strings.Contains(t, "/") && t != "text/calendar" && t != "text/plain" && t != "application/octet-stream" {
		return r, nil, forbidden(SupportedCalendarData).because("Only events in the format iCalendar (text/calendar) are kept here.")
	}
	if x.req.Header.Get("Content-Range") != "" { // RFC 9110 §14.5
		return r, nil, badRequest("a part of an event cannot be sent")
	}
	sent, err = x.objectBody(c)
	if err != nil {
		return r, nil, err
	}
	octets, ok := toUTF8(sent, params["charset"])
	if !ok {
		return r, nil, forbidden(ValidCalendarData).because("The text of the event is in a character encoding that is not understood. Send it as UTF-8.")
	}
	if len(octets) > maxObjectSize && withoutFiles(octets) > maxObjectSize {
		return r, nil, errTooLarge
	}
	cal, err := ics.Decode(octets)
	if err != nil {
		return r, nil, forbidden(ValidCalendarData).because("What was sent is not iCalendar that can be read.")
	}
	if manyCalendars(octets) {
		return r, nil, forbidden(ValidCalendarObject).because("One event has to be sent at a time, in one VCALENDAR.")
	}
	uid, err := checkObject(cal)
	if err != nil {
		return r, nil, err
	}
	return PutRequest{WriteRequest: x.writeRequest(), Octets: octets, Data: cal, UID: uid}, sent, nil
}

// manyCalendars reports whether there is more than the one VCALENDAR, which ics.Decode leaves out.
func manyCalendars(octets []byte) bool {
	n := 0
	for l := range ics.Lines(octets) {
		if len(l) < 100 && string(l.Name()) == "BEGIN" && strings.EqualFold(string(bytes.TrimSpace(l.Value())), ical.CompCalendar) {
			n++
		}
	}
	return n > 1
}

// checkObject holds an object to RFC 4791 §4.1, and returns its UID.
func checkObject(cal *ical.Calendar) (uid string, err error) {
	if cal.Props.Get(ical.PropMethod) != nil {
		return "", forbidden(ValidCalendarObject).because("An invitation or an answer (iCalendar with a METHOD) cannot be stored as an event.")
	}
	component, uid, err := webdavcal.ValidateCalendarObject(cal)
	switch {
	case err != nil || component == "":
		return "", forbidden(ValidCalendarObject).because("One event has to be sent at a time: everything in it must have the same UID.")
	case component != ical.CompEvent:
		return "", forbidden(SupportedComponent).because("Only events are kept here, no tasks and no journal entries.")
	}
	masters := 0
	for _, e := range ics.Children(cal.Component, ical.CompEvent) {
		if e.Props.Get(ical.PropRecurrenceID) == nil {
			masters++
		}
		if own := e.Props.Get(ical.PropUID); own == nil || own.Value == "" {
			return "", forbidden(ValidCalendarObject).because("The event has no UID.")
		}
	}
	if masters > 1 {
		return "", forbidden(ValidCalendarObject).because("The event is there twice, with the same UID and no RECURRENCE-ID.")
	}
	return uid, nil
}

// written answers for a write that is done. Sent is what the client sent, nil where it sent nothing. A strong ETag would say
// that the octets are stored as sent (RFC 4791 §5.3.4), and Evolution would not fetch what was made of them.
func (x *exchange) written(c Calendar, name string, done Written, sent []byte) error {
	h := x.rw.Header()
	x.status = http.StatusNoContent
	if done.Created {
		x.status = http.StatusCreated
	}
	o := done.Object
	if o.Deleted || o.Name == "" {
		return nil
	}
	href := x.outside(calendarHref(x.principal.Name, c.Name) + escapeSegment(o.Name))
	if o.Name != name {
		h.Set("Location", href)
	}
	x.scheduleTag(o)
	if sent != nil && bytes.Equal(o.Data, sent) {
		h.Set("ETag", `"`+o.ETag+`"`)
	}
	if len(o.Data) > 0 && x.prefers("return=representation") { // RFC 8144 §3
		if !done.Created {
			x.status = http.StatusOK
		}
		x.represent(href, o)
	}
	return nil
}

// represent makes an object the body of an answer to a write.
func (x *exchange) represent(href string, o Object) {
	h := x.rw.Header()
	h.Set("Content-Type", objectType)
	h.Set("Content-Location", href)
	h.Set("ETag", `"`+o.ETag+`"`)
	x.scheduleTag(o)
	x.uncoded = true
	x.buf = append(x.buf, o.Data...)
}

// unmet answers for a write that was not done. A client that asks for the representation gets, where its condition does not
// hold, the object that it holds not for (RFC 8144 §3.2).
func (x *exchange) unmet(c Calendar, err error) error {
	if !errors.Is(err, ErrPrecondition) || !x.prefers("return=representation") {
		return err
	}
	o, lookup := x.h.Backend.Object(x.ctx, c, x.target.object)
	if lookup != nil {
		return err
	}
	x.status = http.StatusPreconditionFailed
	x.represent(x.outside(calendarHref(x.principal.Name, c.Name)+escapeSegment(o.Name)), o)
	return nil
}

// delete answers DELETE.
func (x *exchange) delete() error {
	c, w, err := x.writable()
	if err != nil {
		return err
	}
	if err := w.Delete(x.ctx, c, x.target.object, x.writeRequest()); err != nil {
		return x.unmet(c, err)
	}
	x.status = http.StatusNoContent
	return nil
}

// refusedName answers a PUT to a path that names no object that there could be.
func (x *exchange) refusedName(path string, err error) error {
	home := homeHref(x.principal.Name)
	switch {
	case errors.Is(err, errMalformedPath):
		return forbidden(ValidCalendarObject).because("An event cannot have this name. Names are up to 255 octets of UTF-8, without slashes and control characters.")
	case errors.Is(err, ErrNotFound) && strings.HasPrefix(path, home):
		return &statusError{status: http.StatusConflict, sentence: "no such collection"} // RFC 4918 §9.7.1
	}
	return err
}

var errTooLarge = forbidden(MaxResourceSize).because("An event may have at most 1 MiB.")

// withoutFiles is how many octets an object has beside the files inside it: a line that is read takes many times its octets,
// all but the long ones.
func withoutFiles(octets []byte) (n int) {
	for l := range ics.Lines(octets) {
		if len(l) < 1<<10 || string(l.Name()) != ical.PropAttach {
			n += len(l)
		}
	}
	return n
}

// objectBody reads the body of a PUT. One that is large waits for its turn, and one that is larger than an event may be is
// read only where it can be that of an event with a file inside.
func (x *exchange) objectBody(c Calendar) ([]byte, error) {
	limit, tooLarge := int64(maxObjectSize), errTooLarge
	if _, ok := x.h.Backend.(AttachmentBackend); ok && c.Attachments {
		limit, tooLarge = maxInline, forbidden(MaxAttachmentSize).because("The files of an event may have at most 25 MiB.")
	}
	return x.readBody(limit, tooLarge)
}

// readBody reads a request body of up to limit octets. Little of it is read before its turn has come, since whoever sends it
// may take their time.
func (x *exchange) readBody(limit int64, tooLarge error) ([]byte, error) {
	length := x.req.ContentLength
	if length > limit {
		return nil, tooLarge
	}
	body := http.MaxBytesReader(x.rw, x.req.Body, limit)
	start, end := time.Now(), time.Now().Add(uploadTime)
	var read []byte
	stages := []struct {
		below int64
		turns func() *turns
	}{{largeBody, nil}, {maxObjectSize, x.h.largeTurns}, {limit, x.h.hugeTurns}}
	for _, s := range stages {
		if s.turns != nil {
			if err := x.takeTurn(s.turns); err != nil {
				return nil, err
			}
		}
		size := min(s.below, limit)
		if length >= 0 {
			size = min(size, length)
		}
		whole, err := x.readUpTo(&read, body, size, start, end)
		var over *http.MaxBytesError
		switch {
		case errors.As(err, &over):
			return nil, tooLarge
		case err != nil:
			return nil, badRequest("cannot read the request body")
		case whole:
			return read, nil
		}
	}
	return nil, tooLarge
}

// readUpTo adds to read what comes, up to a length in all, and reports whether that was the end. While octets come, the time
// in which they have to is moved on.
func (x *exchange) readUpTo(read *[]byte, body io.Reader, size int64, start, end time.Time) (whole bool, err error) {
	grown := make([]byte, len(*read), size+1)
	copy(grown, *read)
	*read = grown
	for {
		b := *read
		if len(b) == cap(b) {
			return false, nil
		}
		n, err := body.Read(b[len(b):min(cap(b), len(b)+256<<10)])
		*read = b[:len(b)+n]
		if err == io.EOF {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		if now := time.Now(); now.Sub(start) > readWindow/2 && now.Before(end) {
			_ = http.NewResponseController(x.rw).SetReadDeadline(now.Add(readWindow))
		}
	}
}

const (
	readWindow = time.Minute     // how long a client may take to send some octets of a body
	uploadTime = 5 * time.Minute // and how long for all of it
)

// toUTF8 is a body in UTF-8, without a byte order mark. Its charset is believed only where it is not UTF-8 anyway.
func toUTF8(body []byte, charset string) ([]byte, bool) {
	switch {
	case bytes.HasPrefix(body, []byte("\xef\xbb\xbf")):
		body = body[3:]
	case bytes.HasPrefix(body, []byte("\xff\xfe")), bytes.HasPrefix(body, []byte("\xfe\xff")):
		if len(body) > maxObjectSize {
			return nil, false
		}
		b, err := unicode16.UTF16(unicode16.LittleEndian, unicode16.ExpectBOM).NewDecoder().Bytes(body)
		return b, err == nil
	}
	if utf8.Valid(body) {
		return body, true
	}
	switch strings.ToLower(charset) {
	case "iso-8859-1", "latin1", "windows-1252", "cp1252":
		if len(body) > maxObjectSize {
			return nil, false
		}
		b, err := charmap.Windows1252.NewDecoder().Bytes(body)
		return b, err == nil
	}
	// A client may fold a line within a character: the lines are UTF-8 once they are unfolded.
	return body, true
}
