package caldav

import (
	"errors"
	"strings"
	"unicode"

	"github.com/emersion/go-ical"
	"golang.org/x/text/unicode/norm"

	"outbridge/caldav/ics"
)

// compFilter is a CALDAV:comp-filter (RFC 4791 §9.7.1).
type compFilter struct {
	name       string
	notDefined bool
	within     *ics.Span
	props      []propFilter
	comps      []*compFilter
}

// propFilter is a CALDAV:prop-filter (RFC 4791 §9.7.2).
type propFilter struct {
	name       string
	notDefined bool
	within     *ics.Span
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
	left   *int // octets that the matches of the filter may still look at
}

// Limits of a filter: its elements, and the octets that its text matches look at in all objects.
const (
	maxFilter     = 100
	maxFilterText = 256 << 20
)

// errFilter is the answer to a filter that is not one (RFC 4791 §7.8).
var errFilter error = forbidden(validFilter)

// parseFilter reads the CALDAV:filter of a calendar-query.
func parseFilter(report *node) (*compFilter, error) {
	filter := report.child(caldav("filter"))
	root := filter.child(caldav("comp-filter"))
	if root == nil || len(filter.children) != 1 || !strings.EqualFold(root.attr("name"), "VCALENDAR") {
		return nil, errFilter
	}
	if filter.size() > maxFilter {
		return nil, forbidden(supportedFilter).because("The filter has too many conditions.")
	}
	left := maxFilterText
	f, err := parseCompFilter(root, "", &left)
	if err == nil && f.within != nil {
		return nil, errFilter
	}
	return f, err
}

// parents says in which components RFC 5545 has a component. Of others, such as X-components, nothing is known.
var parents = map[string]string{
	"VCALENDAR": " ", "VEVENT": " VCALENDAR ", "VTODO": " VCALENDAR ", "VJOURNAL": " VCALENDAR ", "VFREEBUSY": " VCALENDAR ",
	"VTIMEZONE": " VCALENDAR ", "STANDARD": " VTIMEZONE ", "DAYLIGHT": " VTIMEZONE ", "VALARM": " VEVENT VTODO ",
}

// size is how many elements n has, with itself.
func (n *node) size() int {
	size := 1
	for _, c := range n.children {
		size += c.size()
	}
	return size
}

func parseCompFilter(n *node, parent string, left *int) (*compFilter, error) {
	f := &compFilter{name: strings.ToUpper(n.attr("name"))}
	if in, known := parents[f.name]; f.name == "" || known && parent != "" && !strings.Contains(in, " "+parent+" ") {
		return nil, errFilter
	}
	for _, c := range n.children {
		var err error
		switch c.name {
		case caldav("is-not-defined"):
			f.notDefined = true
		case caldav("time-range"):
			if f.within != nil {
				return nil, errFilter
			}
			f.within, err = filterRange(c)
			if f.name == "VTIMEZONE" || f.name == "STANDARD" || f.name == "DAYLIGHT" {
				err = forbidden(supportedFilter)
			}
		case caldav("prop-filter"):
			var p propFilter
			p, err = parsePropFilter(c, left)
			f.props = append(f.props, p)
		case caldav("comp-filter"):
			var sub *compFilter
			sub, err = parseCompFilter(c, f.name, left)
			f.comps = append(f.comps, sub)
		case caldav("param-filter"), caldav("text-match"):
			err = errFilter
		}
		if err != nil {
			return nil, err
		}
	}
	if f.notDefined && len(n.children) > 1 {
		return nil, errFilter
	}
	return f, nil
}

func parsePropFilter(n *node, left *int) (propFilter, error) {
	f := propFilter{name: strings.ToUpper(n.attr("name"))}
	if f.name == "" {
		return f, errFilter
	}
	for _, c := range n.children {
		var err error
		switch c.name {
		case caldav("is-not-defined"):
			f.notDefined = true
		case caldav("time-range"):
			f.within, err = filterRange(c)
		case caldav("text-match"):
			if f.text != nil {
				return f, errFilter
			}
			f.text, err = parseTextMatch(c, left)
		case caldav("param-filter"):
			var p paramFilter
			p, err = parseParamFilter(c, left)
			f.params = append(f.params, p)
		case caldav("comp-filter"), caldav("prop-filter"):
			err = errFilter
		}
		if err != nil {
			return f, err
		}
	}
	if f.notDefined && len(n.children) > 1 || f.within != nil && f.text != nil {
		return f, errFilter
	}
	return f, nil
}

