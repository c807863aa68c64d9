package graph_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

const nineUTC = `"start":{"dateTime":"2026-03-02T09:00:00","timeZone":"UTC"},"end":{"dateTime":"2026-03-02T10:00:00","timeZone":"UTC"}`

func postBody(transaction string) []byte {
	return []byte(`{"subject":"lunch","transactionId":"` + transaction + `",` + nineUTC + `,"singleValueExtendedProperties":[{"id":"` + graph.PropertyClientUID + `","value":"uid"}]}`)
}

func weeklyIn(cal *graphsim.Calendar, attendees ...string) graph.EventID {
	e := graphsim.Event{Subject: "weekly", Zone: "UTC", Start: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC), End: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC),
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly"}}}
	for _, a := range attendees {
		e.Attendees = append(e.Attendees, graph.Attendee{EmailAddress: graph.EmailAddress{Address: a}})
	}
	return cal.Invite(e)
}

// failing makes the first request fail that match reports.
func failing(fault graphsim.Fault, match func(*http.Request) bool) func(*http.Request) *graphsim.Fault {
	var done atomic.Bool
	return func(r *http.Request) *graphsim.Fault {
		if match(r) && done.CompareAndSwap(false, true) {
			return &fault
		}
		return nil
	}
}

func method(name string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == name && strings.HasPrefix(r.URL.Path, "/v1.0/me/") }
}

// A create whose answer was lost finds its event, however Outlook tells of it, and nothing is made twice.
func TestCreateOnce(t *testing.T) {
	for _, duplicates := range []graphsim.Duplicates{graphsim.DuplicateRefused, graphsim.DuplicateConflict, graphsim.DuplicateUnnamed, graphsim.DuplicateAsIfMade} {
		t.Run(string(duplicates), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := &graphsim.Server{Writing: graphsim.Writing{Duplicates: duplicates}, Fault: failing(graphsim.Fault{DropAnswer: true}, method("POST"))}
				c, box := writing(t, sim)
				made, err := c.Create(t.Context(), box.Calendar().ID(), "UTC", postBody("1"))
				id, duplicate := graph.DuplicateOf(err)
				if duplicates == graphsim.DuplicateAsIfMade {
					if err != nil || duplicate {
						t.Error(err)
					}
				} else if !duplicate || (id != "") != (duplicates != graphsim.DuplicateUnnamed) || !errors.Is(err, graph.ErrMayHaveHappened) {
					t.Errorf("%q %v: %v", id, duplicate, err)
				}
				found, err := c.FindByProperty(t.Context(), box.Calendar().ID(), graph.PropertyClientUID, "uid")
				if err != nil || len(found) != 1 || id != "" && found[0].ID != id || made.ID != "" && found[0].ID != made.ID || len(box.Calendar().Events()) != 1 {
					t.Errorf("%v %v", found, err)
				}
			})
		})
	}
}

// Without a transactionId a create is not sent again.
func TestCreateWithoutTransaction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, box := writing(t, &graphsim.Server{Fault: failing(graphsim.Fault{DropAnswer: true}, method("POST"))})
		_, err := c.Create(t.Context(), box.Calendar().ID(), "UTC", []byte(`{`+nineUTC+`}`))
		if !errors.Is(err, graph.ErrMayHaveHappened) || len(box.Calendar().Events()) != 1 {
			t.Error(err)
		}
	})
}

func TestChangesOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{Writing: graphsim.Writing{Calm: true}}
		c, box := writing(t, sim)
		cal := box.Calendar().ID()
		made, err := c.Create(t.Context(), cal, "Tokyo Standard Time", postBody("1"))
		if err != nil || made.Start.TimeZone != "Tokyo Standard Time" || made.Start.DateTime != "2026-03-02T18:00:00.0000000" {
			t.Fatal(made.Start, err)
		}
		// A zone that Graph does not know is only that of the answer.
		made, err = c.Update(t.Context(), cal, made.ID, made.ETag, "Customized Time Zone", []byte(`{"subject":"b"}`))
		if err != nil || made.Start.TimeZone != "UTC" || made.Subject != "b" {
			t.Errorf("%v %v", made.Start, err)
		}
		_, err = c.Update(t.Context(), cal, made.ID, made.ETag, "UTC", []byte(`{"start":{"dateTime":"2026-03-02T09:00:00","timeZone":"Mars"},"end":{"dateTime":"2026-03-02T10:00:00","timeZone":"Mars"}}`))
		if graph.WriteFault(err) != graph.FaultZone {
			t.Errorf("%v", err)
		}
		old := made.ETag
		if made, err = c.Update(t.Context(), cal, made.ID, made.ETag, "UTC", []byte(`{"subject":"c"}`)); err != nil {
			t.Error(err)
		}
		if _, err = c.Update(t.Context(), cal, made.ID, old, "UTC", []byte(`{"subject":"d"}`)); graph.WriteFault(err) != graph.FaultConflict || errors.Is(err, graph.ErrMayHaveHappened) {
			t.Error(err)
		}
		if err = c.Delete(t.Context(), cal, made.ID, old); graph.WriteFault(err) != graph.FaultConflict {
			t.Error(err)
		}
		if err = c.Delete(t.Context(), cal, made.ID, made.ETag); err != nil {
			t.Error(err)
		}
		if err = c.Delete(t.Context(), cal, made.ID, made.ETag); graph.WriteFault(err) != graph.FaultDeleted {
			t.Error(err)
		}
		if _, err = c.Update(t.Context(), cal, made.ID, made.ETag, "UTC", []byte(`{"subject":"d"}`)); graph.WriteFault(err) != graph.FaultGone || !graph.IsNotFound(err) {
			t.Error(err)
		}
		for _, id := range []graph.EventID{""} {
			if _, err := c.Update(t.Context(), cal, id, "", "UTC", []byte(`{}`)); err == nil {
				t.Error("an empty id")
			}
		}
	})
}

// A lost answer to an update or a deletion ends in a refusal that may be due to it.
func TestLostAnswers(t *testing.T) {
	for _, tt := range []struct {
		method string
		etag   bool
		want   graph.Fault
		sent   int
	}{{"PATCH", true, graph.FaultConflict, 2}, {"PATCH", false, graph.FaultNone, 1}, {"DELETE", true, graph.FaultDeleted, 2}, {"DELETE", false, graph.FaultDeleted, 2}, {"accept", false, graph.FaultNone, 1}, {"cancel", false, graph.FaultNone, 1}} {
		synctest.Test(t, func(t *testing.T) {
			var sent atomic.Int64
			fail := failing(graphsim.Fault{DropAnswer: true}, func(r *http.Request) bool { return r.Method != "GET" })
			sim := &graphsim.Server{Writing: graphsim.Writing{Calm: true}}
			c, box := writing(t, sim)
			e := graphsim.Event{Subject: "a", Zone: "UTC", Start: time.Now(), End: time.Now().Add(time.Hour), Attendees: []graph.Attendee{{EmailAddress: graph.EmailAddress{Address: "x@y.example"}}}}
			if tt.method == "accept" {
				e.Organizer.Address = "dana@outside.example"
			}
			cal, id := box.Calendar().ID(), box.Calendar().Create(e)
			now := c.Events(t.Context(), cal, []graph.EventID{id})[0]
			sim.Fault = func(r *http.Request) *graphsim.Fault {
				if r.Method != "GET" {
					sent.Add(1)
				}
				return fail(r)
			}
			etag := ""
			if tt.etag {
				etag = now.Event.ETag
			}
			var err error
			switch tt.method {
			case "PATCH":
				_, err = c.Update(t.Context(), cal, id, etag, "UTC", []byte(`{"subject":"b"}`))
			case "DELETE":
				err = c.Delete(t.Context(), cal, id, etag)
			case "accept":
				err = c.Respond(t.Context(), cal, id, graph.Accept, "", true)
			case "cancel":
				err = c.Cancel(t.Context(), cal, id, "")
			}
			if graph.WriteFault(err) != tt.want || !errors.Is(err, graph.ErrMayHaveHappened) || sent.Load() != int64(tt.sent) || len(sim.Mails()) != 1 {
				t.Errorf("%s: %d sent, %v, %v", tt.method, sent.Load(), err, sim.Mails())
			}
		})
	}
}

