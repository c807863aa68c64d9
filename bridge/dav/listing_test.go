package dav_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/sqlstore/pgtest"
	"outbridge/caldav"
)

// TestListing: what is listed by time is the same from what is kept as from the store, whatever another process publishes.
func TestListing(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { listings(t, filepath.Join(t.TempDir(), "outbridge.db")) })
	t.Run("postgres", func(t *testing.T) { listings(t, pgtest.URL(t)) })
}

func listings(t *testing.T, database string) {
	p := newPublished(t, database)
	other := p.open()
	random := rand.New(rand.NewPCG(1, 2))
	number := 0
	publish := func(n int) {
		t.Helper()
		var list []bridge.Derived
		var series []graph.EventID
		for _, i := range random.Perm(1500)[:n] {
			number++
			name := fmt.Sprint("object ", i)
			first := roundtest.At(random.IntN(400)-200, random.IntN(24), 0)
			o := bridge.Object{Calendar: p.id, Series: graph.EventID(name), Name: name, UID: name, ETag: fmt.Sprintf("%08d of it", number), Stamp: roundtest.Start,
				First: first, Last: first.Add(time.Duration(random.IntN(20*24)) * time.Hour), Data: []byte(name), Size: len(name),
				Timetable: strings.Repeat("t", random.IntN(200))}
			if random.IntN(3) == 0 {
				o.Last = time.Time{}
			}
			d := bridge.Derived{Series: o.Series, Object: &o}
			if random.IntN(3) == 0 {
				o.Deleted, o.Data, o.Size = true, nil, 0
				d.Left, d.Object = &o, nil
			}
			list, series = append(list, d), append(series, o.Series)
		}
		if err := other.Stage(t.Context(), p.id, 0, list); err != nil {
			t.Fatal(err)
		}
		if _, _, err := other.Publish(t.Context(), p.id, roundtest.Start, series...); err != nil {
			t.Fatal(err)
		}
	}
	counts := &changesCounted{Store: p.store}
	plain := dav.Backend{Store: p.store}
	ask := func(b dav.Backend, c caldav.Calendar, start, end time.Time) (list []string) {
		t.Helper()
		for o, err := range b.Objects(t.Context(), c, caldav.Query{Start: start, End: end}) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%+v", o))
		}
		slices.Sort(list)
		return list
	}
	publish(1300)
	b := dav.Backend{Store: counts, Cache: new(dav.Cache)}
	for i := range 150 {
		switch random.IntN(20) {
		case 0:
			b.Cache = new(dav.Cache)
		case 1:
			publish(700)
		case 2, 3, 4, 5, 6, 7:
			publish(1 + random.IntN(5))
		}
		c := p.calendar(b)
		start := roundtest.At(random.IntN(500)-250, random.IntN(24), 0)
		end := start.Add(time.Duration(random.IntN(60*24)) * time.Hour)
		if got, want := ask(b, c, start, end), ask(plain, c, start, end); !slices.Equal(got, want) {
			t.Fatalf("%d: %d objects, want %d", i, len(got), len(want))
		}
		c.Token.Epoch += "x" // the calendar begins anew: nothing that was kept counts
		if random.IntN(20) == 0 {
			if got, want := ask(b, c, start, end), ask(plain, c, start, end); !slices.Equal(got, want) {
				t.Fatalf("%d, another epoch: %d objects, want %d", i, len(got), len(want))
			}
		}
	}
	if counts.within == 0 || counts.within > 60 || counts.changes == 0 {
		t.Errorf("the store listed by time %d times, and changes %d times", counts.within, counts.changes)
	}
}

type changesCounted struct {
	dav.Store
	within, changes int
}

func (s *changesCounted) ObjectsWithin(ctx context.Context, id bridge.CalendarID, start, end time.Time, each func(*bridge.Object) bool) error {
	s.within++
	return s.Store.ObjectsWithin(ctx, id, start, end, each)
}

