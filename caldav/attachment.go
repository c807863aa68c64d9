package caldav

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"outbridge/caldav/ics"
)

// Managed attachments (RFC 8607): the files of events.

const (
	maxAttachmentID = 1000 // octets
	maxRids         = 100
)

// attachmentLimits are those of the principal.
func (x *exchange) attachmentLimits() (AttachmentLimits, error) {
	b, ok := x.h.Backend.(AttachmentBackend)
	if !ok {
		return AttachmentLimits{}, nil
	}
	return b.AttachmentLimits(x.ctx, x.principal)
}

// attachmentProperty is a property of a home, or of a calendar, that has files.
func attachmentProperty(value func(*exchange, AttachmentLimits)) func(*exchange, *resource) (bool, error) {
	return func(x *exchange, r *resource) (bool, error) {
		if r.kind == kindCalendar && !r.cal.Attachments {
			return false, nil
		}
		l, err := x.attachmentLimits()
		if err != nil || l == (AttachmentLimits{}) {
			return false, err
		}
		value(x, l)
		return true, nil
	}
}

// attachment answers for a file: the escaped path is its id, and perhaps a name, which says nothing.
func (x *exchange) attachment(path string) error {
	id, _, _ := strings.Cut(path, "/")
	b, ok := x.h.Backend.(AttachmentBackend)
	if !ok || !isAttachmentID(id) {
		return ErrNotFound
	}
	const allow = "OPTIONS, GET, HEAD"
	switch x.req.Method {
	case http.MethodOptions:
		x.rw.Header().Set("Allow", allow)
		return nil
	case http.MethodGet, http.MethodHead:
	default:
		return &statusError{status: http.StatusMethodNotAllowed, sentence: "a file is changed by way of its event", allow: allow}
	}
	f, err := b.OpenAttachment(x.ctx, x.principal, id)
	if err != nil {
		return err
	}
	defer f.Body.Close()
	if f.Size > maxAttachment {
		return forbidden(MaxAttachmentSize).because("The file is larger than 25 MiB. Open the event in Outlook to get it.")
	}
	h := x.rw.Header()
	h.Set("Content-Type", mediaType(f.Type))
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": cmp.Or(fileName(f.Name), "attachment")}))
	// Whatever is in it, a browser does not run it as a page of this server.
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "sandbox; default-src 'none'")
	h.Set("Cache-Control", "private, no-cache")
	x.uncoded = true
	if f.Size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(f.Size, 10))
	}
	if x.req.Method == http.MethodHead {
		x.begun()
		return nil
	}
	return x.stream(f)
}

// begun sends the header as it is.
func (w *reply) begun() {
	w.started, w.out = true, w.rw
	w.rw.WriteHeader(w.status)
}

// stream sends a file. One whose length is not what it was said to be breaks the answer off.
func (x *exchange) stream(f AttachmentFile) error {
	body := io.LimitReader(f.Body, maxAttachment+1)
	sent := int64(0)
	for end := false; !end; {
		from := len(x.buf)
		x.buf = append(x.buf, make([]byte, flushSize)...)
		n, err := io.ReadFull(body, x.buf[from:])
		x.buf = x.buf[:from+n]
		sent += int64(n)
		if end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); err != nil && !end {
			return err
		}
		if !x.started {
			x.begun()
		}
		if f.Size >= 0 && (sent > f.Size || end && sent < f.Size) || sent > maxAttachment {
			return fmt.Errorf("a file of %d octets has %d", f.Size, sent)
		}
		if err := x.send(); err != nil {
			return err
		}
	}
	return nil
}

// changeAttachment answers the POST of RFC 8607 §3.3 to §3.5.
func (x *exchange) changeAttachment() error {
	c, err := x.calendar()
	if err != nil {
		return err
	}
	b, ok := x.h.Backend.(AttachmentBackend)
	if !ok || !c.Attachments || !c.Writable {
		return x.refuseWrite()
	}
	q, err := parseAttachmentQuery(x.req.URL.RawQuery)
	if err != nil {
		return err
	}
	name := x.target.object
	w := x.writeRequest()
	if q.action == "attachment-remove" {
		done, err := b.RemoveAttachment(x.ctx, c, name, q.rids, q.managedID, w)
		if err != nil {
			return x.unmet(c, err)
		}
		done.Created = false
		return x.written(c, name, done, nil)
	}
	l, err := b.AttachmentLimits(x.ctx, x.principal)
	if err != nil {
		return err
	}
	limit := min(l.Octets, maxAttachment)
	octets, err := x.readBody(limit, forbidden(MaxAttachmentSize).because(fmt.Sprintf("A file may have at most %d octets.", limit)))
	if err != nil {
		return err
	}
	r := AttachmentRequest{WriteRequest: w, Octets: octets, Type: mediaType(x.req.Header.Get("Content-Type"))}
	r.Name = cmp.Or(dispositionName(x.req.Header.Get("Content-Disposition")), "attachment"+extensions[r.Type])
	var done Attached
	if q.action == "attachment-add" {
		done, err = b.AddAttachment(x.ctx, c, name, q.rids, r)
	} else {
		done, err = b.UpdateAttachment(x.ctx, c, name, q.managedID, r)
	}
	if err != nil {
		return x.unmet(c, err)
	}
	done.Created = q.action == "attachment-add"
	if err := x.written(c, name, done.Written, nil); err != nil {
		return err
	}
	h := x.rw.Header()
	h.Set("Cal-Managed-ID", done.ManagedID)
	h.Set("Location", x.origin()+x.outside(AttachmentPath(done.ID, r.Name)))
	return nil
}

