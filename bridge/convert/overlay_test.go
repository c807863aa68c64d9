package convert

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// weekly is a series of Mondays at nine in Berlin, one moved to ten.
func weeklySeries() Series {
	at := func(s string) graph.DateTimeTimeZone { return graph.DateTimeTimeZone{DateTime: s, TimeZone: "UTC"} }
	return Series{MailboxZone: "W. Europe Standard Time", Event: graph.Event{ID: "M", ICalUID: "u", Type: graph.SeriesMaster, Subject: "Stand-up",
		OriginalStartTimeZone: "W. Europe Standard Time", OriginalEndTimeZone: "W. Europe Standard Time",
		Start: at("2026-12-07T08:00:00"), End: at("2026-12-07T08:15:00"), IsReminderOn: true, ReminderMinutes: 15, WebLink: "https://outlook.example/1",
		Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{"monday"}, FirstDayOfWeek: "monday"},
			Range: graph.RecurrenceRange{Type: "numbered", StartDate: "2026-12-07", NumberOfOccurrences: 8, RecurrenceTimeZone: "W. Europe Standard Time"}}},
		Exceptions: []graph.Event{{ID: "X", ICalUID: "u", Type: graph.Exception, SeriesMasterID: "M", OccurrenceID: "OID.M.2026-12-14", Subject: "Stand-up", IsReminderOn: true,
			ReminderMinutes: 15, OriginalStartTimeZone: "W. Europe Standard Time", Start: at("2026-12-14T09:00:00"), End: at("2026-12-14T09:15:00")}}}
}

// world is a series with its overlay, edited by clients.
type world struct {
	t *testing.T
	s Series
}

func (w *world) octets() string {
	w.t.Helper()
	cal, _, err := ToICS(w.s)
	if err != nil {
		w.t.Fatal(err)
	}
	return encode(w.t, cal)
}

// put is a PUT of octets by a client that had others; "": nobody knows which.
func (w *world) put(had, octets, client string) *Overlay {
	w.t.Helper()
	current := readObject(decode(w.t, []byte(w.octets())), w.s, nil)
	var base *object
	if had != "" {
		base = readObject(decode(w.t, []byte(had)), w.s, current)
	}
	o, err := overlayOf(base, current, readObject(decode(w.t, []byte(octets)), w.s, current), w.s, client)
	if err != nil {
		w.t.Fatal(err)
	}
	if o != nil {
		w.s.Overlay = *o
	}
	return o
}

// master and override insert lines into a component of octets, before the first of its alarms or its end.
func insert(octets, marker, lines string) string {
	n := strings.Index(octets, marker)
	return octets[:n] + strings.ReplaceAll(lines, "\n", "\r\n") + "\r\n" + octets[n:]
}

func onMaster(octets, lines string) string { return insert(octets, "SUMMARY:", lines) }

func onOverride(octets, lines string) string {
	n := strings.Index(octets, "RECURRENCE-ID")
	return octets[:n] + insert(octets[n:], "SUMMARY:", lines)
}

const thunderbird = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.0"