func (s *changesCounted) Changes(ctx context.Context, id bridge.CalendarID, since int64, limit int) ([]bridge.Object, error) {
	s.changes++
	return s.Store.Changes(ctx, id, since, limit)
}

// TestListingOfALaterMoment: what another process publishes before all objects are read, meanwhile and after, is told once, and to the next
// request in full.
func TestListingOfALaterMoment(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { laterMoment(t, filepath.Join(t.TempDir(), "outbridge.db")) })
	t.Run("postgres", func(t *testing.T) { laterMoment(t, pgtest.URL(t)) })
}

func laterMoment(t *testing.T, database string) {
	p := newPublished(t, database)
	other := p.open()
	p.publish(other, 0, "a", "b", "c", "d", "e", "f")
	s := &interrupted{Store: p.store}
	b := dav.Backend{Store: s, Cache: new(dav.Cache)}
	ask := func(c caldav.Calendar) (list []string) {
		t.Helper()
		for o, err := range b.Objects(t.Context(), c, caldav.Query{Start: roundtest.At(-1, 0, 0), End: roundtest.At(30, 0, 0)}) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, o.ETag)
		}
		slices.Sort(list)
		return list
	}
	want := func(c caldav.Calendar, want ...string) {
		t.Helper()
		if got := ask(c); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	want(p.calendar(b), "a0", "b0", "c0", "d0", "e0", "f0")
	seen := p.calendar(b)
	s.before = func() {
		p.publish(other, 1, "a", "new")
		p.publish(other, -1, "b")
	}
	s.amid = func() {
		p.publish(other, 2, "c", "newer", "new")
		p.publish(other, -1, "d", "a")
	}
	s.after = func() {
		p.publish(other, 3, "e", "newest", "b")
		p.publish(other, -1, "f")
	}
	want(seen, "a1", "c0", "d0", "e0", "f0", "new1")
	want(seen, "a1", "c0", "d0", "e0", "f0", "new1") // nothing says that there is more
	want(p.calendar(b), "b3", "c2", "e3", "new2", "newer2", "newest3")
	if s.reads != 2 {
		t.Errorf("objects were listed by time %d times", s.reads)
	}
}

// interrupted has others do something before objects are listed by time, after the first of them, and then.
type interrupted struct {
	dav.Store
	before, amid, after func()
	reads               int
}

func (s *interrupted) ObjectsWithin(ctx context.Context, id bridge.CalendarID, start, end time.Time, each func(*bridge.Object) bool) error {
	s.reads++
	once := func(f *func()) {
		if *f != nil {
			(*f)()
		}
		*f = nil
	}
	once(&s.before)
	err := s.Store.ObjectsWithin(ctx, id, start, end, func(o *bridge.Object) bool {
		once(&s.amid)
		return each(o)
	})
	once(&s.after)
	return err
}

// TestListingIsNeverOlder: requests that come together are each told what was published before they came.
func TestListingIsNeverOlder(t *testing.T) {
	p := newPublished(t, filepath.Join(t.TempDir(), "outbridge.db"))
	other := p.open()
	b := dav.Backend{Store: p.store, Cache: new(dav.Cache)}
	p.publish(other, 0, "a", "b", "c")
	var published atomic.Int32
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for published.Load() < 60 {
				least := int(published.Load())
				c, found := p.calendar(b), 0
				for o, err := range b.Objects(t.Context(), c, caldav.Query{Start: roundtest.At(-1, 0, 0), End: roundtest.At(30, 0, 0)}) {
					if err != nil {
						t.Error(err)
						return
					}
					if n, _ := strconv.Atoi(strings.TrimPrefix(o.ETag, o.Name)); o.Name == "b" && n < least {
						t.Errorf("%d, after %d was published", n, least)
					}
					found++
				}
				if found != 3 {
					t.Errorf("%d objects", found)
				}
			}
		})
	}
	for i := range 60 {
		p.publish(other, i+1, "b")
		published.Store(int32(i + 1))
	}
	readers.Wait()
}
