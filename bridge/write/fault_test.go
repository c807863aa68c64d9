package write_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
	"outbridge/bridge/write"
)

// scenario is one edit with the mails that it makes, on a world in which the event is already there.
type scenario struct {
	name    string
	prepare func(w *world) // the event is made, and nothing of it counts
	edit    func(w *world) error
	mails   []string
	so      func(w *world) bool // what the edit wants is so
}

func holds(w *world, words ...string) bool {
	list, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{WithData: true, Limit: 10})
	w.Must(err)
	for _, o := range list {
		all := true
		for _, word := range words {
			all = all && strings.Contains(string(o.Data), word)
		}
		if all {
			return true
		}
	}
	return false
}

func count(w *world) int {
	list, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{Limit: 10})
	w.Must(err)
	return len(list)
}

var meeting = event("m", "Plan", 1, 10, "ORGANIZER:mailto:"+alice, attendee(bob, ";PARTSTAT=NEEDS-ACTION"), attendee(alice, ";PARTSTAT=ACCEPTED"))

// inline is an ATTACH with a file in it.
func inline(name, content string) string {
	return "ATTACH;VALUE=BINARY;ENCODING=BASE64;FMTTYPE=text/plain;FILENAME=" + name + ":" + base64.StdEncoding.EncodeToString([]byte(content))
}

// files reports whether the only object has links to files of these names, to each one.
func (w *world) files(names ...string) bool {
	list, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{WithData: true, Limit: 10})
	w.Must(err)
	if len(list) != 1 {
		return false
	}
	text := strings.ReplaceAll(string(list[0].Data), "\r\n ", "")
	for _, name := range names {
		if strings.Count(text, "FILENAME="+name) != 1 {
			return false
		}
	}
	return strings.Count(text, "ATTACH;") == len(names)
}

// current is the object as it is stored.
func (w *world) current(name string) bridge.Object {
	w.Helper()
	o, err := w.Store.Object(w.Ctx, 1, name)
	w.Must(err)
	return o
}

