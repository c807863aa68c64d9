package write

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// Match are the conditions of a request (RFC 9110 §13.1, RFC 6638 §8.3). Tags are without quotes; "*" is any.
type Match struct {
	IfMatch       []string
	IfNoneMatch   []string
	IfScheduleTag []string // nil: not asked for
}

// base holds a request against the object that there is, and finds the one that the client had. nil where the client did not say. want
// is what it sends. ErrPrecondition where the object is not what the client takes it for.
func (w *Writer) base(ctx context.Context, m Match, t target, want []byte, own []string) ([]byte, error) {
	if t.exists && !t.byUID && (slices.Contains(m.IfNoneMatch, "*") || slices.Contains(m.IfNoneMatch, t.object.ETag)) {
		return nil, ErrPrecondition
	}
	if m.IfScheduleTag != nil {
		if !t.exists || !slices.Contains(m.IfScheduleTag, ScheduleTag(t.object.Data)) && !slices.Contains(m.IfScheduleTag, "*") {
			return nil, ErrPrecondition
		}
		return w.tagged(ctx, m.IfScheduleTag, t, want, own)
	}
	if len(m.IfMatch) == 0 {
		return nil, nil
	}
	if !t.exists {
		return nil, ErrPrecondition
	}
	for _, tag := range m.IfMatch {
		if tag == "*" {
			return nil, nil
		}
		if tag == t.object.ETag {
			return t.object.Data, nil
		}
		old, err := w.Store.Version(ctx, t.cal.ID, t.object.Name, tag)
		if errors.Is(err, bridge.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		since, err := w.Store.VersionsSince(ctx, t.cal.ID, t.object.Name, tag)
		if err != nil {
			return nil, err
		}
		same := func(o bridge.Object) bool {
			return o.Deleted || o.Data != nil && meant(o.Data, own) != meant(old.Data, own)
		}
		if meant(old.Data, own) != "" && meant(old.Data, own) == meant(t.object.Data, own) && !slices.ContainsFunc(since, same) {
			return old.Data, nil
		}
	}
	return nil, ErrPrecondition
}

// tagged is the state that a client had which says no more of it than its Schedule-Tag: of those that have the tag, the one that differs
// least from what it sends, the newest of several. What else Outlook has changed since is then not taken for the client's doing.
func (w *Writer) tagged(ctx context.Context, tags []string, t target, want []byte, own []string) ([]byte, error) {
	if len(want) == 0 || slices.Contains(tags, "*") {
		return nil, nil
	}
	states, err := w.Store.VersionsSince(ctx, t.cal.ID, t.object.Name, "")
	if err != nil {
		return nil, err
	}
	sent, err := ics.Decode(want)
	if err != nil {
		return nil, err
	}
	var best []byte
	least := 0
	for _, o := range slices.Backward(states) {
		had, err := ics.Decode(o.Data)
		if err != nil || o.Deleted || !slices.Contains(tags, ScheduleTag(o.Data)) {
			continue
		}
		a, b := facets(had, own), facets(sent, own)
		n := 0
		for key, v := range a {
			if b[key] != v {
				n++
			}
		}
		for key := range b {
			if _, ok := a[key]; !ok {
				n++
			}
		}
		if best == nil || n < least {
			best, least = o.Data, n
		}
	}
	return best, nil
}

// ScheduleTag is a tag (RFC 6638 §3.2.10) of what the organizer decides in an object: it stays through answers of others,
// through alarms, and through what is kept for one person only. Of octets that cannot be read it is of the octets.
func ScheduleTag(octets []byte) string {
	cal, err := ics.Decode(octets)
	if err != nil {
		return hash(string(octets))
	}
	return hash(digest(cal, scheduled))
}

// scheduled reads what an organizer decides of a property.
func scheduled(p *ical.Prop) (string, bool) {
	switch p.Name {
	case ical.PropSummary, ical.PropLocation, ical.PropRecurrenceRule, ical.PropRecurrenceDates, ical.PropExceptionDates,
		ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropDuration, ical.PropRecurrenceID, ical.PropStatus, ical.PropPriority, ical.PropUID:
		return value(p), true
	case ical.PropDescription:
		return text(p.Value), true
	case ical.PropOrganizer:
		return person(p.Value), true
	case ical.PropAttendee:
		return person(p.Value) + "\x00" + p.Params.Get("ROLE"), true
	}
	return "", false
}

// meant is what a client can have meant by an edit of an object, in a form that is equal for two states of it which differ in
// nothing but: what others answered, names of people, stamps, the wrapping of the text and what an online meeting adds to it,
// and what is kept beside Outlook. own are the addresses of the mailbox. "" where the octets cannot be read.
func meant(octets []byte, own []string) string {
	cal, err := ics.Decode(octets)
	if err != nil {
		return ""
	}
	var reminders []string
	for _, e := range events(cal) {
		reminders = append(reminders, propOf(e, ical.PropRecurrenceID)+"\x00"+reminder(e))
	}
	slices.Sort(reminders)
	return strings.Join(reminders, "\x04") + digest(cal, meaning(own))
}

// meaning reads what meant takes of a property: what an organizer decides, and what is one's own.
func meaning(own []string) func(p *ical.Prop) (string, bool) {
	return func(p *ical.Prop) (string, bool) {
		switch p.Name {
		case ical.PropTransparency, ical.PropClass, ical.PropCategories, ical.PropGeo, "X-MICROSOFT-CDO-BUSYSTATUS":
			return value(p), true
		case ical.PropAttendee:
			attendee, _ := scheduled(p)
			answer := ""
			if who := person(p.Value); slices.ContainsFunc(own, func(a string) bool { return strings.EqualFold(a, who) }) {
				answer = p.Params.Get("PARTSTAT")
			}
			return attendee + "\x00" + answer, true
		}
		return scheduled(p)
	}
}

// collide reports whether a client has changed what Outlook has changed too, to something else: base is what both began with, now is what
// Outlook has and want what the client sends, nil: that it goes, which collides with any change.
func collide(base, now, want []byte, own []string) bool {
	if meant(base, own) == meant(now, own) {
		return false
	}
	var states [3]map[string]string
	for i, octets := range [][]byte{base, now, want} {
		cal, err := ics.Decode(octets)
		if err != nil {
			return true
		}
		states[i] = facets(cal, own)
	}
	for _, s := range states[1:] {
		for key := range s {
			if _, ok := states[0][key]; !ok {
				states[0][key] = ""
			}
		}
	}
	for key, was := range states[0] {
		if is, wanted := states[1][key], states[2][key]; is != was && wanted != was && is != wanted {
			return true
		}
	}
	return false
}

// facets are what meant takes of an object, by occurrence and by what belongs together.
func facets(cal *ical.Calendar, own []string) map[string]string {
	read, all := meaning(own), map[string][]string{}
	for _, e := range events(cal) {
		of := propOf(e, ical.PropRecurrenceID) + "\x00"
		all[of+"VALARM"] = []string{reminder(e)}
		for name, props := range e.Props {
			key := of + name
			switch name {
			case ical.PropDateTimeStart, ical.PropDateTimeEnd, ical.PropDuration, ical.PropRecurrenceRule, ical.PropRecurrenceDates:
				key = of + "when"
			}
			for i := range props {
				if v, ok := read(&props[i]); ok {
					all[key] = append(all[key], name+"\x01"+v)
				}
			}
		}
	}
	out := map[string]string{}
	for key, list := range all {
		slices.Sort(list)
		out[key] = strings.Join(list, "\x02")
	}
	return out
}

// reminder is when Outlook reminds of an event: the first alarm before its start. Others are kept beside it.
func reminder(e *ical.Component) string {
	for _, a := range ics.Children(e, ical.CompAlarm) {
		t := a.Props.Get(ical.PropTrigger)
		action := strings.ToUpper(propOf(a, ical.PropAction))
		if t == nil || action != "DISPLAY" && action != "AUDIO" || a.Props.Get("RELATED-TO") != nil {
			continue
		}
		if strings.EqualFold(t.Params.Get(ical.ParamValue), "DATE-TIME") || strings.EqualFold(t.Params.Get("RELATED"), "END") {
			continue
		}
		if d, err := ics.ParseDuration(strings.TrimSpace(t.Value)); err == nil && (d.Days < 0 || d.Seconds < 0 || d == ics.Duration{}) {
			return fmt.Sprint(int64(d.Days)*86400 + int64(d.Seconds))
		}
	}
	return ""
}

// digest is what read says of the properties of the events of an object, in an order of its own.
func digest(cal *ical.Calendar, read func(p *ical.Prop) (string, bool)) string {
	var events []string
	for _, c := range cal.Children {
		if c.Name != ical.CompEvent {
			continue
		}
		var lines []string
		for name, props := range c.Props {
			for i := range props {
				if v, ok := read(&props[i]); ok {
					lines = append(lines, name+"\x01"+v)
				}
			}
		}
		slices.Sort(lines)
		events = append(events, strings.Join(lines, "\x02"))
	}
	slices.Sort(events)
	return strings.Join(events, "\x03")
}

// value is a value with the parameters that it is read by.
func value(p *ical.Prop) string {
	v := p.Value
	if p.Name == ical.PropCategories {
		list := strings.Split(v, ",")
		slices.Sort(list)
		v = strings.Join(list, ",")
	}
	return p.Params.Get(ical.ParamValue) + "\x00" + p.Params.Get(ical.PropTimezoneID) + "\x00" + v
}

// blobs begin what an online meeting adds to a text, without spaces and in lower case.
var blobs = []string{"________________", "microsoftteamsmeeting", "jointhemeetingnow", "join:http", "joinmicrosoftteams", "joinonline", "-----------------"}

// text is a DESCRIPTION without its white space and without what an online meeting adds at its end.
func text(v string) string {
	s := strings.ToLower(strings.Join(strings.Fields(ics.UnescapeText(v)), ""))
	for _, b := range blobs {
		s, _, _ = strings.Cut(s, b)
	}
	return s
}

// person is a cal-address as an address, in lower case.
func person(v string) string {
	v = strings.ToLower(strings.TrimSpace(v))
	return strings.TrimPrefix(v, "mailto:")
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:16])
}

