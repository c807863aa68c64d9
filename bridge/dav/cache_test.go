package dav_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge"
	"outbridge/bridge/dav"
	"outbridge/bridge/graph"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/sqlstore"
	"outbridge/bridge/sqlstore/pgtest"
	"outbridge/caldav"
)

// published is a calendar whose objects a test publishes itself. Their data is a number.
type published struct {
	t        *testing.T
	database string
	key      sqlstore.Key
	store    *sqlstore.Store
	id       bridge.CalendarID
}

func newPublished(t *testing.T, database string) *published {
	t.Helper()
	key, err := sqlstore.ReadKey(filepath.Join(t.TempDir(), "outbridge.key"))
	if err != nil {
		t.Fatal(err)
	}
	p := &published{t: t, database: database, key: key}
	p.store = p.open()
	a, err := p.store.EnsureAccount(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.SetCalendars(t.Context(), a.ID, []bridge.Calendar{{GraphID: "work", Name: "work", DisplayName: "Work", Modified: roundtest.Start}}); err != nil {
		t.Fatal(err)
	}
	c, err := p.store.UserCalendar(t.Context(), "alice", "work")
	if err != nil {
		t.Fatal(err)
	}
	p.id = c.ID
	return p
}

// open opens the database as another process would.
func (p *published) open() *sqlstore.Store {
	p.t.Helper()
	s, err := sqlstore.Open(p.t.Context(), p.database, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.Close() })
	return s
}

// publish makes the objects of some names one number, or tombstones where it is negative.
func (p *published) publish(s *sqlstore.Store, n int, names ...string) {
	p.t.Helper()
	var list []bridge.Derived
	var series []graph.EventID
	for _, name := range names {
		o := bridge.Object{Calendar: p.id, Series: graph.EventID(name), Name: name, UID: name, ETag: name + strconv.Itoa(n), Stamp: roundtest.Start, First: roundtest.Start,
			Deleted: n < 0}
		if n >= 0 {
			o.Data = []byte(strconv.Itoa(n))
			o.Size = len(o.Data)
		}
		d := bridge.Derived{Series: o.Series}
		if d.Object = &o; n < 0 {
			d.Left, d.Object = &o, nil
		}
		list, series = append(list, d), append(series, o.Series)
	}
	if err := s.Stage(p.t.Context(), p.id, 0, list); err != nil {
		p.t.Error(err)
		return
	}
	if _, _, err := s.Publish(p.t.Context(), p.id, roundtest.Start, series...); err != nil {
		p.t.Error(err)
	}
}

// calendar is what a request of now sees.
func (p *published) calendar(b dav.Backend) caldav.Calendar {
	p.t.Helper()
	c, err := b.Calendar(p.t.Context(), caldav.Principal{Name: "alice"}, "work")
	if err != nil {
		p.t.Error(err)
	}
	return c
}

// number is what an object is for a request that has seen a calendar, or -1 where it is not there.
func (p *published) number(b dav.Backend, c caldav.Calendar, name string) int {
	p.t.Helper()
	o, err := b.Object(p.t.Context(), c, name)
	if errors.Is(err, caldav.ErrNotFound) {
		return -1
	}
	if err != nil {
		p.t.Error(err)
	}
	return numberOf(p.t, o)
}

func numberOf(t *testing.T, o caldav.Object) int {
	t.Helper()
	n, err := strconv.Atoi(string(o.Data))
	if err != nil || o.ETag != o.Name+string(o.Data) || o.Size != len(o.Data) {
		t.Errorf("%+v", o)
	}
	return n
}

// reading counts what is read of a store, and does something between the reading of an object and the answer.
type reading struct {
	dav.Store
	objects atomic.Int32 // that were read with their data
	between func()
}

func (r *reading) Object(ctx context.Context, id bridge.CalendarID, name string) (bridge.Object, error) {
	o, err := r.Store.Object(ctx, id, name)
	r.objects.Add(1)
	if f := r.between; f != nil {
		r.between = nil
		f()
	}
	return o, err
}

func (r *reading) Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	list, err := r.Store.Objects(ctx, id, q)
	if q.WithData {
		r.objects.Add(int32(len(list)))
	}
	return list, err
}

