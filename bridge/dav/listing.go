package dav

import (
	"context"
	"encoding/binary"
	"iter"
	"math"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/caldav"
)

const (
	// listingOctets bounds the listings of a Cache together, which is some 14,000 objects.
	listingOctets = 3 << 20
	// listingChunk is what a chunk grows to.
	listingChunk = 32 << 10
	// listingAge is how long a listing is kept. Timetables are made anew as time goes on, and their objects do not change by that: those
	// that are kept stay true of what they tell, but they do not tell of the later months.
	listingAge = 24 * time.Hour
)

// listing is what is listed of all objects of a calendar by time, as of rev or later. It begins with what there is at one moment, and
// goes on by what has changed since.
type listing struct {
	epoch string
	since time.Time

	// Under the Cache's lock:
	counted int           // of its octets, in those of the Cache
	tooLong time.Duration // the shortest range that had more than is listed by time; 0: none had

	mu    sync.Mutex
	begun bool
	rev   int64
	entries
	large bool // it takes more than all may, or is likely to: there is none
}

// entries are objects. Chunks are shared, and replaced by others where an object changes.
type entries struct {
	chunks []string
	octets int
}

// readEntries lists the objects that may have an instance from start to end, or all where both are zero. ok is false where they take
// more than some octets.
func readEntries(ctx context.Context, store Store, id bridge.CalendarID, start, end time.Time, most int) (list entries, ok bool, err error) {
	chunk := make([]byte, 0, listingChunk+1<<10)
	err = store.ObjectsWithin(ctx, id, start, end, func(o *bridge.Object) bool {
		if chunk = appendEntry(chunk, o); len(chunk) >= listingChunk {
			list.add(chunk)
			chunk = chunk[:0]
		}
		return list.octets+len(chunk) <= most
	})
	list.add(chunk)
	if err != nil || list.octets > most {
		return entries{}, false, err
	}
	return list, true, nil
}

func (l *entries) add(chunk []byte) {
	if len(chunk) > 0 {
		l.chunks = append(l.chunks, string(chunk))
		l.octets += len(chunk)
	}
}

// within yields the objects that may have an instance from start to end, with their timetables. ok is false where nothing is kept to
// answer it by.
func (c *Cache) within(ctx context.Context, store Store, cal caldav.Calendar, start, end time.Time) (_ iter.Seq[caldav.Object], ok bool, err error) {
	id := cal.Key.(bridge.CalendarID)
	l := c.listing(id, cal.Token.Epoch)
	if l == nil || !l.mu.TryLock() { // while one request makes it, others do not wait
		return nil, false, nil
	}
	defer l.mu.Unlock()
	defer func(before int) { c.weigh(id, l, l.octets-before) }(l.octets)
	if !l.begun && !l.large {
		// What is read is as of the token or later; what it has of later is among the next changes once more.
		list, ok, err := readEntries(ctx, store, id, time.Time{}, time.Time{}, listingOctets)
		if err != nil {
			return nil, false, err
		}
		l.begun, l.large, l.entries, l.rev = true, !ok, list, cal.Token.Rev
	}
	for !l.large && l.rev < cal.Token.Rev {
		changes, err := store.Changes(ctx, id, l.rev, listPage)
		if err != nil {
			return nil, false, err
		}
		l.apply(changes)
		if len(changes) < listPage {
			l.rev = max(l.rev, cal.Token.Rev)
		}
		if l.octets > listingOctets {
			l.large, l.entries = true, entries{}
		}
	}
	if l.large {
		return nil, false, nil
	}
	return entriesWithin(l.chunks, start.Unix(), end.Unix()), true, nil
}

// listing is that of a calendar, or nil when it was not asked for before: the first answer after a start is not to wait for more than
// what it tells.
func (c *Cache) listing(id bridge.CalendarID, epoch string) *listing {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.listings[id]; l != nil && l.epoch == epoch && time.Since(l.since) < listingAge {
		return l
	}
	if c.listings == nil || len(c.listings) >= cachedCalendars {
		c.listings, c.listed = map[bridge.CalendarID]*listing{}, 0
	}
	c.unlist(id)
	c.listings[id] = &listing{epoch: epoch, since: time.Now()}
	return nil
}

// hasMany reports whether a range, so long or shorter, had more of a calendar than is listed by time. To find it out once more for each
// query would take more memory than the answers.
func (c *Cache) hasMany(id bridge.CalendarID, long time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.listings[id]
	return l != nil && l.tooLong != 0 && l.tooLong <= long
}

// tooMany says that a range had so much: no listing of the calendar is begun.
func (c *Cache) tooMany(id bridge.CalendarID, long time.Duration) {
	c.mu.Lock()
	l := c.listings[id]
	if l != nil && (l.tooLong == 0 || l.tooLong > long) {
		l.tooLong = long
	}
	c.mu.Unlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.begun {
		l.large = true
	}
}

