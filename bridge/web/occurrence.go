package web

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// maxOccurrences is how many a page or an answer has at most; it then says how much is left.
const maxOccurrences = 20_000

// occurrence is an event of a calendar at one time, as clients see it.
type occurrence struct {
	Calendar bridge.Calendar
	Object   string // the name of its object
	ics.Instance
}

// occurrences are those that overlap a span, and what is missing among them.
type occurrences struct {
	List   []occurrence
	Left   int // objects that were not looked into, since there are too many occurrences
	Broken int // objects that cannot be read
}

// Note says what is missing; "" if nothing is.
func (o occurrences) Note() Text {
	switch {
	case o.Left > 0:
		return Counted(o.Left, "More than {most} events fall into this time. {n} event or series is not shown.", "More than {most} events fall into this time. {n} events and series are not shown.", maxOccurrences)
	case o.Broken > 0:
		return Counted(o.Broken, "{n} event cannot be shown here.", "{n} events cannot be shown here.")
	}
	return ""
}

// reader reads what is published.
type reader struct {
	store bridge.ObjectLister
	zone  func(name string) (*time.Location, bool) // see Handler.Zone
}

// in reads the occurrences of cals that overlap span and whose title or place has each of the words. Days are read in UTC, so
// a span of instants is to be a day wider on both sides than what is shown.
func (r reader) in(ctx context.Context, cals []bridge.Calendar, span ics.Span, words ...string) (o occurrences, err error) {
	for _, cal := range cals {
		q := bridge.ObjectQuery{WithData: true, Start: span.Start, End: span.End}
		for object, err := range bridge.Objects(ctx, r.store, cal.ID, q) {
			switch {
			case err != nil:
				return o, fmt.Errorf("read calendar: %w", err)
			case !mentions(object.Data, words):
				continue
			case len(o.List) >= maxOccurrences:
				o.Left++
				continue
			}
			instances, err := r.expand(object.Data, span)
			if err != nil {
				o.Broken++
				continue
			}
			for _, in := range instances {
				if one := (occurrence{cal, object.Name, in}); len(words) == 0 || hasWords(in.Summary()+"\n"+one.place(), words) {
					o.List = append(o.List, one)
				}
			}
		}
	}
	return o, nil
}

func (r reader) expand(data []byte, span ics.Span) ([]ics.Instance, error) {
	cal, err := ics.Decode(data)
	if err != nil {
		return nil, err
	}
	return (&ics.Reader{Resolve: r.zone}).Expand(cal, span)
}

// mentions tells, without decoding an object, whether its titles and places have the words, which are in lower case. It does
// not tell which of its occurrences has them.
func mentions(data []byte, words []string) bool {
	if len(words) == 0 {
		return true
	}
	var text strings.Builder
	for line := range ics.Lines(data) {
		if name := line.Name(); bytes.Equal(name, []byte(ical.PropSummary)) || bytes.Equal(name, []byte(ical.PropLocation)) {
			text.WriteString(ics.UnescapeText(string(line.Value())))
			text.WriteByte('\n')
		}
	}
	return hasWords(text.String(), words)
}

func hasWords(text string, words []string) bool {
	text = strings.ToLower(text)
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// usualZone is the time zone that most of the first 300 events around now use; "" if none of them names one.
func (r reader) usualZone(ctx context.Context, cals []bridge.Calendar, now time.Time) (string, error) {
	seen := map[string]int{}
	best, looked := "", 0
	for _, cal := range cals {
		q := bridge.ObjectQuery{WithData: true, Start: now.AddDate(0, -1, 0), End: now.AddDate(0, 1, 0)}
		for o, err := range bridge.Objects(ctx, r.store, cal.ID, q) {
			if err != nil {
				return "", fmt.Errorf("read calendar: %w", err)
			}
			if looked++; looked > 300 {
				return best, nil
			}
			_, after, ok := bytes.Cut(o.Data, []byte("\r\nDTSTART;TZID="))
			name, _, found := bytes.Cut(after, []byte(":"))
			if !ok || !found {
				continue
			}
			if seen[string(name)]++; seen[string(name)] > seen[best] {
				best = string(name)
			}
		}
	}
	return best, nil
}

// at is how an occurrence is named in the address of its page.
func (o occurrence) at() string {
	if o.AllDay() {
		return o.Start.UTC().Format(time.DateOnly)
	}
	return o.Start.UTC().Format(time.RFC3339)
}

func (o occurrence) title(l *Language) string {
	if t := strings.TrimSpace(o.Summary()); t != "" {
		return t
	}
	return l.Text("(no title)")
}

func (o occurrence) place() string {
	s, _ := o.Event.Props.Text(ical.PropLocation)
	return s
}

// is reports whether a property has a value.
func (o occurrence) is(name, value string) bool {
	p := o.Event.Props.Get(name)
	return p != nil && strings.EqualFold(strings.TrimSpace(p.Value), value)
}

func (o occurrence) private() bool {
	p := o.Event.Props.Get(ical.PropClass)
	return p != nil && !strings.EqualFold(p.Value, "PUBLIC")
}

// mark is something to say of an occurrence beside its title.
type mark struct {
	code string
	text Text
}

// notes are the marks that apply.
func (o occurrence) notes() (list []mark) {
	if o.Cancelled() {
		list = append(list, mark{"cancelled", "cancelled [event]"})
	}
	if o.is(ical.PropTransparency, "TRANSPARENT") {
		list = append(list, mark{"free", "free [event: the time is not blocked]"})
	}
	if o.is(ical.PropStatus, "TENTATIVE") {
		list = append(list, mark{"tentative", "tentative [event]"})
	}
	if o.private() {
		list = append(list, mark{"private", "private [event]"})
	}
	return list
}

// notesText is "cancelled, private".
func (o occurrence) notesText(l *Language) string {
	var list []string
	for _, n := range o.notes() {
		list = append(list, l.Text(n.text))
	}
	return strings.Join(list, ", ")
}

// days are its first and last day as midnight UTC, by the clock of zone.
func (o occurrence) days(zone *time.Location) (first, last time.Time) {
	start, end := o.times(zone)
	first, last = civilDay(start), civilDay(end)
	if end.After(start) && end.Equal(midnight(end)) {
		last = last.AddDate(0, 0, -1) // it ends at midnight, with the day before
	}
	return first, last
}

// times are its start and end by the clock of zone; those of an all-day event are dates, in UTC.
func (o occurrence) times(zone *time.Location) (start, end time.Time) {
	if o.AllDay() {
		return o.Start.UTC(), o.End.UTC()
	}
	return o.Start.In(zone), o.End.In(zone)
}

func midnight(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
}

// civilDay is midnight UTC of the date of t in its own zone.
func civilDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
