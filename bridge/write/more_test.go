package write_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/write"
)

func TestKeptHere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	w.Round() // from here on earlier states are kept
	o := w.mustPut("a.ics", event("a", "A", 1, 9, "BEGIN:VALARM", "ACTION:DISPLAY", "DESCRIPTION:x", "TRIGGER:-PT15M", "END:VALARM"), create)
	w.Sim.ResetRequests()
	tag := write.ScheduleTag(o.Data)
	acked := w.mustPut("a.ics", replace(o, "SUMMARY:A", "SUMMARY:A\r\nX-MOZ-LASTACK:20261124T080000Z"), ifMatch(o))
	if !strings.Contains(string(acked.Data), "X-MOZ-LASTACK:20261124T080000Z") || acked.ETag == o.ETag {
		t.Fatalf("not kept:\n%s", acked.Data)
	}
	if write.ScheduleTag(acked.Data) != tag {
		t.Errorf("the Schedule-Tag has moved")
	}
	w.Sim.ResetRequests()
	if n := len(w.Sim.Requests()); n != 0 {
		t.Errorf("Graph was asked %d times", n)
	}
	again := w.mustPut("a.ics", string(acked.Data), ifMatch(acked))
	if again.ETag != acked.ETag {
		t.Errorf("nothing changed, and the ETag did")
	}
	// Who has not seen the acknowledgement may change what it says nothing of.
	w.mustPut("a.ics", replace(o, "SUMMARY:A", "SUMMARY:B"), ifMatch(o))
	if !holds(w, "SUMMARY:B", "X-MOZ-LASTACK") {
		t.Errorf("the acknowledgement is lost:\n%s", w.only().Data)
	}
	w.quiet()
	w.withoutViolations()
}

// TestRequests counts what edits cost.
func TestRequests(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		max  int
		edit func(w *world)
	}{
		{"a new event", 2, func(w *world) { w.mustPut("b.ics", event("b", "B", 2, 9), create) }},
		{"a field", 2, func(w *world) {
			o := w.current("a.ics")
			w.mustPut("a.ics", replace(o, "SUMMARY:A", "SUMMARY:B"), ifMatch(o))
		}},
		{"an occurrence moves", 3, func(w *world) {
			o := w.current("s.ics")
			w.mustPut("s.ics", daily("s", override("s", "Standup", "20261127T090000Z", "20261127T120000Z", "20261127T130000Z")), ifMatch(o))
		}},
		{"occurrences go", 3, func(w *world) {
			o := w.current("s.ics")
			w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z,20261127T090000Z,20261128T090000Z"), ifMatch(o))
		}},
		{"it goes", 2, func(w *world) { w.Must(w.remove("a.ics", write.Match{})) }},
	} {
		w := newWorld(t)
		w.Round()
		w.mustPut("a.ics", event("a", "A", 1, 9), create)
		w.mustPut("s.ics", daily("s"), create)
		w.Round()
		w.Sim.ResetRequests()
		c.edit(w)
		if n := len(w.Sim.Requests()); n > c.max {
			t.Errorf("%s: %d requests, want %d: %+v", c.name, n, c.max, w.Sim.Requests())
		}
		w.Round()
	}
}

func TestTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	var wait sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		r := w.request(fmt.Sprint("e", i, ".ics"), event(fmt.Sprint("e", i), "E", i, 9), create)
		wait.Go(func() { _, errs[i] = w.writer.Put(w.Ctx, r) })
	}
	wait.Wait()
	w.Must(errors.Join(errs...))
	w.Check()
	w.quiet()

	// Two programs change one event: the second is told.
	o := w.current("e1.ics")
	a, b := w.request("e1.ics", replace(o, "SUMMARY:E", "SUMMARY:A"), ifMatch(o)), w.request("e1.ics", replace(o, "SUMMARY:E", "SUMMARY:B"), ifMatch(o))
	two := make([]error, 2)
	wait.Go(func() { _, two[0] = w.writer.Put(w.Ctx, a) })
	wait.Go(func() { _, two[1] = w.writer.Put(w.Ctx, b) })
	wait.Wait()
	if (two[0] == nil) == (two[1] == nil) || !errors.Is(errors.Join(two...), write.ErrPrecondition) {
		t.Errorf("%v", two)
	}
	// The same one twice is one.
	o = w.current("e2.ics")
	same := w.request("e2.ics", replace(o, "SUMMARY:E", "SUMMARY:Same"), ifMatch(o))
	w.Sim.ResetRequests()
	wait.Go(func() { _, two[0] = w.writer.Put(w.Ctx, same) })
	wait.Go(func() { _, two[1] = w.writer.Put(w.Ctx, same) })
	wait.Wait()
	w.Must(errors.Join(two...))
	if n := w.writes(); n != 1 {
		t.Errorf("%d writes: %+v", n, w.Sim.Requests())
	}
	w.quiet()
	w.withoutViolations()
}

