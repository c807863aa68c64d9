package convert

import (
	"bytes"
	"fmt"
	"iter"
	"slices"

	"github.com/emersion/go-ical"
)

// shown is objects without what the feed leaves out.
func (info FeedInfo) shown(objects iter.Seq2[[]byte, error]) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for object, err := range objects {
			if err == nil && !info.Cancelled && bytes.Contains(object, []byte("\nSTATUS:CANCELLED\r\n")) {
				object, err = withoutCancelled(object)
				if err == nil && object == nil {
					continue
				}
			}
			if err == nil && !info.Alarms {
				object = withoutAlarms(object)
			}
			if !yield(object, err) {
				return
			}
		}
	}
}

// withoutCancelled is an object with its cancelled overrides made EXDATEs; nil where nothing of it is left.
func withoutCancelled(object []byte) ([]byte, error) {
	cal, err := Decode(object)
	if err != nil {
		return nil, fmt.Errorf("a stored object: %w", err)
	}
	var master *ical.Component
	var cancelled []*ical.Prop // RECURRENCE-IDs
	live, whole := false, true
	cal.Children = slices.DeleteFunc(cal.Children, func(c *ical.Component) bool {
		if c.Name != ical.CompEvent {
			return false
		}
		status, id := c.Props.Get(ical.PropStatus), c.Props.Get(ical.PropRecurrenceID)
		if status != nil && status.Value == "CANCELLED" {
			if id != nil {
				cancelled = append(cancelled, id)
			} else {
				whole = false
			}
			return true
		}
		live = true
		if id == nil {
			master = c
		}
		return false
	})
	if !live {
		return nil, nil
	}
	if !whole {
		return object, nil // a cancelled series of which something lives on; overrides alone harm clients
	}
	if master != nil {
		for _, id := range cancelled {
			exdate := *id
			exdate.Name = ical.PropExceptionDates
			master.Props.Add(&exdate)
		}
		// A series without end has instances left; what cannot be expanded may have some.
		first, last := Bounds(cal)
		if instances, err := Expand(cal, Span{first, last.Add(1)}); !last.IsZero() && err == nil && len(instances) == 0 {
			return nil, nil
		}
	}
	var b bytes.Buffer
	if err := Encode(&b, cal); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// withoutAlarms is an object without the lines of its VALARMs.
func withoutAlarms(object []byte) []byte {
	begin, end := []byte("\nBEGIN:VALARM\r\n"), []byte("\nEND:VALARM\r\n")
	var out []byte
	for {
		i := bytes.Index(object, begin)
		if i < 0 {
			break
		}
		n := bytes.Index(object[i:], end)
		if n < 0 {
			break
		}
		out = append(out, object[:i]...)
		object = object[i+n+len(end)-1:] // from the line break on
	}
	if out == nil {
		return object
	}
	return append(out, object...)
}
