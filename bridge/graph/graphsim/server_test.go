package graphsim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// batch posts a $batch of GETs and returns the parts by id, and their order.
func (w *world) batch(parts ...object) (map[string]object, string, int) {
	w.Helper()
	for i, p := range parts {
		if p["id"] == nil {
			p["id"] = fmt.Sprint(i + 1)
		}
		if p["method"] == nil {
			p["method"] = "GET"
		}
	}
	body, _ := json.Marshal(object{"requests": parts})
	res := w.call("POST", "$batch", string(body), "Content-Type", "application/json")
	defer res.Body.Close()
	o := w.read(res.Body)
	byID, order := map[string]object{}, ""
	list, _ := o["responses"].([]any)
	for _, r := range list {
		r := r.(object)
		byID[r["id"].(string)] = r
		order += r["id"].(string) + " "
	}
	if len(byID) == 0 {
		byID["error"] = o
	}
	return byID, order, res.StatusCode
}

func TestBatch(t *testing.T) {
	w := newWorld(t)
	id := w.cal.Create(weekly("s", "2026-03-02 10:00"))
	w.do(w.cal.CancelOccurrence(id, "2026-03-09"))
	own := "/me/events/" + url.PathEscape(string(id))
	got, order, status := w.batch(
		object{"url": own + "?$select=subject,start,cancelledOccurrences", "headers": object{"Prefer": immutable + `, outlook.timezone="Pacific/Auckland"`}},
		object{"url": "/me/events/nonsense"},
		object{"url": "me/calendar", "dependsOn": []string{"1"}},
		object{"url": "/me/calendar", "dependsOn": []string{"2"}},
		object{"url": w.http.URL + "/v1.0/me/calendar"},
		object{"url": own, "method": "PUT"},
	)
	if status != 200 || order == "1 2 3 4 5 6 " || len(got) != 6 {
		t.Fatalf("%d %s", status, order)
	}
	body := got["1"]["body"].(object)
	if got["1"]["status"] != 200.0 || body["id"] != string(id) || len(body["cancelledOccurrences"].([]any)) != 1 || body["start"].(object)["timeZone"] != "Pacific/Auckland" {
		t.Errorf("%v", got["1"])
	}
	if got["1"]["headers"].(object)["Preference-Applied"] == nil {
		t.Errorf("%v", got["1"]["headers"])
	}
	for part, want := range map[string]float64{"2": 400, "3": 200, "4": 424, "5": 400} {
		if got[part]["status"] != want {
			t.Errorf("part %s: %v", part, got[part])
		}
	}
	if s := got["6"]["status"].(float64); s < 400 {
		t.Errorf("PUT: %v", got["6"])
	}
	requests := w.srv.Requests()
	last := requests[len(requests)-1]
	if last.Path != "/v1.0/$batch" || last.BatchParts != 6 || len(last.Parts) != 6 || last.Parts[1].Status != 400 || last.Parts[0].Prefer[0] == "" {
		t.Errorf("%+v", last)
	}
	var many []object
	for range 20 {
		many = append(many, object{"url": "/me/calendar"})
	}
	if got, _, status = w.batch(many...); status != 200 || len(got) != 20 {
		t.Errorf("20 parts: %d", status)
	}
	got, _, status = w.batch(append(many, object{"url": "/me/calendar"})...)
	w.wantError(got["error"], status, 400, "MaximumValueExceeded")
	if v := w.srv.Violations(); len(v) != 1 || v[0] != "a $batch of 21 parts" {
		t.Errorf("%v", v)
	}
	got, _, status = w.batch(object{"url": "/me/calendar", "id": "1"}, object{"url": "/me/calendar", "id": "1"})
	w.wantError(got["error"], status, 400, "BadRequest")

	// One part fails, the others do not.
	w.srv.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasPrefix(r.URL.Path, "/v1.0/me/events") {
			return &graphsim.Fault{Status: 429, RetryAfter: 1500 * time.Millisecond}
		}
		return nil
	}
	got, _, status = w.batch(object{"url": own}, object{"url": "/me/calendar"})
	if status != 200 || got["1"]["status"] != 429.0 || got["1"]["headers"].(object)["Retry-After"] != "2" || got["2"]["status"] != 200.0 {
		t.Errorf("%d %v", status, got)
	}
	w.srv.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.HasPrefix(r.URL.Path, "/v1.0/me/events") {
			return &graphsim.Fault{Status: 502, Body: []byte("<html>Bad gateway</html>"), Header: http.Header{"X-A": {"b"}}}
		}
		return nil
	}
	if got, _, _ = w.batch(object{"url": own}); got["1"]["status"] != 502.0 || got["1"]["body"] != "PGh0bWw+QmFkIGdhdGV3YXk8L2h0bWw+" || got["1"]["headers"].(object)["X-A"] != "b" {
		t.Errorf("%v", got)
	}
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	var current atomic.Pointer[graphsim.Fault]
	w.srv.Fault = func(*http.Request) *graphsim.Fault { return current.Load() }
	for status, code := range map[int]string{400: "ErrorInvalidRequest", 401: "InvalidAuthenticationToken", 404: "ErrorItemNotFound", 410: "SyncStateNotFound", 412: "ErrorIrresolvableConflict",
		429: "ApplicationThrottled", 501: "NotImplemented", 503: "ServiceUnavailable", 504: "UnknownError", 509: "UnknownError"} {
		current.Store(&graphsim.Fault{Status: status})
		o, got := w.try("me/calendars")
		w.wantError(o, got, status, code)
	}
	current.Store(&graphsim.Fault{Status: 404, Code: "MailboxNotEnabledForRESTAPI", Message: "On-premise."})
	res := w.call("GET", "me/calendars", "", "client-request-id", "abc")
	o := w.read(res.Body)
	inner := o["error"].(object)["innerError"].(object)
	if o["error"].(object)["message"] != "On-premise." || inner["client-request-id"] != "abc" || inner["request-id"] == "" || inner["date"] != "2026-03-02T09:00:00" || res.Header.Get("client-request-id") != "abc" || res.Header.Get("request-id") == "" {
		t.Errorf("%v %v", o, res.Header)
	}
	current.Store(&graphsim.Fault{Status: 200, Body: []byte(`{"value":[{]}`)})
	res = w.call("GET", "me/calendars", "")
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != `{"value":[{]}` {
		t.Errorf("%d %s", res.StatusCode, b)
	}
	w.srv.ResetRequests()
	for _, fault := range []*graphsim.Fault{{Drop: true}, {DropAnswer: true}} {
		current.Store(fault)
		r, _ := http.NewRequest("GET", w.http.URL+"/v1.0/me/"+march, nil)
		r.Header.Set("Authorization", "Bearer "+w.token)
		if res, err := http.DefaultTransport.(*http.Transport).Clone().RoundTrip(r); err == nil {
			t.Errorf("%+v: %d", fault, res.StatusCode)
		}
	}
	for _, r := range w.srv.Requests() {
		if r.Status != 0 {
			t.Errorf("%+v", r)
		}
	}
	current.Store(nil)
	w.all("me/" + march)
	if v := w.srv.Violations(); len(v) > 0 {
		t.Errorf("who got no answer may ask again: %v", v)
	}
}

