package caldav

import (
	"cmp"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// Condition names a condition that a request does not meet: an element of DAV:error (RFC 4918 §16).
type Condition xml.Name

// Conditions that a backend refuses writes with.
var (
	NeedPrivileges   = Condition(dav("need-privileges"))    // RFC 3744 §7.1.1
	QuotaNotExceeded = Condition(dav("quota-not-exceeded")) // RFC 4331 §6

	// RFC 4791 §5.3.2.1
	SupportedCalendarData   = Condition(caldav("supported-calendar-data"))
	ValidCalendarData       = Condition(caldav("valid-calendar-data"))
	ValidCalendarObject     = Condition(caldav("valid-calendar-object-resource"))
	SupportedComponent      = Condition(caldav("supported-calendar-component"))
	NoUIDConflict           = Condition(caldav("no-uid-conflict"))
	MaxResourceSize         = Condition(caldav("max-resource-size"))
	MinDateTime             = Condition(caldav("min-date-time"))
	MaxDateTime             = Condition(caldav("max-date-time"))
	MaxInstances            = Condition(caldav("max-instances"))
	MaxAttendeesPerInstance = Condition(caldav("max-attendees-per-instance"))

	// RFC 6638 §3.2.4
	UniqueSchedulingObject = Condition(caldav("unique-scheduling-object-resource"))
	SameOrganizer          = Condition(caldav("same-organizer-in-all-components"))
	AllowedOrganizerChange = Condition(caldav("allowed-organizer-scheduling-object-change"))
	AllowedAttendeeChange  = Condition(caldav("allowed-attendee-scheduling-object-change"))

	// RFC 8607 §3.11
	MaxAttachmentSize         = Condition(caldav("max-attachment-size"))
	MaxAttachmentsPerResource = Condition(caldav("max-attachments-per-resource"))
	ValidAction               = Condition(caldav("valid-action-parameter"))
	ValidRecurrenceID         = Condition(caldav("valid-rid-parameter"))
	ValidManagedID            = Condition(caldav("valid-managed-id-parameter"))
)

var (
	protectedProperty   = Condition(dav("cannot-modify-protected-property")) // RFC 4918 §16
	supportedReport     = Condition(dav("supported-report"))                 // RFC 3253 §3.6
	matchesWithinLimits = Condition(dav("number-of-matches-within-limits"))  // RFC 4791 §7.8, RFC 6578 §3.6
	validSyncToken      = Condition(dav("valid-sync-token"))                 // RFC 6578 §3.2
	syncTraversal       = Condition(dav("sync-traversal-supported"))         // RFC 6578 §3.3

	// RFC 4791 §7.8, and RFC 7809 for the last
	validFilter        = Condition(caldav("valid-filter"))
	supportedFilter    = Condition(caldav("supported-filter"))
	supportedCollation = Condition(caldav("supported-collation"))
	validTimezone      = Condition(caldav("valid-timezone"))

	// RFC 6638 §5.2
	validSchedulingMessage = Condition(caldav("valid-scheduling-message"))
	validOrganizer         = Condition(caldav("valid-organizer"))

	// draft-bitfire-webdav-push
	noSupportedTrigger  = Condition(push("no-supported-trigger"))
	invalidSubscription = Condition(push("invalid-subscription"))
	pushNotAvailable    = Condition(push("push-not-available"))
)

func (c Condition) String() string {
	open, _ := startTag(xml.Name(c))
	name, _, _ := strings.Cut(strings.Trim(open, "<>"), " ")
	if c.Space == nsDAV {
		name = "D:" + name
	}
	return name
}

// statusError is an answer that is not a success. The client sees the precondition and the sentence, and no cause.
type statusError struct {
	status    int
	condition Condition // zero: none, and the answer is the sentence as plain text
	lacks     privilege // of NeedPrivileges
	href      string    // of the object that is in the way, of NoUIDConflict and UniqueSchedulingObject
	sentence  string    // for people
	allow     string
	wait      time.Duration // of a 503; zero: Handler.RetryAfter
}

// privilege is what a principal would need on a resource (RFC 3744 §5.4); name is of the DAV: namespace.
type privilege struct{ href, name string }

func (e *statusError) Error() string {
	switch {
	case e.condition == Condition{}:
		return fmt.Sprintf("%d %s", e.status, e.sentence)
	case e.lacks != privilege{}:
		return fmt.Sprintf("%d %s: %s on %s", e.status, e.condition, e.lacks.name, e.lacks.href)
	}
	return fmt.Sprintf("%d %s", e.status, e.condition)
}

func badRequest(sentence string) error {
	return &statusError{status: http.StatusBadRequest, sentence: sentence}
}

// forbidden is a 403 that names a precondition.
func forbidden(c Condition) *statusError {
	return &statusError{status: http.StatusForbidden, condition: c}
}

// because adds a sentence for people.
func (e *statusError) because(sentence string) *statusError {
	e.sentence = sentence
	return e
}

// answerTo is what a client is told of an error.
func (x *exchange) answerTo(err error) *statusError {
	var se *statusError
	var refused *Refused
	switch {
	case errors.As(err, &se):
		return se
	case errors.As(err, &refused):
		return x.answerToRefused(refused)
	case errors.Is(err, ErrUnauthorized):
		return &statusError{status: http.StatusUnauthorized, sentence: "sign in with your user name and password"}
	case errors.Is(err, ErrNotFound):
		return &statusError{status: http.StatusNotFound, sentence: "no such resource"}
	case errors.Is(err, ErrForbidden):
		return x.refuseWrite()
	case errors.Is(err, ErrTokenGone):
		return forbidden(validSyncToken)
	case errors.Is(err, ErrPushSubscription):
		return forbidden(invalidSubscription)
	case errors.Is(err, ErrPushUnavailable):
		return forbidden(pushNotAvailable)
	case errors.Is(err, ErrPrecondition):
		return &statusError{status: http.StatusPreconditionFailed, sentence: "the resource is in another state"}
	case errors.Is(err, ErrUnavailable), passes(err):
		// Not 429: it disables the calendar in Thunderbird and is a hard error in DAVx5.
		return &statusError{status: http.StatusServiceUnavailable, sentence: "temporarily unavailable"}
	case errors.Is(err, ErrFull):
		return &statusError{status: http.StatusInsufficientStorage, condition: QuotaNotExceeded}
	}
	return &statusError{status: http.StatusInternalServerError, sentence: "internal error"}
}

// passes reports that an error of a backend says of itself that it passes, as where a database is away for a while.
func passes(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// answerToRefused is what a client is told of a write that the backend does not do: the answer to its Err, with what it says
// of the reason.
func (x *exchange) answerToRefused(r *Refused) *statusError {
	err := r.Err
	if err == nil {
		err = ErrForbidden
	}
	se := *x.answerTo(err)
	se.wait = r.RetryAfter
	se.sentence = cmp.Or(r.Sentence, se.sentence)
	if r.Condition != (Condition{}) && r.Condition != NeedPrivileges {
		se.condition, se.lacks = r.Condition, privilege{}
	}
	if r.Object != "" {
		se.href = x.outside(calendarHref(x.principal.Name, cmp.Or(r.Calendar, x.target.calendar)) + escapeSegment(r.Object))
	}
	return &se
}

// fail makes the answer for an error.
func (x *exchange) fail(err error) {
	se := x.answerTo(err)
	level := slog.LevelDebug
	if se.status >= 500 && x.ctx.Err() == nil {
		level = slog.LevelError
	}
	x.h.log().Log(x.ctx, level, "request refused", "method", x.req.Method, "path", x.req.URL.Path, "status", se.status, "err", err)
	h := x.rw.Header()
	for _, k := range []string{"ETag", "Last-Modified", "Schedule-Tag", "Preference-Applied", "Content-Type", "Content-Disposition", "Content-Length"} {
		h.Del(k)
	}
	switch x.status = se.status; x.status {
	case http.StatusUnauthorized:
		realm := x.h.Realm
		if realm == "" {
			realm = "CalDAV"
		}
		h.Set("WWW-Authenticate", `Basic realm="`+strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm)+`", charset="UTF-8"`)
	case http.StatusServiceUnavailable:
		wait := cmp.Or(max(se.wait, 0), max(x.h.RetryAfter, 0), time.Minute)
		h.Set("Retry-After", fmt.Sprint(int(max(wait/time.Second, 1))))
	}
	if se.allow != "" {
		h.Set("Allow", se.allow)
	}
	if se.condition == (Condition{}) {
		h.Set("Content-Type", "text/plain; charset=utf-8")
		x.raw(se.sentence + "\n")
		return
	}
	h.Set("Content-Type", xmlType)
	namespaces := ` xmlns:D="` + nsDAV + `"`
	if se.condition.Space == nsCalDAV {
		namespaces += ` xmlns:C="` + nsCalDAV + `"`
	}
	x.raw(`<?xml version="1.0" encoding="utf-8"?>` + "\n")
	x.errorElement(se, namespaces)
	x.raw("\n")
}

// errorElement appends a DAV:error (RFC 4918 §14.5), nothing without a precondition. Inside of a multistatus the namespaces
// are declared already.
func (w *reply) errorElement(e *statusError, namespaces string) {
	if e.condition == (Condition{}) {
		return
	}
	open, end := startTag(xml.Name(e.condition))
	if e.condition.Space == nsDAV { // a document of its own
		open, end = "<D:"+open[1:], "</D:"+end[2:]
	}
	w.raw("<D:error" + namespaces + ">")
	switch {
	case e.lacks != privilege{}:
		w.raw(open + "<D:resource><D:href>" + e.lacks.href + "</D:href><D:privilege><D:" + e.lacks.name + "/></D:privilege></D:resource>" + end)
	case e.href != "":
		w.raw(open + "<D:href>" + e.href + "</D:href>" + end)
	default:
		w.raw(strings.TrimSuffix(open, ">") + "/>")
	}
	if e.sentence != "" {
		w.raw(`<o:reason xmlns:o="` + nsOwn + `">`)
		w.text(e.sentence)
		w.raw("</o:reason>")
	}
	w.raw("</D:error>")
}

// nsOwn is of the element in a DAV:error that tells a person why: RFC 4918 has none there, and clients leave out what they do
// not know.
const nsOwn = "urn:outbridge"
