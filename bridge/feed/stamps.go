package feed

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// stamps are the DTSTAMPs of the events of a feed as it was made last, by event. An object is published again when
// anything of it changes; of a feed that tells less, most of these changes change nothing, and a new stamp would tell of
// them. So a stamp stays for as long as the rest of what is shown does.
type stamps map[[16]byte]stamp

// stamp is of one VEVENT. What is 16 octets long is the beginning of a SHA-256.
type stamp struct {
	shown [16]byte // all lines but those that say the stamp
	at    int64    // unix seconds
}

// keep is a reduced object with the stamps that its events had where they are shown as they were. A stamp that does change
// is later than the one before. It changes the octets in place.
func (s stamps) keep(object []byte) ([]byte, error) {
	if len(s) == 0 {
		return object, nil
	}
	for c, err := range ics.Components(object) {
		if err != nil {
			return nil, err
		}
		if c.Name != ical.CompEvent {
			continue
		}
		key, now := stampOf(c.Octets)
		old, known := s[key]
		if !known || old.shown != now.shown && old.at < now.at {
			continue
		}
		at := old.at
		if old.shown != now.shown {
			at++
		}
		setStamp(c.Octets, time.Unix(at, 0), func([]byte) bool { return true })
	}
	return object, nil
}

// stampOf reads the stamp of a VEVENT; key is by its UID and RECURRENCE-ID.
func stampOf(event []byte) (key [16]byte, s stamp) {
	shown, id := sha256.New(), sha256.New()
	for l := range ics.Lines(event) {
		switch string(l.Name()) {
		case ical.PropDateTimeStamp:
			if t, err := time.Parse(ics.UTCForm, string(l.Value())); err == nil {
				s.at = t.Unix()
			}
			continue
		case ical.PropLastModified:
			continue
		case ical.PropUID, ical.PropRecurrenceID:
			id.Write(l)
		}
		shown.Write(l)
	}
	copy(s.shown[:], shown.Sum(nil))
	copy(key[:], id.Sum(nil))
	return key, s
}

// setStamp sets the DTSTAMPs and LAST-MODIFIEDs whose value is one to change, in place.
func setStamp(octets []byte, t time.Time, changes func(value []byte) bool) {
	at := t.UTC().AppendFormat(nil, ics.UTCForm)
	for l := range ics.Lines(octets) {
		switch string(l.Name()) {
		case ical.PropDateTimeStamp, ical.PropLastModified:
			// A line this short is not folded, so the value shares its memory.
			if v := l.Value(); len(v) == len(at) && changes(v) {
				copy(v, at)
			}
		}
	}
}

// readStamps reads the stamps of a feed's file; a file that is not there, or is damaged, has none.
func readStamps(path string) stamps {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	c := stampCollector{all: stamps{}}
	if _, err := io.Copy(&c, bufio.NewReader(f)); err != nil {
		return nil
	}
	return c.all
}

// stampCollector collects the stamps of the feed that is written to it, and holds an event at a time.
type stampCollector struct {
	all   stamps
	line  []byte // that is not whole yet
	event []byte // from its BEGIN on; empty outside of one
}

func (c *stampCollector) Write(b []byte) (int, error) {
	n := len(b)
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			c.line = append(c.line, b...)
			return n, nil
		}
		c.line = append(c.line, b[:i+1]...)
		b = b[i+1:]
		// What encodes these writes them so.
		begins := bytes.Equal(c.line, []byte("BEGIN:VEVENT\r\n"))
		if begins || len(c.event) > 0 {
			c.event = append(c.event, c.line...)
		}
		if bytes.Equal(c.line, []byte("END:VEVENT\r\n")) {
			key, s := stampOf(c.event)
			c.all[key] = s
			c.event = c.event[:0]
		}
		c.line = c.line[:0]
	}
}