func TestCache(t *testing.T) {
	p := newPublished(t, filepath.Join(t.TempDir(), "outbridge.db"))
	other := p.open()
	store := &reading{Store: p.store}
	b := dav.Backend{Store: store, Cache: new(dav.Cache)}
	expect := func(what string, c caldav.Calendar, name string, want, reads int) {
		t.Helper()
		store.objects.Store(0)
		if got, n := p.number(b, c, name), int(store.objects.Load()); got != want || n != reads {
			t.Errorf("%s: %d after %d reads, want %d after %d", what, got, n, want, reads)
		}
	}
	p.publish(p.store, 1, "a", "b")
	first := p.calendar(b)
	expect("the first time", first, "a", 1, 1)
	expect("once more", first, "a", 1, 0)
	expect("another", first, "b", 1, 1)
	p.publish(other, 2, "a")
	second := p.calendar(b)
	expect("what another process has changed", second, "a", 2, 1)
	expect("what it has not", second, "b", 1, 0)
	expect("a request from before", first, "a", 2, 0)

	// What changes twice is listed once, at the later rev; a request that has seen the earlier one is not to have what was before both.
	p.publish(other, 3, "a")
	third := p.calendar(b)
	p.publish(other, 4, "a")
	expect("changed again after the request began", third, "a", 4, 1)

	p.publish(other, -1, "a")
	expect("gone", p.calendar(b), "a", -1, 1)
	expect("still gone", p.calendar(b), "a", -1, 1)
	p.publish(other, 5, "a")
	expect("there again", p.calendar(b), "a", 5, 1)

	// Read before a change, and answered when others know of it.
	p.publish(other, 6, "a")
	store.between = func() {
		p.publish(other, 7, "a")
		if got := p.number(b, p.calendar(b), "a"); got != 7 {
			t.Errorf("meanwhile: %d", got)
		}
	}
	p.number(b, p.calendar(b), "a")
	expect("what was read before the change is not kept", p.calendar(b), "a", 7, 0)
	p.publish(other, 8, "a")
	store.between = func() { p.publish(other, 9, "a") }
	p.number(b, p.calendar(b), "a")
	expect("nor is it known to be of after", p.calendar(b), "a", 9, 1)

	anew := p.calendar(b)
	anew.Token.Epoch = "another"
	expect("another epoch", anew, "b", 1, 1)
	expect("of the other", anew, "b", 1, 0)

	names := make([]string, 700)
	for i := range names {
		names[i] = fmt.Sprint("many", i)
	}
	p.publish(other, 10, append(names, "b")...)
	expect("more has changed than is worth listing", p.calendar(b), "b", 10, 1)
	expect("and then it is kept", p.calendar(b), "b", 10, 0)
}

// TestCacheOrder: objects come in one order, whatever is kept of them.
func TestCacheOrder(t *testing.T) {
	p := newPublished(t, filepath.Join(t.TempDir(), "outbridge.db"))
	p.publish(p.store, 1, "a", "b", "c", "d", "e")
	store := &reading{Store: p.store}
	for _, before := range []string{"", "b", "bd", "abcde"} {
		b := dav.Backend{Store: store, Cache: new(dav.Cache)}
		c := p.calendar(b)
		for _, name := range strings.Split(before, "") {
			p.number(b, c, name)
		}
		store.objects.Store(0)
		var got []string
		for o, err := range b.Objects(t.Context(), c, caldav.Query{Names: []string{"e", "c", "none", "a", "c", "d", "b"}, WithData: true}) {
			if err != nil {
				t.Fatal(err)
			}
			numberOf(t, o)
			got = append(got, o.Name)
		}
		if want := []string{"a", "b", "c", "d", "e"}; !slices.Equal(got, want) || int(store.objects.Load()) != 5-len(before) {
			t.Errorf("with %q: %q, %d read", before, got, store.objects.Load())
		}
		for _, err := range b.Objects(t.Context(), c, caldav.Query{Names: []string{"a", "b"}, WithData: true}) {
			if err != nil {
				t.Fatal(err)
			}
			break // whoever has enough is told no more
		}
	}
}

// versions is a store of one calendar that can be interrupted, and knows what there was when.
type versions struct {
	dav.Store
	epoch       int
	rev         int64
	objects     map[string]bridge.Object
	history     map[string][]version
	interrupted func() // after something was read and before the answer
}

type version struct {
	rev    int64
	number int // -1: gone
}

