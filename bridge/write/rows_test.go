package write_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/write"
)

// lines are those of a text without those that begin with any of some prefixes.
func without(text string, prefixes ...string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\r\n"), func(l string) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(l, p) })
	}), "\r\n")
}

// withoutPart is an object without the component of a RECURRENCE-ID.
func withoutPart(text, id string) string {
	parts := strings.Split(text, "BEGIN:VEVENT\r\n")
	out := parts[0]
	for _, p := range parts[1:] {
		if strings.Contains(p, "RECURRENCE-ID:"+id) {
			_, tail, _ := strings.Cut(p, "END:VEVENT\r\n")
			out += tail
			continue
		}
		out += "BEGIN:VEVENT\r\n" + p
	}
	return out
}

// TestRows are edits of one event each: what clients send, whom Outlook mails, and what clients see then.
func TestRows(t *testing.T) {
	t.Parallel()
	everybody := bob + "," + carol
	series := daily("x", "ORGANIZER:mailto:"+alice, attendee(bob, ""), attendee(carol, ""))
	for _, row := range []struct {
		name  string
		have  string
		edit  func(text string) string
		mails []string
		want  []string // in the object then; none: it is gone
		not   []string
	}{
		{"a meeting is called off", strings.Replace(meeting, "SUMMARY", "STATUS:CONFIRMED\r\nSUMMARY", 1), func(s string) string {
			return strings.Replace(s, "STATUS:CONFIRMED", "STATUS:CANCELLED", 1)
		}, []string{"cancellation " + bob}, nil, nil},
		{"somebody is taken off", strings.Replace(meeting, "SUMMARY", attendee(carol, "")+"\r\nSUMMARY", 1), func(s string) string {
			cal := strings.ReplaceAll(s, "\r\n ", "")
			return strings.Join(slices.DeleteFunc(strings.Split(cal, "\r\n"), func(l string) bool { return strings.HasSuffix(l, "mailto:"+carol) }), "\r\n")
		}, []string{"cancellation " + carol}, []string{"bob@"}, []string{"carol@"}},
		{"an occurrence of a meeting goes", series, func(s string) string {
			return strings.Replace(s, "SUMMARY:", "EXDATE:20261126T090000Z\r\nSUMMARY:", 1)
		}, []string{"cancellation " + everybody + " 2026-11-26"}, []string{"EXDATE:20261126T090000Z"}, nil},
		{"a series of a meeting ends earlier", series, func(s string) string { return strings.Replace(s, "COUNT=10", "COUNT=5", 1) },
			[]string{"update " + everybody}, []string{"COUNT=5"}, nil},
		{"a changed occurrence goes back", daily("x", override("x", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), func(s string) string {
			return withoutPart(s, "20261127T090000Z")
		}, nil, []string{"SUMMARY:Standup"}, []string{"Other", "RECURRENCE-ID"}},
		{"it becomes all day", event("x", "Trip", 1, 9), func(s string) string {
			return strings.NewReplacer("DTSTART:20261124T090000Z", "DTSTART;VALUE=DATE:20261124", "DTEND:20261124T100000Z", "DTEND;VALUE=DATE:20261126").Replace(s)
		}, nil, []string{"DTSTART;VALUE=DATE:20261124", "DTEND;VALUE=DATE:20261126"}, nil},
		{"and has a time of day again", strings.NewReplacer("DTSTART:20261124T090000Z", "DTSTART;VALUE=DATE:20261124", "DTEND:20261124T100000Z", "DTEND;VALUE=DATE:20261125").Replace(event("x", "Trip", 1, 9)), func(s string) string {
			return strings.NewReplacer("DTSTART;VALUE=DATE:20261124", "DTSTART;TZID=Europe/Vienna:20261124T090000", "DTEND;VALUE=DATE:20261125", "DTEND;TZID=Europe/Vienna:20261124T100000").Replace(s)
		}, nil, []string{":20261124T090000"}, []string{"VALUE=DATE"}},
		{"all details at once", event("x", "Trip", 1, 9), func(s string) string {
			return strings.NewReplacer("SUMMARY:Trip", "SUMMARY:Tour\r\nLOCATION:Wien\r\nDESCRIPTION:See\\n\\nyou\r\nCATEGORIES:A,B", "CLASS:PUBLIC", "CLASS:PRIVATE", "TRANSP:OPAQUE", "TRANSP:TRANSPARENT", "PRIORITY:5", "PRIORITY:1").Replace(without(s, "X-MICROSOFT"))
		}, nil, []string{"SUMMARY:Tour", "LOCATION:Wien", "DESCRIPTION:See\\n\\nyou", "CATEGORIES:A,B", "CLASS:PRIVATE", "TRANSP:TRANSPARENT", "PRIORITY:1"}, nil},
		{"a reminder", event("x", "Trip", 1, 9), func(s string) string {
			return strings.Replace(s, "END:VEVENT", "BEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:x\r\nTRIGGER:-PT30M\r\nEND:VALARM\r\nEND:VEVENT", 1)
		}, nil, []string{"TRIGGER:-PT30M"}, nil},
		{"an occurrence moves", daily("x"), func(s string) string {
			return strings.Replace(s, "END:VEVENT", "END:VEVENT\r\nBEGIN:VEVENT"+override("x", "Standup", "20261127T090000Z", "20261127T150000Z", "20261127T160000Z")+"\r\nEND:VEVENT", 1)
		}, nil, []string{"RECURRENCE-ID:20261127T090000Z", "DTSTART:20261127T150000Z"}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.Round()
			w.mustPut("x.ics", row.have, create)
			w.Pass(5 * time.Second)
			w.Sim.Settle()
			w.Round()
			w.Sim.ResetMails()
			o := w.current("x.ics")
			if _, err := w.put("x.ics", row.edit(string(o.Data)), ifMatch(o)); err != nil {
				t.Fatalf("%v\n%s", err, row.edit(string(o.Data)))
			}
			w.mailed(row.mails...)
			if row.want == nil {
				if count(w) != 0 {
					t.Errorf("it is still there")
				}
			} else {
				text := strings.ReplaceAll(string(w.current("x.ics").Data), "\r\n ", "")
				for _, word := range row.want {
					if !strings.Contains(text, word) {
						t.Errorf("%q is not in\n%s", word, text)
					}
				}
				for _, word := range row.not {
					if strings.Contains(text, word) {
						t.Errorf("%q is in\n%s", word, text)
					}
				}
			}
			w.quiet()
			w.mailed()
			w.withoutViolations()
		})
	}
}