// weigh counts by how much a listing has grown. Others make room for it, whichever they are.
func (c *Cache) weigh(id bridge.CalendarID, l *listing, grown int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.listings[id] != l {
		return
	}
	l.counted += grown
	c.listed += grown
	for other := range c.listings {
		if c.listed <= listingOctets {
			break
		}
		if other != id {
			c.unlist(other)
		}
	}
}

func (c *Cache) unlist(id bridge.CalendarID) {
	if l := c.listings[id]; l != nil {
		c.listed -= l.counted
		delete(c.listings, id)
	}
}

// apply takes the listing on by changes, in the order of their revs.
func (l *listing) apply(changes []bridge.Object) {
	if len(changes) == 0 {
		return
	}
	changed := make(map[string]bool, len(changes))
	var added []byte
	for i := range changes {
		o := &changes[i]
		changed[o.Name] = true
		if !o.Deleted {
			added = appendEntry(added, o)
		}
	}
	chunks := make([]string, 0, len(l.chunks)+1)
	for _, chunk := range l.chunks {
		if chunk = without(chunk, changed); chunk != "" {
			chunks = append(chunks, chunk)
		}
	}
	if last := len(chunks) - 1; last >= 0 && len(chunks[last])+len(added) <= listingChunk {
		chunks[last] += string(added)
	} else if len(added) > 0 {
		chunks = append(chunks, string(added))
	}
	l.chunks, l.rev, l.octets = chunks, changes[len(changes)-1].Rev, 0
	for _, chunk := range chunks {
		l.octets += len(chunk)
	}
}

// without is a chunk without the entries of some names.
func without(chunk string, names map[string]bool) string {
	var kept []byte
	from := 0 // what is to be kept next begins there
	for at := 0; at < len(chunk); {
		e := entryAt(chunk[at:])
		if names[e.name()] {
			kept = append(kept, chunk[from:at]...)
			from = at + len(e)
		}
		at += len(e)
	}
	if from == 0 {
		return chunk
	}
	return string(append(kept, chunk[from:]...))
}

// entry is an object in a chunk: how long it is in four octets, First and Last in eight each, then its other numbers and its texts, each
// text with its length before it, and the name first of all of these.
type entry string

const entryHead = 4 + 8 + 8

func appendEntry(b []byte, o *bridge.Object) []byte {
	begin, last := len(b), int64(math.MaxInt64)
	if !o.Last.IsZero() {
		last = o.Last.Unix()
	}
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(o.First.Unix()))
	b = binary.LittleEndian.AppendUint64(b, uint64(last))
	text := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	text(o.Name)
	text(o.ETag)
	b = binary.AppendVarint(b, o.Rev)
	b = binary.AppendVarint(b, o.Modified.Unix())
	b = binary.AppendVarint(b, int64(o.Size))
	b = append(b, o.Timetable...)
	binary.LittleEndian.PutUint32(b[begin:], uint32(len(b)-begin))
	return b
}

func entryAt(chunk string) entry {
	return entry(chunk[:binary.LittleEndian.Uint32([]byte(chunk[:4]))])
}

func (e entry) first() int64 { return int64(binary.LittleEndian.Uint64([]byte(e[4:12]))) }
func (e entry) last() int64  { return int64(binary.LittleEndian.Uint64([]byte(e[12:20]))) }

func (e entry) name() string {
	name, _ := cutText(string(e[entryHead:]))
	return name
}

// object has texts that are parts of the chunk.
func (e entry) object() (o caldav.Object) {
	rest := string(e[entryHead:])
	o.Name, rest = cutText(rest)
	o.ETag, rest = cutText(rest)
	o.Rev, rest = cutNumber(rest)
	modified, rest := cutNumber(rest)
	size, rest := cutNumber(rest)
	o.Modified, o.Size, o.Timetable = time.Unix(modified, 0).UTC(), int(size), rest
	o.First = time.Unix(e.first(), 0).UTC()
	if last := e.last(); last != math.MaxInt64 {
		o.Last = time.Unix(last, 0).UTC()
	}
	return o
}

func cutNumber(s string) (int64, string) {
	n, used := binary.Varint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	return n, s[used:]
}

func cutText(s string) (text, rest string) {
	n, used := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	return s[used : used+int(n)], s[used+int(n):]
}

func entriesWithin(chunks []string, start, end int64) iter.Seq[caldav.Object] {
	return func(yield func(caldav.Object) bool) {
		for _, chunk := range chunks {
			for len(chunk) > 0 {
				e := entryAt(chunk)
				if e.first() <= end && e.last() >= start && !yield(e.object()) {
					return
				}
				chunk = chunk[len(e):]
			}
		}
	}
}
