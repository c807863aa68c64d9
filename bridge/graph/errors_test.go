package graph_test

import (
	"encoding/base64"
	"errors"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"outbridge/bridge/graph"
)

// fail is the error of a delta request that is answered so.
func fail(t *testing.T, link string, a reply) *graph.Error {
	t.Helper()
	c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { a.write(w) })
	c.Attempts = 1
	_, err := c.Delta(t.Context(), link)
	var e *graph.Error
	if !errors.As(err, &e) {
		t.Fatalf("not an *Error: %v", err)
	}
	return e
}

var kinds = map[string]func(error) bool{
	"NotFound": graph.IsNotFound, "MailboxMissing": graph.IsMailboxMissing, "SyncStateLost": graph.IsSyncStateLost, "AccessDenied": graph.IsAccessDenied,
	"Throttled": graph.IsThrottled, "Unavailable": graph.IsUnavailable, "SignInNeeded": graph.IsSignInNeeded,
}

func kindsOf(err error) string {
	var is []string
	for _, name := range []string{"NotFound", "MailboxMissing", "SyncStateLost", "AccessDenied", "Throttled", "Unavailable", "SignInNeeded"} {
		if kinds[name](err) {
			is = append(is, name)
		}
	}
	return strings.Join(is, " ")
}

func TestErrorsOfGraph(t *testing.T) {
	first := testBase + "/me/calendars/c/calendarView/delta?startDateTime=a&endDateTime=b"
	want := map[string]struct{ code, message, requestID, kinds string }{
		"error-400-freebusy-window.json":            {"ErrorTimeIntervalTooBig", "The requested time duration", "", ""},
		"error-400-id-malformed.json":               {"ErrorInvalidIdMalformed", "Id is malformed.", "5a07348e-1150-42cc-a2a4-5a30064ccb65", ""},
		"error-400-not-organizer-cancel.json":       {"ErrorInvalidRequest", "Your request can't be completed.", "", ""},
		"error-400-parameter-startdatetime.json":    {"ErrorInvalidParameter", "The value ''", "", ""},
		"error-400-range-1825-days.json":            {"ErrorInvalidRequest", "Your request can't be completed.", "f9698272-bc55-43b3-9c29-44810f2fc4cb", ""},
		"error-400-recurrence-end-too-big.json":     {"ErrorRecurrenceEndDateTooBig", "Recurrence end date", "", ""},
		"error-400-timezone.json":                   {"TimeZoneNotSupportedException", "A valid TimeZone", "", ""},
		"error-401-invalid-token.json":              {"InvalidAuthenticationToken", "CompactToken", "878f5037-d852-446f-8913-04fb1a0401d5", "SignInNeeded"},
		"error-403-access-denied.json":              {"ErrorAccessDenied", "Access is denied.", "", "AccessDenied"},
		"error-403-delegated-calendar.json":         {"DelegatedCalendarAccessDenied", "Access is denied.", "cb059196-02df-4186-bf35-a5fd1d184b30", "AccessDenied"},
		"error-404-invalid-user.json":               {"ErrorInvalidUser", "The requested user", "", "MailboxMissing"},
		"error-404-item-not-found.json":             {"ErrorItemNotFound", "The specified object", "guid-here", "NotFound"},
		"error-404-mailbox-not-enabled.json":        {"MailboxNotEnabledForRESTAPI", "The mailbox is", "", "MailboxMissing"},
		"error-410-syncstatenotfound.json":          {"SyncStateNotFound", "The sync state generation", "47e918a9-ce5b-42b4-8a86-12b96c93121a", "SyncStateLost"},
		"error-412-conflict.json":                   {"ErrorIrresolvableConflict", "The send or update", "", ""},
		"error-429-mailbox-concurrency.json":        {"ApplicationThrottled", "Application is over", "", "Throttled Unavailable"},
		"error-429-throttled-documented.json":       {"TooManyRequests", "Please retry again later.", "94fb3b52-452a-4535-a601-69e0a90e3aa2", "Throttled Unavailable"},
		"error-500-expand-on-delta.json":            {"InternalServerError", "Value cannot be null. Parameter name: type", "0e1a98ea-e03d-46ab-b394-61538eadac83", "Unavailable"},
		"error-501.json":                            {"NotImplemented", "This operation target", "...", ""},
		"error-504-unknown.json":                    {"UnknownError", "", "c229d377-cfa3-427d-b3e3-e93e6ff79544", "Unavailable"},
		"error-envelope.json":                       {"invalidRange", "Uploaded fragment", "request-id", ""},
		"error-subscription-connection-closed.json": {"InvalidRequest", "The underlying connection", "", ""},
	}
	files, _ := filepath.Glob("testdata/error-*.json")
	if len(files) != len(want) {
		t.Errorf("%d examples, %d expectations", len(files), len(want))
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			status := 400
			if n, err := strconv.Atoi(strings.SplitN(name+"--", "-", 3)[1]); err == nil {
				status = n
			} else if n, err := strconv.Atoi(strings.TrimSuffix(strings.SplitN(name, "-", 3)[1], ".json")); err == nil {
				status = n
			}
			e := fail(t, first, reply{status: status, body: string(testdata(t, name))})
			w := want[name]
			if e.Status != status || e.Code != w.code || !strings.HasPrefix(e.Message, w.message) || e.RequestID != w.requestID || e.ClientRequestID == "" {
				t.Errorf("got %+v", *e)
			}
			if got := kindsOf(e); got != w.kinds {
				t.Errorf("kinds %q, want %q", got, w.kinds)
			}
			checkSentence(t, e)
			if !strings.Contains(e.Error(), w.code) || !strings.Contains(e.Error(), w.requestID) {
				t.Errorf("the text lacks code or request-id: %s", e)
			}
		})
	}
}