func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Round()
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if isWrite(r) {
				return &graphsim.Fault{Delay: 30 * time.Second}
			}
			return nil
		}
		text := event("a", "A", 1, 9)
		began := time.Now()
		_, err := w.put("a.ics", text, create)
		var busy *write.Busy
		if !errors.As(err, &busy) || busy.After != 10*time.Second || time.Since(began) != 20*time.Second {
			t.Fatalf("after %s: %v", time.Since(began), err)
		}
		other, err := w.put("a.ics", event("a", "B", 1, 9), write.Match{})
		if err == nil && !strings.Contains(string(other.Object.Data), "SUMMARY:B") || err != nil && !errors.As(err, &busy) {
			t.Errorf("another PUT meanwhile: %v", err)
		}
		time.Sleep(time.Minute)
		w.Sim.Fault = nil
		r, err := w.put("a.ics", text, create)
		if err != nil || r.Object.Name != "a.ics" {
			t.Errorf("the same again: %v", err)
		}
		if count(w) != 1 {
			t.Errorf("%d objects", count(w))
		}
		// A client that leaves does not end it.
		ctx, cancel := context.WithCancel(w.Ctx)
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if isWrite(r) {
				cancel()
				return &graphsim.Fault{Delay: time.Second}
			}
			return nil
		}
		if _, err := w.writer.Put(ctx, w.request("c.ics", event("c", "C", 1, 9), create)); !errors.Is(err, context.Canceled) {
			t.Errorf("a client that leaves: %v", err)
		}
		time.Sleep(time.Minute)
		if !holds(w, "SUMMARY:C") {
			t.Error("what the client wanted is not there")
		}
		w.Sim.Fault = nil
		w.quiet()
		w.withoutViolations()
	})
}

// TestRoundBetween has a round see an event before it has its name.
func TestRoundBetween(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	w.wrap = func(s write.Store) write.Store {
		return between{s, func() { w.Pass(time.Minute); _, err := w.Rounds.Round(w.Ctx, w.Mailbox); w.Must(err) }}
	}
	w.start()
	o := w.mustPut("a.ics", event("a", "A", 1, 9), create)
	if o.Name != "a.ics" || o.UID != "a" {
		t.Errorf("%s %s", o.Name, o.UID)
	}
	w.wrap = nil
	w.start()
	w.Check()
	w.quiet()
	if o := w.only(); o.Name != "a.ics" {
		t.Errorf("it is %s", o.Name)
	}
}

type between struct {
	write.Store
	before func()
}

func (b between) SetName(ctx context.Context, n bridge.Name) error {
	b.before()
	return b.Store.SetName(ctx, n)
}

// TestZone has Outlook refuse the IANA names of zones.
func TestZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if !isWrite(r) {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		w.Must(err)
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if strings.Contains(string(body), "Europe/") {
			return &graphsim.Fault{Status: 400, Code: "TimeZoneNotSupportedException"}
		}
		return nil
	}
	o := w.mustPut("z.ics", calendar("UID:z", "DTSTAMP:20261101T000000Z", "SUMMARY:Z", "RRULE:FREQ=DAILY;COUNT=3",
		"DTSTART;TZID=Europe/Vienna:20261124T090000", "DTEND;TZID=Europe/Vienna:20261124T100000"), create)
	if !strings.Contains(string(o.Data), "20261124T090000") {
		t.Errorf("%s", o.Data)
	}
	w.Check()
	w.Sim.Fault = nil
	w.quiet()
	w.withoutViolations()
}

