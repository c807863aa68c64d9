package graph_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

func TestDeltaReadsDocumentedPages(t *testing.T) {
	for name, want := range map[string]struct {
		ids     []graph.EventID
		removed int
		more    bool
	}{
		"delta-round1-page1.json":                   {more: true},
		"delta-round1-page2.json":                   {more: true},
		"delta-round1-page3.json":                   {},
		"delta-round2-removed-and-new.json":         {removed: 1},
		"delta-no-changes.json":                     {ids: []graph.EventID{}},
		"delta-first-page-empty-with-nextlink.json": {ids: []graph.EventID{}, more: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := testdata(t, name)
			c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { w.Write(b) })
			c.BaseURL = "https://graph.microsoft.com/v1.0"
			page, err := c.Delta(t.Context(), c.BaseURL+"/me/calendarView/delta?$skiptoken=x")
			if err != nil {
				t.Fatal(err)
			}
			removed := 0
			for _, e := range page.Events {
				if e.ID == "" || len(e.Faults) > 0 {
					t.Errorf("event %+v", e)
				}
				if e.Removed != nil {
					removed++
				}
			}
			if removed != want.removed || (page.Next != "") != want.more || (page.Delta == "") != want.more {
				t.Errorf("%d removed, next %q, delta %q", removed, page.Next, page.Delta)
			}
			if want.ids != nil && len(page.Events) != 0 || want.ids == nil && len(page.Events) == 0 {
				t.Errorf("%d events", len(page.Events))
			}
		})
	}
}

