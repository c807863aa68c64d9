package caldav

import (
	"errors"
	"strings"
	"time"

	"github.com/emersion/go-ical"
)

// compFilter is a CALDAV:comp-filter (RFC 4791 §9.7.1).
type compFilter struct {
	name       string
	notDefined bool
	within     *timeRange
	props      []propFilter
	comps      []*compFilter
}

// propFilter is a CALDAV:prop-filter (RFC 4791 §9.7.2).
type propFilter struct {
	name       string
	notDefined bool
	within     *timeRange
	text       *textMatch
	params     []paramFilter
}

// paramFilter is a CALDAV:param-filter (RFC 4791 §9.7.3).
type paramFilter struct {
	name       string
	notDefined bool
	text       *textMatch
}

// textMatch is a CALDAV:text-match (RFC 4791 §9.7.5): a substring.
type textMatch struct {
	text   string // folded already
	fold   func(string) string
	negate bool
}

// parseFilter reads the CALDAV:filter of a calendar-query.
func parseFilter(report *node) (*compFilter, error) {
	root := report.child(caldav("filter")).child(caldav("comp-filter"))
	if root == nil || !strings.EqualFold(root.attr("name"), "VCALENDAR") {
		return nil, forbidden("C:valid-filter")
	}
	f, err := parseCompFilter(root)
	if err == nil && f.within != nil {
		return nil, forbidden("C:valid-filter")
	}
	return f, err
}

func parseCompFilter(n *node) (*compFilter, error) {
	f := &compFilter{name: strings.ToUpper(n.attr("name"))}
	if f.name == "" {
		return nil, forbidden("C:valid-filter")
	}
	for _, c := range n.children {
		var err error
		switch c.name {
		case caldav("is-not-defined"):
			f.notDefined = true
		case caldav("time-range"):
			f.within, err = parseRange(c)
			if f.name == "VALARM" || f.name == "VTIMEZONE" {
				err = forbidden("C:supported-filter")
			}
		case caldav("prop-filter"):
			var p propFilter
			p, err = parsePropFilter(c)
			f.props = append(f.props, p)
		case caldav("comp-filter"):
			var sub *compFilter
			sub, err = parseCompFilter(c)
			f.comps = append(f.comps, sub)
		}
		if err != nil {
			return nil, err
		}
	}
	if f.notDefined && len(n.children) > 1 {
		return nil, forbidden("C:valid-filter")
	}
	return f, nil
}