var scenarios = []scenario{
	{
		name: "a meeting is made",
		edit: func(w *world) error { _, err := w.put("m.ics", meeting, create); return err }, mails: []string{"invitation " + bob},
		so: func(w *world) bool { return holds(w, "UID:m\r\n", "SUMMARY:Plan") && count(w) == 1 },
	},
	{
		name: "a series is made with exceptions",
		edit: func(w *world) error {
			_, err := w.put("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z"),
				override("s", "Later", "20261128T090000Z", "20261128T110000Z", "20261128T120000Z")), create)
			return err
		},
		so: func(w *world) bool {
			return holds(w, "UID:s\r\n", "EXDATE:20261126T090000Z", "Other", "Later") && count(w) == 1
		},
	},
	{
		name:    "a meeting changes",
		prepare: func(w *world) { w.mustPut("m.ics", meeting, create) },
		edit: func(w *world) error {
			_, err := w.put("m.ics", replace(w.current("m.ics"), "SUMMARY:Plan", "SUMMARY:Plan B"), write.Match{})
			return err
		},
		mails: []string{"update " + bob},
		so:    func(w *world) bool { return holds(w, "SUMMARY:Plan B") },
	},
	{
		name:    "a meeting goes",
		prepare: func(w *world) { w.mustPut("m.ics", meeting, create) },
		edit: func(w *world) error {
			err := w.remove("m.ics", write.Match{})
			if errors.Is(err, write.ErrNotFound) {
				return nil
			}
			return err
		},
		mails: []string{"cancellation " + bob},
		so:    func(w *world) bool { return count(w) == 0 },
	},
	{
		name: "the times of a series change",
		prepare: func(w *world) {
			w.mustPut("s.ics", daily("s", "EXDATE:20261126T090000Z", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), create)
		},
		edit: func(w *world) error {
			text := string(w.current("s.ics").Data)
			if !strings.Contains(text, "T120000Z") {
				text = strings.ReplaceAll(strings.ReplaceAll(text, "T090000Z", "T110000Z"), "T100000Z", "T120000Z")
			}
			_, err := w.put("s.ics", text, write.Match{})
			return err
		},
		so: func(w *world) bool { return holds(w, "DTSTART:20261124T110000Z", "EXDATE:20261126T110000Z", "Other") },
	},
	{
		name:    "occurrences change and go",
		prepare: func(w *world) { w.mustPut("s.ics", daily("s"), create) },
		edit: func(w *world) error {
			_, err := w.put("s.ics", daily("s", "EXDATE:20261126T090000Z,20261129T090000Z", override("s", "Other", "20261127T090000Z", "20261127T090000Z", "20261127T100000Z")), write.Match{})
			return err
		},
		so: func(w *world) bool { return holds(w, "EXDATE:20261126T090000Z", "EXDATE:20261129T090000Z", "Other") },
	},
	{
		name: "an event with files is made",
		edit: func(w *world) error {
			_, err := w.put("f.ics", event("f", "Files", 1, 9, inline("one.txt", "first"), inline("two.txt", "second")), create)
			return err
		},
		so: func(w *world) bool { return count(w) == 1 && w.files("one.txt", "two.txt") },
	},
	{
		name:    "files come and go",
		prepare: func(w *world) { w.mustPut("f.ics", daily("f", inline("one.txt", "first")), create) },
		edit: func(w *world) error {
			text := strings.ReplaceAll(string(w.current("f.ics").Data), "\r\n ", "")
			var lines []string
			for line := range strings.Lines(text) {
				if !strings.HasPrefix(line, "ATTACH") {
					lines = append(lines, line)
				}
			}
			text = strings.Replace(strings.Join(lines, ""), "SUMMARY:Standup", inline("two.txt", "second")+"\r\n"+inline("three.txt", "third")+"\r\nSUMMARY:Other", 1)
			r := w.request("f.ics", text, write.Match{})
			r.Client = "Thunderbird/128"
			_, err := w.writer.Put(w.Ctx, r)
			return err
		},
		so: func(w *world) bool { return holds(w, "SUMMARY:Other") && w.files("two.txt", "three.txt") },
	},
	{
		name:    "a managed file takes the place of another",
		prepare: func(w *world) { w.mustPut("f.ics", event("f", "Files", 1, 9, inline("one.txt", "first")), create) },
		edit: func(w *world) error {
			text := string(w.current("f.ics").Data)
			_, key, _ := strings.Cut(strings.ReplaceAll(text, "\r\n ", ""), "MANAGED-ID=")
			if w.files("two.txt") {
				return nil
			}
			_, _, err := w.writer.Reattach(w.Ctx, w.request("f.ics", "", write.Match{}), key[:40], write.NewFile{Name: "two.txt", Type: "text/plain", Octets: []byte("second")})
			return err
		},
		so: func(w *world) bool { return w.files("two.txt") },
	},
	{
		name: "an invitation is accepted",
		prepare: func(w *world) {
			w.Box.Receive(graphsim.Event{Subject: "Theirs", Start: roundtest.At(1, 9, 0), End: roundtest.At(1, 10, 0), Zone: "UTC",
				Organizer: graph.EmailAddress{Name: "Bob", Address: bob},
				Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: alice}}}})
			w.Round()
		},
		edit: func(w *world) error {
			o := w.only()
			_, err := w.put(o.Name, answered(o, "ACCEPTED"), write.Match{})
			return err
		},
		mails: []string{"reply accepted " + bob},
		so:    func(w *world) bool { return holds(w, "CUTYPE=INDIVIDUAL;PARTSTAT=ACCEPTED;ROLE=REQ-PARTICIPANT") },
	},
}

// isWrite reports whether a request to Graph changes something.
func isWrite(r *http.Request) bool {
	return r.Method != http.MethodGet && !strings.HasSuffix(r.URL.Path, "/$batch") && strings.Contains(r.URL.Path, "/events")
}

var faults = map[string]func() *graphsim.Fault{
	"no answer":       func() *graphsim.Fault { return &graphsim.Fault{Drop: true} },
	"a lost answer":   func() *graphsim.Fault { return &graphsim.Fault{DropAnswer: true} },
	"412":             func() *graphsim.Fault { return &graphsim.Fault{Status: 412, Code: "ErrorIrresolvableConflict"} },
	"409":             func() *graphsim.Fault { return &graphsim.Fault{Status: 409, Code: "ErrorIrresolvableConflict"} },
	"429":             func() *graphsim.Fault { return &graphsim.Fault{Status: 429, RetryAfter: time.Second} },
	"500":             func() *graphsim.Fault { return &graphsim.Fault{Status: 500, Code: "ErrorInternalServerError"} },
	"503 and waiting": func() *graphsim.Fault { return &graphsim.Fault{Status: 503, RetryAfter: 2 * time.Second} },
}

