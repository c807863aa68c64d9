package caldav

import (
	"strings"
	"sync"
	"time"

	"outbridge/caldav/ics"
)

// Limits of the spans that are kept between requests: per object, and in all, which is 4 MB.
const (
	maxSpans     = 2000
	maxKeptSpans = 1 << 18
)

// spanKey names a state of an object, and the zone in which its floating times were read.
type spanKey struct{ owner, calendar, name, etag, zone string }

// spans are the instances of an object within a window, so that the next query for a time within it takes neither
// the object's text nor its rule. They are bounds in unix seconds.
type spans struct {
	window ics.Span
	all    bool // not understood, so in every range
	list   [][2]int64
}

func (s *spans) in(r ics.Span) bool {
	for _, i := range s.list {
		if r.Overlaps(time.Unix(i[0], 0), time.Unix(i[1], 0)) {
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
func (c *spanCache) find(k spanKey, r ics.Span) *spans {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.new[k]
	if s == nil {
		if s = c.old[k]; s != nil {
			k.name, k.etag = strings.Clone(k.name), strings.Clone(k.etag) // which may be part of a whole listing
			c.put(k, s)
		}
	}
	if s == nil || s.window.Start.After(r.Start) || s.window.End.Before(r.End) {
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
func spanWindow(r ics.Span) ics.Span {
	if r.End.Sub(r.Start) > 400*24*time.Hour {
		return r
	}
	return ics.Span{Start: r.Start.AddDate(0, -2, 0), End: r.End.AddDate(0, 6, 0)}
}

// spansOf reads an object's instances around within, which is closed. ok is false where there are too many to keep.
func spansOf(r *ics.Reader, data []byte, within ics.Span) (s *spans, ok bool) {
	s = &spans{window: spanWindow(within)}
	if len(data) > maxObjectSize {
		s.all = true
		return s, true
	}
	err := r.Spans(data, s.window, func(from, to time.Time) bool {
		s.list = append(s.list, [2]int64{from.Unix(), to.Unix()})
		return len(s.list) <= maxSpans
	})
	s.all = err != nil
	return s, len(s.list) <= maxSpans
}