// exchangeUID is a UID as Exchange has it for the series: eight digits that say the date of an instance are zero, and the
// hexadecimal digits are upper case. ok is false for a UID that Exchange did not make ([MS-OXOCAL] 2.2.1.27).
func exchangeUID(uid string) (string, bool) {
	const global = "040000008200E00074C5B7101A82E008"
	up := strings.ToUpper(strings.TrimSpace(uid))
	if len(up) < 40 || !strings.HasPrefix(up, global) {
		return "", false
	}
	return up[:32] + "00000000" + up[40:], true
}

// uidForms are the spellings by which a UID may be known here.
func uidForms(uid string) []string {
	forms := []string{uid}
	if e, ok := exchangeUID(uid); ok {
		forms = append(forms, e, strings.ToLower(e))
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// sameUID reports whether two UIDs name one object.
func sameUID(a, b string) bool {
	x, ok := exchangeUID(a)
	y, ok2 := exchangeUID(b)
	return a == b || ok && ok2 && x == y
}

// seriesKey is what writes of one UID of an account wait for each other by.
func seriesKey(account bridge.AccountID, uid string) string {
	e, ok := exchangeUID(uid)
	if !ok {
		e = uid
	}
	return fmt.Sprint(account, "\x00", cmp.Or(e, uid))
}