// Many occurrences go in batches, each for itself: one that is gone spoils none, and throttled ones have their turn.
func TestManyOccurrences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{Writing: graphsim.Writing{Calm: true}, BatchParts: 7}
		c, box := writing(t, sim)
		cal, id := box.Calendar().ID(), weeklyIn(box.Calendar())
		var changes []graph.Change
		day := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
		for i := range 30 {
			ch := graph.Change{ID: graph.OccurrenceID(id, day.AddDate(0, 0, 7*i).Format(time.DateOnly))}
			if i%2 == 0 {
				ch.Fields = fmt.Appendf(nil, `{"subject":"%d"}`, i)
			}
			changes = append(changes, ch)
		}
		changes = append(changes, graph.Change{ID: graph.OccurrenceID(id, "2026-03-03")}, graph.Change{Fields: []byte(`{}`)})
		results := c.Changes(t.Context(), cal, "UTC", changes)
		for i, r := range results {
			switch {
			case i == 30:
				if graph.WriteFault(r.Err) != graph.FaultGone {
					t.Error(r.Err)
				}
			case i == 31:
				if r.Err == nil {
					t.Error("an empty id")
				}
			case r.Err != nil || r.ID != changes[i].ID || i%2 == 0 && (r.Event.Subject != fmt.Sprint(i) || r.Event.Type != graph.Exception):
				t.Errorf("%d: %v %v", i, r.Event.Subject, r.Err)
			}
		}
		exceptions, cancelled, err := box.Calendar().Occurrences(id)
		if err != nil || len(exceptions) != 15 || len(cancelled) != 15 {
			t.Error(exceptions, cancelled, err)
		}
		if v := sim.Violations(); len(v) != 0 {
			t.Error(v)
		}
	})
}

// Each refusal is told from the others.
func TestWriteFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, box := writing(t, &graphsim.Server{Writing: graphsim.Writing{Calm: true}})
		cal, ctx := box.Calendar().ID(), t.Context()
		series := weeklyIn(box.Calendar())
		theirs := box.Receive(graphsim.Event{Subject: "theirs", Start: time.Now(), End: time.Now().Add(time.Hour), Organizer: graph.EmailAddress{Address: "dana@outside.example"}})
		locked := box.AddCalendar("Birthdays", "")
		birthday := locked.Create(graphsim.Event{Start: time.Now(), End: time.Now()})
		locked.SetCanEdit(false)
		update := func(id graph.EventID, body string) error {
			_, err := c.Update(ctx, cal, id, "*", "UTC", []byte(body))
			return err
		}
		times := func(start, end string) string {
			return `"start":{"dateTime":"` + start + `","timeZone":"UTC"},"end":{"dateTime":"` + end + `","timeZone":"UTC"}`
		}
		_, large := c.AddAttachment(ctx, cal, series, "a", "", 36<<20, zeroes{})
		for name, tt := range map[string]struct {
			err  error
			want graph.Fault
		}{
			"crossing":   {update(graph.OccurrenceID(series, "2026-03-09"), `{`+times("2026-03-16T12:00:00", "2026-03-16T13:00:00")+`}`), graph.FaultCrossing},
			"long":       {update(series, `{`+times("2026-03-02T09:00:00", "2026-03-12T09:00:00")+`}`), graph.FaultTooLong},
			"organizer":  {c.Cancel(ctx, cal, theirs, ""), graph.FaultOrganizer},
			"own":        {c.Respond(ctx, cal, series, graph.Decline, "", true), graph.FaultOrganizer},
			"recipients": {update(series, `{"attendees":[{"emailAddress":{"name":"Adele"}}]}`), graph.FaultRecipients},
			"recurrence": {update(series, `{"recurrence":{"pattern":{"type":"daily","interval":1},"range":{"type":"noEnd","startDate":""}}}`), graph.FaultRecurrence},
			"invalid":    {update(series, `{"showAs":"away"}`), graph.FaultInvalid},
			"malformed":  {update("x", `{}`), graph.FaultGone},
			"denied": {func() error {
				_, err := c.Update(ctx, locked.ID(), birthday, "*", "UTC", []byte(`{"subject":"b"}`))
				return err
			}(), graph.FaultDenied},
			"large":    {large, graph.FaultTooLarge},
			"no error": {nil, graph.FaultNone},
		} {
			if got := graph.WriteFault(tt.err); got != tt.want {
				t.Errorf("%s: %q for %v", name, got, tt.err)
			}
		}
		for status, want := range map[int]graph.Fault{409: graph.FaultConflict, 413: graph.FaultTooLarge, 507: graph.FaultQuota, 503: graph.FaultNone, 401: graph.FaultNone, 405: graph.FaultNotOffered} {
			sim := &graphsim.Server{Fault: func(r *http.Request) *graphsim.Fault {
				if r.Method == "PATCH" {
					return &graphsim.Fault{Status: status, Code: map[int]string{507: "ErrorQuotaExceeded"}[status]}
				}
				return nil
			}}
			c, box := writing(t, sim)
			if status != http.StatusInsufficientStorage { // which is no trouble that passes
				c.Attempts = 1
			}
			sim.ResetRequests()
			if _, err := c.Update(ctx, box.Calendar().ID(), box.Calendar().Create(graphsim.Event{Start: time.Now(), End: time.Now()}), "*", "UTC", []byte(`{}`)); graph.WriteFault(err) != want {
				t.Errorf("%d: %q for %v", status, graph.WriteFault(err), err)
			}
			if n := len(sim.Requests()); n > 1 && status != http.StatusUnauthorized {
				t.Errorf("%d: asked %d times", status, n)
			}
		}
	})
}