func parsePropFilter(n *node) (propFilter, error) {
	f := propFilter{name: strings.ToUpper(n.attr("name"))}
	if f.name == "" {
		return f, forbidden("C:valid-filter")
	}
	for _, c := range n.children {
		var err error
		switch c.name {
		case caldav("is-not-defined"):
			f.notDefined = true
		case caldav("time-range"):
			f.within, err = parseRange(c)
		case caldav("text-match"):
			f.text, err = parseTextMatch(c)
		case caldav("param-filter"):
			p := paramFilter{name: strings.ToUpper(c.attr("name"))}
			p.notDefined = c.child(caldav("is-not-defined")) != nil
			if t := c.child(caldav("text-match")); t != nil {
				p.text, err = parseTextMatch(t)
			}
			f.params = append(f.params, p)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

func parseTextMatch(n *node) (*textMatch, error) {
	t := &textMatch{negate: strings.EqualFold(n.attr("negate-condition"), "yes")}
	switch n.attr("collation") {
	case "", "default", "i;ascii-casemap":
		t.fold = lowerASCII
	case "i;unicode-casemap":
		t.fold = strings.ToLower
	case "i;octet":
		t.fold = func(s string) string { return s }
	default:
		return nil, forbidden("C:supported-collation")
	}
	t.text = t.fold(n.text)
	return t, nil
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// parseRange reads the attributes of a CALDAV:time-range, of which one may be absent.
func parseRange(n *node) (*timeRange, error) {
	var r timeRange
	for name, t := range map[string]*time.Time{"start": &r.start, "end": &r.end} {
		if v := n.attr(name); v != "" {
			m, err := parseMoment(v, nil)
			if err != nil || m.date || m.loc != time.UTC || m.wall.Year() < 1 {
				return nil, badRequest("a time range is not in UTC as YYYYMMDDThhmmssZ")
			}
			*t = m.wall
		}
	}
	if r.start.IsZero() && r.end.IsZero() {
		return nil, badRequest("a time range has neither start nor end")
	}
	if !r.start.IsZero() && !r.end.IsZero() && !r.start.Before(r.end) {
		return nil, badRequest("a time range ends before it starts")
	}
	return &r, nil
}

// parseClosedRange reads a range that must have both bounds.
func parseClosedRange(n *node) (*timeRange, error) {
	r, err := parseRange(n)
	if err == nil && (r.start.IsZero() || r.end.IsZero()) {
		return nil, badRequest("a time range lacks its start or its end")
	}
	return r, err
}

// plan is how a filter is carried out.
type plan struct {
	nothing bool       // no object of any calendar here matches
	within  *timeRange // every object that matches has an instance in it
	exact   bool       // within, or nothing at all, is all that the filter asks; else the object has to be matched
}

// plan looks at what kind of filter this is. Every object here holds VEVENTs alone, so the queries for VTODO and
// VJOURNAL, of which KDE sends one each at every change, need no object.
func (f *compFilter) plan() plan {
	if f.notDefined {
		return plan{nothing: true}
	}
	p := plan{exact: len(f.props) == 0}
	events := 0
	for _, c := range f.comps {
		switch {
		case c.name == "VEVENT" && !c.notDefined:
			events++
			if c.within != nil {
				p.within = c.within
			}
			if events > 1 || len(c.props)+len(c.comps) > 0 {
				p.exact = false
			}
		case c.name == "VEVENT":
			return plan{nothing: true}
		case c.name == "VTIMEZONE":
			p.exact = false
		case !c.notDefined:
			return plan{nothing: true}
		}
	}
	return p
}

// matches reports whether an object matches a filter. One whose recurrence cannot be made out matches: it is
// better shown than hidden.
func (z *zones) matches(cal *ical.Calendar, f *compFilter) (bool, error) {
	for i := range f.props {
		if !z.matchProp(cal.Component, &f.props[i]) {
			return false, nil
		}
	}
	for _, c := range f.comps {
		ok, err := z.matchComp(cal, cal.Component, c)
		if err != nil || !ok {
			return ok || err != nil, err
		}
	}
	return true, nil
}

func (z *zones) matchComp(cal *ical.Calendar, parent *ical.Component, f *compFilter) (bool, error) {
	comps := childrenNamed(parent, f.name)
	if f.notDefined {
		return len(comps) == 0, nil
	}
	var in map[*ical.Component]bool
	if f.within != nil {
		if f.name != "VEVENT" {
			return false, nil
		}
		in = map[*ical.Component]bool{}
		err := z.instances(cal, *f.within, func(i instance) bool {
			in[i.comp] = true
			return len(in) < len(comps) && (len(f.props)+len(f.comps) > 0)
		})
		if err != nil && len(in) == 0 {
			return true, err
		}
	}
next:
	for _, c := range comps {
		if in != nil && !in[c] {
			continue
		}
		for i := range f.props {
			if !z.matchProp(c, &f.props[i]) {
				continue next
			}
		}
		for _, sub := range f.comps {
			if ok, err := z.matchComp(cal, c, sub); err != nil || !ok {
				continue next
			}
		}
		return true, nil
	}
	return false, nil
}

func (z *zones) matchProp(c *ical.Component, f *propFilter) bool {
	props := c.Props[f.name]
	if f.notDefined {
		return len(props) == 0
	}
next:
	for i := range props {
		p := &props[i]
		if f.within != nil {
			m, err := z.moment(p)
			if err != nil || !f.within.overlaps(z.instant(m), z.instant(m)) {
				continue
			}
		}
		if f.text != nil && !f.text.match(unescapeText(p.Value)) {
			continue
		}
		for _, param := range f.params {
			if !param.match(p.Params[param.name]) {
				continue next
			}
		}
		return true
	}
	return false
}

func (f *paramFilter) match(values []string) bool {
	if f.notDefined || len(values) == 0 {
		return f.notDefined && len(values) == 0
	}
	if f.text == nil {
		return true
	}
	for _, v := range values {
		if f.text.match(v) {
			return true
		}
	}
	return false
}

func (t *textMatch) match(s string) bool {
	return strings.Contains(t.fold(s), t.text) != t.negate
}

var textUnescaper = strings.NewReplacer(`\\`, `\`, `\;`, ";", `\,`, ",", `\n`, "\n", `\N`, "\n")

func unescapeText(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return textUnescaper.Replace(s)
}

// selects parses an object and matches it; what cannot be parsed or judged is selected.
func (z *zones) selects(data []byte, f *compFilter) (bool, error) {
	cal, err := parseICS(data)
	if err != nil {
		return true, err
	}
	ok, err := z.matches(cal, f)
	if errors.Is(err, errTooManyInstances) {
		err = nil
	}
	return ok, err
}
