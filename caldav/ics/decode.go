package ics

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/emersion/go-ical"
)

// This file depends on go-ical, the standard library and lines.go.

// Limits on what is parsed. go-ical takes quadratic time over a parameter and recurses over components; Thunderbird's
// ALTREP parameters hold whole HTML bodies.
const (
	maxHead  = 64 << 10 // octets of a content line before its value
	maxDepth = 16       // of components; VCALENDAR, VEVENT, VALARM is what RFC 5545 needs
)

// Decode reads one VCALENDAR. Values are as they stand; parameter values lose the escapes of RFC 6868, which go-ical
// leaves in them. What is malformed, too deep or not UTF-8 is an error, also where go-ical panics (a line that ends
// within a parameter).
func Decode(data []byte) (cal *ical.Calendar, err error) {
	if err := check(data); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	defer func() {
		if p := recover(); p != nil {
			cal, err = nil, fmt.Errorf("decode: malformed calendar: %v", p)
		}
	}()
	cal, err = ical.NewDecoder(bytes.NewReader(data)).Decode()
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	if bytes.IndexByte(data, '^') >= 0 {
		unescapeParams(cal.Component)
	}
	return cal, nil
}

func check(data []byte) error {
	depth := 0
	for l := range Lines(data) {
		switch string(l.Name()) {
		case "BEGIN":
			depth++
		case "END":
			depth--
		}
		if depth > maxDepth {
			return errors.New("components are too deep")
		}
		if len(l) > maxHead && unquoted(l, ':') > maxHead {
			return errors.New("a content line has too long parameters")
		}
	}
	if !utf8.Valid(data) {
		return errors.New("not UTF-8")
	}
	return nil
}

var paramEscapes = strings.NewReplacer("^^", "^", "^'", `"`, "^n", "\n")

// unescapeParam undoes the escapes of RFC 6868 §3.2.
func unescapeParam(s string) string {
	if strings.IndexByte(s, '^') < 0 {
		return s
	}
	return paramEscapes.Replace(s)
}

func unescapeParams(c *ical.Component) {
	for _, props := range c.Props {
		for i := range props {
			for _, values := range props[i].Params {
				for j, v := range values {
					values[j] = unescapeParam(v)
				}
			}
		}
	}
	for _, child := range c.Children {
		unescapeParams(child)
	}
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
