package write_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/write"
)

func zoned(uid, zone, start, end string) string {
	return calendar("UID:"+uid, "DTSTAMP:20261101T000000Z", "SUMMARY:Call", "DTSTART;TZID="+zone+":"+start, "DTEND;TZID="+zone+":"+end)
}

// TestZoneChanged has a client say the time of an event in another zone, at the same instant: it means the zone. One that says it in UTC
// does not, since that is how some write whatever they change.
func TestZoneChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Round()
	o := w.mustPut("e.ics", zoned("e", "Europe/Berlin", "20261124T100000", "20261124T110000"), create)
	zone := func() string {
		e, err := w.Box.Calendar().Event(w.Box.Calendar().Events()[0])
		w.Must(err)
		return e.Zone
	}
	if z := zone(); z != "Europe/Berlin" {
		t.Fatalf("begun in %s", z)
	}
	in := func(zone, start, end string) string {
		text := string(o.Data)
		for _, p := range [][3]string{{"DTSTART", start}, {"DTEND", end}} {
			i := strings.LastIndex(text, "\r\n"+p[0]) + 2
			j := i + strings.Index(text[i:], "\r\n")
			text = text[:i] + p[0] + zone + ":" + p[1] + text[j:]
		}
		return text
	}
	o = w.mustPut("e.ics", in(";TZID=America/New_York", "20261124T040000", "20261124T050000"), ifMatch(o))
	if z := zone(); z != "America/New_York" || !strings.Contains(string(o.Data), "DTSTART;TZID=America/New_York:20261124T040000") {
		t.Errorf("Outlook has it in %s\n%s", z, o.Data)
	}
	writes := w.writes()
	o = w.mustPut("e.ics", strings.ReplaceAll(in("", "20261124T090000Z", "20261124T100000Z"), "SUMMARY:Call", "SUMMARY:Long call"), ifMatch(o))
	if z := zone(); z != "America/New_York" || w.writes() != writes+1 {
		t.Errorf("said in UTC it is in %s, after %d writes", z, w.writes()-writes)
	}
	// The same zone by another name.
	o = w.mustPut("e.ics", in(";TZID=Eastern Standard Time", "20261124T040000", "20261124T050000"), ifMatch(o))
	if z := zone(); z != "America/New_York" || w.writes() != writes+1 {
		t.Errorf("by its Windows name it is in %s, after %d writes", z, w.writes()-writes)
	}
	w.Check()
	w.quiet()
}

// TestMoveKeepsZone: an event that goes to another calendar has the zone that Outlook has it in, by the name that Outlook has.
func TestMoveKeepsZone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	start := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	w.Box.Calendar().Create(graphsim.Event{Subject: "Call", Zone: "W. Europe Standard Time", Start: start, End: start.Add(time.Hour)})
	other := w.Box.AddCalendar("Other", "")
	w.Round()
	r := w.request("", "", write.Match{})
	o := w.only()
	r.Name, r.ToName = o.Name, o.Name
	list, err := w.Store.Calendars(w.Ctx, 1)
	w.Must(err)
	for _, c := range list {
		if c.DisplayName == "Other" {
			r.To = c
		}
	}
	if _, err := w.writer.Move(w.Ctx, r); err != nil {
		t.Fatal(err)
	}
	e, err := other.Event(other.Events()[0])
	w.Must(err)
	if e.Zone != "W. Europe Standard Time" {
		t.Errorf("it is in %q", e.Zone)
	}
	w.Check()
	w.quiet()
}

// TestQuickPuts changes one event again and again, as fast as a person types, while Exchange comes back to it after each: no change is
// turned down, since nobody else has changed what the client changes.
func TestQuickPuts(t *testing.T) {
	t.Parallel()
	for name, sent := range map[string]string{"appointment": event("e", "Dentist", 1, 10), "meeting": meeting} {
		w := newWorld(t)
		w.Round()
		o := w.mustPut("e.ics", sent, create)
		for n := range 18 {
			summary := "Plan"
			if name == "appointment" {
				summary = "Dentist"
			}
			text := string(o.Data)
			i := strings.Index(text, "\r\nSUMMARY:"+summary)
			j := i + 2 + strings.Index(text[i+2:], "\r\n")
			text = text[:i] + fmt.Sprintf("\r\nSUMMARY:%s %d", summary, n) + text[j:]
			w.Pass(time.Second)
			if n%3 == 0 {
				w.Sim.Settle()
			}
			if n%4 == 3 {
				w.Round()
			}
			r, err := w.put("e.ics", text, ifMatch(o))
			if errors.Is(err, write.ErrPrecondition) {
				t.Errorf("%s: change %d is turned down", name, n)
				o = w.only()
				continue
			}
			w.Must(err)
			o = r.Object
		}
		w.Check()
		w.quiet()
	}
}