func TestDeltaRefusesWhatIsNoPage(t *testing.T) {
	link := `"@odata.deltaLink":"` + testBase + `/delta?$deltatoken=x"`
	for _, body := range []string{
		`{}`, `[]`, `null`, `{"value":[]}`, `{` + link + `}`, `{"value":null,` + link + `}`, `{"value":{},` + link + `}`,
		`{"value":["x",null],` + link + `}`, `{"value":[1],` + link + `}`, `{"value":[],` + link + `,"@odata.nextLink":"` + testBase + `/x"}`,
		`{"value":[],"@odata.nextLink":"` + cursor + `"}`, `{"error":{"code":"UnknownError"}}`,
	} {
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		c.Attempts = 1
		page, err := c.Delta(t.Context(), cursor)
		if !graph.IsUnavailable(err) || graph.IsSyncStateLost(err) || page.Events != nil || page.Next+page.Delta != "" {
			t.Errorf("%s: %+v, %v", body, page, err)
		}
	}
	c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "\xef\xbb\xbf"+noChanges) })
	if _, err := c.Delta(t.Context(), cursor); err != nil {
		t.Errorf("a byte order mark: %v", err)
	}
	for _, odd := range []string{`null`, `1`, `"x"`, `[]`} {
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"value":[`+odd+`,{"id":"a","subject":7},null],`+link+`}`)
		})
		if page, err := c.Delta(t.Context(), cursor); err != nil || len(page.Events) != 1 || page.Events[0].ID != "a" {
			t.Errorf("%s beside an event: %+v, %v", odd, page, err)
		}
	}
}

func TestListsReadAllPages(t *testing.T) {
	var c *graph.Client
	requests := 0
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		item := `{"id":"id-%d","name":"n","hexColor":"","isDefaultCalendar":true,"owner":{"name":"A","address":"a@contoso.example"}}`
		switch n := r.URL.Query().Get("page"); n {
		case "":
			fmt.Fprintf(w, `{"value":[`+item+`,`+item+`],"@odata.nextLink":"%s%s?page=2"}`, 1, 2, c.BaseURL, strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0"))
		case "2":
			fmt.Fprintf(w, `{"value":[],"@odata.nextLink":"%s%s?page=3"}`, c.BaseURL, strings.TrimPrefix(r.URL.EscapedPath(), "/v1.0"))
		case "3":
			fmt.Fprintf(w, `{"value":[`+item+`]}`, 3)
		}
	})
	cals, err := c.Calendars(t.Context())
	if err != nil || len(cals) != 3 || cals[2].ID != "id-3" || !cals[0].Default || cals[0].Owner.Address != "a@contoso.example" {
		t.Errorf("calendars %+v, %v", cals, err)
	}
	instances, err := c.Instances(t.Context(), "", "m", time.Now(), time.Now())
	if err != nil || len(instances) != 3 || instances[2].ID != "id-3" {
		t.Errorf("instances %+v, %v", instances, err)
	}
	var ids []graph.EventID
	for e, err := range c.EventsFrom(t.Context(), "c", time.Now()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	if !slices.Equal(ids, []graph.EventID{"id-1", "id-2", "id-3"}) {
		t.Errorf("events %v", ids)
	}
	requests = 0
	for range c.EventsFrom(t.Context(), "c", time.Now()) {
		break
	}
	if requests != 1 {
		t.Errorf("%d requests for a list that was left at its first event", requests)
	}
}

func TestListsThatEndBadlyAreErrors(t *testing.T) {
	var c *graph.Client
	var body string
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, strings.ReplaceAll(body, "BASE", c.BaseURL))
	})
	for _, body = range []string{
		`{}`, `{"value":null}`, `{"value":[{"name":"no id"}]}`, `{"value":[],"@odata.nextLink":"BASE/me/calendars?again"}`,
		`{"value":[{"id":"a"}],"@odata.nextLink":"https://other.example/me"}`,
	} {
		if cals, err := c.Calendars(t.Context()); cals != nil || !graph.IsUnavailable(err) {
			t.Errorf("%s: %v, %v", body, cals, err)
		}
	}
	body = `{"value":[{"id":"a"}],"@odata.nextLink":"BASE/me/again"}`
	var last error
	n := 0
	for _, err := range c.EventsFrom(t.Context(), "c", time.Now()) {
		n++
		last = err
	}
	if n != 3 || !graph.IsUnavailable(last) {
		t.Errorf("%d events, ended with %v", n, last)
	}
}

func TestInstancesWithoutSelectWhereItIsRefused(t *testing.T) {
	b := testdata(t, "event-instances.json")
	asked := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("$select") {
			asked++
			for _, name := range []string{"originalStart", "occurrenceId", "seriesMasterId", "start", "subject", "lastModifiedDateTime"} {
				if named := slices.Contains(strings.Split(r.URL.Query().Get("$select"), ","), name); named != (asked == 1 || name != "occurrenceId") {
					t.Errorf("request %d, %s is asked for: %v", asked, name, named)
				}
			}
			reply{400, nil, `{"error":{"code":"RequestBroker--ParseUri","message":"Could not find a property named 'occurrenceId'"}}`, false}.write(w)
			return
		}
		w.Write(b)
	})
	events, err := c.Instances(t.Context(), "", "m", time.Now(), time.Now())
	if err != nil || len(events) != 4 {
		t.Errorf("%d events, %v", len(events), err)
	}
	if _, err := c.Instances(t.Context(), "", "", time.Now(), time.Now()); err == nil {
		t.Error("an empty id was sent")
	}
}

func TestEventsInBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		tries := make(map[string]int)
		began, free := time.Now(), time.Now()
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
			if time.Now().Before(free) {
				t.Errorf("a batch %v before the mailbox may be asked again", time.Until(free))
			}
			if r.Method != "POST" || r.URL.Path != "/v1.0/$batch" {
				t.Errorf("%s %s", r.Method, r.URL)
			}
			n := 0
			answerBatch(t, w, r, func(p part) reply {
				n++
				if p.prefer != `outlook.timezone="UTC", IdType="ImmutableId"` {
					t.Errorf("prefer %q", p.prefer)
				}
				tries[p.id]++
				switch {
				case p.id == "e7":
					return reply{404, nil, string(testdata(t, "error-404-item-not-found.json")), false}
				case p.id == "e8":
					return reply{500, nil, `{"error":{"code":"InternalServerError","message":"broken for good"}}`, false}
				case p.id == "e9":
					return reply{403, nil, string(testdata(t, "error-403-access-denied.json")), false}
				case p.id == "e10" && tries[p.id] == 1:
					return reply{} // no answer for it
				case p.id == "e11" && tries[p.id] == 1:
					return reply{200, nil, `{}`, false}
				case p.id == "e12" && tries[p.id] == 1:
					return reply{503, nil, "", false}
				case strings.HasSuffix(p.id, "3") && tries[p.id] == 1: // e3, e13, …: one in each batch
					free = time.Now().Add(7 * time.Second)
					return reply{429, wait("7"), throttled, false}
				}
				return reply{200, nil, `{"id":"` + p.id + `","subject":"s` + p.id + `"}`, false}
			})
			sizes = append(sizes, n)
		})
		var ids []graph.EventID
		for i := range 45 {
			ids = append(ids, graph.EventID(fmt.Sprintf("e%d", i)))
		}
		ids = append(ids, "", "e0") // an empty id is not sent, a repeated one is read twice
		results := c.Events(t.Context(), "", ids)
		if len(results) != len(ids) {
			t.Fatalf("%d results", len(results))
		}
		for i, r := range results {
			if r.ID != ids[i] {
				t.Errorf("result %d is for %q", i, r.ID)
			}
			switch r.ID {
			case "e7":
				if !graph.IsNotFound(r.Err) {
					t.Errorf("%s: %v", r.ID, r.Err)
				}
			case "e8":
				if !graph.IsUnavailable(r.Err) || tries["e8"] != 5 {
					t.Errorf("%s, %d tries: %v", r.ID, tries["e8"], r.Err)
				}
			case "e9":
				if !graph.IsAccessDenied(r.Err) || tries["e9"] != 1 {
					t.Errorf("%s, %d tries: %v", r.ID, tries["e9"], r.Err)
				}
			case "":
				if r.Err == nil {
					t.Error("an empty id was read")
				}
			default:
				if r.Err != nil || r.Event.ID != r.ID || r.Event.Subject != "s"+string(r.ID) {
					t.Errorf("%s: %+v, %v", r.ID, r.Event.ID, r.Err)
				}
			}
		}
		// 46 ids, each batch no larger than what the one before let through; then e3 e13 e23 e33 e43 e8 e10 e11 e12; then e8
		// alone three times.
		if want := []int{20, 18, 8, 7, 2, 1, 1, 1}; !slices.Equal(sizes, want) {
			t.Errorf("batches of %v, want %v", sizes, want)
		}
		if took := time.Since(began); took < 21*time.Second || took > 5*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}

func TestBatchThatFailsAsAWhole(t *testing.T) {
	requests := 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		reply{403, nil, string(testdata(t, "error-403-access-denied.json")), false}.write(w)
	})
	results := c.Events(t.Context(), "", slices.Repeat([]graph.EventID{"a"}, 41))
	for _, r := range results {
		if !graph.IsAccessDenied(r.Err) {
			t.Fatal(r.Err)
		}
	}
	if len(results) != 41 || requests != 1 {
		t.Errorf("%d results, %d requests", len(results), requests)
	}
	if r := c.Events(t.Context(), "", nil); len(r) != 0 || requests != 1 {
		t.Errorf("no ids: %v", r)
	}
	for _, body := range []string{"", "{}", "[]", `{"responses":null}`, `{"responses":[{"id":1}]}`, `{"responses":[]}`} {
		c := serve(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		if r := c.Events(t.Context(), "", []graph.EventID{"a"}); !graph.IsUnavailable(r[0].Err) {
			t.Errorf("%q: %v", body, r[0].Err)
		}
	}
}

func TestDocumentedBatchResponse(t *testing.T) {
	b := testdata(t, "batch-response.json") // answers 3 (refused) and 5 (a list, no event), and none of the others
	c := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Write(b) })
	results := c.Events(t.Context(), "", slices.Repeat([]graph.EventID{"a"}, 5))
	for i, want := range []func(error) bool{graph.IsUnavailable, graph.IsUnavailable, graph.IsAccessDenied, graph.IsUnavailable, graph.IsUnavailable} {
		if err := results[i].Err; !want(err) {
			t.Errorf("part %d: %v", i+1, err)
		}
	}
}

func TestBatchPartsRenewTheTokenOnce(t *testing.T) {
	requests := 0
	for _, forEver := range []bool{false, true} {
		requests = 0
		c := serve(t, func(w http.ResponseWriter, r *http.Request) {
			requests++
			answerBatch(t, w, r, func(p part) reply {
				if p.id == "a" && (forEver || r.Header.Get("Authorization") == "Bearer token-1") {
					return reply{401, nil, string(testdata(t, "error-401-invalid-token.json")), false}
				}
				return reply{200, nil, `{"id":"` + p.id + `"}`, false}
			})
		})
		r := c.Events(t.Context(), "", []graph.EventID{"a", "b"})
		if graph.IsSignInNeeded(r[0].Err) != forEver || r[1].Err != nil || requests != 2 {
			t.Errorf("forever %v: %v, %v, %d requests", forEver, r[0].Err, r[1].Err, requests)
		}
	}
}

func TestMasters(t *testing.T) {
	expanded := string(testdata(t, "event-series-master-expanded.json"))
	var asked []string
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerBatch(t, w, r, func(p part) reply {
			asked = append(asked, p.id+" "+p.prefer)
			switch {
			case p.id == "zone" && !strings.Contains(p.prefer, `"UTC"`):
				return reply{400, nil, string(testdata(t, "error-400-timezone.json")), false}
			case p.id == "crash" && !strings.Contains(p.prefer, `"UTC"`):
				return reply{500, nil, `{"error":{"code":"InternalServerError","message":""}}`, false}
			case p.id == "both" && strings.Contains(p.path, "cancelledOccurrences"):
				return reply{400, nil, `{"error":{"code":"BadRequest","message":"Could not find a property named 'cancelledOccurrences'"}}`, false}
			case p.id == "both" && !strings.Contains(p.prefer, `"UTC"`):
				return reply{400, nil, string(testdata(t, "error-400-timezone.json")), false}
			case p.id == "old" && strings.Contains(p.path, "$"):
				return reply{501, nil, string(testdata(t, "error-501.json")), false}
			case p.id == "bad":
				return reply{400, nil, string(testdata(t, "error-400-id-malformed.json")), false}
			case p.id == "gone":
				return reply{404, nil, string(testdata(t, "error-404-item-not-found.json")), false}
			}
			return reply{200, nil, expanded, false}
		})
	})
	results := c.Masters(t.Context(), "", []graph.MasterRef{
		{"good", "W. Europe Standard Time"}, {"zone", "tzone://Microsoft/Custom"}, {"crash", "GMT+6:30"}, {"both", "Mars"}, {"old", ""},
		{"bad", "UTC"}, {"gone", "UTC"}, {"quote", "a\"b"}, {"cr", "a\r\nX-Evil: 1"}, {"umlaut", "Mitteleuropäische Zeit"},
	})
	for i, want := range []struct {
		err     func(error) bool
		partial bool
	}{{}, {}, {}, {partial: true}, {partial: true}, {err: hasStatus(400)}, {err: graph.IsNotFound}, {}, {}, {}} {
		r := results[i]
		if want.err != nil {
			if !want.err(r.Err) {
				t.Errorf("%s: %v", r.ID, r.Err)
			}
			continue
		}
		if r.Err != nil || r.Partial != want.partial || len(r.Event.CancelledOccurrences) != 3 || len(r.Event.ExceptionOccurrences) != 1 {
			t.Errorf("%s: partial %v, %v, %s", r.ID, r.Partial, r.Err, r.Event.Raw)
		}
	}
	for _, want := range []string{
		`good outlook.timezone="W. Europe Standard Time", IdType="ImmutableId"`, `quote outlook.timezone="UTC", IdType="ImmutableId"`,
		`cr outlook.timezone="UTC", IdType="ImmutableId"`, `umlaut outlook.timezone="UTC", IdType="ImmutableId"`,
	} {
		if !slices.Contains(asked, want) {
			t.Errorf("not asked: %s, but %q", want, asked)
		}
	}
}

// A service that does not know one property loses that one only, whether its refusal names it or not. Where it does, other
// masters are not asked for it any more until the next day.
func TestMastersDoWithoutWhatIsRefused(t *testing.T) {
	for _, tt := range []struct {
		cloud                              string
		unknown                            []string
		unnamed                            bool
		exceptions, cancelled, occurrences bool // told
	}{
		{"", nil, false, true, true, true},
		{"", []string{"occurrenceId"}, false, true, true, false},
		{"", []string{"cancelledOccurrences"}, false, true, false, true},
		{"", []string{"exceptionOccurrences"}, false, false, true, true},
		{"", []string{"occurrenceId", "cancelledOccurrences"}, false, true, false, false},
		{"", []string{"hideAttendees"}, false, true, true, true},
		{"usgov", []string{"occurrenceId"}, false, false, false, false},
		{"", []string{"occurrenceId"}, true, true, true, false},
		{"", []string{"cancelledOccurrences"}, true, true, false, false},
		{"", []string{"exceptionOccurrences"}, true, false, true, false},
		{"china", nil, true, false, false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim := &graphsim.Server{Cloud: tt.cloud, Unknown: tt.unknown, Unnamed: tt.unnamed}
			box := sim.AddMailbox("alice@contoso.example", "Alice", "UTC")
			c := delegated(t, sim, box, graphURL+"/Calendars.Read", "offline_access")
			noon := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
			var refs []graph.MasterRef
			for range 3 {
				id := box.Calendar().Create(graphsim.Event{Subject: "stand-up", Start: noon, End: noon.Add(time.Hour), Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly"}}})
				if err := box.Calendar().CancelOccurrence(id, "2026-03-09"); err != nil {
					t.Fatal(err)
				}
				if err := box.Calendar().ChangeOccurrence(id, "2026-03-16", func(e *graphsim.Event) { e.Subject = "long" }); err != nil {
					t.Fatal(err)
				}
				refs = append(refs, graph.MasterRef{ID: id})
			}
			read := func(refs ...graph.MasterRef) int {
				sim.ResetRequests()
				for _, r := range c.Masters(t.Context(), "", refs) {
					e := r.Event
					if r.Err != nil || (len(e.ExceptionOccurrences) == 1) != tt.exceptions || (len(e.CancelledOccurrences) == 1) != tt.cancelled ||
						r.Partial == (tt.exceptions && tt.cancelled) {
						t.Errorf("%+v: partial %v, %v, %s", tt, r.Partial, r.Err, e.Raw)
					}
					for _, x := range e.ExceptionOccurrences {
						if (x.OccurrenceID != "") != tt.occurrences {
							t.Errorf("%+v: %s", tt, x.Raw)
						}
					}
				}
				return len(sim.Requests())
			}
			first := read(refs[0])
			again := read(refs[1:]...)
			if !tt.unnamed && again != 1 || tt.unnamed && again != first {
				t.Errorf("%+v: %d requests, then %d", tt, first, again)
			}
			time.Sleep(25 * time.Hour)
			if n := read(refs[2]); n != first {
				t.Errorf("%+v: %d requests, a day later %d", tt, first, n)
			}
		})
	}
}

func TestMastersMergesPagedExceptions(t *testing.T) {
	var c *graph.Client
	broken := false
	c = serve(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/$batch") {
			answerBatch(t, w, r, func(p part) reply {
				return reply{200, nil, `{"id":"m","subject":"a < b","unknownProperty":{"x":[1.50]},"cancelledOccurrences":["OID.m.2026-01-05"],` +
					`"exceptionOccurrences":[{"id":"x1","subject":"one"}],"exceptionOccurrences@odata.nextLink":"` + c.BaseURL + `/me/events/m/exceptionOccurrences?$skip=1"}`, false}
			})
			return
		}
		if got := r.Header.Get("Prefer"); got != `outlook.timezone="Asia/Tokyo", IdType="ImmutableId"` {
			t.Errorf("prefer %q", got)
		}
		switch {
		case r.URL.Query().Get("$skip") == "1":
			fmt.Fprintf(w, `{"value":[{"id":"x2"}],"@odata.nextLink":"%s/me/events/m/exceptionOccurrences?$skip=2"}`, c.BaseURL)
		case broken:
			reply{403, nil, string(testdata(t, "error-403-access-denied.json")), false}.write(w)
		default:
			io.WriteString(w, `{"value":[{"id":"x3","unknown":true}]}`)
		}
	})
	r := c.Masters(t.Context(), "", []graph.MasterRef{{"m", "Asia/Tokyo"}})[0]
	if r.Err != nil {
		t.Fatal(r.Err)
	}
	var again graph.Event
	if err := json.Unmarshal(r.Event.Raw, &again); err != nil {
		t.Fatal(err)
	}
	for _, e := range []graph.Event{r.Event, again} {
		var ids []graph.EventID
		for _, x := range e.ExceptionOccurrences {
			ids = append(ids, x.ID)
		}
		if !slices.Equal(ids, []graph.EventID{"x1", "x2", "x3"}) || e.MoreExceptions != "" || e.Subject != "a < b" || !slices.Equal(e.CancelledOccurrences, []string{"OID.m.2026-01-05"}) {
			t.Errorf("merged %s", e.Raw)
		}
	}
	if !strings.Contains(string(r.Event.Raw), `"unknownProperty":{"x":[1.50]}`) {
		t.Errorf("a property is lost: %s", r.Event.Raw)
	}
	broken = true
	if r := c.Masters(t.Context(), "", []graph.MasterRef{{"m", "Asia/Tokyo"}})[0]; !graph.IsAccessDenied(r.Err) || r.Event.ID != "" || r.ID != "m" {
		t.Errorf("half a series was handed over: %+v", r)
	}
}

func TestMastersDoNotLeaveTheHost(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		answerBatch(t, w, r, func(part) reply {
			return reply{200, nil, `{"id":"m","exceptionOccurrences":[],"exceptionOccurrences@odata.nextLink":"https://other.example/x"}`, false}
		})
	})
	if r := c.Masters(t.Context(), "", []graph.MasterRef{{ID: "m"}})[0]; !graph.IsUnavailable(r.Err) || graph.IsSyncStateLost(r.Err) {
		t.Errorf("error %v", r.Err)
	}
}

func FuzzDelta(f *testing.F) {
	for _, name := range []string{"delta-round1-page1.json", "delta-round2-removed-and-new.json", "delta-calendarview-beta-page.json", "delta-no-changes.json", "error-410-syncstatenotfound.json"} {
		f.Add(testdata(f, name))
	}
	f.Add([]byte(`{"value":[null],"@odata.deltaLink":"x"}`))
	f.Add([]byte(`{"value":[{"@removed":1,"start":[],"Start":{}}],"@odata.nextLink":"https://graph.microsoft.com/a"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) { w.Write(body) })
		c.BaseURL, c.Attempts = "https://graph.microsoft.com/v1.0", 1
		page, err := c.Delta(t.Context(), c.BaseURL+"/me/calendarView/delta?$deltatoken=x")
		if (err == nil) != ((page.Next == "") != (page.Delta == "")) {
			t.Errorf("page %+v, %v", page, err)
		}
		if err != nil && (!graph.IsUnavailable(err) || strings.ContainsAny(err.Error(), "\r\n")) {
			t.Errorf("error %q", err)
		}
		for _, e := range page.Events {
			if !json.Valid(e.Raw) {
				t.Errorf("raw %q", e.Raw)
			}
		}
	})
}

