package ics

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-ical"
)

// This file depends on go-ical, the standard library, lines.go, encode.go and moment.go.

// Limits on what is parsed. Thunderbird's ALTREP parameters hold whole HTML bodies.
const (
	maxHead  = 64 << 10 // octets of a content line before its value
	maxDepth = 16       // of components; VCALENDAR, VEVENT, VALARM is what RFC 5545 needs
)

// Decode reads one VCALENDAR, in time and memory that grow with its length alone: the decoder of go-ical takes quadratic
// time over a parameter, recurses over components and panics where a line ends within a parameter.
//
// Values are as they stand, but for the characters that Encode would not write and for line breaks within them, which it
// writes as \n; parameter values also lose the escapes of RFC 6868. What is malformed, too deep or, once it is unfolded,
// not UTF-8 is an error, and so is a name that Encode would not write. What comes after the VCALENDAR counts for nothing, but must be UTF-8 too.
func Decode(data []byte) (*ical.Calendar, error) {
	cal, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	return &ical.Calendar{Component: cal}, nil
}

func decode(data []byte) (*ical.Component, error) {
	var open []*ical.Component // VCALENDAR and what is within it, the innermost last
	var cal *ical.Component    // once it has ended
	for l := range Lines(data) {
		text := l.string()
		if !isPlain(text) && !utf8.ValidString(text) {
			return nil, errors.New("not UTF-8")
		}
		if text == "" || cal != nil {
			continue
		}
		p, err := contentLine(text)
		if err != nil {
			return nil, err
		}
		switch {
		case p.Name == "BEGIN":
			c := &ical.Component{Name: strings.ToUpper(strings.TrimSpace(p.Value)), Props: ical.Props{}}
			if !isName(c.Name) {
				return nil, fmt.Errorf("%q is no component", clip(c.Name))
			}
			if len(open) == 0 && c.Name != ical.CompCalendar {
				return nil, fmt.Errorf("%q is no VCALENDAR", clip(c.Name))
			}
			if len(open) == maxDepth {
				return nil, errors.New("components are too deep")
			}
			open = append(open, c)
		case len(open) == 0:
			return nil, fmt.Errorf("%q before VCALENDAR begins", clip(p.Name))
		case p.Name == "END":
			c := open[len(open)-1]
			if !strings.EqualFold(strings.TrimSpace(p.Value), c.Name) {
				return nil, fmt.Errorf("the end of %q within %q", clip(p.Value), clip(c.Name))
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				cal = c
				continue
			}
			parent := open[len(open)-1]
			parent.Children = append(parent.Children, c)
		default:
			c := open[len(open)-1]
			c.Props[p.Name] = append(c.Props[p.Name], p)
		}
	}
	if cal == nil {
		return nil, errors.New("VCALENDAR does not end")
	}
	return cal, nil
}

// contentLine reads a content line (RFC 5545 §3.1), unfolded.
func contentLine(text string) (p ical.Prop, err error) {
	end := strings.IndexAny(text, ";:")
	if end < 0 || !isName(text[:end]) {
		return p, errors.New("a content line without a name or a colon")
	}
	clean := func(s, newline string) string { return s }
	if !isPlain(text) {
		clean = func(s, newline string) string { return string(appendClean(nil, s, newline)) }
	}
	p.Name = strings.ToUpper(text[:end])
	p.Params = ical.Params{}
	rest := text[end:]
	for rest[0] == ';' {
		name, after, ok := strings.Cut(rest[1:], "=")
		if !ok || !isName(name) {
			return p, fmt.Errorf("%s: a parameter without a name or a value", clip(p.Name))
		}
		name = strings.ToUpper(name)
		values := p.Params[name]
		for more := true; more; more = rest[0] == ',' {
			var v string
			if v, rest, err = paramValue(after); err != nil {
				return p, fmt.Errorf("%s: %w", clip(p.Name), err)
			}
			values = append(values, unescapeParam(clean(v, "^n")))
			after = rest[1:]
		}
		p.Params[name] = values
	}
	if len(text)-len(rest) > maxHead {
		return p, errors.New("a content line has too long parameters")
	}
	p.Value = clean(rest[1:], `\n`)
	return p, nil
}

// isPlain reports whether s is of characters of ASCII that are written as they are.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < ' ' || c >= 0x7f) && c != '\t' {
			return false
		}
	}
	return true
}

var errParam = errors.New("a malformed parameter")

// paramValue takes the first value off s. The rest begins with the comma, semicolon or colon that follows.
func paramValue(s string) (v, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		v, rest, _ = strings.Cut(s[1:], `"`)
	} else {
		end := strings.IndexAny(s, ",;:\"")
		if end < 0 {
			return "", "", errParam
		}
		v, rest = s[:end], s[end:]
	}
	if rest == "" || strings.IndexByte(",;:", rest[0]) < 0 {
		return "", "", errParam
	}
	return v, rest, nil
}

var paramEscapes = strings.NewReplacer("^^", "^", "^'", `"`, "^n", "\n")

// unescapeParam undoes the escapes of RFC 6868 §3.2.
func unescapeParam(s string) string {
	if strings.IndexByte(s, '^') < 0 {
		return s
	}
	return paramEscapes.Replace(s)
}

var textUnescapes = strings.NewReplacer(`\\`, `\`, `\;`, ";", `\,`, ",", `\n`, "\n", `\N`, "\n")

// UnescapeText is the text of a TEXT value (RFC 5545 §3.3.11).
func UnescapeText(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	return textUnescapes.Replace(s)
}

// Children are the components of a name directly within c.
func Children(c *ical.Component, name string) []*ical.Component {
	var l []*ical.Component
	for _, child := range c.Children {
		if child.Name == name {
			l = append(l, child)
		}
	}
	return l
}
