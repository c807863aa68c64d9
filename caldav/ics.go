package caldav

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-ical"
)

// Limits on iCalendar text that is parsed. go-ical takes quadratic time over a parameter and recurses over
// components; Thunderbird's ALTREP parameters hold whole HTML bodies.
const (
	maxLineHead  = 64 << 10 // octets of a content line before its value
	maxComponent = 16       // depth
)

// parseICS reads one VCALENDAR.
func parseICS(data []byte) (cal *ical.Calendar, err error) {
	if err := checkICS(data); err != nil {
		return nil, err
	}
	defer func() { // go-ical indexes past the end of a line that breaks off in a parameter
		if p := recover(); p != nil {
			cal, err = nil, fmt.Errorf("parse iCalendar: %v", p)
		}
	}()
	return ical.NewDecoder(bytes.NewReader(data)).Decode()
}

func checkICS(data []byte) error {
	depth, head := 0, 0
	inValue, quoted := false, false
	for line := range bytes.Lines(data) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			head, inValue, quoted = 0, false, false
			if len(line) >= 6 && bytes.EqualFold(line[:6], []byte("BEGIN:")) {
				depth++
			} else if len(line) >= 4 && bytes.EqualFold(line[:4], []byte("END:")) {
				depth--
			}
		}
		for i := 0; i < len(line) && !inValue; i++ {
			head++
			switch {
			case line[i] == '"':
				quoted = !quoted
			case line[i] == ':' && !quoted:
				inValue = true
			}
		}
		if depth > maxComponent || head > maxLineHead {
			return errors.New("parse iCalendar: too deep or too long")
		}
	}
	if !utf8.Valid(data) {
		return errors.New("parse iCalendar: not UTF-8")
	}
	return nil
}

func childrenNamed(c *ical.Component, name string) []*ical.Component {
	var l []*ical.Component
	for _, child := range c.Children {
		if child.Name == name {
			l = append(l, child)
		}
	}
	return l
}

// appendComponent encodes a component, its properties in order of name, so that equal components have equal octets.
func appendComponent(b []byte, c *ical.Component) []byte {
	b = append(b, "BEGIN:"+c.Name+"\r\n"...)
	for _, name := range slices.Sorted(maps.Keys(c.Props)) {
		for _, p := range c.Props[name] {
			b = appendProp(b, p)
		}
	}
	for _, child := range c.Children {
		b = appendComponent(b, child)
	}
	return append(b, "END:"+c.Name+"\r\n"...)
}

func appendProp(b []byte, p ical.Prop) []byte {
	var line strings.Builder
	line.WriteString(p.Name)
	for _, name := range slices.Sorted(maps.Keys(p.Params)) {
		for i, v := range p.Params[name] {
			if i == 0 {
				line.WriteString(";" + name + "=")
			} else {
				line.WriteByte(',')
			}
			if strings.ContainsAny(v, ",;:") {
				v = `"` + v + `"`
			}
			line.WriteString(v)
		}
	}
	line.WriteString(":" + p.Value)
	return appendFolded(b, line.String())
}

// appendFolded appends a content line, folded to 75 octets without splitting a character (RFC 5545 §3.1).
func appendFolded(b []byte, line string) []byte {
	for limit := 75; len(line) > limit; limit = 74 {
		cut := limit
		for cut > 1 && !utf8.RuneStart(line[cut]) {
			cut--
		}
		b = append(append(b, line[:cut]...), "\r\n "...)
		line = line[cut:]
	}
	return append(append(b, line...), "\r\n"...)
}

// dataRequest is a CALDAV:calendar-data element of a report (RFC 4791 §9.6).
type dataRequest struct {
	comp   *compSelection // nil: all of the object
	expand *timeRange
	limit  *timeRange // limit-recurrence-set
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
		return nil, forbidden(supportedCalendarData)
	}
	if v := n.attr("version"); v != "" && v != "2.0" {
		return nil, forbidden(supportedCalendarData)
	}
	d := &dataRequest{}
	for _, c := range n.children {
		var err error
		switch c.name {
		case caldav("comp"):
			d.comp = parseCompSelection(c)
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

func parseCompSelection(n *node) *compSelection {
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
			s.comps = append(s.comps, parseCompSelection(c))
		}
	}
	return s
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
		x.buf = appendData(x.buf, r.obj.Data)
		return true, nil
	}
	z, err := x.zonesOf(r.cal)
	if err != nil {
		return false, err
	}
	cal, err := parseICS(r.obj.Data)
	if err == nil {
		switch {
		case x.data.expand != nil:
			cal, err = z.expand(cal, *x.data.expand)
		case x.data.limit != nil:
			cal, err = z.limitRecurrences(cal, *x.data.limit)
		}
	}
	switch {
	case errors.Is(err, errTooManyInstances):
		return false, err
	case err != nil:
		x.h.log().DebugContext(x.ctx, "object served whole", "path", r.href, "err", err)
		x.buf = appendData(x.buf, r.obj.Data)
		return true, nil
	}
	c := cal.Component
	if x.data.comp != nil && x.data.comp.name == c.Name {
		c = x.data.comp.apply(c)
	}
	x.buf = appendData(x.buf, appendComponent(nil, c))
	return true, nil
}