func (v *versions) change(name string, number int) {
	v.rev++
	o := bridge.Object{Name: name, Rev: v.rev, ETag: name + strconv.Itoa(number), Deleted: number < 0}
	if number >= 0 {
		o.Data = []byte(strconv.Itoa(number))
		o.Size = len(o.Data)
	}
	v.objects[name] = o
	v.history[name] = append(v.history[name], version{v.rev, number})
}

func (v *versions) Object(_ context.Context, _ bridge.CalendarID, name string) (bridge.Object, error) {
	o, ok := v.objects[name]
	v.interrupted()
	if !ok || o.Deleted {
		return o, bridge.ErrNotFound
	}
	return o, nil
}

func (v *versions) Objects(_ context.Context, _ bridge.CalendarID, q bridge.ObjectQuery) (list []bridge.Object, _ error) {
	for _, name := range slices.Sorted(slices.Values(q.Names)) {
		if o, ok := v.objects[name]; ok && !o.Deleted && name > q.After {
			list = append(list, o)
		}
	}
	v.interrupted()
	return list, nil
}

func (v *versions) Changes(_ context.Context, _ bridge.CalendarID, since int64, limit int) (list []bridge.Object, _ error) {
	for _, o := range v.objects {
		if o.Rev > since {
			list = append(list, o)
		}
	}
	slices.SortFunc(list, func(a, b bridge.Object) int { return int(a.Rev - b.Rev) })
	v.interrupted()
	return list[:min(limit, len(list))], nil
}

// possible reports whether an answer is what there was at a token's rev, or later.
func possible(history []version, rev int64, number int) bool {
	before, ok := -1, false
	for _, s := range history {
		if s.rev <= rev {
			before, ok = s.number, false
		}
		ok = ok || s.number == number
	}
	return ok || before == number
}

// TestCacheIsNeverOlder: however requests and publications come between each other, no answer is older than its request's token.
func TestCacheIsNeverOlder(t *testing.T) {
	names := strings.Split("abcdefghijklmnopqrstuvw", "")
	rapid.Check(t, func(t *rapid.T) {
		v := &versions{objects: map[string]bridge.Object{}, history: map[string][]version{}, interrupted: func() {}}
		b := dav.Backend{Store: v, Cache: &dav.Cache{Octets: rapid.SampledFrom([]int{32 * 400, 1 << 20}).Draw(t, "octets")}}
		of := names[:rapid.SampledFrom([]int{2, len(names)}).Draw(t, "names")]
		depth, number := 0, 0
		var seen []caldav.Token // that requests may still come with
		var act func()
		some := func(most int) {
			depth++
			for range rapid.IntRange(most/2, most).Draw(t, "acts") {
				act()
			}
			depth--
		}
		act = func() {
			what := rapid.IntRange(0, 9).Draw(t, "what")
			switch {
			case what < 4:
				name := rapid.SampledFrom(of).Draw(t, "change")
				if number++; what == 0 {
					v.change(name, -1)
				} else {
					v.change(name, number)
				}
				return
			case what == 4 && depth == 1: // the database is another one
				v.epoch++
				v.rev, v.history, seen = 0, map[string][]version{}, nil
				v.objects = map[string]bridge.Object{}
				for _, name := range names {
					number++
					v.change(name, number)
				}
				return
			}
			token := caldav.Token{Epoch: fmt.Sprint("e", v.epoch), Rev: v.rev}
			if len(seen) > 0 && what == 5 {
				token = rapid.SampledFrom(seen).Draw(t, "token")
			}
			seen = append(seen, token)
			v.interrupted()
			c := caldav.Calendar{Key: bridge.CalendarID(1), Token: token}
			ask := rapid.SliceOfNDistinct(rapid.SampledFrom(of), 1, 9, rapid.ID[string]).Draw(t, "ask")
			numbers := map[string]int{}
			for _, name := range ask {
				numbers[name] = -1
			}
			if len(ask) == 1 {
				if o, err := b.Object(t.Context(), c, ask[0]); err == nil {
					numbers[ask[0]], _ = strconv.Atoi(string(o.Data))
				}
			} else {
				for o := range b.Objects(t.Context(), c, caldav.Query{Names: ask, WithData: true}) {
					numbers[o.Name], _ = strconv.Atoi(string(o.Data))
				}
			}
			for name, n := range numbers {
				if !possible(v.history[name], token.Rev, n) {
					t.Fatalf("%s is %d at %v, where it was %v", name, n, token, v.history[name])
				}
			}
		}
		v.interrupted = func() {
			if depth < 4 && rapid.IntRange(0, 3).Draw(t, "interrupted") == 0 {
				some(3)
			}
		}
		some(100)
	})
}

