package dav

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"sync"

	"outbridge/bridge"
	"outbridge/caldav"
)

const (
	// cacheOctets bounds what a Cache holds, some 5,000 objects. The process takes twice as much for it: Go's collector lets as much again
	// gather before it runs.
	cacheOctets = 10 << 20
	// cachedExtra is what an object takes beside its texts and octets, with the line that its texts are parts of.
	cachedExtra = 368
	// cachedCalendars is how many calendars it follows.
	cachedCalendars = 10_000
)

// Cache keeps objects that clients have asked for by name, so that the next one who does costs no row. The zero value is ready, and it is
// called concurrently.
//
// It needs no word from whoever publishes, be it another process or another machine. A request knows the state of its calendar by its
// token, and what is kept of a calendar is as of a rev: a request whose token is later asks first what has changed since, and forgets
// just that. So no answer is older than the state that its request has seen. What a request reads from the store is kept only if the rev is
// still the one that it had before it read; otherwise it may have read what somebody else has meanwhile found changed.
type Cache struct {
	// Octets bounds what it holds. Zero: 10 MiB.
	Octets int

	mu        sync.Mutex
	calendars map[bridge.CalendarID]*cached
	kept      map[cacheKey]*caldav.Object
	octets    int // of kept
	listings  map[bridge.CalendarID]*listing
	listed    int // octets of listings
}

// cached is a calendar from when it was first asked for, or began anew, to when it begins anew. All that is kept of it is as it was at
// rev, or later.
type cached struct {
	epoch string
	rev   int64
}

type cacheKey struct {
	of   *cached
	name string
}

// moment is a state of the cache for a calendar: what is read after it may be kept while it lasts.
type moment struct {
	of  *cached
	rev int64
}

// object finds one by its name, or caldav.ErrNotFound.
func (c *Cache) object(ctx context.Context, store Store, cal caldav.Calendar, name string) (caldav.Object, error) {
	id := cal.Key.(bridge.CalendarID)
	m, err := c.at(ctx, store, id, cal.Token)
	if err != nil {
		return caldav.Object{}, err
	}
	if o := c.findOne(m, name); o != nil {
		return *o, nil
	}
	read, err := store.Object(ctx, id, name)
	if err != nil {
		return caldav.Object{}, davError(err)
	}
	o := davObject(read)
	c.keep(m, o)
	return o, nil
}

// objects yields those of some names, in the order of names.
func (c *Cache) objects(ctx context.Context, store Store, cal caldav.Calendar, names []string) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		id := cal.Key.(bridge.CalendarID)
		m, err := c.at(ctx, store, id, cal.Token)
		if err != nil {
			yield(caldav.Object{}, err)
			return
		}
		found, missing := c.find(m, slices.Compact(slices.Sorted(slices.Values(names))))
		// foundBefore yields what was found up to a name, so that the order is the same whatever is kept.
		foundBefore := func(name string) bool {
			for len(found) > 0 && (name == "" || found[0].Name < name) {
				if !yield(*found[0], nil) {
					return false
				}
				found = found[1:]
			}
			return true
		}
		if len(missing) > 0 {
			for read, err := range bridge.Objects(ctx, store, id, bridge.ObjectQuery{Names: missing, WithData: true}) {
				if err != nil {
					yield(caldav.Object{}, err)
					return
				}
				o := davObject(read)
				c.keep(m, o)
				if !foundBefore(o.Name) || !yield(o, nil) {
					return
				}
			}
		}
		foundBefore("")
	}
}

// at returns the state of the cache for a request that has seen the calendar's token, once nothing is kept that is older.
func (c *Cache) at(ctx context.Context, store Store, id bridge.CalendarID, token caldav.Token) (moment, error) {
	for {
		m := c.state(id, token)
		if m.rev >= token.Rev {
			return m, nil
		}
		// Also what was published after the token is forgotten: an object is listed once, at its latest rev.
		changes, err := store.Changes(ctx, id, m.rev, listPage)
		if err != nil {
			return moment{}, err
		}
		c.forget(id, m, token, changes)
	}
}

// state is where the cache is, which begins the calendar anew where it was in another epoch.
func (c *Cache) state(id bridge.CalendarID, token caldav.Token) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.calendars[id]
	if k == nil || k.epoch != token.Epoch {
		k = c.begin(id, token)
	}
	return moment{k, k.rev}
}

func (c *Cache) begin(id bridge.CalendarID, token caldav.Token) *cached {
	if c.calendars == nil || len(c.calendars) >= cachedCalendars {
		c.calendars = map[bridge.CalendarID]*cached{}
	}
	k := &cached{epoch: token.Epoch, rev: token.Rev}
	c.calendars[id] = k
	return k
}

// forget takes the calendar from m to a token, unless somebody else has taken it on meanwhile. Changes are all since m; as many as fit
// on a page are more than are worth telling apart.
func (c *Cache) forget(id bridge.CalendarID, m moment, token caldav.Token, changes []bridge.Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calendars[id] != m.of || m.of.rev != m.rev {
		return
	}
	if len(changes) == listPage {
		c.begin(id, token)
		return
	}
	for _, o := range changes {
		c.drop(cacheKey{m.of, o.Name})
	}
	m.of.rev = token.Rev
}

// find returns the objects of those names that are kept, and the names that are not. What it returns is shared: it is not to be changed.
func (c *Cache) find(m moment, names []string) (found []*caldav.Object, missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range names {
		if o := c.kept[cacheKey{m.of, name}]; o != nil {
			found = append(found, o)
		} else {
			missing = append(missing, name)
		}
	}
	return found, missing
}

func (c *Cache) findOne(m moment, name string) *caldav.Object {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.kept[cacheKey{m.of, name}]
}

// keep keeps an object that was read after m. Others make room for it, whichever they are: clients read a calendar from end to end, over
// and over, and of one that is a little larger than the cache, what was asked for the longest ago is what is asked for next.
func (c *Cache) keep(m moment, o caldav.Object) {
	most := cmp.Or(c.Octets, cacheOctets)
	if cost(&o) > most/32 { // it would have many others forgotten
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if m.of.rev != m.rev {
		return
	}
	if c.kept == nil {
		c.kept = map[cacheKey]*caldav.Object{}
	}
	k := cacheKey{m.of, o.Name}
	c.drop(k)
	c.kept[k] = &o
	c.octets += cost(&o)
	for other := range c.kept {
		if c.octets <= most {
			break
		}
		c.drop(other)
	}
}

func (c *Cache) drop(k cacheKey) {
	if o := c.kept[k]; o != nil {
		c.octets -= cost(o)
		delete(c.kept, k)
	}
}

// cost is what an object takes in memory: its texts, its octets, and itself with its place in a map.
func cost(o *caldav.Object) int {
	return len(o.Name) + len(o.ETag) + cap(o.Data) + cachedExtra
}
