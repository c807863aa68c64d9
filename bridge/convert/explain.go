package convert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// Explain writes for a person what becomes of s and why: the JSON that Graph gave, each decision of the conversion in
// the order in which it was made, the losses, and the calendar object. That an event cannot be converted is part of
// what it writes; an error is one of w. With redact, names, addresses, texts, places and links are replaced throughout
// by others that the conversion treats alike, so that the output can be shown to strangers; times, zones and ids stay.
// The same input gives the same bytes.
func Explain(w io.Writer, s Series, redact bool) error {
	if redact {
		s = newRedactor().series(s)
	}
	var b bytes.Buffer
	b.WriteString("What Graph said\n\n")
	b.Write(readable(s.Event))
	for _, e := range s.Exceptions {
		fmt.Fprintf(&b, "\nmodified occurrence\n\n%s", readable(e))
	}
	for _, id := range s.Cancelled {
		fmt.Fprintf(&b, "\nremoved occurrence %s\n", visible(id))
	}

	c := newConversion(s)
	c.trace = &trace{}
	cal, err := c.convert()
	b.WriteString("\nWhat was decided\n\n")
	b.WriteString(c.trace.String())
	if err != nil {
		fmt.Fprintf(&b, "  There is no object: %s.\n", visible(err.Error()))
	}
	b.WriteString("\nWhat was lost\n\n")
	for _, l := range c.losses {
		fmt.Fprintf(&b, "  %s: %s", visible(l.Field), visible(l.Reason))
		if l.Event != s.Event.ID {
			fmt.Fprintf(&b, " (%s)", visible(string(l.Event)))
		}
		b.WriteByte('\n')
	}
	if len(c.losses) == 0 {
		b.WriteString("  Nothing.\n")
	}
	if cal != nil {
		b.WriteString("\nWhat clients get\n\n")
		var text strings.Builder
		if err := ics.Encode(&text, cal); err != nil {
			return fmt.Errorf("explain: %w", err)
		}
		b.WriteString(visible(strings.ReplaceAll(text.String(), "\r\n", "\n")))
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	return nil
}

// eventJSON is the JSON of an event, as Graph gave it where it came from there.
func eventJSON(e graph.Event) []byte {
	if len(e.Raw) > 0 {
		return e.Raw
	}
	raw, _ := json.Marshal(e) // its types cannot fail to marshal
	return raw
}

// readable is the JSON of an event, indented.
func readable(e graph.Event) []byte {
	raw := eventJSON(e)
	var b bytes.Buffer
	if json.Indent(&b, raw, "", "  ") != nil {
		return fmt.Appendf(nil, "%q\n", raw)
	}
	return []byte(visible(b.String()) + "\n")
}

// visible shows the characters that a terminal acts upon, or that turn the direction of a text, as \u and four digits.
func visible(s string) string {
	hidden := func(r rune) bool {
		return r != '\n' && (r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f || r >= 0x200e && r <= 0x200f || r >= 0x2028 && r <= 0x202e ||
			r >= 0x2066 && r <= 0x2069)
	}
	s = strings.ToValidUTF8(s, "\uFFFD")
	if !strings.ContainsFunc(s, hidden) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// trace records the decisions of a conversion.
type trace struct {
	lines  strings.Builder
	indent string
}

func (t *trace) String() string { return t.lines.String() }

// explaining is whether decisions are recorded. Whatever is costly to say is only said then.
func (c *conversion) explaining() bool { return c.trace != nil }

// say records a decision: what it is about, and one sentence in parts.
func (c *conversion) say(about string, parts ...string) {
	if c.trace == nil {
		return
	}
	b := &c.trace.lines
	b.WriteString("  ")
	b.WriteString(c.trace.indent)
	b.WriteString(about)
	b.WriteString(": ")
	for _, p := range parts {
		b.WriteString(visible(p))
	}
	b.WriteString(".\n")
}

// indent has what is said from now on stand below what was said last; outdent ends that.
func (c *conversion) indent() {
	if c.trace != nil {
		c.trace.indent = "  "
	}
}

func (c *conversion) outdent() {
	if c.trace != nil {
		c.trace.indent = ""
	}
}

// quoted is a foreign string for a sentence.
func quoted(s string) string {
	if s == "" {
		return "nothing"
	}
	return `"` + clip(s) + `"`
}

// sayRecurrence tells how the recurrence reads, before it becomes a rule.
func (c *conversion) sayRecurrence(w when) {
	if !c.explaining() {
		return
	}
	if c.Event.Recurrence == nil {
		c.say("Recurrence", "none in the event, though it is a series master")
		return
	}
	quiet := func(field, reason string) {}
	p, ok := readPattern(c.Event.Recurrence.Pattern, w.firstDay(), quiet)
	if !ok {
		c.say("Recurrence", "the type ", quoted(c.Event.Recurrence.Pattern.Type), " is none that is known")
		return
	}
	c.say("Recurrence", p.describe())
	r := c.Event.Recurrence.Range
	switch lim := readLimit(r, quiet); {
	case lim.count > 0:
		c.say("Recurrence", fmt.Sprintf("it ends after %d occurrences", lim.count))
	case !lim.until.IsZero():
		c.say("Recurrence", "it ends on ", lim.until.Format(time.DateOnly), ", that day included")
	default:
		c.say("Recurrence", "it has no end, for its range is ", quoted(r.Type))
	}
	first := p.next(w.firstDay())
	switch {
	case first.IsZero():
		c.say("Recurrence", "no date hits the pattern")
		return
	case !p.hits(w.firstDay()):
		c.say("Recurrence", "the start on ", w.firstDay().Format("Monday 2006-01-02"), " is no date of the pattern, so DTSTART moves to the first that is, ",
			first.Format("Monday 2006-01-02"))
	}
	switch p.meetsShort(first) {
	case always:
		if p.day == 31 || p.kind == absoluteYearly {
			c.say("Recurrence", "in a month without that day Outlook takes the last one, so the rule says BYMONTHDAY=-1")
		} else {
			c.say("Recurrence", "it only meets February, where Outlook takes the last day, so the rule says BYMONTHDAY=-1")
		}
	case some:
		c.say("Recurrence", "in February Outlook takes the last day, which no rule says that all clients read right, so the rule has an end and those days are RDATEs")
	}
}

// describe is the pattern for a sentence.
func (p pattern) describe() string {
	unit := [...]string{"day", "week", "month", "month", "year", "year"}[p.kind]
	s := "every " + unit
	if p.interval > 1 {
		s = fmt.Sprintf("every %d %ss", p.interval, unit)
	}
	var days []string
	for _, d := range p.days {
		days = append(days, d.String())
	}
	switch p.kind {
	case weekly:
		s += " on " + strings.Join(days, ", ") + ", weeks beginning on " + p.week.String()
	case absoluteMonthly, absoluteYearly:
		s += fmt.Sprintf(" on day %d", p.day)
	case relativeMonthly, relativeYearly:
		s += " on the " + map[int]string{1: "first", 2: "second", 3: "third", 4: "fourth", -1: "last"}[p.nth] + " day that is " + strings.Join(days, " or ")
	}
	if p.month != 0 {
		s += " of " + p.month.String()
	}
	return s
}

// sayCompared tells how a way to say the series compares with what Outlook lists.
func (c *conversion) sayCompared(p plan, d difference, err error) {
	if !c.explaining() {
		return
	}
	about := p.about + ", in " + p.when.zone.name()
	switch {
	case err != nil:
		c.say("Check", about, ": cannot be expanded: ", err.Error())
	case d.none():
		c.say("Check", about, ": gives the same, so it is taken")
		if len(d.pins) > 0 {
			c.say("Check", "of them lie where the clock is turned, which readers take differently: ", strconv.Itoa(len(d.pins)))
		}
	default:
		s := fmt.Sprintf("gives %d that Outlook does not list and lacks %d that it does", len(d.wrong), len(d.missing))
		if len(d.wrong) > 0 {
			s += ", the first of those not listed at " + d.wrong[0].Start.UTC().Format(time.RFC3339)
		}
		if len(d.missing) > 0 {
			s += ", the first of those lacking at " + d.missing[0].Start.UTC().Format(time.RFC3339)
		}
		c.say("Check", about, ": ", s)
	}
}

// sayException tells which occurrence a modified one is.
func (c *conversion) sayException(e graph.Event, w when, original time.Time) {
	if !c.explaining() {
		return
	}
	by := "own start"
	if _, from := c.originalDate(e, w); from != "" {
		by = from
	}
	c.say("Modified", "the occurrence of ", original.Format(time.DateOnly), ", by its ", by, "; it is an override")
}

// sayPlan tells what the series is written as.
func (c *conversion) sayPlan(m *master, p plan) {
	if !c.explaining() {
		return
	}
	if p.rule == "" {
		c.say("Rule", "none; ", p.about)
	} else {
		c.say("Rule", p.rule, "; ", p.about)
	}
	c.say("Rule", "DTSTART is ", p.when.describe(), " in ", p.when.zone.name())
	for _, part := range []struct {
		n    int
		what string
	}{
		{len(p.extra) + len(p.times), "RDATEs beside it"},
		{len(m.cancelled), "removed occurrences, which become EXDATEs in the form of DTSTART where the rule hits them"},
		{len(p.gone) + len(p.drop), "occurrences that Outlook does not list, which become EXDATEs"},
		{len(p.moved), "occurrences that become overrides with times of their own"},
	} {
		if part.n > 0 {
			c.say("Rule", part.what, ": ", strconv.Itoa(part.n))
		}
	}
}
