package round_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/dav"
	"outbridge/bridge/feed"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav"
)

// identities remembers what clients have seen of UIDs and hrefs, and complains of what must never be.
type identities struct {
	*world
	sequences map[string]int       // UID → the highest SEQUENCE
	stamps    map[string]string    // UID → the latest LAST-MODIFIED
	etags     map[string]string    // href → the ETag that these are of
	uids      map[string]string    // href → UID
	shown     map[string]bool      // UIDs that are there
	hrefs     map[string][2]string // summary → href and UID of the last look
}

func (w *world) identities() *identities {
	return &identities{w, map[string]int{}, map[string]string{}, map[string]string{}, map[string]string{}, nil, nil}
}

func (i *identities) look() {
	i.Helper()
	i.shown, i.hrefs = map[string]bool{}, map[string][2]string{}
	back := dav.Backend{Store: i.Store}
	cals, err := back.Calendars(i.Ctx, caldav.Principal{Name: "alice"})
	i.Must(err)
	for _, c := range cals {
		for o, err := range back.Objects(i.Ctx, c, caldav.Query{WithData: true}) {
			i.Must(err)
			var uid, modified, summary string
			sequence := -1
			for line := range strings.SplitSeq(strings.ReplaceAll(string(o.Data), "\r\n ", ""), "\r\n") {
				switch name, value, _ := strings.Cut(line, ":"); name {
				case "UID":
					uid = value
				case "SUMMARY":
					summary = value
				case "LAST-MODIFIED":
					modified = max(modified, value)
				case "SEQUENCE":
					sequence, err = strconv.Atoi(value)
					i.Must(err)
				}
			}
			href := fmt.Sprint(c.Name, "/", o.Name, " of epoch ", c.Token.Epoch)
			if was := i.uids[href]; was != "" && was != uid {
				i.Errorf("%s: %s has the UID %s, before it was %s", summary, href, uid, was)
			}
			if i.etags[href] != o.ETag {
				if was, known := i.sequences[uid]; known && sequence <= was {
					i.Errorf("%s: SEQUENCE %d after %d", summary, sequence, was)
				}
				if modified < i.stamps[uid] {
					i.Errorf("%s: LAST-MODIFIED %s after %s", summary, modified, i.stamps[uid])
				}
				i.sequences[uid], i.stamps[uid] = sequence, modified
			}
			i.uids[href], i.etags[href], i.shown[uid] = uid, o.ETag, true
			i.hrefs[summary] = [2]string{href, uid}
		}
	}
}

// TestSequenceNeverFalls: an event that leaves and comes back, in the same calendar or another one, served in between or not.
func TestSequenceNeverFalls(t *testing.T) {
	w, a, b, private := three(t, func(*graphsim.Server) {})
	ids := w.identities()
	single, series := a.Create(meeting("Single", 3, 9)), a.Create(weekly("Series", -7, 11, "monday"))
	w.Round()
	ids.look()
	from := a
	for n, to := range []*graphsim.Calendar{b, private, a, private, b, a, b, private, b} {
		for range 2 {
			w.Must(from.Change(single, func(e *graphsim.Event) { e.Subject += "'" }))
			w.Must(from.Change(series, func(e *graphsim.Event) { e.Subject += "'" }))
			if from != private {
				w.Changes(2)
			}
			ids.look()
		}
		w.Must(from.Move(single, to))
		w.Must(from.Move(series, to))
		from = to
		w.Round()
		ids.look()
		switch n {
		case 4: // the calendar leaves the configuration and comes back
			w.Mailbox.Exclude, w.Left = []string{"other", "private"}, 2
			w.Round()
			w.Mailbox.Exclude, w.Left = []string{"private"}, 1
			w.try()
			w.Sim.ResetViolations() // its first cursor is forgotten with it, and so is all that it could have lost
			w.Round()
			ids.look()
		case 6:
			w.Crash()
		}
	}
	// Out of history, and back.
	w.Must(b.Change(single, func(e *graphsim.Event) { e.Start, e.End = at(-800, 9, 0), at(-800, 10, 0) }))
	w.Changes(1)
	ids.look()
	w.Must(b.Change(single, func(e *graphsim.Event) { e.Start, e.End = at(8, 9, 0), at(8, 10, 0) }))
	w.Changes(1)
	ids.look()
}