func TestOverlay(t *testing.T) {
	w := &world{t, weeklySeries()}
	plain := w.octets()
	if o := w.put(plain, plain, thunderbird); o != nil {
		t.Errorf("nothing has changed: %v", o)
	}

	// Thunderbird snoozes, then dismisses.
	snoozed := onMaster(plain, "X-MOZ-GENERATION:1\nX-MOZ-LASTACK:20261207T074501Z\nX-MOZ-SNOOZE-TIME-1796630400000000:20261207T075001Z")
	snoozed = strings.Replace(snoozed, "SEQUENCE:0", "SEQUENCE:3", 1)
	w.put(plain, snoozed, thunderbird)
	want := map[string]OverlayPart{"": {Lines: []string{"X-MOZ-GENERATION:1", "X-MOZ-LASTACK:20261207T074501Z", "X-MOZ-SNOOZE-TIME-1796630400000000:20261207T075001Z"}}}
	if d := cmp.Diff(want, w.s.Overlay.Parts); d != "" {
		t.Error(d)
	}
	served := w.octets()
	if n := strings.Count(served, "X-MOZ-LASTACK:20261207T074501Z"); n != 1 {
		t.Errorf("the master's overlay is served %d times\n%s", n, served)
	}
	if o := w.put(served, served, thunderbird); o != nil {
		t.Errorf("the same again: %v", o)
	}
	// A phone that does not know Thunderbird's properties takes none away, Thunderbird does.
	w.put(served, plain, "iOS/18.0 (22A3354) dataaccessd/1.0")
	if d := cmp.Diff(want, w.s.Overlay.Parts); d != "" {
		t.Error(d)
	}
	w.put("", plain, thunderbird) // nor does one that is not known to have had them
	if d := cmp.Diff(want, w.s.Overlay.Parts); d != "" {
		t.Error(d)
	}
	dismissed := onMaster(plain, "X-MOZ-GENERATION:2\nX-MOZ-LASTACK:20261207T080000Z")
	w.put(served, dismissed, thunderbird)
	want[""] = OverlayPart{Lines: []string{"X-MOZ-GENERATION:2", "X-MOZ-LASTACK:20261207T080000Z"}}
	if d := cmp.Diff(want, w.s.Overlay.Parts); d != "" {
		t.Error(d)
	}

	// Apple acknowledges Outlook's alarm of one override and adds an alarm and a place to it.
	served = w.octets()
	n := strings.Index(served, "RECURRENCE-ID")
	apple := served[:n] + strings.Replace(served[n:], "TRIGGER:-PT15M", "TRIGGER:-PT15M\r\nACKNOWLEDGED:20261214T084500Z\r\nX-WR-ALARMUID:A1\r\nUID:A1", 1)
	apple = apple[:n] + strings.Replace(apple[n:], "END:VEVENT",
		"BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Reminder\r\nTRIGGER;VALUE=DATE-TIME:20261214T070000Z\r\nUID:A2\r\nEND:VALARM\r\nEND:VEVENT", 1)
	apple = onOverride(apple, "X-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC")
	w.put(served, apple, "macOS/15.0 (24A335) dataaccessd/1.0")
	want["20261214T080000Z"] = OverlayPart{Lines: []string{"X-APPLE-TRAVEL-ADVISORY-BEHAVIOR:AUTOMATIC"},
		Reminder: []string{"ACKNOWLEDGED:20261214T084500Z", "UID:A1", "X-WR-ALARMUID:A1"},
		Alarms:   []string{"UID:A2\nACTION:DISPLAY\nTRIGGER;VALUE=DATE-TIME:20261214T070000Z\nDESCRIPTION:Reminder"}}
	if d := cmp.Diff(want, w.s.Overlay.Parts); d != "" {
		t.Error(d)
	}
	served = w.octets()
	if o := w.put(served, served, thunderbird); o != nil {
		t.Errorf("the same again: %v\n%s", o, served)
	}

	// Outlook moves the reminder: only its own alarm changes.
	w.s.Exceptions[0].ReminderMinutes = 30
	moved := w.octets()
	if !strings.Contains(moved, "UID:A1\r\nACTION:DISPLAY\r\nTRIGGER:-PT30M\r\nDESCRIPTION:Stand-up\r\nACKNOWLEDGED:20261214T084500Z") || !strings.Contains(moved, "UID:A2") {
		t.Error(moved)
	}
	if o := w.put(moved, moved, "DAVx5/4.5"); o != nil {
		t.Errorf("the same after Outlook's change: %v", o)
	}

	// The kept alarm is taken away by whoever had it.
	w.put(moved, strings.Replace(moved, moved[strings.Index(moved, "BEGIN:VALARM\r\nUID:A2"):strings.LastIndex(moved, "END:VEVENT")], "", 1), "curl/8")
	if a := w.s.Overlay.Parts["20261214T080000Z"].Alarms; len(a) != 0 {
		t.Error(a)
	}
	// The override goes, and all that was of it.
	served = w.octets()
	w.put(served, served[:strings.LastIndex(served, "BEGIN:VEVENT")]+"END:VCALENDAR\r\n", thunderbird)
	if _, ok := w.s.Overlay.Parts["20261214T080000Z"]; ok || len(w.s.Overlay.Parts) != 1 {
		t.Error(w.s.Overlay)
	}
}