func parseParamFilter(n *node, left *int) (paramFilter, error) {
	f := paramFilter{name: strings.ToUpper(n.attr("name"))}
	if f.name == "" || len(n.children) > 1 {
		return f, errFilter
	}
	f.notDefined = n.child(caldav("is-not-defined")) != nil
	var err error
	if t := n.child(caldav("text-match")); t != nil {
		f.text, err = parseTextMatch(t, left)
	}
	return f, err
}

func parseTextMatch(n *node, left *int) (*textMatch, error) {
	t := &textMatch{left: left}
	if len(n.text) > maxPropertyValue {
		return nil, errFilter
	}
	switch strings.ToLower(n.attr("negate-condition")) {
	case "", "no":
	case "yes":
		t.negate = true
	default:
		return nil, errFilter
	}
	switch n.attr("collation") {
	case "", "default", "i;ascii-casemap":
		t.fold = lowerASCII
	case "i;unicode-casemap":
		t.fold = unicodeCasemap
	case "i;octet":
		t.fold = func(s string) string { return s }
	default:
		return nil, forbidden(supportedCollation)
	}
	t.text = t.fold(n.text)
	return t, nil
}

// unicodeCasemap brings text to the form that i;unicode-casemap compares (RFC 5051 §2): title case, decomposed.
func unicodeCasemap(s string) string {
	return norm.NFKD.String(strings.Map(unicode.ToTitle, s))
}

func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, s)
}

// plan is how a filter is carried out.
type plan struct {
	nothing bool      // no object of any calendar here matches
	within  *ics.Span // every object that matches has an instance in it
	exact   bool      // within, or nothing at all, is all that the filter asks; else the object has to be matched
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
func (f *compFilter) matches(r *ics.Reader, cal *ical.Calendar) (bool, error) {
	for i := range f.props {
		if !f.props[i].match(r, cal, cal.Component) {
			return false, nil
		}
	}
	for _, c := range f.comps {
		ok, err := c.matchIn(r, cal, cal.Component)
		if err != nil || !ok {
			return ok || err != nil, err
		}
	}
	return true, nil
}

func (f *compFilter) matchIn(r *ics.Reader, cal *ical.Calendar, parent *ical.Component) (bool, error) {
	comps := ics.Children(parent, f.name)
	if f.notDefined {
		return len(comps) == 0, nil
	}
	if f.name == "VALARM" && f.within != nil {
		return f.matchAlarm(r, cal, parent)
	}
	var in map[*ical.Component]bool
	if f.within != nil {
		if f.name != "VEVENT" {
			return false, nil
		}
		in = map[*ical.Component]bool{}
		err := r.Instances(cal, *f.within, func(i ics.Instance) bool {
			in[i.Event] = true
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
			if !f.props[i].match(r, cal, c) {
				continue next
			}
		}
		for _, sub := range f.comps {
			if ok, _ := sub.matchIn(r, cal, c); !ok {
				continue next
			}
		}
		return true, nil
	}
	return false, nil
}

func (f *propFilter) match(r *ics.Reader, cal *ical.Calendar, c *ical.Component) bool {
	props := c.Props[f.name]
	if f.notDefined {
		return len(props) == 0
	}
next:
	for i := range props {
		p := &props[i]
		if f.within != nil {
			m, err := r.Moment(cal, p)
			if err != nil || !f.within.Overlaps(r.Instant(m), r.Instant(m)) {
				continue
			}
		}
		if f.text != nil && !f.text.match(ics.UnescapeText(p.Value)) {
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

// match is true where too much has been looked at already: what cannot be judged is shown.
func (t *textMatch) match(s string) bool {
	if *t.left -= len(s) + 1; *t.left < 0 {
		return true
	}
	return strings.Contains(t.fold(s), t.text) != t.negate
}

// selects parses an object and matches it; what cannot be parsed or judged is selected.
func (f *compFilter) selects(r *ics.Reader, data []byte) (bool, error) {
	cal, err := decode(data)
	if err != nil {
		return true, err
	}
	ok, err := f.matches(r, cal)
	if errors.Is(err, ics.ErrTooMany) {
		err = nil
	}
	return ok, err
}