// TestCalendarPath asks for the events of a calendar at its own path, where those of a shared one are only.
func TestCalendarPath(t *testing.T) {
	var urls []string
	c := inMemoryClient(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/$batch") {
			urls = append(urls, strings.TrimPrefix(r.URL.RequestURI(), "/v1.0"))
			io.WriteString(w, `{"value":[]}`)
			return
		}
		var in struct{ Requests []struct{ URL string } }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		urls = append(urls, in.Requests[0].URL)
		io.WriteString(w, `{"responses":[{"id":"1","status":200,"body":{"id":"e=","value":[{"id":"other"},{"id":"e=","subject":"found"}]}}]}`)
	})
	for _, mailbox := range []string{"", "boss@contoso.example"} {
		urls, c.Mailbox = nil, mailbox
		c.Events(t.Context(), "c/=", []graph.EventID{"e="})
		c.Masters(t.Context(), "c/=", []graph.MasterRef{{ID: "e="}})
		if _, err := c.Instances(t.Context(), "c/=", "e=", time.Now(), time.Now()); err != nil {
			t.Error(err)
		}
		found := c.Listed(t.Context(), "c/=", []graph.Event{{ID: "e=", ICalUID: "it's"}, {ID: "no iCalUId"}})
		if found[0].Event.Subject != "found" || found[0].Err != nil || found[1].Err == nil {
			t.Errorf("found %+v", found)
		}
		root := "/me"
		if mailbox != "" {
			root = "/users/boss%40contoso.example"
		}
		for i, want := range []string{"/events/e%3D", "/events/e%3D?$select=", "/events/e%3D/instances?", "/events?$filter=iCalUId%20eq%20%27it%27%27s%27&"} {
			if want = root + "/calendars/c%2F%3D" + want; !strings.HasPrefix(urls[i], want) {
				t.Errorf("%s does not begin with %s", urls[i], want)
			}
		}
	}
}
