package feed

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"iter"
	"strconv"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// distinct gives an object whose UID another calendar's object has had before a UID of its own. Calendars may hold
// copies of one meeting; put together they would be one event to a reader, and one of the two would be lost. Which of them has
// which UID changes as they come and go, so each is as late as the latest of them has ever been: SEQUENCE, DTSTAMP and
// LAST-MODIFIED never fall for a UID.
func distinct(objects iter.Seq2[bridge.Object, error], copied map[string]bridge.Past) iter.Seq2[bridge.Object, error] {
	return func(yield func(bridge.Object, error) bool) {
		seed := maphash.MakeSeed()
		seen := map[uint64]int{}
		for o, err := range objects {
			if err == nil {
				uid := uidOf(o.Data)
				key := maphash.Bytes(seed, uid)
				seen[key]++
				if past, ok := copied[string(uid)]; ok {
					o.Data = notEarlier(o.Data, past)
				}
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

// notEarlier is an object whose SEQUENCEs and stamps are at least those of past.
func notEarlier(object []byte, past bridge.Past) []byte {
	out := make([]byte, 0, len(object)+16)
	for l := range ics.Lines(object) {
		if string(l.Name()) == ical.PropSequence {
			if n, err := strconv.Atoi(string(l.Value())); err == nil && n < past.Sequence {
				out = fmt.Appendf(out, "SEQUENCE:%d\r\n", past.Sequence)
				continue
			}
		}
		out = append(out, l...)
	}
	if past.Stamp.IsZero() {
		return out
	}
	stamp := past.Stamp.UTC().AppendFormat(nil, ics.UTCForm)
	setStamp(out, past.Stamp, func(value []byte) bool { return bytes.Compare(value, stamp) < 0 })
	return out
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