// checkSentence checks that an error reads as one line that says what happened and what to do.
func checkSentence(t *testing.T, err error) {
	t.Helper()
	s := err.Error()
	if strings.ContainsFunc(s, unicode.IsControl) || utf8.RuneCountInString(s) > 1200 || strings.Contains(s, "..;") {
		t.Errorf("not one short line: %q", s)
	}
}

func TestErrorsOfACursor(t *testing.T) {
	for body, status := range map[string]int{
		`{"error":{"code":"syncstatenotfound"}}`: 404, `{"error":{"code":"SyncStateInvalid"}}`: 410, `{"error":{"code":"resyncRequired"}}`: 409,
		`{"error":{"code":"ErrorSyncFolderNotFound"}}`: 404, `{"error":{"code":"BadRequest","message":"Badly formed token"}}`: 400,
		`{"error":{"code":"ErrorInvalidIdMalformed"}}`: 400, ``: 410, `<html>`: 400,
	} {
		for _, link := range []string{cursor, testBase + "/me/calendarView/delta?%24SkipToken=x"} {
			if e := fail(t, link, reply{status: status, body: body}); !graph.IsSyncStateLost(e) || graph.IsUnavailable(e) {
				t.Errorf("%d %s: %v", status, body, e)
			}
		}
	}
	// The 1825 days of a first request are no lost state: asking again would not help.
	e := fail(t, testBase+"/me/calendarView/delta?startDateTime=a&endDateTime=b", reply{status: 400, body: string(testdata(t, "error-400-range-1825-days.json"))})
	if graph.IsSyncStateLost(e) {
		t.Errorf("%v", e)
	}
}

