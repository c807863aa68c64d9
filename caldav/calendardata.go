package caldav

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// Limits of what is made of an object: its instances, their octets, and the octets of a whole answer.
const (
	maxExpanded      = 10_000
	maxExpandedSize  = 8 << 20
	maxAllExpanded   = 64 << 20
	maxCompSelection = 200 // elements that select parts of an object
)

// decode parses an object that is not larger than one may be put: what is made of it takes many times its octets.
func decode(data []byte) (*ical.Calendar, error) {
	if len(data) > maxObjectSize {
		return nil, fmt.Errorf("object of %d octets", len(data))
	}
	return ics.Decode(data)
}

// dataRequest is a CALDAV:calendar-data element of a report (RFC 4791 §9.6).
type dataRequest struct {
	comp   *compSelection // nil: all of the object
	expand *ics.Span
	limit  *ics.Span // limit-recurrence-set
}

// whole reports that the stored octets are the answer.
func (d *dataRequest) whole() bool { return d.comp == nil && d.expand == nil && d.limit == nil }

// compSelection says what to keep of a component (RFC 4791 §9.6.1).
type compSelection struct {
	name     string
	allProps bool
	props    map[string]bool // true: without its value
	allComps bool
	comps    []*compSelection
}

// parseDataRequest reads the calendar-data inside the DAV:prop of a report; nil if it is not asked for.
func parseDataRequest(report *node) (*dataRequest, error) {
	n := report.child(dav("prop")).child(caldav("calendar-data"))
	if n == nil {
		return nil, nil
	}
	if t := n.attr("content-type"); t != "" && !strings.EqualFold(t, "text/calendar") {
		return nil, forbidden(SupportedCalendarData)
	}
	if v := n.attr("version"); v != "" && v != "2.0" {
		return nil, forbidden(SupportedCalendarData)
	}
	d := &dataRequest{}
	for _, c := range n.children {
		var err error
		switch c.name {
		case caldav("comp"):
			left := maxCompSelection
			d.comp, err = parseCompSelection(c, &left)
		case caldav("expand"):
			d.expand, err = parseClosedRange(c)
		case caldav("limit-recurrence-set"):
			d.limit, err = parseClosedRange(c)
		case caldav("limit-freebusy-set"):
			_, err = parseClosedRange(c) // there is no VFREEBUSY here to limit (RFC 4791 §9.6.7)
		}
		if err != nil {
			return nil, err
		}
	}
	if d.expand != nil && d.limit != nil { // either or none (RFC 4791 §9.6)
		return nil, badRequest("calendar-data has both expand and limit-recurrence-set")
	}
	return d, nil
}

// parseCompSelection reads a CALDAV:comp with what is in it; left is how many more elements may be.
func parseCompSelection(n *node, left *int) (*compSelection, error) {
	if *left -= len(n.children) + 1; *left < 0 {
		return nil, badRequest("calendar-data selects too many parts")
	}
	s := &compSelection{name: strings.ToUpper(n.attr("name")), props: map[string]bool{}}
	for _, c := range n.children {
		switch c.name {
		case caldav("allprop"):
			s.allProps = true
		case caldav("allcomp"):
			s.allComps = true
		case caldav("prop"):
			s.props[strings.ToUpper(c.attr("name"))] = strings.EqualFold(c.attr("novalue"), "yes")
		case caldav("comp"):
			sub, err := parseCompSelection(c, left)
			if err != nil {
				return nil, err
			}
			s.comps = append(s.comps, sub)
		}
	}
	return s, nil
}

func (s *compSelection) apply(c *ical.Component) *ical.Component {
	out := &ical.Component{Name: c.Name, Props: ical.Props{}}
	for name, props := range c.Props {
		noValue, asked := s.props[name]
		if !asked && !s.allProps {
			continue
		}
		for _, p := range props {
			if noValue {
				p.Value = ""
			}
			out.Props[name] = append(out.Props[name], p)
		}
	}
	for _, child := range c.Children {
		if s.allComps {
			out.Children = append(out.Children, child)
			continue
		}
		for _, sub := range s.comps {
			if sub.name == child.Name {
				out.Children = append(out.Children, sub.apply(child))
				break
			}
		}
	}
	return out
}

// calendarData is the value of CALDAV:calendar-data: the stored octets, or what a report wants made of them. An
// object that cannot be taken apart is served whole rather than not at all.
func calendarData(x *exchange, r *resource) (bool, error) {
	if x.data == nil || r.obj.Data == nil {
		return false, nil
	}
	if x.data.whole() {
		x.object(r.obj.Data)
		return true, nil
	}
	reader, err := x.reader(r.cal)
	if err != nil {
		return false, err
	}
	cal, err := decode(r.obj.Data)
	if err == nil {
		switch {
		case x.data.expand != nil:
			var list []ics.Instance
			if list, err = x.instances(reader, cal, *x.data.expand); err == nil {
				return true, x.expand(reader, cal, list)
			}
		case x.data.limit != nil:
			cal, err = limitRecurrences(reader, cal, *x.data.limit)
		}
	}
	if errors.Is(err, ics.ErrTooMany) {
		return false, err
	}
	var data []byte
	if err == nil {
		c := cal.Component
		if x.data.comp != nil && x.data.comp.name == c.Name {
			c = x.data.comp.apply(c)
		}
		data, err = ics.Append(nil, c)
	}
	if err != nil {
		x.h.log().DebugContext(x.ctx, "object served whole", "path", r.href, "err", err)
		data = r.obj.Data
	}
	x.object(data)
	return true, nil
}

// object appends content lines as character data. Where they are compressed, they arrive as they are stored. Otherwise the
// references to their CRs would be a twelfth of the answer, and a reader gets the lines with LF alone, as it does from servers
// that write CRLF: an XML parser makes LF of that (XML 1.0 §2.11).
func (x *exchange) object(lines []byte) {
	x.buf = appendData(x.buf, lines, !x.compresses())
}

