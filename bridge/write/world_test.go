package write_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/write"
	"outbridge/caldav/ics"
)

// world is a simulated Outlook with rounds and a Writer in front of it.
type world struct {
	*roundtest.World
	writer  *write.Writer
	policy  bridge.Policy
	learned bridge.Learned
	wrap    func(write.Store) write.Store // of the store, for faults; nil: as it is
}

const alice = "alice@contoso.example"

func newWorld(t *testing.T, set ...func(*graphsim.Server)) *world {
	w := &world{World: roundtest.New(t, set...), policy: bridge.Policy{Write: true, Invitations: bridge.InvitationsOutlook, Attachments: true}}
	w.start()
	t.Cleanup(func() {
		w.writer.Close()
		w.Store.Close()
	})
	return w
}

// start puts a Writer in front of what there is.
func (w *world) start() {
	w.Helper()
	var store write.Store = w.Store
	if w.wrap != nil {
		store = w.wrap(store)
	}
	w.Mailbox.Policy = w.policy
	w.Rounds.AttachmentURL = func(token, name string) string { return "https://calendar.example/dav/att/" + token + "/" + name }
	w.writer = &write.Writer{
		Store: store, Rounds: w.Rounds, Now: w.Now, Log: w.Log,
		Mailbox: func(context.Context, string) (write.Mailbox, error) {
			m := w.Mailbox
			m.Policy = w.policy
			return write.Mailbox{Mailbox: m, Addresses: []string{alice}, Learned: w.learned}, nil
		},
	}
}

// kill ends the Writer and the store at once, and starts others.
func (w *world) kill() {
	w.Helper()
	w.writer.Close()
	w.Crash()
	w.start()
}

func (w *world) calendar() bridge.Calendar {
	w.Helper()
	c, err := w.Store.Calendar(w.Ctx, 1)
	w.Must(err)
	return c
}

// event is an object of one appointment.
func event(uid, summary string, day, hour int, lines ...string) string {
	at := roundtest.At(day, hour, 0)
	return calendar(append([]string{
		"UID:" + uid, "DTSTAMP:20261101T000000Z", "SUMMARY:" + summary,
		"DTSTART:" + at.Format("20060102T150405Z"), "DTEND:" + at.Add(time.Hour).Format("20060102T150405Z"),
	}, lines...)...)
}

// calendar is an object of one event. A line of its own, "", begins another.
func calendar(lines ...string) string {
	text := strings.ReplaceAll(strings.Join(lines, "\r\n"), "\r\n\r\n", "\r\nEND:VEVENT\r\nBEGIN:VEVENT\r\n")
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\n" + text + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

func (w *world) request(name, octets string, match write.Match) write.Request {
	w.Helper()
	r := write.Request{Account: "alice", Password: "phone", Client: "test/1", Calendar: w.calendar(), Name: name, Octets: []byte(octets), Match: match}
	if octets != "" {
		cal, err := ics.Decode([]byte(octets))
		w.Must(err)
		r.New = cal
	}
	return r
}

func (w *world) put(name, octets string, match write.Match) (write.Result, error) {
	w.Helper()
	return w.writer.Put(w.Ctx, w.request(name, octets, match))
}

// mustPut is a put that has to succeed; it returns the object.
func (w *world) mustPut(name, octets string, match write.Match) bridge.Object {
	w.Helper()
	r, err := w.put(name, octets, match)
	if err != nil {
		w.Fatalf("PUT %s: %v", name, err)
	}
	return r.Object
}

func (w *world) remove(name string, match write.Match) error {
	w.Helper()
	return w.writer.Delete(w.Ctx, w.request(name, "", match))
}

// only is the name and the octets of the only object.
func (w *world) only() bridge.Object {
	w.Helper()
	list, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{WithData: true, Limit: 10})
	w.Must(err)
	if len(list) != 1 {
		w.Fatalf("%d objects, want one", len(list))
	}
	return list[0]
}

// quiet polls a few times, and requires that nothing changes for clients.
func (w *world) quiet() {
	w.Helper()
	w.Pass(5 * time.Second)
	w.Sim.Settle() // names of attendees become known, which shows
	w.Round()
	before := w.calendar().Rev
	was, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{WithData: true, Limit: 10})
	w.Must(err)
	for range 3 {
		if r := w.Round(); r.Changed() != 0 {
			now, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{WithData: true, Limit: 10})
			w.Must(err)
			for i := range was {
				w.Logf("%s\n%s", was[i].Data, now[i].Data)
			}
			w.Fatalf("a poll changed %d objects", r.Changed())
		}
	}
	if c := w.calendar(); c.Rev != before {
		w.Fatalf("polls moved the calendar from rev %d to %d", before, c.Rev)
	}
}

// refused requires a refusal, and returns its sentence.
func (w *world) refused(err error) *write.Refused {
	w.Helper()
	var r *write.Refused
	if !errors.As(err, &r) {
		w.Fatalf("got %v, want a refusal", err)
	}
	if r.Sentence == "" || !strings.HasSuffix(strings.TrimSpace(r.Sentence), ".") {
		w.Fatalf("a refusal without a sentence: %q", r.Sentence)
	}
	return r
}

func (w *world) intents() []bridge.Intent {
	w.Helper()
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	list, err := w.Store.Intents(w.Ctx, a.ID, 100)
	w.Must(err)
	return list
}

func (w *world) recover() {
	w.Helper()
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	_, err = w.writer.Recover(w.Ctx, a.ID)
	w.Must(err)
	for _, i := range w.intents() {
		if i.State == bridge.IntentOpen {
			w.Fatalf("intent %d is still open", i.ID)
		}
	}
}

// writes counts the requests that change something.
func (w *world) writes() (n int) {
	for _, r := range w.Sim.Requests() {
		if r.Method != "GET" && !strings.HasSuffix(r.Path, "/$batch") && strings.Contains(r.Path, "/events") {
			n++
		}
	}
	return n
}

var create = write.Match{IfNoneMatch: []string{"*"}}

func ifMatch(o bridge.Object) write.Match { return write.Match{IfMatch: []string{o.ETag}} }

func replace(o bridge.Object, pairs ...string) string {
	s := string(o.Data)
	out := strings.NewReplacer(pairs...).Replace(s)
	if out == s {
		panic(fmt.Sprintf("nothing to replace in\n%s", s))
	}
	return out
}

// dumpIntents logs what became of each request.
func (w *world) dumpIntents() {
	w.Helper()
	for _, i := range w.intents() {
		full, err := w.Store.SameIntent(w.Ctx, 1, i.Name, i.BodyHash, i.Created.AddDate(-1, 0, 0))
		w.Must(err)
		plan, err := json.Marshal(full.Plan)
		w.Must(err)
		w.Logf("intent %d %s %s step %d: %s %+v", full.ID, full.Name, full.State, full.Step, plan, full.Refusal)
	}
}