// TestTime measures what a client waits for where Graph takes a tenth of a second for an answer.
func TestTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Round()
		w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.HasPrefix(r.URL.Path, "/v1.0") && !strings.HasSuffix(r.URL.Path, "/$batch") {
				return &graphsim.Fault{Delay: 100 * time.Millisecond}
			}
			return nil
		}
		began := time.Now()
		var wait sync.WaitGroup
		errs := make([]error, 10)
		for i := range errs {
			r := w.request(fmt.Sprint("e", i, ".ics"), event(fmt.Sprint("e", i), "E", i, 9), create)
			wait.Go(func() { _, errs[i] = w.writer.Put(w.Ctx, r) })
		}
		wait.Wait()
		w.Must(errors.Join(errs...))
		if took := time.Since(began); took > 400*time.Millisecond {
			t.Errorf("ten new events took %s", took)
		}
	})
}

func TestStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.Round()
		o := w.mustPut("s.ics", daily("s"), create)
		w.Pass(time.Second)
		stale := 3
		w.Sim.Stale = func(r *http.Request) bool {
			stale--
			return stale >= 0
		}
		o = w.mustPut("s.ics", strings.Replace(string(o.Data), "SUMMARY:Standup", "SUMMARY:Daily", 1), ifMatch(o))
		if !strings.Contains(string(o.Data), "SUMMARY:Daily") {
			t.Errorf("answered with the old state:\n%s", o.Data)
		}
		w.Sim.Stale = func(r *http.Request) bool { return strings.Contains(r.URL.Path, "delta") }
		for range 3 {
			w.Pass(time.Minute)
			_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
			w.Must(err)
			if !holds(w, "SUMMARY:Daily") {
				t.Fatal("a late page has undone it")
			}
		}
		w.Must(w.remove("s.ics", write.Match{}))
		w.Pass(time.Minute)
		_, err := w.Rounds.Round(w.Ctx, w.Mailbox)
		w.Must(err)
		if count(w) != 0 {
			t.Error("a late page has brought it back")
		}
		w.Sim.Stale = nil
		w.quiet()
	})
}

func TestMove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Box.AddCalendar("Second", "")
	w.Round()
	list, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	second := list[len(list)-1]
	o := w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), create)
	w.Round()
	r := w.request("s.ics", "", write.Match{})
	r.To, r.ToName = w.calendar(), "renamed.ics"
	w.Sim.ResetRequests()
	res, err := w.writer.Move(w.Ctx, r)
	if err != nil || res.Object.Name != "renamed.ics" || res.Object.UID != "s" || len(w.Sim.Requests()) != 0 {
		t.Fatalf("%v %v, %d requests", res.Object.Name, err, len(w.Sim.Requests()))
	}
	w.Check()
	w.quiet()
	r = w.request("renamed.ics", "", ifMatch(res.Object))
	r.To, r.ToName = second, "there.ics"
	res, err = w.writer.Move(w.Ctx, r)
	if err != nil || res.Object.Name != "there.ics" || res.Object.UID != "s" || res.Object.Calendar != second.ID {
		t.Fatalf("%v %v", res.Object, err)
	}
	if !strings.Contains(string(res.Object.Data), "Other") || !strings.Contains(string(res.Object.Data), "EXDATE:20261126T090000Z") {
		t.Errorf("lost on the way:\n%s", res.Object.Data)
	}
	if count(w) != 0 {
		t.Error("it is still there")
	}
	w.Check()
	w.quiet()
	r.Calendar, r.Name, r.Match = second, "there.ics", write.Match{}
	r.To, r.ToName = w.calendar(), "copy.ics"
	if res, err = w.writer.Copy(w.Ctx, r); err != nil || res.Object.Calendar != 1 {
		t.Fatalf("a copy: %v", err)
	}
	w.quiet()
	w.mustPut("m.ics", meeting, create)
	w.mailed("invitation " + bob)
	r = w.request("m.ics", "", write.Match{})
	r.To, r.ToName = second, "m.ics"
	_, err = w.writer.Move(w.Ctx, r)
	if w.refused(err).Kind != convert.RefusedOrganizer {
		t.Error(err)
	}
	w.mailed()
	w.withoutViolations()
	_ = o
}