// TestCacheStorm: while two processes publish, what a client gets is never older than the state that its request has seen.
func TestCacheStorm(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { storm(t, filepath.Join(t.TempDir(), "outbridge.db")) })
	t.Run("postgres", func(t *testing.T) { storm(t, pgtest.URL(t)) })
}

func storm(t *testing.T, database string) {
	p := newPublished(t, database)
	stores := []*sqlstore.Store{p.store, p.open()}
	b := dav.Backend{Store: p.store, Cache: &dav.Cache{Octets: 16 * 2 * 400}} // some of them, so that they come and go
	const names, changes, readers = 20, 60, 4
	var mu sync.Mutex
	history := map[string][]version{} // of each name, which one publisher alone changes
	type answer struct {
		token  int64
		name   string
		number int
	}
	var answers []answer
	var publishers, clients sync.WaitGroup
	done := make(chan struct{})
	for i, s := range stores {
		publishers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for n := range changes {
				name := fmt.Sprint(i, "-", random.IntN(names/len(stores)))
				if n%7 == 6 {
					p.publish(s, -1, name)
				} else {
					p.publish(s, n, name)
				}
				list, err := s.Changes(t.Context(), p.id, 0, 1000)
				if err != nil {
					t.Error(err)
				}
				at := slices.IndexFunc(list, func(o bridge.Object) bool { return o.Name == name })
				if at < 0 {
					continue // it was to go and was never there
				}
				now := version{list[at].Rev, n}
				if list[at].Deleted {
					now.number = -1
				}
				mu.Lock()
				history[name] = append(history[name], now)
				mu.Unlock()
			}
		})
	}
	for i := range readers {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(i)))
			for ended := false; !ended; {
				select {
				case <-done:
					ended = true // and once more, for the last of them
				default:
				}
				c := p.calendar(b)
				var got []answer
				if random.IntN(2) == 0 {
					name := fmt.Sprint(random.IntN(len(stores)), "-", random.IntN(names/len(stores)))
					got = append(got, answer{c.Token.Rev, name, p.number(b, c, name)})
				} else {
					numbers := map[string]int{}
					var ask []string
					for range 6 {
						name := fmt.Sprint(random.IntN(len(stores)), "-", random.IntN(names/len(stores)))
						ask, numbers[name] = append(ask, name), -1
					}
					for o, err := range b.Objects(t.Context(), c, caldav.Query{Names: ask, WithData: true}) {
						if err != nil {
							t.Error(err)
							return
						}
						numbers[o.Name] = numberOf(t, o)
					}
					for name, n := range numbers {
						got = append(got, answer{c.Token.Rev, name, n})
					}
				}
				mu.Lock()
				answers = append(answers, got...)
				mu.Unlock()
			}
		})
	}
	publishers.Wait()
	close(done)
	clients.Wait()
	for _, a := range answers {
		if !possible(history[a.name], a.token, a.number) {
			t.Fatalf("%+v, where %s was %v", a, a.name, history[a.name])
		}
	}
	if len(answers) < 1000 {
		t.Errorf("only %d answers", len(answers))
	}
}

// endless has every object that it is asked for.
type endless struct{ dav.Store }

func (endless) Object(_ context.Context, _ bridge.CalendarID, name string) (bridge.Object, error) {
	data := []byte(strings.Repeat("x", 1500))
	return bridge.Object{Name: strings.Clone(name), ETag: strings.Repeat("e", 32), Data: data, Size: len(data), Modified: time.Now()}, nil
}

// TestCacheBound: what is kept takes no more memory than is said.
func TestCacheBound(t *testing.T) {
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	const octets = 8 << 20
	b := dav.Backend{Store: endless{}, Cache: &dav.Cache{Octets: octets}}
	c := caldav.Calendar{Key: bridge.CalendarID(1), Token: caldav.Token{Epoch: "e", Rev: 1}}
	before := heap()
	for i := range 20_000 { // some 40 MB
		if _, err := b.Object(t.Context(), c, fmt.Sprintf("%064d.ics", i)); err != nil {
			t.Fatal(err)
		}
	}
	if used := heap() - before; used > octets || used < octets/3 {
		t.Errorf("%d octets are kept, of %d", used, octets)
	}
	runtime.KeepAlive(b.Cache)
}