func TestOverlayOfANewEvent(t *testing.T) {
	in := readObject(calendarOf(t, `DTSTART;TZID=Europe/Berlin:20261207T090000
SUMMARY:Dentist
GEO:1;2
COMMENT:bring the card
URL:https://dentist.example/
ATTACH:https://files.example/a.pdf
ATTACH;ENCODING=BASE64;VALUE=BINARY:AAAA
ATTACH;MANAGED-ID=7:https://bridge.example/dav/att/0123456789012345678901234567890123456789/a.pdf
X-MICROSOFT-CDO-BUSYSTATUS:BUSY
X-MOZ-SEND-INVITATIONS:FALSE
X-KDE-KCALCORE-ENABLED:TRUE
RELATED-TO:other
BEGIN:VALARM
ACTION:EMAIL
TRIGGER:-P1D
END:VALARM
BEGIN:VALARM
ACTION:AUDIO
TRIGGER;RELATED=END:-PT5M
END:VALARM
BEGIN:VALARM
ACTION:AUDIO
ATTACH;VALUE=URI:Chord
TRIGGER;RELATED=START:-PT10M
UID:A
END:VALARM
BEGIN:VALARM
ACTION:DISPLAY
DESCRIPTION:x
TRIGGER:PT5M
END:VALARM`), berlin, nil)
	o, err := overlayOf(nil, nil, in, berlin, "unknown")
	if err != nil {
		t.Fatal(err)
	}
	want := &Overlay{Parts: map[string]OverlayPart{"": {
		Lines:    []string{"ATTACH:https://files.example/a.pdf", "COMMENT:bring the card", "RELATED-TO:other", "URL:https://dentist.example/", "X-KDE-KCALCORE-ENABLED:TRUE"},
		Reminder: []string{"ACTION:AUDIO", "ATTACH;VALUE=URI:Chord", "UID:A"},
		Alarms:   []string{"ACTION:AUDIO\nTRIGGER;RELATED=END:-PT5M", "ACTION:DISPLAY\nTRIGGER:PT5M\nDESCRIPTION:x", "ACTION:EMAIL\nTRIGGER:-P1D"}}}}
	if d := cmp.Diff(want, o); d != "" {
		t.Error(d)
	}
	alarm, minutes := reminderOf(in.master, nil)
	if alarm == nil || minutes != 10 {
		t.Errorf("the reminder is %d minutes before", minutes)
	}

	large := readObject(calendarOf(t, "DTSTART:20261207T090000Z\nX-LARGE:"+strings.Repeat("x", maxPart+1)), berlin, nil)
	var r *Refusal
	if _, err := overlayOf(nil, nil, large, berlin, ""); !errors.As(err, &r) || r.Kind != RefusedSize {
		t.Errorf("a large overlay: %v", err)
	}
}

// A client acknowledges the alarm of an occurrence that Outlook has not modified: it gets its override back.
func TestOverlayOfAnOccurrence(t *testing.T) {
	w := &world{t, weeklySeries()}
	plain := w.octets()
	n := strings.LastIndex(plain, "END:VCALENDAR")
	one := plain[strings.Index(plain, "BEGIN:VEVENT"):strings.Index(plain, "BEGIN:VEVENT\r\n")] +
		plain[strings.Index(plain, "BEGIN:VEVENT"):strings.Index(plain, "END:VEVENT")] + "END:VEVENT\r\n"
	one = strings.Replace(one, "RRULE:FREQ=WEEKLY;COUNT=8;BYDAY=MO;WKST=MO\r\n", "RECURRENCE-ID:20261221T080000Z\r\n", 1)
	one = strings.ReplaceAll(one, "20261207T", "20261221T")
	one = strings.Replace(one, "TRIGGER:-PT15M", "TRIGGER:-PT15M\r\nACKNOWLEDGED:20261221T074500Z", 1)
	acked := plain[:n] + one + plain[n:]
	w.put(plain, acked, "iOS/18.0")
	want := map[string]OverlayPart{"20261221T080000Z": {Reminder: []string{"ACKNOWLEDGED:20261221T074500Z"}}}
	if d := cmp.Diff(want, w.s.Overlay.Parts); d != "" {
		t.Fatal(d)
	}
	served := w.octets()
	if !strings.Contains(served, "RECURRENCE-ID;TZID=Europe/Berlin:20261221T090000") || strings.Count(served, "ACKNOWLEDGED") != 1 {
		t.Error(served)
	}
	if o := w.put(served, served, "iOS/18.0"); o != nil {
		t.Error(o)
	}
	w.s.Cancelled = []string{"OID.M.2026-12-21"} // deleted in Outlook
	if served := w.octets(); strings.Contains(served, "ACKNOWLEDGED") {
		t.Error(served)
	}
}

