package caldav

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// Limits of the spans that are kept between requests: per object, and in all, which is 16 MB.
const (
	maxSpans     = 2000
	maxKeptSpans = 1 << 20
)

// spanKey names a state of an object, and the zone in which its floating times were read.
type spanKey struct{ owner, calendar, name, etag, zone string }

// spans are the instances of an object within a window, so that the next query for a time within it takes neither
// the object's text nor its rule. They are bounds in unix seconds.
type spans struct {
	window timeRange
	all    bool // not understood, so in every range
	list   [][2]int64
}

func (s *spans) in(r timeRange) bool {
	for _, i := range s.list {
		if r.overlaps(time.Unix(i[0], 0), time.Unix(i[1], 0)) {
			return true
		}
	}
	return s.all
}

// spanCache keeps spans. The zero value is ready. What has not been asked for during a whole filling is forgotten.
type spanCache struct {
	mu       sync.Mutex
	new, old map[spanKey]*spans
	size     int // spans in new
}

// find returns the spans of an object if they tell of all of r.
func (c *spanCache) find(k spanKey, r timeRange) *spans {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.new[k]
	if s == nil {
		if s = c.old[k]; s != nil {
			c.put(k, s)
		}
	}
	if s == nil || s.window.start.After(r.start) || s.window.end.Before(r.end) {
		return nil
	}
	return s
}

func (c *spanCache) keep(k spanKey, s *spans) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.put(k, s)
}

func (c *spanCache) put(k spanKey, s *spans) {
	if c.size >= maxKeptSpans/2 || c.new == nil {
		c.old, c.new, c.size = c.new, map[spanKey]*spans{}, 0
	}
	c.new[k] = s
	c.size += len(s.list) + 16 // and the key
}

// spanWindow is what is worked out for a query of r: some more, for who looks at a month most likely looks at the
// next one too, and then at the one after.
func spanWindow(r timeRange) timeRange {
	if r.end.Sub(r.start) > 400*24*time.Hour {
		return r
	}
	return timeRange{r.start.AddDate(0, -2, 0), r.end.AddDate(0, 6, 0)}
}

// spansOf reads an object's instances around r, which is closed. ok is false where there are too many to keep.
func (z *zones) spansOf(data []byte, r timeRange) (s *spans, ok bool) {
	s = &spans{window: spanWindow(r)}
	cal, err := parseICS(scheduleLines(data))
	if err == nil {
		err = z.instances(cal, s.window, func(i instance) bool {
			s.list = append(s.list, [2]int64{i.from.Unix(), i.to.Unix()})
			return len(s.list) <= maxSpans
		})
	}
	s.all = err != nil
	return s, len(s.list) <= maxSpans
}

var scheduleNames = map[string]bool{
	"DTSTART": true, "DTEND": true, "DURATION": true, "RRULE": true, "RDATE": true, "EXDATE": true, "EXRULE": true, "RECURRENCE-ID": true,
}

// scheduleLines leaves of an object what says when its events are: a description of many kilobytes, a VTIMEZONE or an
// alarm takes much longer to parse.
func scheduleLines(data []byte) []byte {
	out := make([]byte, 0, 512)
	skipped := 0 // depth of components that are left out
	kept := false
	for line := range bytes.Lines(data) {
		if line[0] == ' ' || line[0] == '\t' {
			if kept {
				out = append(out, line...)
			}
			continue
		}
		if kept = false; bytes.IndexByte([]byte("BDERbder"), line[0]) < 0 { // the first letters of all that matters here
			continue
		}
		end := bytes.IndexAny(line, ":;")
		if end < 0 {
			end = len(line)
		}
		name := strings.ToUpper(string(line[:end]))
		switch name {
		case "BEGIN":
			component := strings.ToUpper(string(bytes.TrimSpace(line[min(end+1, len(line)):])))
			if kept = skipped == 0 && (component == "VCALENDAR" || component == "VEVENT"); !kept {
				skipped++
			}
		case "END":
			if kept = skipped == 0; !kept {
				skipped--
			}
		default:
			kept = skipped == 0 && scheduleNames[name]
		}
		if kept {
			out = append(out, line...)
		}
	}
	return out
}