func TestViolations(t *testing.T) {
	w := newWorld(t)
	expect := func(what, part string) {
		t.Helper()
		v := w.srv.Violations()
		if part == "" && len(v) > 0 || part != "" && (len(v) != 1 || !strings.Contains(v[0], part)) {
			t.Errorf("%s: %q", what, v)
		}
		w.srv.ResetViolations()
	}
	_, link, _ := w.all("me/"+march, immutable)
	w.all(link, immutable)
	expect("the right way", "")
	w.all("me/calendarView/delta?startDateTime=2026-03-01T12:00:00Z&endDateTime=2026-04-01T12:00:00Z", immutable)
	expect("dates again", "first delta request")
	w.all("me/calendarView/delta?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-05-01T00:00:00Z", immutable)
	expect("another window", "")
	w.all(link)
	expect("no IdType", "IdType")
	u, _ := url.Parse(link)
	o, status := w.try("me/calendarView/delta?$skiptoken=" + url.QueryEscape(u.Query().Get("$deltatoken")))
	w.wantError(o, status, 410, "SyncStateNotFound")
	expect("one token for the other", "never issued")
	token := []byte(u.Query().Get("$deltatoken"))
	token[10] ^= 1
	o, status = w.try("me/calendarView/delta?$deltatoken=" + url.QueryEscape(string(token)))
	w.wantError(o, status, 400, "BadRequest")
	expect("altered", "altered")
}