// TestUIDOfHref: copies of an event have one iCalUId. Whichever of them goes, changes or comes back, no href gets another UID, and
// no UID is at two.
func TestUIDOfHref(t *testing.T) {
	w, cal, _, private := three(t, func(*graphsim.Server) {})
	ids := w.identities()
	copyOf := func(n int) graphsim.Event {
		e := meeting(fmt.Sprint("Copy ", n), 2+n, 9)
		e.ICalUID = "040000008200E00074C5B7101A82E00800000000AAAA"
		return e
	}
	one := cal.Create(copyOf(1))
	w.Changes(1)
	two := cal.Create(copyOf(2))
	w.Changes(1)
	ids.look()
	w.Must(cal.Move(one, private))
	w.Round()
	ids.look()
	w.Must(cal.Change(two, func(e *graphsim.Event) { e.Location = "Roof" }))
	w.Changes(1)
	ids.look()
	three := cal.Create(copyOf(3))
	w.Changes(1)
	ids.look()
	w.Must(private.Move(one, cal)) // its UID is taken by now
	w.Changes(1)
	ids.look()
	w.Must(cal.Delete(three))
	w.Changes(1)
	w.Must(cal.Change(one, func(e *graphsim.Event) { e.Location = "Cellar" }))
	w.Changes(1)
	ids.look()
	w.Must(cal.Move(one, private))
	w.Round()
	w.Must(private.Move(one, cal)) // and now it is free
	w.Changes(1)
	ids.look()
	w.Must(cal.Change(one, func(e *graphsim.Event) { e.Location = "Attic" }))
	w.Must(cal.Change(two, func(e *graphsim.Event) { e.ICalUID = "another-one" }))
	w.Pass(time.Hour)
	w.Round()
	ids.look()
	if len(ids.shown) != 2 {
		t.Errorf("%d UIDs, want 2", len(ids.shown))
	}
}

// TestFeedOfCopies: a feed shows copies of an event in several calendars, each with a UID of its own. Whichever of them changes,
// goes or comes back, SEQUENCE, LAST-MODIFIED and DTSTAMP never fall for a UID.
func TestFeedOfCopies(t *testing.T) {
	w, a, b, private := three(t, func(*graphsim.Server) {})
	highest := map[string]int{}
	latest := map[string]string{}
	look := func(step string, want int) {
		t.Helper()
		account, err := w.Store.Account(w.Ctx, "alice")
		w.Must(err)
		cals, err := w.Store.Calendars(w.Ctx, account.ID)
		w.Must(err)
		n := 0
		for data, err := range feed.Objects(w.Ctx, w.Store, cals) {
			w.Must(err)
			n++
			uid, now := "", map[string]string{}
			sequence := -1
			for line := range strings.SplitSeq(strings.ReplaceAll(string(data), "\r\n ", ""), "\r\n") {
				switch name, value, _ := strings.Cut(line, ":"); name {
				case "UID":
					uid = value
				case "SEQUENCE":
					sequence, err = strconv.Atoi(value)
					w.Must(err)
				case "LAST-MODIFIED", "DTSTAMP":
					now[name] = value
				}
			}
			if was, known := highest[uid]; known && sequence < was {
				t.Errorf("%s: %s: SEQUENCE %d after %d", step, uid, sequence, was)
			}
			highest[uid] = sequence
			for name, value := range now {
				if was := latest[uid+name]; value < was {
					t.Errorf("%s: %s: %s %s after %s", step, uid, name, value, was)
				}
				latest[uid+name] = value
			}
		}
		if n != want {
			t.Errorf("%s: %d objects, want %d", step, n, want)
		}
	}
	copyOf := func(n int) graphsim.Event {
		e := meeting(fmt.Sprint("Copy ", n), 2+n, 9)
		e.ICalUID = "040000008200E00074C5B7101A82E00800000000AAAA"
		return e
	}
	two := b.Create(copyOf(2))
	w.Changes(1)
	one := a.Create(copyOf(1))
	w.Changes(1)
	look("made", 2)
	for n := range 5 {
		w.Must(a.Change(one, func(e *graphsim.Event) { e.Location = fmt.Sprint("Room ", n) }))
		w.Changes(1)
		look("changed", 2)
	}
	for range 2 {
		w.Must(a.Move(one, private))
		w.Round()
		look("the first is gone", 1)
		w.Must(private.Move(one, a))
		w.Changes(1)
		look("the first is back", 2)
	}
	w.Must(b.Change(two, func(e *graphsim.Event) { e.Location = "Roof" }))
	w.Changes(1)
	look("the second has changed", 2)
	w.Must(a.Delete(one))
	w.Changes(1)
	look("the first is deleted", 1)
	w.Must(b.Delete(two))
	w.Changes(1)
	look("both are deleted", 0)
	a.Create(copyOf(3))
	w.Changes(1)
	look("another one is there", 1)
}