func TestErrorsOfGatewaysAndOddShapes(t *testing.T) {
	challenge := `{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`
	cae := map[string]string{"WWW-Authenticate": `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="` +
		base64.StdEncoding.EncodeToString([]byte(challenge)) + `"`}
	for _, test := range []struct {
		name      string
		reply     reply
		code      string
		requestID string
		kinds     string
	}{
		{"lower-case innererror", reply{status: 404, body: `{"error":{"code":"ErrorItemNotFound","innererror":{"request-id":"r"}}}`}, "ErrorItemNotFound", "r", "NotFound"},
		{"nested innerError", reply{status: 404, body: `{"error":{"innerError":{"innererror":{"code":"ErrorItemNotFound","request-id":"r"}}}}`}, "ErrorItemNotFound", "r", "NotFound"},
		{"request-id of the header", reply{status: 403, header: map[string]string{"request-id": "h"}, body: `{"error":{"code":"ErrorAccessDenied"}}`}, "ErrorAccessDenied", "h", "AccessDenied"},
		{"error is a string", reply{status: 400, body: `{"error":"invalid_request"}`}, "invalid_request", "", ""},
		{"code is a number", reply{status: 403, body: `{"error":{"code":5,"message":[]}}`}, "", "", "AccessDenied"},
		{"code in capitals", reply{status: 404, body: `{"Error":{"Code":"ErrorItemNotFound"}}`}, "ErrorItemNotFound", "", "NotFound"},
		{"error is null", reply{status: 404, body: `{"error":null}`}, "", "", "Unavailable"},
		{"another JSON", reply{status: 404, body: `{"message":"no Route matched"}`}, "", "", "Unavailable"},
		{"404 without a body", reply{status: 404}, "", "", "Unavailable"},
		{"404 without a code", reply{status: 404, body: `{"error":{"message":"gone"}}`}, "", "", ""},
		{"404 UnknownError", reply{status: 404, body: `{"error":{"code":"UnknownError"}}`}, "UnknownError", "", ""},
		{"404 of a directory object", reply{status: 404, body: `{"error":{"code":"Request_ResourceNotFound"}}`}, "Request_ResourceNotFound", "", "MailboxMissing"},
		{"sign-in page", reply{status: 403, body: loginPage}, "", "", "Unavailable"},
		{"throttled by 503", reply{status: 503, body: throttled}, "ApplicationThrottled", "", "Throttled Unavailable"},
		{"Cloudflare", reply{status: 522, body: "error code: 522"}, "", "", "Unavailable"},
		{"continuous access evaluation", reply{status: 401, header: cae}, "", "", "SignInNeeded"},
		{"conditional access", reply{status: 403, header: cae, body: `{"error":{"code":"insufficient_claims"}}`}, "insufficient_claims", "", "SignInNeeded"},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := fail(t, testBase+"/me/calendarView/delta?startDateTime=a", test.reply)
			if e.Code != test.code || e.RequestID != test.requestID || e.Status != test.reply.status || kindsOf(e) != test.kinds {
				t.Errorf("kinds %q, error %+v", kindsOf(e), *e)
			}
			if test.reply.header["WWW-Authenticate"] != "" && e.Claims != challenge {
				t.Errorf("claims %q", e.Claims)
			}
			checkSentence(t, e)
		})
	}
	if e := fail(t, cursor, reply{status: 429, header: wait("11"), body: throttled}); e.RetryAfter != 11*time.Second {
		t.Errorf("RetryAfter %v", e.RetryAfter)
	}
	for name, is := range kinds {
		if is(nil) || is(errors.New("other")) {
			t.Errorf("Is%s of no error of Graph", name)
		}
	}
}

func FuzzErrors(f *testing.F) {
	files, _ := filepath.Glob("testdata/error-*.json")
	for _, file := range files {
		f.Add(404, testdata(f, filepath.Base(file)), "5", "")
	}
	f.Add(401, []byte(""), "Tue, 01 Sep 2026 10:00:40 GMT", `Bearer error="insufficient_claims", claims="e30"`)
	f.Add(200, []byte("{}"), "-1", `claims="`)
	f.Add(400, []byte(`{"error":{"code":"a\r\nb","innerError":{"innerError":{}}}}`), "99999999999999999999", "")
	f.Fuzz(func(t *testing.T, status int, body []byte, retryAfter, authenticate string) {
		if status < 300 || status > 599 {
			return
		}
		e := fail(t, cursor, reply{status: status, header: map[string]string{"Retry-After": retryAfter, "WWW-Authenticate": authenticate}, body: string(body)})
		if e.Status != status || e.RetryAfter < 0 || e.RetryAfter > 24*time.Hour {
			t.Errorf("error %+v", *e)
		}
		checkSentence(t, e)
	})
}