// TestConcurrency: the fifth request at once is one too many, and is refused where the server is told to.
func TestConcurrency(t *testing.T) {
	w := newWorld(t, func(s *graphsim.Server) { s.Concurrency = 4 })
	release := make(chan struct{})
	entered := make(chan struct{}, 8)
	w.srv.Fault = func(r *http.Request) *graphsim.Fault {
		if r.URL.Path == "/v1.0/me/calendarGroups" { // a part of a batch: its batch is under way
			entered <- struct{}{}
			<-release
		}
		return nil
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { w.batch(object{"url": "/me/calendarGroups"}) })
	}
	for range 4 {
		<-entered
	}
	res := w.call("GET", "me/calendar", "")
	o := w.read(res.Body)
	w.wantError(o, res.StatusCode, 429, "ApplicationThrottled")
	if res.Header.Get("Retry-After") != "1" {
		t.Errorf("%v", res.Header)
	}
	close(release)
	group.Wait()
	if v := w.srv.Violations(); len(v) != 1 || !strings.Contains(v[0], "more than 4") || w.srv.MaxConcurrent() != 5 {
		t.Errorf("%v %d", v, w.srv.MaxConcurrent())
	}
}

// inProcess signs in through Client, without sockets.
func inProcess(t *testing.T, s *graphsim.Server) (*http.Client, string) {
	t.Helper()
	client := s.Client()
	post := func(path string, form url.Values) object {
		res, err := client.PostForm("https://login.example/common/oauth2/v2.0/"+path, form)
		if err != nil {
			t.Fatal(err)
		}
		var o object
		if err := json.NewDecoder(res.Body).Decode(&o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	d := post("devicecode", url.Values{"client_id": {"app"}, "scope": {"Calendars.Read"}})
	if d["verification_uri"] != "https://login.example/devicelogin" {
		t.Errorf("%v", d)
	}
	return client, post("token", url.Values{"client_id": {"app"}, "grant_type": {deviceGrant}, "device_code": {d["device_code"].(string)}})["access_token"].(string)
}

func TestClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &graphsim.Server{AutoApprove: true}
		c := s.AddMailbox("a@contoso.example", "A", "UTC").Calendar()
		c.Create(meeting("x", "2026-03-04 10:00"))
		client, token := inProcess(t, s)
		get := func(ctx context.Context, url string) (object, int, error) {
			r, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
			r.Header.Set("Authorization", "Bearer "+token)
			res, err := client.Do(r)
			if err != nil {
				return nil, 0, err
			}
			defer res.Body.Close()
			var o object
			err = json.NewDecoder(res.Body).Decode(&o)
			return o, res.StatusCode, err
		}
		ctx := t.Context()
		o, _, err := get(ctx, "https://graph.example/v1.0/me/"+march)
		if err != nil || !strings.HasPrefix(fmt.Sprint(o["@odata.deltaLink"]), "https://graph.example/v1.0/me/calendarView/delta?$deltatoken=") {
			t.Errorf("%v %v", o, err)
		}
		var current atomic.Pointer[graphsim.Fault] // a request that was cut short may still be asking for it
		s.Fault = func(*http.Request) *graphsim.Fault { return current.Load() }

		current.Store(&graphsim.Fault{Delay: time.Minute})
		began := time.Now()
		if _, status, err := get(ctx, "https://graph.example/v1.0/me/calendar"); err != nil || status != 200 || time.Since(began) != time.Minute {
			t.Errorf("%d %v after %v", status, err, time.Since(began))
		}
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, _, err := get(short, "https://graph.example/v1.0/me/calendar"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("cut short: %v", err)
		}
		current.Store(&graphsim.Fault{Drop: true})
		if _, _, err := get(ctx, "https://graph.example/v1.0/me/calendar"); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("dropped: %v", err)
		}

		current.Store(&graphsim.Fault{Status: 429, RetryAfter: 10 * time.Second})
		get(ctx, "https://graph.example/v1.0/me/calendar")
		current.Store(nil)
		get(ctx, "https://graph.example/v1.0/me/calendars") // may have been under way
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("%v", v)
		}
		get(ctx, "https://graph.example/v1.0/me/calendar")
		time.Sleep(9 * time.Second)
		get(ctx, "https://graph.example/v1.0/me/calendars")
		if v := s.Violations(); len(v) != 2 || !strings.Contains(v[0], "Retry-After") {
			t.Errorf("too early, twice: %q", v)
		}
		s.ResetViolations()
		time.Sleep(time.Second)
		get(ctx, "https://graph.example/v1.0/me/calendar")
		if v := s.Violations(); len(v) > 0 {
			t.Errorf("%v", v)
		}
	})
}