// Whatever is kept, what is served comes back as no change, and an empty overlay changes no octet.
func TestOverlayIsStable(t *testing.T) {
	goldenSeries(t, func(t *testing.T, s Series, octets []byte) {
		w := &world{t, s}
		parts := map[string]OverlayPart{}
		current := readObject(decode(t, octets), s, nil)
		for key := range current.parts() {
			parts[key] = OverlayPart{Lines: []string{"ATTACH:https://files.example/1", "COLOR:red", "URL:https://own.example/", "X-A;X-P=\"a,b\":1\\n2"},
				Reminder: []string{"ACKNOWLEDGED:20260101T000000Z"}, Alarms: []string{"ACTION:DISPLAY\nTRIGGER:PT1H\nDESCRIPTION:x", "ACTION:EMAIL\nTRIGGER:-PT1H"}}
		}
		w.s.Overlay = Overlay{Parts: parts}
		served := w.octets()
		if o := w.put(served, served, thunderbird); o != nil {
			// A reminder that Outlook has not is not there to be acknowledged.
			for key, part := range parts {
				if alarm, _ := reminderOf(current.parts()[key], nil); alarm == nil {
					part.Reminder = nil
					parts[key] = part
				}
			}
			if d := cmp.Diff(parts, o.Parts); d != "" {
				t.Errorf("%s\n%s", d, served)
			}
		}
		if !sameRecurrence(current, readObject(decode(t, []byte(served)), s, current)) {
			t.Error("another recurrence")
		}
	})
}

// A place that Apple has pinned is not that of an event that Outlook has moved since.
func TestOverlayOfAPlace(t *testing.T) {
	w := &world{t, weeklySeries()}
	w.s.Event.Location.DisplayName = "Harbour Street 4 Hamburg"
	w.s.Overlay = Overlay{Parts: map[string]OverlayPart{"": {Lines: []string{`X-APPLE-STRUCTURED-LOCATION;VALUE=URI;X-TITLE=Harbour Street 4\nHamburg:geo:53.5,9.9`}}}}
	served := w.octets()
	if !strings.Contains(served, "X-APPLE-STRUCTURED-LOCATION") {
		t.Error(served)
	}
	w.s.Event.Location.DisplayName = "Room 7"
	moved := w.octets()
	if strings.Contains(moved, "X-APPLE-STRUCTURED-LOCATION") {
		t.Error(moved)
	}
	if o := w.put(moved, moved, "iOS/18.0"); o != nil {
		t.Error(o)
	}
}

func FuzzOverlay(f *testing.F) {
	f.Add("X-A:1", "ACKNOWLEDGED:20260101T000000Z", "ACTION:EMAIL\nTRIGGER:-PT1H", "")
	f.Add("BEGIN:VEVENT", "END:VCALENDAR", "BEGIN:VALARM", "20261221T080000Z")
	f.Add("DTSTART:1", "TRIGGER:x", "", "20261214T080000Z")
	f.Add("URL:\x00", " folded", "TRIGGER;VALUE=DATE-TIME:1", "99991231")
	f.Fuzz(func(t *testing.T, line, reminder, alarm, key string) {
		s := weeklySeries()
		s.Overlay = Overlay{Parts: map[string]OverlayPart{key: {Lines: []string{line}, Reminder: []string{reminder}, Alarms: []string{alarm}}}}
		var octets []string
		for range 2 {
			cal, _, err := ToICS(s)
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := ics.Encode(&b, cal); err != nil {
				t.Fatal(err)
			}
			octets = append(octets, b.String())
		}
		if octets[0] != octets[1] {
			t.Fatal("not the same twice")
		}
		cal, err := ics.Decode([]byte(octets[0]))
		if err != nil {
			t.Fatal(err)
		}
		in := readObject(cal, s, nil)
		o, err := overlayOf(in, in, in, s, thunderbird)
		if err != nil || o == nil {
			return
		}
		b, _ := json.Marshal(o)
		s.Overlay = *o
		if again, _ := overlayOf(in, in, in, s, thunderbird); again != nil {
			c, _ := json.Marshal(again)
			t.Fatalf("%s becomes %s", b, c)
		}
	})
}

func TestMergeIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.SampledFrom([]string{"X-A:1", "X-A:2", "X-B:1", "ATTACH:1", "ATTACH:2"})
		list := rapid.SliceOfN(line, 0, 4)
		d := overlayDiff{carries: func(string) bool { return rapid.Bool().Draw(t, "carries") }}
		old, had, has := list.Draw(t, "old"), list.Draw(t, "had"), list.Draw(t, "has")
		out := d.merge(old, had, has)
		for _, l := range without(has, had) {
			if !slices.Contains(out, l) {
				t.Fatalf("%q was added and is not in %q", l, out)
			}
		}
		slices.Sort(old)
		if same := d.merge(old, has, has); !slices.Equal(same, slices.Compact(old)) {
			t.Fatalf("nothing was changed of %q: %q", old, same)
		}
	})
}
