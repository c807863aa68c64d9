package write_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/sqlstore/pgtest"
	"outbridge/bridge/write"
)

// TestMain runs fewer storms than rapid does by itself; -rapid.checks has more.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// storm is random edits of clients and of Outlook, with faults, kills and stale pages between.
type storm struct {
	*world
	t     *rapid.T
	n     int
	names []string
	seen  map[string][]bridge.Object // states that clients may still have
}

// TestStorm requires of each edit that it is refused with nothing changed, or has its effect once, with the mails that were foreseen and
// no others, and that all is quiet afterwards.
func TestStorm(t *testing.T) {
	t.Parallel()
	if pgtest.Available() {
		pgtest.Shared(t) // it does not start in a bubble
	}
	// A bubble has no deadline to ask for.
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ testing.TB }{t}, func(one *rapid.T) { oneStorm(one, t) })
	})
}

func oneStorm(t *rapid.T, test *testing.T) {
	{
		dir, err := os.MkdirTemp("", "storm-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		w := &world{policy: bridge.Policy{Write: true, Invitations: bridge.InvitationsOutlook}}
		database := roundtest.Database(test, rapid.SampledFrom(roundtest.Kinds()).Draw(t, "database"), dir)
		w.World = roundtest.MakeAt(t, ctx, dir, database, slog.New(slog.DiscardHandler), func(s *graphsim.Server) {
			s.Writing.KeepExceptions = rapid.Bool().Draw(t, "exceptions stay")
			s.Writing.KeepCancellations = s.Writing.KeepExceptions
			s.Writing.NoOccurrenceIDs = rapid.Bool().Draw(t, "no OIDs")
			s.Writing.GoneAtOnce = rapid.Bool().Draw(t, "gone at once")
			s.Writing.Duplicates = rapid.SampledFrom([]graphsim.Duplicates{graphsim.DuplicateRefused, graphsim.DuplicateConflict, graphsim.DuplicateUnnamed, graphsim.DuplicateAsIfMade}).Draw(t, "duplicates")
		})
		w.start()
		defer func() {
			w.writer.Close()
			w.Store.Close()
		}()
		w.Client.Attempts = 2
		w.Round()
		s := &storm{world: w, t: t, seen: map[string][]bridge.Object{}}
		for range rapid.IntRange(2, 8).Draw(t, "edits") {
			s.step()
		}
	}
}

func (s *storm) draw(n int, what string) int { return rapid.IntRange(0, n-1).Draw(s.t, what) }

func (s *storm) step() {
	s.Helper()
	if len(s.names) == 0 || s.draw(4, "what") == 0 {
		s.client(s.create)
		return
	}
	switch s.draw(6, "who") {
	case 0:
		s.outlook()
	case 1:
		s.client(s.delete)
	default:
		s.client(s.change)
	}
}

// create returns the request for a new object.
func (s *storm) create() (write.Request, string) {
	s.n++
	name := fmt.Sprint("e", s.n, ".ics")
	uid, day := fmt.Sprint("uid-", s.n), 1+s.n%5
	var lines []string
	if s.draw(3, "meeting") == 0 {
		lines = append(lines, "ORGANIZER:mailto:"+alice, attendee(bob, ";PARTSTAT=NEEDS-ACTION"), attendee(carol, ""))
	}
	if s.draw(2, "series") == 0 {
		lines = append(lines, "RRULE:FREQ=DAILY;COUNT=8")
		if s.draw(2, "exdate") == 0 {
			lines = append(lines, "EXDATE:"+roundtest.At(day+2, 9, 0).Format("20060102T150405Z"))
		}
	}
	s.names = append(s.names, name)
	word := fmt.Sprint("New", s.n)
	return s.request(name, event(uid, word, day, 9, lines...), create), "SUMMARY:" + word
}

func (s *storm) delete() (write.Request, string) {
	i := s.draw(len(s.names), "which")
	return s.request(s.names[i], "", write.Match{}), ""
}

// change edits a state of an object that a client has or had.
func (s *storm) change() (write.Request, string) {
	name := s.names[s.draw(len(s.names), "which")]
	states := s.seen[name]
	if len(states) == 0 {
		return s.create()
	}
	o := states[len(states)-1]
	if s.draw(4, "old state") == 0 {
		o = states[s.draw(len(states), "state")]
	}
	text := string(o.Data)
	s.n++
	word := fmt.Sprint("Word", s.n)
	head, rest, _ := strings.Cut(text, "END:VEVENT")
	isSeries := strings.Contains(head, "RRULE")
	want := "SUMMARY:" + word
	set := func(name, value string) {
		lines := strings.Split(head, "\r\n")
		for i, l := range lines {
			if strings.HasPrefix(l, name+":") {
				lines[i] = name + ":" + value
			}
		}
		head = strings.Join(lines, "\r\n")
	}
	start, _ := time.Parse("20060102T150405Z", between1(head, "DTSTART:", "\r\n"))
	switch s.draw(6, "how") {
	case 0, 1:
		set("SUMMARY", word)
	case 2:
		head, want = strings.Replace(head, "SUMMARY:", "LOCATION:"+word+"\r\nSUMMARY:", 1), "LOCATION:"+word
		if strings.Count(head, "LOCATION:") > 1 {
			return s.change()
		}
	case 3: // two hours later, with everything that hangs on it
		move := func(text string) string {
			for _, prefix := range []string{"DTSTART:", "DTEND:", "EXDATE:", "RECURRENCE-ID:"} {
				lines := strings.Split(text, "\r\n")
				for i, l := range lines {
					if at, err := time.Parse("20060102T150405Z", strings.TrimPrefix(l, prefix)); err == nil && strings.HasPrefix(l, prefix) {
						lines[i] = prefix + at.Add(2*time.Hour).Format("20060102T150405Z")
					}
				}
				text = strings.Join(lines, "\r\n")
			}
			return text
		}
		lost := isSeries && strings.Contains(head, "ATTENDEE") && (strings.Contains(text, "EXDATE") || strings.Contains(text, "RECURRENCE-ID"))
		if start.Hour() > 18 || lost && !s.Sim.Writing.KeepExceptions { // who is told again of what was lost has been told before
			return s.change()
		}
		head, rest = move(head), move(rest)
		want = "DTSTART:" + start.Add(2*time.Hour).Format("20060102T150405Z")
	case 4: // one occurrence goes
		if !isSeries {
			return s.change()
		}
		at := start.AddDate(0, 0, 1+s.draw(6, "day")).Format("20060102T150405Z")
		if strings.Contains(text, "RECURRENCE-ID:"+at) || strings.Contains(text, "EXDATE:"+at) {
			return s.change()
		}
		head, want = strings.Replace(head, "SUMMARY:", "EXDATE:"+at+"\r\nSUMMARY:", 1), "EXDATE:"+at
	case 5: // one is called otherwise
		if !isSeries {
			return s.change()
		}
		at := start.AddDate(0, 0, 1+s.draw(6, "day"))
		stamp := at.Format("20060102T150405Z")
		if strings.Contains(text, "RECURRENCE-ID:"+stamp) || strings.Contains(text, "EXDATE:"+stamp) {
			return s.change()
		}
		// As clients do: the occurrence is the master with another text.
		one := strings.Split(head[strings.Index(head, "BEGIN:VEVENT"):], "\r\n")
		one = slices.DeleteFunc(one, func(l string) bool { return strings.HasPrefix(l, "RRULE:") || strings.HasPrefix(l, "EXDATE:") })
		for i, l := range one {
			switch {
			case strings.HasPrefix(l, "SUMMARY:"):
				one[i] = "SUMMARY:" + word
			case strings.HasPrefix(l, "DTSTART:"):
				one[i] = "RECURRENCE-ID:" + stamp + "\r\nDTSTART:" + stamp
			case strings.HasPrefix(l, "DTEND:"):
				one[i] = "DTEND:" + at.Add(time.Hour).Format("20060102T150405Z")
			}
		}
		rest = "\r\n" + strings.Join(one, "\r\n") + "END:VEVENT" + rest
	}
	match := ifMatch(o)
	if s.draw(4, "unconditional") == 0 && o.ETag == states[len(states)-1].ETag {
		match = write.Match{}
	}
	return s.request(name, head+"END:VEVENT"+rest, match), want
}

func between1(s, a, b string) string {
	_, s, _ = strings.Cut(s, a)
	s, _, _ = strings.Cut(s, b)
	return s
}

// shown is what Outlook shows.
func (s *storm) shown() string {
	return fmt.Sprintf("%+v", s.Box.Calendar().Instances(roundtest.Start.AddDate(0, -1, 0), roundtest.Start.AddDate(0, 6, 0)))
}

// client sends a request, through whatever trouble, and again as clients do where they are told to.
func (s *storm) client(make func() (write.Request, string)) {
	s.Helper()
	s.Pass(time.Minute)
	r, want := make()
	before := s.shown()
	s.Sim.ResetMails()
	trouble := s.draw(5, "trouble")
	n := int64(1 + s.draw(5, "at"))
	var asked atomic.Int64
	switch trouble {
	case 0, 1:
		names := []string{"no answer", "a lost answer", "412", "409", "500", "503 and waiting"}
		f := faults[names[s.draw(len(names), "fault")]]
		s.Sim.Fault = func(r *http.Request) *graphsim.Fault {
			if strings.HasPrefix(r.URL.Path, "/v1.0") && !strings.HasSuffix(r.URL.Path, "/$batch") && asked.Add(1) == n {
				return f()
			}
			return nil
		}
	case 2:
		s.Sim.Stale = func(r *http.Request) bool { return asked.Add(1) == n }
	case 3:
		left := int(n)
		after := s.draw(2, "after") == 0
		s.wrap = func(st write.Store) write.Store { return killer{st, &left, after, func() {}} }
		s.start()
	}
	ask := func() (write.Result, error) {
		if r.New == nil {
			return write.Result{}, s.writer.Delete(s.Ctx, r)
		}
		return s.writer.Put(s.Ctx, r)
	}
	result, err := ask()
	s.Sim.Fault, s.Sim.Stale, s.wrap = nil, nil, nil
	killed := trouble == 3
	if killed {
		s.kill()
		s.Client.Attempts = 2
	}
	s.Pass(time.Minute)
	s.recover()
	var busy *write.Busy
	if errors.As(err, &busy) || killed {
		result, err = ask()
	}
	s.Pass(10 * time.Second)
	s.Sim.Settle()
	s.Round()
	s.judge(r, want, before, trouble > 1, result, err)
}

func (s *storm) judge(r write.Request, want, before string, clean bool, result write.Result, err error) {
	s.Helper()
	var refused *write.Refused
	mailed := 0
	for _, m := range s.Sim.Mails() {
		mailed += len(m.To)
	}
	foreseen, unknown := 0, false
	for _, i := range s.intents() {
		if i.Name == r.Name && !i.Changed.Before(s.Now().Add(-3*time.Minute)) {
			foreseen += i.Mails
			unknown = unknown || i.State == bridge.IntentUnknown
		}
	}
	if mailed != foreseen && !unknown {
		s.dumpIntents()
		s.Fatalf("%d mailed, %d foreseen: %q", mailed, foreseen, s.ledger())
	}
	switch {
	case err == nil && r.New == nil, errors.Is(err, write.ErrNotFound):
		if _, err := s.Store.Object(s.Ctx, 1, r.Name); err == nil {
			s.Fatalf("deleted, and it is there")
		}
		s.names = slices.DeleteFunc(s.names, func(n string) bool { return n == r.Name })
	case err == nil:
		if _, err := s.Store.Object(s.Ctx, 1, r.Name); err != nil {
			s.Fatalf("%s is not there: %v", r.Name, err)
		}
		if !strings.Contains(string(s.current(r.Name).Data), want) {
			s.dumpIntents()
			s.Fatalf("%q is not so:\n%s\nafter\n%s", want, s.current(r.Name).Data, r.Octets)
		}
		_ = result
	case errors.As(err, &refused), errors.Is(err, write.ErrPrecondition):
		if after := s.shown(); clean && after != before {
			s.dumpIntents()
			s.Fatalf("%v, and Outlook shows\n%s\nafter\n%s", err, after, before)
		}
	default:
		s.Fatalf("%v", err)
	}
	s.Changes(0)
	s.withoutViolations()
	if o, err := s.Store.Object(s.Ctx, 1, r.Name); err == nil {
		s.seen[r.Name] = append(s.seen[r.Name], o)
	} else {
		delete(s.seen, r.Name)
		s.names = slices.DeleteFunc(s.names, func(n string) bool { return n == r.Name })
	}
}

// outlook edits an event in Outlook, which a round may or may not have seen when a client edits it next.
func (s *storm) outlook() {
	name := s.names[s.draw(len(s.names), "which")]
	o, err := s.Store.Object(s.Ctx, 1, name)
	if err != nil {
		return
	}
	s.n++
	s.Pass(time.Minute)
	cal := s.Box.Calendar()
	switch s.draw(3, "edit") {
	case 0:
		_ = cal.Change(o.Series, func(e *graphsim.Event) { e.Subject = fmt.Sprint("Theirs", s.n) })
	case 1:
		_ = cal.Change(o.Series, func(e *graphsim.Event) { e.Location = fmt.Sprint("Room", s.n) })
	case 2:
		_ = cal.ReceiveReply(o.Series, bob, "accepted")
	}
	if s.draw(2, "seen") == 0 {
		s.Round()
		if o, err := s.Store.Object(s.Ctx, 1, name); err == nil {
			s.seen[name] = append(s.seen[name], o)
		}
	}
}