// TestMoveKilled ends the program at each write to the store of a move.
func TestMoveKilled(t *testing.T) {
	t.Parallel()
	for n := 1; n < 12; n++ {
		w := newWorld(t)
		w.Box.AddCalendar("Second", "")
		w.Round()
		list, err := w.Store.Calendars(w.Ctx, 1)
		w.Must(err)
		w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z"), create)
		left := n
		w.wrap = func(s write.Store) write.Store { return killer{s, &left, true, func() {}} }
		w.start()
		r := w.request("s.ics", "", write.Match{})
		r.To, r.ToName = list[len(list)-1], "there.ics"
		_, err = w.writer.Move(w.Ctx, r)
		if err == nil && left <= 0 {
			t.Fatalf("write %d: killed, and answered", n)
		}
		w.wrap = nil
		w.kill()
		w.recover()
		w.quiet()
		o, err := w.Store.Object(w.Ctx, r.To.ID, "there.ics")
		if err != nil || !strings.Contains(string(o.Data), "EXDATE:20261126T090000Z") || count(w) != 0 {
			t.Fatalf("killed at write %d: %v, %d left", n, err, count(w))
		}
		w.withoutViolations()
		if left > 0 {
			return
		}
	}
}

// TestReplay sends the same octets again, without a condition.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	w.mustPut("s.ics", daily("s", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), create)
	o := w.current("s.ics")
	text := strings.Replace(string(o.Data), "SUMMARY:Standup", "LOCATION:Here\r\nSUMMARY:Standup", 1)
	w.mustPut("s.ics", text, write.Match{})
	w.Sim.ResetRequests()
	w.mustPut("s.ics", text, write.Match{})
	if n := w.writes(); n != 0 {
		t.Errorf("%d writes", n)
	}
	w.quiet()
	// They are no replay once there was something else.
	one, other := event("a", "One", 1, 15), event("a", "Other", 1, 15)
	for _, text := range []string{one, other, one, other} {
		w.mustPut("a.ics", text, write.Match{})
		if word := between1(text, "SUMMARY:", "\r\n"); !strings.Contains(string(w.current("a.ics").Data), "SUMMARY:"+word) {
			t.Errorf("it is not %s", word)
		}
	}
	w.withoutViolations()
}

// TestUndo deletes an event and puts it back, as programs do.
func TestUndo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	text := event("a", "A", 1, 9)
	for range 3 {
		o := w.mustPut("a.ics", text, create)
		if o.UID != "a" {
			t.Fatalf("the UID is %s", o.UID)
		}
		w.Pass(time.Second)
		w.Must(w.remove("a.ics", ifMatch(o)))
		w.Pass(time.Second)
	}
	w.mustPut("a.ics", text, create)
	w.Check()
	w.quiet()
	if count(w) != 1 {
		t.Errorf("%d objects", count(w))
	}
	w.withoutViolations()
}

func TestNoOccurrenceIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(s *graphsim.Server) { s.Writing.NoOccurrenceIDs = true })
	w.Round()
	w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), create)
	if !holds(w, "Other", "EXDATE:20261126T090000Z") {
		t.Errorf("lost:\n%s", w.only().Data)
	}
	w.quiet()
	w.withoutViolations()
}

func TestPrivateOfSomebodyElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	boss := w.Sim.AddMailbox("boss@contoso.example", "Boss", "UTC")
	boss.Calendar().Create(graphsim.Event{Subject: "Secret", Sensitivity: "private", Start: roundtest.At(1, 9, 0), End: roundtest.At(1, 10, 0), Zone: "UTC"})
	boss.Calendar().ShareToEdit(w.Box)
	theirs := &graph.Client{BaseURL: w.Client.BaseURL, HTTP: w.Client.HTTP, Tokens: w.Client.Tokens, Log: w.Log, Mailbox: "boss@contoso.example"}
	w.Mailbox.Shared = []round.SharedMailbox{{Address: "boss@contoso.example", Graph: theirs}}
	w.Others = append(w.Others, boss.Calendar())
	w.start()
	w.Round()
	list, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	for _, c := range list {
		if c.Owner != "boss@contoso.example" {
			continue
		}
		objects, err := w.Store.Objects(w.Ctx, c.ID, bridge.ObjectQuery{WithData: true, Limit: 10})
		w.Must(err)
		for _, o := range objects {
			r := w.request(o.Name, "", write.Match{})
			r.Calendar = c
			if got := w.refused(w.writer.Delete(w.Ctx, r)); got.Kind != convert.RefusedReadOnly {
				t.Errorf("%+v", got)
			}
			return
		}
	}
	t.Error("the calendar is not there")
}

func TestRefusalsAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.policy.Invitations = bridge.InvitationsNever
	w.start()
	w.Round()
	for i := range 5 {
		text := strings.Replace(meeting, "DTSTAMP:20261101", fmt.Sprint("DTSTAMP:2026110", i+1), 1)
		_, err := w.put("m.ics", text, create)
		w.refused(err)
	}
	list := w.intents()
	if len(list) != 1 || list[0].State != bridge.IntentRefused || list[0].Refusal == nil || list[0].Summary != "Plan" {
		t.Errorf("%+v", list)
	}
}

// TestPlaceAndLinks writes where an event is on the map, and links of the client's own.
func TestPlaceAndLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	has := func(o bridge.Object, lines ...string) {
		t.Helper()
		for _, l := range lines {
			if text := strings.ReplaceAll(string(o.Data), "\r\n ", ""); !strings.Contains(text, l+"\r\n") {
				t.Errorf("no line %s in\n%s", l, text)
			}
		}
	}
	links := []string{"URL:https://example.org/agenda", "CONFERENCE;VALUE=URI:https://meet.example.org/1"}
	o := w.mustPut("a.ics", event("a", "Walk", 1, 10, append(links, "LOCATION:Pier", "GEO:53.543210;9.987654")...), create)
	has(o, append(links, "LOCATION:Pier", "GEO:53.54321;9.987654")...)
	w.Check()
	w.quiet()

	t.Log("only on the map")
	o = w.current("a.ics")
	o = w.mustPut("a.ics", replace(o, "GEO:53.54321;", "GEO:53.6;"), ifMatch(o))
	has(o, "LOCATION:Pier", "GEO:53.6;9.987654")

	t.Log("by name, which leaves no old place on the map")
	o = w.mustPut("a.ics", replace(o, "LOCATION:Pier", "LOCATION:Hall"), ifMatch(o))
	if has(o, "LOCATION:Hall"); strings.Contains(string(o.Data), "GEO:") {
		t.Errorf("the map shows the place before:\n%s", o.Data)
	}

	t.Log("by both")
	o = w.mustPut("a.ics", replace(o, "LOCATION:Hall", "LOCATION:Tower\r\nGEO:1;2"), ifMatch(o))
	has(o, "LOCATION:Tower", "GEO:1;2")

	t.Log("a program that does not know GEO, and one that takes it away")
	r := w.request("a.ics", replace(o, "GEO:1;2\r\n", "", "SUMMARY:Walk", "SUMMARY:Run"), ifMatch(o))
	r.Client = "curl/8"
	_, err := w.writer.Put(w.Ctx, r)
	w.Must(err)
	o = w.current("a.ics")
	has(o, "SUMMARY:Run", "GEO:1;2")
	r = w.request("a.ics", replace(o, "GEO:1;2\r\n", ""), ifMatch(o))
	r.Client = "DAVx5/4.4"
	_, err = w.writer.Put(w.Ctx, r)
	w.Must(err)
	if o = w.current("a.ics"); strings.Contains(string(o.Data), "GEO:") {
		t.Errorf("the map shows the place still:\n%s", o.Data)
	}
	has(o, "LOCATION:Tower")

	t.Log("without a name")
	has(w.mustPut("b.ics", event("b", "Spot", 2, 10, "GEO:53.5;10"), create), "GEO:53.5;10")
	for _, text := range []string{"GEO:here", "GEO:91;0", "GEO:1"} {
		if _, err := w.put("c.ics", event("c", "Bad", 3, 10, text), create); w.refused(err).Kind != convert.RefusedData {
			t.Errorf("%s: %v", text, err)
		}
	}
	w.Check()
	w.quiet()
	w.withoutViolations()
}