// instances lists the instances of an object within a range by their start. ics.ErrTooMany where they, or what would be made
// of them, are too many.
func (x *exchange) instances(r *ics.Reader, cal *ical.Calendar, within ics.Span) ([]ics.Instance, error) {
	var list []ics.Instance
	err := r.Instances(cal, within, func(i ics.Instance) bool {
		list = append(list, i)
		return len(list) <= maxExpanded
	})
	if len(list) > maxExpanded {
		err = ics.ErrTooMany
	}
	if err != nil {
		return nil, err
	}
	if _, err := encodedSize(&ical.Component{Name: cal.Name, Props: cal.Props}); err != nil {
		return nil, err
	}
	sizes := map[*ical.Component]int{}
	size := 0
	for _, i := range list {
		if _, ok := sizes[i.Event]; !ok {
			if sizes[i.Event], err = encodedSize(i.Event); err != nil {
				return nil, err
			}
		}
		size += sizes[i.Event]
	}
	if size > maxExpandedSize || x.expanded+size > maxAllExpanded {
		return nil, ics.ErrTooMany
	}
	x.expanded += size
	slices.SortStableFunc(list, func(a, b ics.Instance) int { return a.Start.Compare(b.Start) })
	return list, nil
}

// encodedSize is how many octets a component has, or why it cannot be written.
func encodedSize(c *ical.Component) (int, error) {
	var n counter
	e := ics.NewEncoder(&n)
	e.Component(c)
	err := e.Flush()
	return int(n), err
}

type counter int

func (n *counter) Write(b []byte) (int, error) {
	*n += counter(len(b))
	return len(b), nil
}

// expand appends a calendar of plain instances, without rules and zones (RFC 4791 §9.6.5), one after another.
func (x *exchange) expand(r *ics.Reader, cal *ical.Calendar, list []ics.Instance) error {
	top := &ical.Component{Name: cal.Name, Props: cal.Props}
	only := x.data.comp
	if only != nil && only.name != cal.Name {
		only = nil
	}
	if only != nil {
		top = only.apply(top)
	}
	var b bytes.Buffer
	e := ics.NewEncoder(&b)
	send := func() error {
		err := e.Flush()
		x.object(b.Bytes())
		b.Reset()
		return cmp.Or(err, x.flush())
	}
	e.Begin(top)
	for _, i := range list {
		one := &ical.Component{Name: cal.Name, Children: []*ical.Component{plainInstance(r, i)}}
		if only != nil {
			one = only.apply(one)
		}
		for _, c := range one.Children {
			e.Component(c)
		}
		if err := send(); err != nil {
			return err
		}
	}
	e.End(top)
	return send()
}

// plainInstance renders one instance: its times in UTC, and a RECURRENCE-ID if it is of a series. Dates and floating times
// stay what they are.
func plainInstance(r *ics.Reader, i ics.Instance) *ical.Component {
	props := ical.Props{}
	for name, l := range i.Event.Props {
		switch name {
		case "DTSTART", "DTEND", "DURATION", "RRULE", "RDATE", "EXDATE", "RECURRENCE-ID":
		default:
			props[name] = l
		}
	}
	props.Set(plainTime(r, "DTSTART", i.Clock))
	if i.Series {
		props.Set(plainTime(r, "RECURRENCE-ID", i.ID))
	}
	if i.HasEnd || i.Length.Days != 0 && i.Clock.Loc != nil {
		end := ics.Moment{Wall: i.Clock.Wall.AddDate(0, 0, i.Length.Days), Date: i.Clock.Date}
		switch {
		case i.Clock.Loc != nil:
			end = ics.Moment{Wall: i.End, Loc: time.UTC}
		case !i.Clock.Date:
			end.Wall = time.Unix(end.Wall.Unix()+i.Length.Seconds, 0).UTC()
		}
		if last := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC); end.Wall.After(last) {
			end.Wall = last // no later one can be written
		}
		props.Set(plainTime(r, "DTEND", end))
	} else if p := i.Event.Props.Get("DURATION"); p != nil {
		props["DURATION"] = []ical.Prop{*p}
	}
	return &ical.Component{Name: i.Event.Name, Props: props, Children: i.Event.Children}
}

func plainTime(r *ics.Reader, name string, m ics.Moment) *ical.Prop {
	p := ical.NewProp(name)
	switch {
	case m.Date:
		p.Params.Set("VALUE", "DATE")
		p.Value = m.Wall.Format(ics.DateForm)
	case m.Loc == nil:
		p.Value = m.Wall.Format(ics.WallForm)
	default:
		p.Value = r.Instant(m).Format(ics.UTCForm)
	}
	return p
}

// limitRecurrences leaves out the overrides that the range does not need: those that neither are in it nor were
// before they were moved (RFC 4791 §9.6.6).
func limitRecurrences(r *ics.Reader, cal *ical.Calendar, within ics.Span) (*ical.Calendar, error) {
	out := &ical.Component{Name: cal.Name, Props: cal.Props}
	for _, c := range cal.Children {
		if p := c.Props.Get("RECURRENCE-ID"); p != nil && c.Name == "VEVENT" {
			id, err := r.Moment(cal, p)
			if err != nil {
				return nil, err
			}
			now, err := r.Event(cal, c)
			if err != nil {
				return nil, err
			}
			was := r.At(now, id)
			if p.Params.Get("RANGE") == "" && !within.Overlaps(now.Start, now.End) && !within.Overlaps(was.Start, was.End) {
				continue
			}
		}
		out.Children = append(out.Children, c)
	}
	return &ical.Calendar{Component: out}, nil
}