// TestInviteeOfSeries answers and leaves single occurrences.
func TestInviteeOfSeries(t *testing.T) {
	t.Parallel()
	set := func(e *graphsim.Event) {
		e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 10}}
	}
	w, _ := invited(t, bridge.InvitationsReplies, set)
	w.Round()
	o := w.only()
	w.mustPut(o.Name, replace(o, "SUMMARY:", "EXDATE:20261126T090000Z\r\nSUMMARY:"), ifMatch(o))
	w.mailed("reply declined bob@elsewhere.example 2026-11-26")
	if !holds(w, "EXDATE:20261126T090000Z") {
		t.Errorf("%s", w.only().Data)
	}
	w.quiet()

	o = w.only()
	head, tail, _ := strings.Cut(string(o.Data), "END:VEVENT")
	one := strings.NewReplacer("DTSTART:20261124T", "RECURRENCE-ID:20261127T090000Z\r\nDTSTART:20261127T", "DTEND:20261124T", "DTEND:20261127T", "PARTSTAT=NEEDS-ACTION", "PARTSTAT=ACCEPTED").Replace(
		without(head[strings.Index(head, "BEGIN:VEVENT"):], "RRULE", "EXDATE"))
	w.mustPut(o.Name, head+"END:VEVENT\r\n"+one+"END:VEVENT"+tail, ifMatch(o))
	w.mailed("reply accepted bob@elsewhere.example 2026-11-27")
	w.quiet()
	w.withoutViolations()
	w.Must(w.remove(o.Name, write.Match{}))
	w.mailed("reply declined bob@elsewhere.example")
	w.quiet()
}
