package ics

import (
	"bytes"
	"errors"
	"iter"
	"strings"
)

// This file depends on the standard library alone.

// Line is a content line (RFC 5545 §3.1) as its octets stand, with its folds and its line break.
type Line []byte

// Cut takes the first content line off data. ok is false where there is none left. Empty lines are passed over.
func Cut(data []byte) (l Line, rest []byte, ok bool) {
	for len(data) > 0 {
		n := 0
		for n < len(data) && (n == 0 || data[n] == ' ' || data[n] == '\t') {
			if i := bytes.IndexByte(data[n:], '\n'); i >= 0 {
				n += i + 1
			} else {
				n = len(data)
			}
		}
		if l, data = data[:n], data[n:]; l[0] != '\r' && l[0] != '\n' || len(bytes.Trim(l, "\r\n")) > 0 {
			return l, data, true
		}
	}
	return nil, nil, false
}

// Lines are the content lines of data, in order.
func Lines(data []byte) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for {
			l, rest, ok := Cut(data)
			if !ok || !yield(l) {
				return
			}
			data = rest
		}
	}
}

// Text is the line without its folds and its line break. It shares the memory of a line that is not folded.
func (l Line) Text() []byte {
	first, rest, folded := bytes.Cut(l, []byte("\n"))
	first = bytes.TrimSuffix(first, []byte("\r"))
	if !folded || len(rest) == 0 {
		return first
	}
	text := append(make([]byte, 0, len(l)), first...)
	for line := range bytes.Lines(rest) {
		text = append(text, bytes.TrimRight(line[1:], "\r\n")...)
	}
	return text
}

// string is Text in memory of its own.
func (l Line) string() string {
	first, rest, folded := bytes.Cut(l, []byte("\n"))
	first = bytes.TrimSuffix(first, []byte("\r"))
	if !folded || len(rest) == 0 {
		return string(first)
	}
	var text strings.Builder
	text.Grow(len(l))
	text.Write(first)
	for line := range bytes.Lines(rest) {
		text.Write(bytes.TrimRight(line[1:], "\r\n"))
	}
	return text.String()
}

// Name is the name of the property, in upper case.
func (l Line) Name() []byte {
	lower := false
	for i, c := range l {
		switch {
		case c == ':' || c == ';':
			return l[:i].upper(lower)
		case c == '\r' || c == '\n': // it ends within the name, or is folded there
			text := Line(l.Text())
			end := bytes.IndexAny(text, ":;")
			if end < 0 {
				end = len(text)
			}
			return text[:end].upper(true)
		case 'a' <= c && c <= 'z':
			lower = true
		}
	}
	return l.upper(lower)
}

func (l Line) upper(lower bool) []byte {
	if lower {
		return bytes.ToUpper(l)
	}
	return l
}

// Value is the text after the colon that ends the name and the parameters; empty where there is none.
func (l Line) Value() []byte {
	text := l.Text()
	return text[min(unquoted(text, ':')+1, len(text)):]
}

// unquoted is the index of c outside of quotes, or the length of b.
func unquoted(b []byte, c byte) int {
	quoted := false
	for i := range b {
		switch {
		case b[i] == '"':
			quoted = !quoted
		case b[i] == c && !quoted:
			return i
		}
	}
	return len(b)
}

var errNotWhole = errors.New("iCalendar: a component does not end")

// Components are the components directly within the first one of data, which is a VCALENDAR: their names, in upper
// case, and their octets. The last yield may be an error, where one does not end.
func Components(data []byte) iter.Seq2[Component, error] {
	return func(yield func(Component, error) bool) {
		depth, begin, name := 0, 0, ""
		for at, rest := 0, data; ; {
			l, more, ok := Cut(rest)
			if !ok {
				break
			}
			at += len(rest) - len(more) - len(l)
			switch string(l.Name()) {
			case "BEGIN":
				if depth++; depth == 2 {
					begin, name = at, strings.ToUpper(string(bytes.TrimSpace(l.Value())))
				}
			case "END":
				if depth--; depth == 1 && !yield(Component{name, data[begin : at+len(l)]}, nil) {
					return
				}
			}
			at += len(l)
			rest = more
		}
		if depth != 0 {
			yield(Component{}, errNotWhole)
		}
	}
}

// Component is a component as its octets stand.
type Component struct {
	Name   string
	Octets []byte
}

// Without is data without the components of a name, such as "VALARM", at any depth; data itself where there are none.
func Without(data []byte, name string) []byte {
	var out []byte
	depth, kept := 0, 0 // depth within a component that is left out; what of data is in out, or left out
	for at, rest := 0, data; ; {
		l, more, ok := Cut(rest)
		if !ok {
			break
		}
		at += len(rest) - len(more) - len(l)
		switch tag := string(l.Name()); {
		case tag == "BEGIN" && (depth > 0 || strings.EqualFold(string(bytes.TrimSpace(l.Value())), name)):
			if depth++; depth == 1 {
				out = append(out, data[kept:at]...)
				kept = len(data)
			}
		case tag == "END" && depth > 0:
			if depth--; depth == 0 {
				kept = at + len(l)
			}
		}
		at += len(l)
		rest = more
	}
	if kept == 0 {
		return data
	}
	return append(out, data[kept:]...)
}
