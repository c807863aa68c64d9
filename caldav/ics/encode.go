package ics

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-ical"
)

// This file depends on go-ical, the standard library and decode.go.

// maxLine is the length of a content line in octets, without its CRLF (RFC 5545 §3.1).
const maxLine = 75

// Encode writes cal as RFC 5545 says: CRLF, lines of at most 75 octets that never split a character, properties in a
// fixed order. Property values are taken as they are (TEXT is escaped already, as go-ical holds it); parameter values
// are taken as plain text and written with the escapes of RFC 6868. Control characters are left out, and a line
// break in a value becomes \n, so that no value can begin another line. A VCALENDAR with nothing in it is written
// too. It fails on a name that is no iCalendar name, and on an error of w.
func Encode(w io.Writer, cal *ical.Calendar) error {
	if cal == nil || cal.Component == nil {
		return errors.New("encode: no calendar")
	}
	e := NewEncoder(w)
	e.Component(cal.Component)
	return e.Flush()
}

// Append appends what Encode writes of one component.
func Append(b []byte, c *ical.Component) ([]byte, error) {
	out := bytes.NewBuffer(b)
	e := NewEncoder(out)
	e.Component(c)
	err := e.Flush()
	return out.Bytes(), err
}

// Encoder writes a calendar piece by piece, each as Encode does. Its first error is what Flush returns.
type Encoder struct {
	w    *bufio.Writer
	line []byte
	err  error
}

// NewEncoder returns an encoder that writes to w.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: bufio.NewWriter(w)} }

// Flush writes what is still held back, and returns the first error of the encoder or of its writer.
func (e *Encoder) Flush() error {
	if err := e.w.Flush(); e.err == nil && err != nil {
		e.err = fmt.Errorf("encode: %w", err)
	}
	return e.err
}

// Begin writes the beginning of a component and its properties, but not its children.
func (e *Encoder) Begin(c *ical.Component) {
	if !isName(c.Name) {
		e.fail(fmt.Errorf("encode: %q is no component", c.Name))
		return
	}
	e.fold([]byte("BEGIN:" + c.Name))
	for _, name := range propOrder(c) {
		for i := range c.Props[name] {
			e.prop(&c.Props[name][i])
		}
	}
}

// End writes the end of a component.
func (e *Encoder) End(c *ical.Component) { e.fold([]byte("END:" + c.Name)) }

// Component writes a component with all that is in it.
func (e *Encoder) Component(c *ical.Component) { e.component(c, 0) }

// Octets writes whole content lines as they stand.
func (e *Encoder) Octets(b []byte) {
	if _, err := e.w.Write(b); err != nil {
		e.fail(fmt.Errorf("encode: %w", err))
	}
}

func (e *Encoder) component(c *ical.Component, depth int) {
	if depth > maxDepth {
		e.fail(errors.New("encode: components are too deep"))
		return
	}
	e.Begin(c)
	for _, child := range c.Children {
		if child != nil && e.err == nil {
			e.component(child, depth+1)
		}
	}
	e.End(c)
}

func (e *Encoder) fail(err error) {
	if e.err == nil {
		e.err = err
	}
}

func (e *Encoder) prop(p *ical.Prop) {
	if !isName(p.Name) || p.Name == "BEGIN" || p.Name == "END" {
		e.fail(fmt.Errorf("encode: %q is no property", p.Name))
		return
	}
	b := append(e.line[:0], p.Name...)
	for _, name := range slices.Sorted(maps.Keys(p.Params)) {
		values := p.Params[name]
		if len(values) == 0 {
			continue
		}
		if !isName(name) {
			e.fail(fmt.Errorf("encode: %q is no parameter", name))
			return
		}
		b = append(append(append(b, ';'), name...), '=')
		for i, v := range values {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendParam(b, v)
		}
	}
	b = append(b, ':')
	b = appendClean(b, p.Value, `\n`)
	e.line = b
	e.fold(b)
}

