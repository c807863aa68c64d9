package caldav

import (
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// precondition names a condition that a request does not meet: an element of DAV:error (RFC 4918 §16).
type precondition xml.Name

var (
	protectedProperty   = precondition(dav("cannot-modify-protected-property")) // RFC 4918 §16
	needPrivileges      = precondition(dav("need-privileges"))                  // RFC 3744 §7.1.1
	supportedReport     = precondition(dav("supported-report"))                 // RFC 3253 §3.6
	matchesWithinLimits = precondition(dav("number-of-matches-within-limits"))  // RFC 4791 §7.8, RFC 6578 §3.6
	validSyncToken      = precondition(dav("valid-sync-token"))                 // RFC 6578 §3.2
	syncTraversal       = precondition(dav("sync-traversal-supported"))         // RFC 6578 §3.3

	// RFC 4791 §5.3.2.1
	supportedCalendarData = precondition(caldav("supported-calendar-data"))
	supportedComponent    = precondition(caldav("supported-calendar-component"))
	validCalendarData     = precondition(caldav("valid-calendar-data"))
	validObjectResource   = precondition(caldav("valid-calendar-object-resource"))
	maxResourceSize       = precondition(caldav("max-resource-size"))
	maxInstances          = precondition(caldav("max-instances"))

	// RFC 4791 §7.8, and RFC 7809 for the last
	validFilter        = precondition(caldav("valid-filter"))
	supportedFilter    = precondition(caldav("supported-filter"))
	supportedCollation = precondition(caldav("supported-collation"))
	validTimezone      = precondition(caldav("valid-timezone"))

	// draft-bitfire-webdav-push
	noSupportedTrigger  = precondition(push("no-supported-trigger"))
	invalidSubscription = precondition(push("invalid-subscription"))
	pushNotAvailable    = precondition(push("push-not-available"))
)

func (c precondition) String() string {
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
	condition precondition // zero: none, and the answer is the sentence as plain text
	lacks     privilege    // of needPrivileges
	sentence  string       // for people
	allow     string
}

// privilege is what a principal would need on a resource (RFC 3744 §5.4); name is of the DAV: namespace.
type privilege struct{ href, name string }

func (e *statusError) Error() string {
	switch {
	case e.condition == precondition{}:
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
func forbidden(c precondition) *statusError {
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
	switch {
	case errors.As(err, &se):
		return se
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
	case errors.Is(err, ErrUnavailable):
		// Not 429: it disables the calendar in Thunderbird and is a hard error in DAVx5.
		return &statusError{status: http.StatusServiceUnavailable, sentence: "temporarily unavailable"}
	}
	return &statusError{status: http.StatusInternalServerError, sentence: "internal error"}
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
	for _, k := range []string{"ETag", "Last-Modified", "Preference-Applied", "Content-Type"} {
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
		wait := x.h.RetryAfter
		if wait <= 0 {
			wait = time.Minute
		}
		h.Set("Retry-After", fmt.Sprint(int(max(wait/time.Second, 1))))
	}
	if se.allow != "" {
		h.Set("Allow", se.allow)
	}
	if se.condition == (precondition{}) {
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
	if e.condition == (precondition{}) {
		return
	}
	open, end := startTag(xml.Name(e.condition))
	if e.condition.Space == nsDAV { // a document of its own
		open, end = "<D:"+open[1:], "</D:"+end[2:]
	}
	w.raw("<D:error" + namespaces + ">")
	if e.lacks == (privilege{}) {
		w.raw(strings.TrimSuffix(open, ">") + "/>")
	} else {
		w.raw(open + "<D:resource><D:href>" + e.lacks.href + "</D:href><D:privilege><D:" + e.lacks.name + "/></D:privilege></D:resource>" + end)
	}
	if e.sentence != "" {
		w.raw("<D:responsedescription>")
		w.text(e.sentence)
		w.raw("</D:responsedescription>")
	}
	w.raw("</D:error>")
}
