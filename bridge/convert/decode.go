package convert

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/emersion/go-ical"
)

// Decode reads one calendar object for [Encode] to write again: parameter values lose their RFC 6868 escapes, which
// go-ical leaves in them. Malformed input is an error, also where go-ical panics (a line that ends within a parameter).
func Decode(b []byte) (cal *ical.Calendar, err error) {
	defer func() {
		if r := recover(); r != nil {
			cal, err = nil, fmt.Errorf("decode: malformed calendar: %v", r)
		}
	}()
	cal, err = ical.NewDecoder(bytes.NewReader(b)).Decode()
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	unescapeParams(cal.Component)
	return cal, nil
}

var paramEscapes = strings.NewReplacer("^^", "^", "^'", `"`, "^n", "\n")

func unescapeParams(c *ical.Component) {
	for _, props := range c.Props {
		for i := range props {
			for _, values := range props[i].Params {
				for j, v := range values {
					values[j] = paramEscapes.Replace(v)
				}
			}
		}
	}
	for _, child := range c.Children {
		unescapeParams(child)
	}
}