// Schedules come for any number of people and any time, one each.
func TestSchedules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := &graphsim.Server{}
		c, box := writing(t, sim)
		start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
		weeklyIn(box.Calendar())
		long := graphsim.Event{Subject: "long", Zone: "UTC", ShowAs: "oof", Start: start.AddDate(0, 0, 60), End: start.AddDate(0, 0, 65)} // over the end of a request
		box.Calendar().Create(long)
		addresses := []string{"nobody@outside.example"}
		for i := range 44 {
			addresses = append(addresses, sim.AddMailbox(fmt.Sprintf("m%d@contoso.example", i), "M", "UTC").Address())
		}
		addresses = append(addresses, strings.ToUpper(box.Address()))
		all, err := c.Schedules(t.Context(), addresses, start, start.AddDate(0, 0, 100), 0)
		if err != nil || len(all) != len(addresses) {
			t.Fatal(len(all), err)
		}
		for i, s := range all {
			switch {
			case s.Address != addresses[i]:
				t.Errorf("%d is of %s", i, s.Address)
			case i == 0:
				if s.Err == nil || s.Err.Code != "5009" {
					t.Error(s.Err)
				}
			case i < 45:
				if s.Err != nil || len(s.Items) != 0 {
					t.Error(s)
				}
			default:
				n := slices.IndexFunc(s.Items, func(i graph.ScheduleItem) bool { return i.Subject == "long" })
				if s.Err != nil || len(s.Items) != 16 || n < 0 || !s.Items[n].Start.Equal(long.Start) || !s.Items[n].End.Equal(long.End) || s.Items[n].Status != "oof" {
					t.Error(s)
				}
			}
		}
		sim.Writing.NoSchedules = true
		if _, err = c.Schedules(t.Context(), addresses, start, start.AddDate(0, 0, 1), 0); !graph.IsNotOffered(err) {
			t.Error(err)
		}
	})
}

// FindByICalUID says which calendar an event is in.
func TestFindByICalUID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, box := writing(t, &graphsim.Server{})
		other := box.AddCalendar("Other", "")
		id := other.Create(graphsim.Event{Start: time.Now(), End: time.Now(), ICalUID: "it's@outside.example"})
		found, err := c.FindByICalUID(t.Context(), "it's@outside.example", box.Calendar().ID(), other.ID(), graph.CalendarID(strings.Replace(string(other.ID()), "AQ", "AR", 1)))
		if err != nil || len(found) != 1 || found[0].Calendar != other.ID() || found[0].Event.ID != id {
			t.Errorf("%v %v", found, err)
		}
		if found, err = c.FindByICalUID(t.Context(), "it's@outside.example"); err != nil || len(found) != 0 {
			t.Errorf("%v %v", found, err)
		}
	})
}

func TestNames(t *testing.T) {
	var e graph.Event
	if err := json.Unmarshal([]byte(`{"id":"x","singleValueExtendedProperties":[{"id":"`+strings.ToUpper(graph.PropertyObjectName[:20])+graph.PropertyObjectName[20:]+`","value":"a.ics"}]}`), &e); err != nil {
		t.Fatal(err)
	}
	if v, ok := e.Property(graph.PropertyObjectName); v != "a.ics" || !ok {
		t.Error(v, ok)
	}
	if v, ok := e.Property(graph.PropertyClientUID); v != "" || ok {
		t.Error(v, ok)
	}
	if id := graph.OccurrenceID("A.b=", "2026-03-02"); id != "OID.A.b=.2026-03-02" || graph.OccurrenceDate(string(id)) != "2026-03-02" {
		t.Error(id)
	}
}