// attachmentQuery is the query of a POST of an attachment (RFC 8607 §3.3.1 to §3.3.3).
type attachmentQuery struct {
	action    string
	rids      []string // nil: not there
	managedID string
}

func parseAttachmentQuery(raw string) (q attachmentQuery, err error) {
	values, err := url.ParseQuery(raw)
	one := func(name string) string {
		if len(values[name]) == 1 {
			return values[name][0]
		}
		return ""
	}
	q.action = one("action")
	adds, updates, removes := q.action == "attachment-add", q.action == "attachment-update", q.action == "attachment-remove"
	if err != nil || !adds && !updates && !removes {
		return q, forbidden(ValidAction).because("The action of an attachment is attachment-add, attachment-update or attachment-remove.")
	}
	if values.Has("rid") {
		var ok bool
		if q.rids, ok = parseRids(one("rid")); !ok || updates {
			return q, forbidden(ValidRecurrenceID).because("The occurrences of an attachment are M or RECURRENCE-IDs, separated by commas, and not said of an update.")
		}
	}
	q.managedID = one("managed-id")
	if values.Has("managed-id") == adds || !adds && q.managedID == "" || len(q.managedID) > maxAttachmentID {
		return q, forbidden(ValidManagedID).because("The managed-id has to be that of an attachment of the event, and not said of one that is added.")
	}
	return q, nil
}

// parseRids reads a list of occurrences: "M" for the master, or RECURRENCE-IDs.
func parseRids(s string) ([]string, bool) {
	rids := strings.Split(s, ",")
	if len(rids) > maxRids {
		return nil, false
	}
	for _, rid := range rids {
		if rid == "M" {
			continue
		}
		if _, err := ics.ParseMoment(rid, time.UTC); err != nil || strings.TrimSpace(rid) != rid {
			return nil, false
		}
	}
	return rids, true
}

func isAttachmentID(id string) bool {
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("_=.-", c) >= 0) {
			return false
		}
	}
	return id != "" && len(id) <= maxAttachmentID
}

// mediaType is a Content-Type without its parameters, or the one of whatever octets.
func mediaType(s string) string {
	t, _, err := mime.ParseMediaType(s)
	if (err != nil && !errors.Is(err, mime.ErrInvalidMediaParameter)) || !strings.Contains(t, "/") {
		return "application/octet-stream"
	}
	return t
}

// extensions are what the name of a file without one ends in, where a person could not open it otherwise.
var extensions = map[string]string{
	"application/pdf": ".pdf", "image/gif": ".gif", "image/heic": ".heic", "image/jpeg": ".jpg", "image/png": ".png",
	"message/rfc822": ".eml", "text/calendar": ".ics", "text/html": ".html", "text/plain": ".txt",
}

// dispositionName is the file name of a Content-Disposition (RFC 6266), "" where it has none. What is not written as the RFC
// wants it, such as a name with spaces and no quotes, is taken as it is meant.
func dispositionName(s string) string {
	if !utf8.ValidString(s) {
		s, _ = charmap.Windows1252.NewDecoder().String(s)
	}
	_, params, err := mime.ParseMediaType(s)
	if err == nil && params["filename"] != "" {
		name, err := new(mime.WordDecoder).DecodeHeader(params["filename"])
		if err != nil {
			name = params["filename"]
		}
		return fileName(name)
	}
	at := strings.Index(strings.ToLower(s), "filename=")
	if at < 0 || at+len("filename=") > len(s) {
		return ""
	}
	value, _, _ := strings.Cut(s[at+len("filename="):], ";")
	return fileName(strings.Trim(strings.TrimSpace(value), `"`))
}

// fileName is the name of a file as a path segment and a header can carry it: what is left of a text that may have a path
// before it, without control characters, up to 120 octets. "" where nothing is.
func fileName(s string) string {
	s = s[strings.LastIndexAny(s, `/\`)+1:]
	s = strings.Map(func(r rune) rune {
		if badInSegment(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	if len(s) > 120 {
		s = strings.ToValidUTF8(s[:120], "")
	}
	if s = strings.TrimSpace(s); strings.Trim(s, ".") == "" {
		return ""
	}
	return s
}
