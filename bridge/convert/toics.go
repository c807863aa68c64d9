package convert

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// ToICS is the calendar object of s: a VCALENDAR with one UID, its VTIMEZONEs first, then the single event, or the
// master with its overrides in the order of their RECURRENCE-IDs. It is made for [ics.Encode]; go-ical's own encoder
// refuses some of it. What could not be carried over is in the losses, which are never twice the same.
//
// It fails, with the losses so far, where the event has no place in time (ErrNoTime) or where nothing of a series is
// left to show (ErrNoInstances).
func ToICS(s Series) (*ical.Calendar, []Loss, error) {
	c := newConversion(s)
	cal, err := c.convert()
	return cal, c.losses, err
}

func newConversion(s Series) *conversion {
	return &conversion{Series: s, uid: cmp.Or(s.UID, UID(s.Event)), noted: map[Loss]bool{}, event: s.Event.ID}
}

func (c *conversion) convert() (*ical.Calendar, error) {
	if c.explaining() {
		c.sayUID()
	}
	c.faults(c.Event)
	convert := c.single
	if isMaster(c.Event) {
		convert = c.series
	}
	if err := convert(); err != nil {
		return nil, err
	}
	c.shrink()
	return c.calendar(), nil
}

// conversion is the work on one Series.
type conversion struct {
	Series
	uid        string
	components []*ical.Component // VEVENTs, the master first

	event  graph.EventID // that notes are about
	losses []Loss
	noted  map[Loss]bool
	trace  *trace // nil but for Explain
}

// note records a loss.
func (c *conversion) note(field, reason string) {
	l := Loss{Event: c.event, Field: field, Reason: reason}
	if !c.noted[l] {
		c.noted[l] = true
		c.losses = append(c.losses, l)
	}
}

// faults notes what could not be read of e.
func (c *conversion) faults(e graph.Event) {
	for _, name := range e.Faults {
		c.note(clip(name), "The property is not of the JSON type that Graph documents, and is left out.")
	}
}

func isMaster(e graph.Event) bool {
	return e.Type == graph.SeriesMaster ||
		!isInstance(e) && (e.Recurrence != nil || len(e.CancelledOccurrences)+len(e.ExceptionOccurrences) > 0)
}

// isInstance is whether e is one occurrence of a series, modified or not.
func isInstance(e graph.Event) bool {
	return e.Type == graph.Occurrence || e.Type == graph.Exception || e.Type == "" && e.SeriesMasterID != ""
}

// single converts an event without a rule: a single instance, or an occurrence whose master is not there. The latter
// gets a UID of its own and no RECURRENCE-ID, for clients make nothing good of an override without a master.
func (c *conversion) single() error {
	e := c.Event
	z := c.zoneOf(e, nil)
	w, err := c.times(e, z)
	if err != nil {
		return err
	}
	if isInstance(e) {
		t, from := c.originalDate(e, w)
		if from == "" {
			t = w.firstDay()
		}
		if c.UID == "" {
			c.uid += "-" + t.Format("20060102")
			c.say("UID", c.uid, "; it is an occurrence without its series, so its date is added")
		}
		c.note("seriesMasterId", "The series of this occurrence is not there; the occurrence is shown as an event of its own.")
	}
	comp := c.fields(e)
	setTimes(comp, w)
	c.components = append(c.components, comp)
	return nil
}

// calendar puts the components together with the VTIMEZONEs that they need.
func (c *conversion) calendar() *ical.Calendar {
	c.applyOverlay()
	cal := newCalendar()
	first, last := (&ics.Reader{Resolve: Zone}).Bounds(&ical.Calendar{Component: &ical.Component{Children: c.components}})
	for _, id := range zonesOf(c.components) {
		if z, ok := findZone(id); ok {
			cal.Children = append(cal.Children, vtimezone(z, first, last))
		}
	}
	cal.Children = append(cal.Children, c.components...)
	return cal
}

// zonesOf are the TZIDs that the properties of components name, in order.
func zonesOf(comps []*ical.Component) []string {
	ids := map[string]bool{}
	for _, comp := range comps {
		for _, props := range comp.Props {
			for i := range props {
				if id := props[i].Params.Get(ical.ParamTimezoneID); id != "" {
					ids[id] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(ids))
}

func newCalendar() *ical.Calendar {
	cal := ical.NewCalendar()
	add(cal.Component, ical.PropVersion, "2.0")
	add(cal.Component, ical.PropProductID, ProdID)
	add(cal.Component, ical.PropCalendarScale, "GREGORIAN")
	return cal
}

// add appends a property with its value as it stands in the file; params are names and values.
func add(c *ical.Component, name, value string, params ...string) {
	p := ical.NewProp(name)
	p.Value = value
	for i := 0; i+1 < len(params); i += 2 {
		p.Params.Set(params[i], params[i+1])
	}
	c.Props.Add(p)
}

// addText appends a TEXT property, unless it is empty: libical records an error for such.
func addText(c *ical.Component, name, text string, params ...string) {
	if ics.Blank(text) {
		return
	}
	add(c, name, ics.EscapeText(text), params...)
}

// addTime appends a DATE, or a DATE-TIME in z where a reader finds the same instant again, else in UTC. t is a date
// or an instant.
func addTime(comp *ical.Component, name string, t time.Time, z zone, allDay bool) {
	switch {
	case allDay:
		add(comp, name, t.Format(ics.DateForm), ical.ParamValue, "DATE")
	case z.utc() || !z.expressible(t):
		add(comp, name, t.UTC().Format(ics.UTCForm))
	default:
		add(comp, name, t.In(z.loc).Format(ics.WallForm), ical.ParamTimezoneID, z.tzid)
	}
}

// addCivil appends the time of an instance of a series, in exactly the form of its DTSTART.
func addCivil(comp *ical.Component, name string, civil time.Time, z zone, allDay bool) {
	switch {
	case allDay:
		add(comp, name, civil.Format(ics.DateForm), ical.ParamValue, "DATE")
	case z.utc():
		add(comp, name, civil.Format(ics.UTCForm))
	default:
		add(comp, name, civil.Format(ics.WallForm), ical.ParamTimezoneID, z.tzid)
	}
}

// setTimes writes DTSTART and DTEND of an event that does not recur. One of no length has no DTEND: RFC 5545 §3.8.2.2
// wants it later than DTSTART, and without it a DATE-TIME ends when it starts (§3.6.1).
func setTimes(comp *ical.Component, w when) {
	addTime(comp, ical.PropDateTimeStart, w.start, w.zone, w.allDay)
	if w.end.After(w.start) {
		addTime(comp, ical.PropDateTimeEnd, w.end, w.endZone, w.allDay)
	}
}

// describe is a span for a sentence.
func (s Span) describe() string {
	first, last := s.ends()
	return first + " to " + last
}

// ends are the days of UTC that the span begins and ends on.
func (s Span) ends() (first, last string) {
	return s.Start.UTC().Format(time.DateOnly), s.End.UTC().Format(time.DateOnly)
}
