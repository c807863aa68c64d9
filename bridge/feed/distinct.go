package feed

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"iter"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// distinct gives an object whose UID another calendar's object has had before a UID of its own. Calendars may hold
// copies of one meeting; put together they would be one event to a reader, and one of the two would be lost.
func distinct(objects iter.Seq2[bridge.Object, error]) iter.Seq2[bridge.Object, error] {
	return func(yield func(bridge.Object, error) bool) {
		seed := maphash.MakeSeed()
		seen := map[uint64]int{}
		for o, err := range objects {
			if err == nil {
				key := maphash.Bytes(seed, uidOf(o.Data))
				seen[key]++
				if n := seen[key]; n > 1 {
					o.Data, err = renamed(o.Data, n)
				}
			}
			if !yield(o, err) || err != nil {
				return
			}
		}
	}
}

// uidOf is the first UID of a stored object.
func uidOf(data []byte) []byte {
	for l := range ics.Lines(data) {
		if string(l.Name()) == ical.PropUID {
			return l.Value()
		}
	}
	return data
}

func renamed(data []byte, n int) ([]byte, error) {
	cal, err := ics.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("stored object: %w", err)
	}
	for _, c := range cal.Children {
		if uid := c.Props.Get(ical.PropUID); c.Name == ical.CompEvent && uid != nil {
			uid.Value = fmt.Sprintf("%s-%d", uid.Value, n)
		}
	}
	var b bytes.Buffer
	err = ics.Encode(&b, cal)
	return b.Bytes(), err
}