// TestFaults has the n-th request to Graph of each edit fail, for each n and each way to fail. In the end the edit is carried out once,
// or refused, with the mails that it makes and no other.
func TestFaults(t *testing.T) {
	for _, s := range scenarios {
		for i, name := range []string{"no answer", "a lost answer", "412", "429", "500"} { // storms have the others too
			fault := faults[name]
			t.Run(s.name+"/"+name, func(t *testing.T) {
				t.Parallel()
				for n := int64(1 + i%stride); ; n += stride {
					over := false
					synctest.Test(t, func(t *testing.T) {
						w := newWorld(t)
						w.Round()
						if s.prepare != nil {
							s.prepare(w)
						}
						w.Sim.Settle()
						w.Round()
						w.Sim.ResetMails()
						var asked atomic.Int64
						w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
							if strings.HasPrefix(r.URL.Path, "/v1.0") && !strings.HasSuffix(r.URL.Path, "/$batch") && asked.Add(1) == n {
								return fault()
							}
							return nil
						}
						err := s.edit(w)
						over = asked.Load() < n
						w.Sim.Fault = nil
						w.Pass(time.Minute)
						w.recover()
						w.settled(s, err, fmt.Sprintf("%s at request %d", name, n))
					})
					if over || t.Failed() {
						return
					}
				}
			})
		}
	}
}

// settled requires that an edit is carried out or refused, never half, and that all is quiet afterwards.
func (w *world) settled(s scenario, err error, what string) {
	w.Helper()
	w.Pass(5 * time.Second)
	w.Sim.Settle()
	w.Round()
	done := s.so(w)
	mails := w.ledger()
	var busy *write.Busy
	switch {
	case err == nil && !done, errors.As(err, &busy) && !done && !w.unknown():
		w.dumpIntents()
		w.Fatalf("%s: answered %v, and it is not so", what, err)
	case done && fmt.Sprint(mails) != fmt.Sprint(s.mails), !done && len(mails) > 0:
		w.dumpIntents()
		w.Fatalf("%s: answered %v, done: %t, mailed %q, want %q", what, err, done, mails, s.mails)
	}
	w.Changes(0)
	if m := w.ledger(); len(m) > 0 {
		w.Fatalf("%s: mailed afterwards %q", what, m)
	}
	w.withoutViolations()
}

func (w *world) unknown() bool {
	for _, i := range w.intents() {
		if i.State == bridge.IntentUnknown {
			return true
		}
	}
	return false
}

// killer is a store that ends the Writer when it is about to be called for the n-th time, or has just been.
type killer struct {
	write.Store
	left  *int
	after bool
	die   context.CancelFunc
}

var errKilled = errors.New("killed")

func (k killer) call(f func() error) error {
	*k.left--
	switch {
	case *k.left < 0:
		return errKilled
	case *k.left == 0 && !k.after:
		k.die()
		return errKilled
	}
	err := f()
	if *k.left == 0 {
		k.die()
		return errKilled
	}
	return err
}

func (k killer) AddIntent(ctx context.Context, i bridge.Intent) (out bridge.Intent, err error) {
	err = k.call(func() (err error) { out, err = k.Store.AddIntent(ctx, i); return err })
	return out, err
}
func (k killer) SaveIntent(ctx context.Context, i bridge.Intent) error {
	return k.call(func() error { return k.Store.SaveIntent(ctx, i) })
}
func (k killer) SetName(ctx context.Context, n bridge.Name) error {
	return k.call(func() error { return k.Store.SetName(ctx, n) })
}
func (k killer) SetDigest(ctx context.Context, id bridge.CalendarID, file graph.AttachmentID, digest string) error {
	return k.call(func() error { return k.Store.SetDigest(ctx, id, file, digest) })
}
func (k killer) SetFence(ctx context.Context, id bridge.CalendarID, series graph.EventID, f bridge.Fence) error {
	return k.call(func() error { return k.Store.SetFence(ctx, id, series, f) })
}

// TestKills ends the program before and after each write to the store of each edit. After it is started again the edit is carried out,
// or was never begun.
func TestKills(t *testing.T) {
	for _, s := range scenarios {
		for i, after := range []bool{false, true} {
			t.Run(fmt.Sprint(s.name, "/", after), func(t *testing.T) {
				t.Parallel()
				for n := 1 + i%stride; ; n += stride {
					w := newWorld(t)
					w.Round()
					if s.prepare != nil {
						s.prepare(w)
					}
					w.Sim.Settle()
					w.Round()
					w.Sim.ResetMails()
					left := n
					w.wrap = func(s write.Store) write.Store { return killer{s, &left, after, func() {}} }
					w.start()
					err := s.edit(w)
					over := left > 0
					if err == nil && !over {
						t.Fatalf("write %d: killed, and answered", n)
					}
					w.wrap = nil
					w.kill()
					w.recover()
					w.Pass(5 * time.Second)
					w.Sim.Settle()
					w.Round()
					done, mails := s.so(w), w.ledger()
					if done && fmt.Sprint(mails) != fmt.Sprint(s.mails) || !done && len(mails) > 0 || !done && n > 1 && !w.unknown() {
						w.dumpIntents()
						t.Fatalf("killed at write %d: done %t, mailed %q, want %q", n, done, mails, s.mails)
					}
					w.Changes(0)
					w.withoutViolations()
					if over {
						return
					}
				}
			})
		}
	}
}
