package feed

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// shelf is a Store of one account with one calendar.
type shelf struct {
	feeds    []bridge.Feed
	calendar bridge.Calendar
	more     []bridge.Calendar // which are empty
	objects  []bridge.Object
	read     int    // pages of objects
	onRead   func() // called before a page is read
	err      error  // of every call
	copied   map[string]bridge.Past
}

func newShelf(t testing.TB) *shelf {
	return &shelf{
		calendar: bridge.Calendar{ID: 5, Name: "calendar", DisplayName: "Calendar", Epoch: "e", Rev: 1, Modified: date(2026, 6, 1), Good: time.Now()},
		objects: []bridge.Object{{Name: "a.ics", UID: "a", Modified: date(2026, 6, 1),
			Data: octets(t, convert.Series{Event: event("a", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")})}},
	}
}

func (s *shelf) Account(context.Context, string) (bridge.Account, error) {
	return bridge.Account{ID: 1, Name: "alice", State: bridge.State{Code: "ok"}}, s.err
}

func (s *shelf) Calendars(context.Context, bridge.AccountID) ([]bridge.Calendar, error) {
	return append([]bridge.Calendar{s.calendar}, s.more...), s.err
}

func (s *shelf) Feeds(_ context.Context, user string) ([]bridge.Feed, error) {
	return slices.DeleteFunc(slices.Clone(s.feeds), func(f bridge.Feed) bool { return user != "" && f.User != user }), s.err
}

func (s *shelf) Objects(_ context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	s.read++
	if s.onRead != nil {
		s.onRead()
	}
	if id != s.calendar.ID || q.After >= "a.ics" {
		return nil, s.err
	}
	return s.objects, s.err
}

// put adds the feed or changes it.
func (s *shelf) Copied(context.Context, bridge.AccountID) (map[string]bridge.Past, error) {
	return s.copied, s.err
}

func (s *shelf) put(f bridge.Feed) bridge.Feed {
	f.User, f.Detail, f.Created = "alice", cmp.Or(f.Detail, bridge.DetailFull), date(2026, 6, 2)
	if f.Salt == nil {
		f.Salt = []byte{byte(f.ID)}
	}
	s.remove(f.ID)
	s.feeds = append(s.feeds, f)
	return f
}

func (s *shelf) remove(id bridge.FeedID) {
	s.feeds = slices.DeleteFunc(s.feeds, func(f bridge.Feed) bool { return f.ID == id })
}

// open is the text of a feed, and its Last-Modified.
func open(t testing.TB, files *Files, feed bridge.Feed) (string, time.Time) {
	t.Helper()
	r, err := files.Rendering(t.Context(), feed)
	if err != nil {
		t.Fatal(err)
	}
	content, err := files.Open(t.Context(), r, Identity)
	if err != nil {
		t.Fatal(err)
	}
	defer content.Close()
	var b strings.Builder
	if content.File != nil {
		_, err = io.Copy(&b, content.File)
	} else {
		err = content.Stream(t.Context(), &b)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), content.Modified
}

// have are the names in the folder: of a feed's files just its number.
func have(t testing.TB, files *Files) string {
	t.Helper()
	entries, err := os.ReadDir(files.Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if strings.Contains(name, ".ics") {
			name, _, _ = strings.Cut(name, "-")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " ")
}

func plant(t testing.TB, files *Files, age time.Duration, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(files.Dir, name)
		if err := errors.Join(os.MkdirAll(files.Dir, 0o700), os.WriteFile(path, nil, 0o600), os.Chtimes(path, time.Time{}, time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
}

func sweep(t testing.TB, files *Files) {
	t.Helper()
	if err := files.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestSweep: of a feed that is removed, has another address or is changed nothing stays, and everything of every other.
func TestSweep(t *testing.T) {
	s := newShelf(t)
	files := &Files{Dir: filepath.Join(t.TempDir(), "cache"), Store: s}
	sweep(t, files) // of a folder that is not there
	all := func() {
		t.Helper()
		for _, f := range s.feeds {
			if text, _ := open(t, files, f); !strings.Contains(text, "DTSTART;TZID=Europe/Berlin:20260701T120000") {
				t.Errorf("feed %d:\n%s", f.ID, text)
			}
		}
		if entries, err := os.ReadDir(files.Dir); err != nil || len(entries) != 3*len(s.feeds) {
			t.Fatalf("%d files of %d feeds, %v", len(entries), len(s.feeds), err)
		}
	}
	for _, id := range []bridge.FeedID{1, 2, 11} {
		s.put(bridge.Feed{ID: id})
	}
	all()
	sweep(t, files)
	if got := have(t, files); got != "1 11 2" {
		t.Errorf("nothing has changed: %s", got)
	}

	for name, change := range map[string]bridge.Feed{
		"rotate":    {Salt: []byte("other")},
		"detail":    {Detail: bridge.DetailBusy},
		"name":      {Name: "Other"},
		"calendars": {Calendars: []bridge.CalendarID{5}},
		"options":   {Options: bridge.FeedOptions{Private: bridge.Hide}},
		"time":      {Changed: date(2026, 6, 3)},
	} {
		change.ID = 1
		s.put(change)
		sweep(t, files)
		if got := have(t, files); got != "11 2" {
			t.Errorf("%s: %s", name, got)
		}
		s.put(bridge.Feed{ID: 1})
		all()
	}
	s.calendar.Rev++ // a change in Outlook is no change of a feed
	sweep(t, files)
	if got := have(t, files); got != "1 11 2" {
		t.Errorf("a change in Outlook: %s", got)
	}
	s.remove(1)
	sweep(t, files)
	if got := have(t, files); got != "11 2" {
		t.Errorf("remove: %s", got)
	}

	// What a crash has left, and files of an earlier version; what is not ours stays.
	plant(t, files, 2*time.Hour, "making-1", "notes.txt", "notes.ics", "2-0123456789abcdef.ics", "2-0123456789abcdef.ics.gz", "99-0-0.ics.zst")
	plant(t, files, 0, "making-2")
	sweep(t, files)
	if got := have(t, files); got != "11 2 making-2 notes.ics notes.txt" {
		t.Errorf("left: %s", got)
	}

	// Nothing goes while it is not known which feeds there are.
	s.err = errors.New("the database does not answer")
	if err := files.Sweep(t.Context()); !errors.Is(err, s.err) || have(t, files) != "11 2 making-2 notes.ics notes.txt" {
		t.Errorf("%v, %s", err, have(t, files))
	}
	s.err = nil
	// One that cannot go does not keep the others.
	if err := os.MkdirAll(filepath.Join(files.Dir, "3-0-0.ics", "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.feeds = nil
	if err := files.Sweep(t.Context()); err == nil || have(t, files) != "3 making-2 notes.ics notes.txt" {
		t.Errorf("%v, %s", err, have(t, files))
	}
}

// moody is a shelf that is busy now and then.
type moody struct {
	*shelf
	busy atomic.Bool
}

func (m *moody) Feeds(ctx context.Context, user string) ([]bridge.Feed, error) {
	if m.busy.Load() {
		return nil, errors.New("busy")
	}
	return m.shelf.Feeds(ctx, user)
}

// TestRun: a server sweeps when it starts and every minute, whatever goes wrong in between.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &moody{shelf: newShelf(t)}
		files := &Files{Dir: t.TempDir(), Store: s, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
		ctx, cancel := context.WithCancel(t.Context())
		plant(t, files, 0, "1-0-0.ics")
		done := make(chan error)
		go func() { done <- files.Run(ctx) }()
		synctest.Wait()
		if got := have(t, files); got != "" {
			t.Errorf("after the start: %s", got)
		}
		plant(t, files, 0, "2-0-0.ics")
		s.busy.Store(true)
		time.Sleep(SweepEvery + time.Second)
		s.busy.Store(false)
		time.Sleep(SweepEvery - 2*time.Second)
		if got := have(t, files); got != "2" {
			t.Errorf("before the second minute is over: %s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := have(t, files); got != "" {
			t.Errorf("after a minute: %s", got)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// TestChangedIsLater: a reader who goes by dates sees a change also where its file was swept, and within one second.
func TestChangedIsLater(t *testing.T) {
	s := newShelf(t)
	now := date(2026, 6, 3)
	files := &Files{Dir: t.TempDir(), Store: s, Now: func() time.Time { return now }}
	feed := s.put(bridge.Feed{ID: 1})
	_, last := open(t, files, feed)
	if !last.Equal(date(2026, 6, 2)) {
		t.Errorf("the first rendering is of %s", last)
	}
	later := func(what string) {
		t.Helper()
		_, at := open(t, files, feed)
		if !at.After(last) || at.After(now.Add(3*time.Second)) {
			t.Errorf("%s: %s, after %s", what, at, last)
		}
		last = at
	}
	move := func(hour int) {
		t.Helper()
		s.calendar.Rev++
		s.objects[0].Data = octets(t, convert.Series{Event: event("a", "W. Europe Standard Time", fmt.Sprintf("2026-07-01T%d:00:00", hour), "2026-07-01T20:00:00")})
	}
	move(11)
	later("a change in Outlook")
	feed.Detail, feed.Changed = bridge.DetailBusy, now
	feed = s.put(feed)
	sweep(t, files)
	later("a change of the feed")
	move(12)
	later("another change in Outlook")
}

// state is what a reader sees of a feed: its octets, tag and time.
func state(t testing.TB, files *Files, feed bridge.Feed) string {
	t.Helper()
	r, err := files.Rendering(t.Context(), feed)
	if err != nil {
		t.Fatal(err)
	}
	text, at := open(t, files, feed)
	if again, err := files.Rendering(t.Context(), feed); err != nil || again.Tag != r.Tag || !again.Modified.Equal(at) || len(r.Tag) != 32 {
		t.Errorf("%v: the tag %s of %s is %s of %s by now", err, r.Tag, r.Modified, again.Tag, again.Modified)
	}
	return r.Tag + " " + at.String() + "\n" + text
}

// TestHiddenChanges: a change in Outlook of what a feed does not tell changes nothing of it, neither its octets nor its
// stamps, tag and time; what it tells changes all of them. So it is also where the server starts again, and where no files
// can be written.
func TestHiddenChanges(t *testing.T) {
	base := func() graph.Event {
		e := event("a", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
		e.Subject, e.LastModified = "Merger", "2026-05-01T00:00:00Z"
		return e
	}
	body := func(e *graph.Event) { e.Body = graph.ItemBody{ContentType: "text", Content: "More of it"} }
	subject := func(e *graph.Event) { e.Subject = "Takeover" }
	place := func(e *graph.Event) { e.Location.DisplayName = "Hotel" }
	reminder := func(e *graph.Event) { e.IsReminderOn, e.ReminderMinutes = true, 10 }
	guests := func(e *graph.Event) {
		e.Attendees = []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: "bruno@buyer.example"}}}
	}
	busy := func(e *graph.Event) { e.ShowAs = "free" }
	earlier := func(e *graph.Event) { e.Start.DateTime = "2026-07-01T09:00:00" }
	private := func(e *graph.Event) { e.Sensitivity = "private" }
	for _, c := range []struct {
		detail  string
		options bridge.FeedOptions
		hidden  []func(*graph.Event)
		shown   []func(*graph.Event)
	}{
		{bridge.DetailBusy, bridge.FeedOptions{}, []func(*graph.Event){body, subject, place, reminder, guests, private}, []func(*graph.Event){earlier, busy}},
		{bridge.DetailLimited, bridge.FeedOptions{}, []func(*graph.Event){body, reminder, guests}, []func(*graph.Event){subject, earlier, place, private}},
		{bridge.DetailFull, bridge.FeedOptions{Private: bridge.Blur}, nil, []func(*graph.Event){subject, body, private, earlier}},
	} {
		for _, streamed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s streamed=%v", c.detail, streamed), func(t *testing.T) {
				s := newShelf(t)
				now, e := date(2026, 6, 3), base()
				publish := func(change func(*graph.Event)) {
					t.Helper()
					change(&e)
					now = now.Add(time.Hour)
					e.LastModified = now.Format(time.RFC3339)
					s.calendar.Rev++
					s.calendar.Modified = now
					s.objects[0].Modified, s.objects[0].Data = now, octets(t, convert.Series{Event: e})
				}
				dir := filepath.Join(t.TempDir(), "cache")
				if streamed {
					if err := os.WriteFile(dir, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				log := slog.New(slog.NewTextHandler(t.Output(), nil))
				start := func() *Files {
					return &Files{Dir: dir, Store: s, Now: func() time.Time { return now }, Log: log}
				}
				files := start()
				feed := s.put(bridge.Feed{ID: 1, Detail: c.detail, Options: c.options})
				publish(func(*graph.Event) {})
				before := state(t, files, feed)
				for i := range 2 { // the second time of what is already so
					for n, change := range c.hidden {
						publish(change)
						if !streamed && n == 1 {
							files = start()
						}
						if after := state(t, files, feed); after != before {
							t.Fatalf("hidden change %d:\n%s\nnot\n%s", n, after, before)
						}
					}
					if i == 1 {
						break
					}
					for n, change := range c.shown {
						publish(change)
						after := state(t, files, feed)
						tag, at, text := strings.Cut(after, " ")
						oldTag, oldAt, _ := strings.Cut(before, " ")
						if !text || tag == oldTag || at <= oldAt || !strings.Contains(after, "LAST-MODIFIED:"+now.UTC().Format("20060102T150405Z")) {
							t.Fatalf("shown change %d:\n%s\nafter\n%s", n, after, before)
						}
						before = after
					}
				}
			})
		}
	}
}

// TestHiddenPrivate: so it is with what a full feed blurs.
func TestHiddenPrivate(t *testing.T) {
	s := newShelf(t)
	files := &Files{Dir: t.TempDir(), Store: s}
	feed := s.put(bridge.Feed{ID: 1, Options: bridge.FeedOptions{Private: bridge.Blur}})
	e := event("a", "W. Europe Standard Time", "2026-07-01T10:00:00", "2026-07-01T11:00:00")
	var before string
	for i, subject := range []string{"Clinic", "Hospital", "Home"} {
		e.Subject, e.Sensitivity = subject, "private"
		s.calendar.Rev++
		s.objects[0].Modified, s.objects[0].Data = date(2026, 6, 3+i), octets(t, convert.Series{Event: e})
		after := state(t, files, feed)
		if before != "" && after != before {
			t.Errorf("%s\nnot\n%s", after, before)
		}
		before = after
	}
}

// TestStreamed: where no files can be written the feed is the same as with files, in every coding; what is published while
// it is streamed breaks it off.
func TestStreamed(t *testing.T) {
	s := newShelf(t)
	feed := s.put(bridge.Feed{ID: 1})
	want, _ := open(t, &Files{Dir: t.TempDir(), Store: s}, feed)
	dir := filepath.Join(t.TempDir(), "cache")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	files := &Files{Dir: dir, Store: s, Log: slog.New(slog.NewTextHandler(&log, nil))}
	r, err := files.Rendering(t.Context(), feed)
	if err != nil {
		t.Fatal(err)
	}
	for as, read := range map[Coding]func(io.Reader) (io.Reader, error){
		Identity: func(r io.Reader) (io.Reader, error) { return r, nil },
		Gzip:     func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		Zstd:     func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) },
	} {
		content, err := files.Open(t.Context(), r, as)
		if err != nil || content.File != nil {
			t.Fatalf("%q: %v, file %v", as, err, content.File)
		}
		var b bytes.Buffer
		if err := content.Stream(t.Context(), &b); err != nil {
			t.Fatal(err)
		}
		plain, err := read(&b)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(plain); err != nil || string(got) != want {
			t.Errorf("%q: %v\n%s\nnot\n%s", as, err, got, want)
		}
	}
	read := s.read
	if again, err := files.Rendering(t.Context(), feed); err != nil || again.Tag != r.Tag || s.read != read {
		t.Errorf("%v: the tag is %s, then %s; %d pages were read for it", err, r.Tag, again.Tag, s.read-read)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("%d lines of the log:\n%s", n, log.String())
	}

	content, err := files.Open(t.Context(), r, Identity)
	if err != nil {
		t.Fatal(err)
	}
	s.objects[0].Data = octets(t, convert.Series{Event: event("a", "UTC", "2026-07-01T12:00:00", "2026-07-01T13:00:00")})
	if err := content.Stream(t.Context(), io.Discard); !errors.Is(err, errPublished) {
		t.Errorf("after a change: %v", err)
	}

	// Once there is room again, there are files again.
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	s.calendar.Rev++
	if open(t, files, feed); have(t, files) != "1" || !strings.Contains(log.String(), "can be written again") {
		t.Errorf("%s\n%s", have(t, files), log.String())
	}
}

// TestNotReady: a feed waits for every calendar of its own that may come.
func TestNotReady(t *testing.T) {
	for name, c := range map[string]struct {
		second bridge.Calendar
		ready  bool
	}{
		"new":             {bridge.Calendar{}, false},
		"in its pages":    {bridge.Calendar{Phase: bridge.PhaseOpening}, false},
		"saved into":      {bridge.Calendar{Phase: bridge.PhaseOpening, Rev: 1}, false},
		"throttled":       {bridge.Calendar{Fault: bridge.Fault{Reason: bridge.ReasonThrottled, Action: bridge.ActionWait}}, false},
		"unavailable":     {bridge.Calendar{Fault: bridge.Fault{Reason: bridge.ReasonUnavailable, Action: bridge.ActionWait}}, false},
		"odd":             {bridge.Calendar{Fault: bridge.Fault{Reason: bridge.ReasonOther, Action: bridge.ActionInspect}}, false},
		"signed out":      {bridge.Calendar{Fault: bridge.Fault{Reason: bridge.ReasonSignInRefused, Action: bridge.ActionSignIn}}, false},
		"not shared":      {bridge.Calendar{Fault: bridge.Fault{Reason: bridge.ReasonShared, Action: bridge.ActionShare}}, true},
		"listed":          {bridge.Calendar{Good: date(2026, 6, 1)}, true},
		"listed and odd":  {bridge.Calendar{Good: date(2026, 6, 1), Fault: bridge.Fault{Reason: bridge.ReasonOther, Action: bridge.ActionInspect}}, true},
		"opened again":    {bridge.Calendar{Good: date(2026, 6, 1), Phase: bridge.PhaseOpening}, true},
		"stopped at last": {bridge.Calendar{Phase: bridge.PhaseSteady, Rev: 3}, true},
	} {
		s := newShelf(t)
		c.second.ID = 6
		s.more = []bridge.Calendar{c.second}
		files := &Files{Dir: t.TempDir(), Store: s}
		_, err := files.Rendering(t.Context(), s.put(bridge.Feed{ID: 1}))
		if ready := err == nil; ready != c.ready || !ready && !errors.Is(err, ErrNotReady) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := files.Rendering(t.Context(), s.put(bridge.Feed{ID: 1, Calendars: []bridge.CalendarID{5}})); err != nil {
			t.Errorf("%s, in a feed of the other: %v", name, err)
		}
	}
}

// TestOpenMeanwhile: what happens to a feed while it is rendered.
func TestOpenMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name   string
		happen func(s *shelf)
		detail string
		err    error
	}{
		{"published", func(s *shelf) { s.calendar.Rev++ }, bridge.DetailFull, nil},
		{"changed", func(s *shelf) { s.put(bridge.Feed{ID: 1, Detail: bridge.DetailBusy}) }, bridge.DetailBusy, nil},
		{"rotated", func(s *shelf) { s.put(bridge.Feed{ID: 1, Salt: []byte("other")}) }, "", ErrGone},
		{"removed", func(s *shelf) { s.remove(1) }, "", ErrGone},
	} {
		s := newShelf(t)
		files := &Files{Dir: t.TempDir(), Store: s}
		r, err := files.rendering(t.Context(), s.put(bridge.Feed{ID: 1}))
		if err != nil {
			t.Fatal(err)
		}
		s.onRead = func() {
			if s.read == 2 { // the second reading, of the two that a rendering is
				c.happen(s)
			}
		}
		now, err := files.Rendering(t.Context(), r.feed)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil {
			if now.state == r.state || now.feed.Detail != c.detail || have(t, files) != "1" {
				t.Errorf("%s: state %s after %s, detail %s, files %s", c.name, now.state, r.state, now.feed.Detail, have(t, files))
			}
		} else if got := have(t, files); got != "" {
			t.Errorf("%s: left behind: %s", c.name, got)
		}
	}

	// It does not try forever.
	s := newShelf(t)
	files := &Files{Dir: t.TempDir(), Store: s}
	s.onRead = func() { s.calendar.Rev++ }
	if _, err := files.Rendering(t.Context(), s.put(bridge.Feed{ID: 1})); !errors.Is(err, errPublished) || have(t, files) != "" {
		t.Errorf("%v, %s", err, have(t, files))
	}
}

// TestRenderingStates: when there is something to show.
func TestRenderingStates(t *testing.T) {
	s := newShelf(t)
	files := &Files{Dir: t.TempDir(), Store: s}
	feed := s.put(bridge.Feed{ID: 1})
	first, err := files.rendering(t.Context(), feed)
	if err != nil || first.Name != "Calendar" || len(first.state) != 32 || s.read != 0 {
		t.Errorf("%+v, %v, %d pages", first, err, s.read)
	}
	if again, err := files.rendering(t.Context(), feed); err != nil || again.state != first.state {
		t.Errorf("a state changes by itself: %v", err)
	}
	other := feed
	other.Calendars = []bridge.CalendarID{6}
	if _, err := files.rendering(t.Context(), other); !errors.Is(err, ErrNoCalendars) {
		t.Errorf("without its calendar: %v", err)
	}
	s.calendar.Rev, s.calendar.Good = 0, time.Time{}
	if _, err := files.rendering(t.Context(), feed); !errors.Is(err, ErrNotReady) {
		t.Errorf("before the first sync: %v", err)
	}
}

// BenchmarkSweep is what a minute costs a server with many feeds.
func BenchmarkSweep(b *testing.B) {
	s := newShelf(b)
	files := &Files{Dir: b.TempDir(), Store: s}
	for i := range 1000 {
		f := s.put(bridge.Feed{ID: bridge.FeedID(i), Salt: fmt.Append(nil, i)})
		plant(b, files, 0, owner(f)+"0.ics", owner(f)+"0.ics.gz", owner(f)+"0.ics.zst")
	}
	for b.Loop() {
		sweep(b, files)
	}
}