// fold writes one content line.
func (e *Encoder) fold(b []byte) {
	if e.err != nil {
		return
	}
	for room := maxLine; len(b) > room; room = maxLine - 1 {
		n := room
		for n > 1 && !utf8.RuneStart(b[n]) {
			n--
		}
		e.w.Write(b[:n])
		e.w.WriteString("\r\n ")
		b = b[n:]
	}
	e.w.Write(b)
	if _, err := e.w.WriteString("\r\n"); err != nil {
		e.fail(fmt.Errorf("encode: %w", err))
	}
}

// appendParam writes a parameter value: RFC 6868 escapes, and quotes where RFC 5545 §3.2 needs them.
func appendParam(b []byte, v string) []byte {
	quote := strings.ContainsAny(v, ",;:")
	if quote {
		b = append(b, '"')
	}
	if strings.ContainsAny(v, "^\"\r\n") {
		v = strings.NewReplacer("^", "^^", `"`, "^'", "\r\n", "^n", "\n", "^n", "\r", "^n").Replace(v)
	}
	b = appendClean(b, v, "^n")
	if quote {
		b = append(b, '"')
	}
	return b
}

// appendClean writes s with newline for each line break, without the characters that RFC 5545 §3.1 or XML 1.0 §2.2
// (a CalDAV answer) forbid, and with U+FFFD for what is no UTF-8.
func appendClean(b []byte, s, newline string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < 0x7f || c == '\t' {
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if !(r == utf8.RuneError && n == 1) && !forbidden(r) {
			i += n
			continue
		}
		b = append(b, s[start:i]...)
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, "\uFFFD"...)
		case r == '\r' && i+1 < len(s) && s[i+1] == '\n':
			n = 2
			b = append(b, newline...)
		case IsBreak(r):
			b = append(b, newline...)
		}
		i += n
		start = i
	}
	return append(b, s[start:]...)
}

// IsBreak is whether some reader takes r for the end of a line: Python's splitlines does so with the last three.
func IsBreak(r rune) bool {
	return r == '\n' || r == '\r' || r == 0x85 || r == 0x2028 || r == 0x2029
}

func forbidden(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r <= 0x9f || IsBreak(r) || r == 0xFFFE || r == 0xFFFF
}

// Blank is whether nothing of s is left to see once it is written.
func Blank(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !forbidden(r) && !unicode.IsSpace(r) })
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-') {
			return false
		}
	}
	return s != ""
}

// order puts the properties that tell what a component is before the others, which follow by name.
var order = func() map[string]int {
	m := make(map[string]int)
	for i, name := range strings.Fields(`VERSION PRODID CALSCALE METHOD NAME X-WR-CALNAME
		TZID TZOFFSETFROM TZOFFSETTO TZNAME
		UID RECURRENCE-ID DTSTAMP CREATED LAST-MODIFIED SEQUENCE DTSTART DTEND DURATION RRULE RDATE EXDATE
		ACTION TRIGGER SUMMARY DESCRIPTION X-WR-CALDESC X-WR-TIMEZONE COLOR X-APPLE-CALENDAR-COLOR REFRESH-INTERVAL
		X-PUBLISHED-TTL LOCATION GEO STATUS TRANSP CLASS PRIORITY CATEGORIES ORGANIZER ATTENDEE URL CONFERENCE`) {
		m[name] = i - 1000
	}
	return m
}()

func propOrder(c *ical.Component) []string {
	return slices.SortedFunc(maps.Keys(c.Props), func(a, b string) int {
		return cmp.Or(cmp.Compare(order[a], order[b]), strings.Compare(a, b))
	})
}

// EscapeText is the value of a TEXT property (RFC 5545 §3.3.11).
func EscapeText(s string) string {
	if !strings.ContainsAny(s, "\\;,\r\n\u0085\u2028\u2029") {
		return s
	}
	return textEscapes.Replace(s)
}

var textEscapes = strings.NewReplacer(`\`, `\\`, ";", `\;`, ",", `\,`, "\r\n", `\n`, "\n", `\n`, "\r", `\n`,
	"\u0085", `\n`, "\u2028", `\n`, "\u2029", `\n`)