// TestRace edits a mailbox while clients read it; the race detector is the judge, and the end must agree.
func TestRace(t *testing.T) {
	s := &graphsim.Server{AutoApprove: true}
	m := s.AddMailbox("a@contoso.example", "A", "UTC")
	c := m.Calendar()
	client, token := inProcess(t, s)
	get := func(url string) object {
		r, _ := http.NewRequest("GET", url, nil)
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Prefer", immutable)
		res, err := client.Do(r)
		if err != nil {
			t.Error(err)
			return object{}
		}
		defer res.Body.Close()
		var o object
		if err := json.NewDecoder(res.Body).Decode(&o); err != nil || res.StatusCode != 200 {
			t.Errorf("%d %v %v", res.StatusCode, o, err)
		}
		return o
	}
	const base = "http://graph.example/v1.0/me/"
	var writers, readers sync.WaitGroup
	stop := make(chan struct{})
	for n := range 3 {
		writers.Go(func() {
			id := c.Create(weekly(fmt.Sprint("s", n), "2026-03-02 10:00"))
			for i := range 40 {
				e := c.Create(meeting(fmt.Sprint("m", n, i), "2026-03-04 10:00"))
				c.Change(id, func(e *graphsim.Event) { e.Subject += "." })
				c.ChangeOccurrence(id, "2026-03-09", func(e *graphsim.Event) { e.Location = fmt.Sprint(i) })
				if i%2 == 0 {
					c.Delete(e)
				}
				if i == 20 {
					c.CancelOccurrence(id, "2026-03-16")
				}
			}
		})
	}
	known := map[string]string{} // what a client that follows the delta has: id → type
	follow := func(url string) string {
		for {
			o := get(url)
			list, _ := o["value"].([]any)
			for _, v := range list {
				v := v.(object)
				id := v["id"].(string)
				if v["@removed"] != nil {
					delete(known, id)
					continue
				}
				if v["type"] == graph.SeriesMaster { // the whole series follows
					for _, o := range slices.Collect(maps.Keys(known)) {
						if known[o] == id {
							delete(known, o)
						}
					}
				}
				master, _ := v["seriesMasterId"].(string)
				known[id] = master
			}
			if next, ok := o["@odata.nextLink"].(string); ok {
				url = next
				continue
			}
			return fmt.Sprint(o["@odata.deltaLink"])
		}
	}
	readers.Go(func() {
		link := follow(base + march)
		for {
			select {
			case <-stop:
				follow(link)
				return
			default:
				link = follow(link)
			}
		}
	})
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				get(base + "calendarView?startDateTime=2026-03-01T00:00:00Z&endDateTime=2026-04-01T00:00:00Z&$top=200")
				c.Instances(at("2026-03-01"), at("2026-04-01"))
				s.Requests()
			}
		}
	})
	writers.Wait()
	close(stop)
	readers.Wait()
	shown := 0
	for _, i := range c.Instances(at("2026-03-01"), at("2026-04-01")) {
		if _, ok := known[string(i.ID)]; !ok {
			t.Errorf("the client lacks %s", i.Subject)
		}
		shown++
	}
	if len(known) != shown+3 { // and three masters
		t.Errorf("the client has %d, Outlook shows %d", len(known), shown)
	}
	if v := s.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// TestDemo: the demo mailbox can be laid out in any week, is the same for the same time, and shows what it promises.
func TestDemo(t *testing.T) {
	build := func(now time.Time) []graphsim.Instance {
		s := &graphsim.Server{Now: func() time.Time { return now }}
		m := s.DemoMailbox()
		if m != s.DemoMailbox() {
			t.Error("a second mailbox")
		}
		var all []graphsim.Instance
		for _, c := range m.Calendars() {
			all = append(all, c.Instances(now.AddDate(0, -4, 0), now.AddDate(0, 16, 0))...)
		}
		return all
	}
	for start := time.Date(2023, 12, 25, 22, 30, 0, 0, time.UTC); start.Year() < 2025; start = start.AddDate(0, 0, 9) {
		s := &graphsim.Server{Now: func() time.Time { return start }}
		s.DemoMailbox()
	}
	now := time.Date(2026, 3, 4, 9, 0, 0, 0, time.UTC)
	a, b := build(now), build(now)
	if !slices.Equal(a, b) || len(a) < 300 {
		t.Errorf("%d and %d instances", len(a), len(b))
	}
	counts := map[string]int{}
	cancelled, allDay := 0, 0
	for _, i := range a {
		counts[i.Subject]++
		if i.Cancelled {
			cancelled++
		}
		if i.AllDay {
			allDay++
		}
	}
	if cancelled != 2 || allDay < 50 || counts["Send the monthly report"] != 20 || counts["Trade fair (stand booked)"] != 1 || counts["Canceled: 1:1 Dana / Robin"] != 1 || counts["Stand-up (after the all-hands)"] != 1 || counts["Release hand-over"] != 24 {
		t.Errorf("cancelled %d, all-day %d, %v", cancelled, allDay, counts)
	}
}
