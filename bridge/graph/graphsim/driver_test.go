package graphsim_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// A world is a server with one signed-in mailbox, spoken to over real HTTP.
type world struct {
	*testing.T
	srv   *graphsim.Server
	http  *httptest.Server
	box   *graphsim.Mailbox
	cal   *graphsim.Calendar
	token string
	clock time.Time
	ids   map[string]string // names of ids, for reading tombstones
}

func newWorld(t *testing.T, with ...func(*graphsim.Server)) *world {
	w := &world{T: t, srv: &graphsim.Server{AutoApprove: true}, clock: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)}
	w.srv.Now = func() time.Time { return w.clock }
	for _, f := range with {
		f(w.srv)
	}
	w.box = w.srv.AddMailbox("robin@contoso.example", "Robin Weber", "W. Europe Standard Time")
	w.cal = w.box.Calendar()
	w.http = httptest.NewServer(w.srv)
	t.Cleanup(w.http.Close)
	w.token = w.signIn("Calendars.Read User.Read MailboxSettings.Read offline_access")["access_token"].(string)
	return w
}

type object = map[string]any

// signIn runs the device code flow, which AutoApprove ends at the first poll.
func (w *world) signIn(scope string) object {
	w.Helper()
	d, status := w.form("common/oauth2/v2.0/devicecode", "client_id", "app", "scope", scope)
	if status != 200 {
		w.Fatalf("devicecode: %d %v", status, d)
	}
	tok, status := w.form("common/oauth2/v2.0/token", "grant_type", "urn:ietf:params:oauth:grant-type:device_code", "client_id", "app", "device_code", d["device_code"].(string))
	if status != 200 {
		w.Fatalf("token: %d %v", status, tok)
	}
	return tok
}

// form posts a form to the login service.
func (w *world) form(path string, pairs ...string) (object, int) {
	w.Helper()
	values := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		values.Set(pairs[i], pairs[i+1])
	}
	res, err := http.PostForm(w.http.URL+"/"+path, values)
	if err != nil {
		w.Fatal(err)
	}
	defer res.Body.Close()
	return w.read(res.Body), res.StatusCode
}

func (w *world) read(r io.Reader) object {
	w.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		w.Fatal(err)
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		w.Fatalf("%v: %s", err, b)
	}
	return o
}

// call sends a request; url is absolute or below /v1.0/.
func (w *world) call(method, url, body string, header ...string) *http.Response {
	w.Helper()
	if !strings.HasPrefix(url, "http") {
		url = w.http.URL + "/v1.0/" + url
	}
	r, err := http.NewRequest(method, url, bytes.NewBufferString(body))
	if err != nil {
		w.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	return res
}

const immutable = `IdType="ImmutableId"`

// get is a GET that must answer 200; prefer are Prefer headers.
func (w *world) get(url string, prefer ...string) object {
	w.Helper()
	o, status := w.try(url, prefer...)
	if status != 200 {
		w.Fatalf("GET %s: %d %v", url, status, o)
	}
	return o
}

func (w *world) try(url string, prefer ...string) (object, int) {
	w.Helper()
	var header []string
	for _, p := range prefer {
		header = append(header, "Prefer", p)
	}
	res := w.call("GET", url, "", header...)
	defer res.Body.Close()
	return w.read(res.Body), res.StatusCode
}

// wantError checks status and code of a Graph error.
func (w *world) wantError(o object, status, wantStatus int, wantCode string) {
	w.Helper()
	e, _ := o["error"].(object)
	if status != wantStatus || e["code"] != wantCode {
		w.Errorf("got %d %v, want %d %s", status, o, wantStatus, wantCode)
	}
}

// all follows nextLinks and returns the values of all pages, and the deltaLink.
func (w *world) all(url string, prefer ...string) (values []object, deltaLink string, pages int) {
	w.Helper()
	for url != "" {
		o := w.get(url, prefer...)
		pages++
		for _, v := range o["value"].([]any) {
			values = append(values, v.(object))
		}
		url, _ = o["@odata.nextLink"].(string)
		deltaLink, _ = o["@odata.deltaLink"].(string)
	}
	return values, deltaLink, pages
}

func (w *world) path(id graph.EventID) string { return "me/events/" + url.PathEscape(string(id)) }

func at(text string) time.Time {
	for _, form := range []string{"2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(form, text); err == nil {
			return t
		}
	}
	panic(text)
}

// meeting is a plain event of an hour.
func meeting(subject, start string) graphsim.Event {
	return graphsim.Event{Subject: subject, Start: at(start), End: at(start).Add(time.Hour)}
}

func weekly(subject, start string) graphsim.Event {
	e := meeting(subject, start)
	e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1}}
	return e
}

const march = "calendarView/delta?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-04-01T00:00:00Z"

func (w *world) do(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}
