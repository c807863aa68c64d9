package dav_test

import (
	"bytes"
	"encoding/base64"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/bridge/round/roundtest"
)

// withFiles is a world whose clients get files.
func withFiles(t *testing.T, set ...func(*graphsim.Server)) *writing {
	w := newWriting(t, set...)
	w.policy.Attachments = true
	w.start()
	return w
}

var attachLine = regexp.MustCompile(`(?m)^ATTACH[^\r\n]*`)

// links are the ATTACH lines of an object.
func (w *writing) links(name string) []string {
	w.t.Helper()
	return attachLine.FindAllString(w.get(name), -1)
}

// pathOf is the path that an ATTACH line leads to, and keyOf its MANAGED-ID.
func pathOf(line string) string {
	_, path, _ := strings.Cut(line, "https://calendar.example")
	return path
}

func keyOf(line string) string {
	return regexp.MustCompile(`MANAGED-ID=([0-9a-f]+)`).FindStringSubmatch(line)[1]
}

// file is what a client gets for an ATTACH line.
func (w *writing) file(line string) string {
	w.t.Helper()
	return w.must(http.StatusOK, "GET", pathOf(line), "").Body.String()
}

// names are the objects of the calendar.
func (w *writing) names() (names []string) {
	w.t.Helper()
	list, err := w.Store.Objects(w.Ctx, 1, bridge.ObjectQuery{Limit: 100})
	w.Must(err)
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

// quiet requires that polls change nothing for clients.
func (w *writing) quiet() {
	w.t.Helper()
	w.Pass(5e9)
	w.Sim.Settle()
	w.Round()
	for range 3 {
		w.Changes(0)
	}
}

// in is what Outlook has attached to an event.
func (w *writing) in(id graph.EventID) map[string]string {
	w.t.Helper()
	files, err := w.Box.Calendar().Attachments(id)
	w.Must(err)
	out := map[string]string{}
	for name, b := range files {
		out[name] = string(b)
	}
	return out
}

// attachmentRequests counts what Graph was asked about attachments.
func (w *writing) attachmentRequests() (n int) {
	for _, r := range w.Sim.Requests() {
		if strings.Contains(r.Path, "/attachments") {
			n++
		}
	}
	return n
}

func TestFilesToClients(t *testing.T) { synctest.Test(t, filesToClients) }

func filesToClients(t *testing.T) {
	w := withFiles(t)
	cal := w.Box.Calendar()
	id := cal.Create(roundtest.Meeting("plan", 1, 9))
	w.Must(cal.Attach(id, "Plan ä.pdf", "application/pdf", []byte("%PDF plan")))
	w.Must(cal.Attach(id, "notes.html", "text/html; charset=utf-8", []byte("<script>alert(1)</script>")))
	w.Round()
	name := w.names()[0]
	links := w.links(name)
	if len(links) != 2 || !strings.Contains(links[0], "FMTTYPE=application/pdf") || !strings.Contains(links[0], "FILENAME=") || !strings.Contains(links[0], "SIZE=") {
		t.Fatalf("%q", links)
	}
	if got := w.file(links[0]); got != "%PDF plan" {
		t.Errorf("%q", got)
	}
	rec := w.must(http.StatusOK, "GET", pathOf(links[1]), "")
	if rec.Header().Get("Content-Type") != "text/html" || !strings.HasPrefix(rec.Header().Get("Content-Disposition"), "attachment") || rec.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", rec.Header())
	}
	if rec := w.must(http.StatusOK, "HEAD", pathOf(links[0]), ""); rec.Body.Len() != 0 || rec.Header().Get("Content-Length") != "9" {
		t.Errorf("HEAD: %v", rec.Header())
	}
	w.must(http.StatusNotFound, "GET", "/dav/att/"+strings.Repeat("0", 40), "")
	good := w.password
	w.password = "wrong"
	w.must(http.StatusUnauthorized, "GET", pathOf(links[0]), "")
	w.password = good
	// Nobody else's.
	_, err := w.Store.EnsureAccount(w.Ctx, "bob")
	w.Must(err)
	_, other, err := w.Store.AddPassword(w.Ctx, "bob", "phone", w.Now())
	w.Must(err)
	w.user, w.password = "bob", other
	w.must(http.StatusNotFound, "GET", pathOf(links[0]), "")
	w.user, w.password = "alice", good

	w.Sim.ResetRequests()
	w.quiet()
	if n := w.attachmentRequests(); n != 0 {
		t.Errorf("Graph is asked about attachments %d times, and nothing has changed", n)
	}
	// What is attached later shows with the next change.
	w.Must(cal.Attach(id, "more.txt", "text/plain", []byte("more")))
	w.Must(cal.Touch(id))
	w.Round()
	if links := w.links(name); len(links) != 3 {
		t.Errorf("%q", links)
	}
	w.quiet()
	// A list that cannot be had now keeps the last one, and is asked for again.
	w.Must(cal.Attach(id, "last.txt", "text/plain", []byte("last")))
	w.Must(cal.Change(id, func(e *graphsim.Event) { e.Subject = "plan 2" }))
	w.Sim.Fault = func(r *http.Request) *graphsim.Fault {
		if strings.Contains(r.URL.Path, "/attachments") {
			return &graphsim.Fault{Status: 500}
		}
		return nil
	}
	w.Round()
	if links := w.links(name); len(links) != 3 || !strings.Contains(w.get(name), "plan 2") {
		t.Errorf("%q", links)
	}
	w.Sim.Fault = nil
	w.Changes(1)
	if links := w.links(name); len(links) != 4 {
		t.Errorf("%q", links)
	}
	w.quiet()
	// Of a further file nothing tells but the list, which is looked at as often as the calendar is compared with Outlook's view.
	w.Must(cal.Attach(id, "silent.txt", "text/plain", []byte("silent")))
	w.Changes(0)
	w.Rounds.AuditAlways = true
	w.Round()
	w.Rounds.AuditAlways = false
	w.Round()
	if links := w.links(name); len(links) != 5 {
		t.Errorf("%q", links)
	}
	w.quiet()
}

// Accounts that read get what they have always got, and those that ask for files get these.
func TestFilesOfReaders(t *testing.T) {
	w := newWriting(t)
	id := w.Box.Calendar().Create(roundtest.Meeting("plan", 1, 9))
	w.Must(w.Box.Calendar().Attach(id, "plan.pdf", "application/pdf", []byte("%PDF plan")))
	w.policy = bridge.Policy{}
	w.start()
	w.Round()
	name := w.names()[0]
	if text := w.get(name); strings.Contains(text, "MANAGED-ID") || w.attachmentRequests() != 0 {
		t.Errorf("%s", text)
	}
	w.policy.Attachments = true
	w.start()
	w.Round()
	links := w.links(name)
	if len(links) != 1 || w.file(links[0]) != "%PDF plan" {
		t.Fatalf("%q", links)
	}
	w.must(http.StatusForbidden, "POST", calendarPath+name+"?action=attachment-add", "x", "Content-Disposition", "attachment;filename=x.txt")
	w.quiet()
	w.policy.Attachments = false
	w.start()
	w.Round()
	if text := w.get(name); strings.Contains(text, "MANAGED-ID") {
		t.Errorf("%s", text)
	}
	w.must(http.StatusNotFound, "GET", pathOf(links[0]), "")
}

// inline is an ATTACH with a file in it, as Evolution and KDE send it.
func inline(name, content string) string {
	return "ATTACH;VALUE=BINARY;ENCODING=BASE64;FMTTYPE=text/plain;X-LABEL=" + name + ":" + base64.StdEncoding.EncodeToString([]byte(content))
}

func TestInlineFiles(t *testing.T) {
	w := withFiles(t)
	w.Round()
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, inline("one.txt", "first"), inline("two.txt", "second")), "If-None-Match", "*", "User-Agent", "Evolution/3.54")
	id := w.Box.Calendar().Events()[0]
	if got := w.in(id); len(got) != 2 || got["one.txt"] != "first" || got["two.txt"] != "second" {
		t.Fatalf("%q", got)
	}
	links := w.links("a.ics")
	if len(links) != 2 || strings.Contains(w.get("a.ics"), "BASE64") || w.file(links[0]) != "first" {
		t.Fatalf("%q", links)
	}
	w.quiet()
	if mails := w.Sim.Mails(); len(mails) != 0 {
		t.Errorf("mailed: %v", mails)
	}
	// Who sends the same once more has not read what was made of it.
	w.Sim.ResetRequests()
	w.must(http.StatusNoContent, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, inline("one.txt", "first"), inline("two.txt", "second")), "User-Agent", "Evolution/3.54")
	if got := w.in(id); len(got) != 2 {
		t.Errorf("%q", got)
	}
	// Of our own octets nothing comes.
	w.Sim.ResetRequests()
	w.must(http.StatusNoContent, "PUT", calendarPath+"a.ics", w.get("a.ics"), "User-Agent", "Evolution/3.54")
	if n := len(w.Sim.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
	// Evolution takes one away, and adds another.
	if !strings.Contains(w.get("a.ics"), links[0]) {
		t.Fatalf("%q is not in %s", links[0], w.get("a.ics"))
	}
	text := strings.Replace(w.get("a.ics"), links[0], inline("three.txt", "third"), 1)
	w.must(http.StatusNoContent, "PUT", calendarPath+"a.ics", text, "User-Agent", "Evolution/3.54", "If-Match", w.etag("a.ics"))
	if got := w.in(id); len(got) != 2 || got["three.txt"] != "third" || got["two.txt"] != "second" {
		t.Errorf("%q", got)
	}
	// A program that is not known to give files back takes none away.
	text = attachLine.ReplaceAllString(w.get("a.ics"), "X-NOTHING:")
	w.must(http.StatusNoContent, "PUT", calendarPath+"a.ics", strings.Replace(text, "SUMMARY:A", "SUMMARY:B", 1), "User-Agent", "Simple/1", "If-Match", w.etag("a.ics"))
	if got := w.in(id); len(got) != 2 {
		t.Errorf("%q", got)
	}
	if text := w.get("a.ics"); len(w.links("a.ics")) != 2 || !strings.Contains(text, "SUMMARY:B") {
		t.Errorf("%s", text)
	}
	// What cannot be read is refused.
	rec := w.must(http.StatusForbidden, "PUT", calendarPath+"b.ics", appointment("b", "B", 2, 9, "ATTACH;VALUE=BINARY;ENCODING=BASE64:###"), "If-None-Match", "*")
	if !strings.Contains(rec.Body.String(), "valid-calendar-data") {
		t.Errorf("%s", rec.Body)
	}
	w.quiet()
	if v := w.Sim.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

func (w *writing) etag(name string) string {
	w.t.Helper()
	return w.must(http.StatusOK, "GET", calendarPath+name, "").Header().Get("ETag")
}

// A file of more than 3 MB goes in parts, and nothing of it stays in the database.
func TestLargeFile(t *testing.T) {
	w := withFiles(t)
	w.Round()
	large := bytes.Repeat([]byte("0123456789abcdef"), 5<<16)
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, inline("large.bin", string(large))), "If-None-Match", "*")
	id := w.Box.Calendar().Events()[0]
	if got := w.in(id); got["large.bin"] != string(large) {
		t.Fatalf("%d octets", len(got["large.bin"]))
	}
	links := w.links("a.ics")
	if len(links) != 1 || w.file(links[0]) != string(large) {
		t.Errorf("%q", links)
	}
	a, err := w.Store.Account(w.Ctx, "alice")
	w.Must(err)
	list, err := w.Store.Intents(w.Ctx, a.ID, 10)
	w.Must(err)
	for _, i := range list {
		whole, err := w.Store.SameIntent(w.Ctx, 1, i.Name, i.BodyHash, i.Created.AddDate(-1, 0, 0))
		w.Must(err)
		if len(whole.Octets) > 1<<12 {
			t.Errorf("%d octets are kept", len(whole.Octets))
		}
		for _, s := range whole.Plan.Steps {
			if s.Attachment == nil {
				continue
			}
			if _, err := w.Store.IntentFile(w.Ctx, i.ID, s.Attachment.Digest); err == nil {
				t.Error("the file is still in the database")
			}
		}
	}
	w.quiet()
}

// The conversation of RFC 8607, as Apple's programs have it.
func TestManagedFiles(t *testing.T) {
	w := withFiles(t)
	w.Round()
	options := w.must(http.StatusOK, "OPTIONS", calendarPath, "")
	if !strings.Contains(strings.Join(options.Header().Values("DAV"), ","), "calendar-managed-attachments") {
		t.Errorf("DAV: %q", options.Header().Values("DAV"))
	}
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, "RRULE:FREQ=DAILY;COUNT=5"), "If-None-Match", "*")
	apple := []string{"User-Agent", "macOS/14.5 (23F79) dataaccessd/1.0", "Content-Type", "text/plain"}
	with := func(more ...string) []string { return append(append([]string{}, apple...), more...) }

	rec := w.must(http.StatusCreated, "POST", calendarPath+"a.ics?action=attachment-add", "agenda 1", with("Content-Disposition", `attachment;filename="agenda.txt"`, "If-Match", w.etag("a.ics"))...)
	key := rec.Header().Get("Cal-Managed-ID")
	links := w.links("a.ics")
	if len(links) != 1 || keyOf(links[0]) != key || w.file(links[0]) != "agenda 1" || !strings.HasPrefix(rec.Header().Get("Location"), "https://calendar.example/dav/att/"+key) {
		t.Fatalf("%q %q %v", key, links, rec.Header())
	}
	w.must(http.StatusPreconditionFailed, "POST", calendarPath+"a.ics?action=attachment-add", "x", with("Content-Disposition", `attachment;filename="x.txt"`, "If-Match", `"old"`)...)
	// The same once more, by a program that has not had the answer, is the one that is there.
	again := w.must(http.StatusCreated, "POST", calendarPath+"a.ics?action=attachment-add", "agenda 1", with("Content-Disposition", `attachment;filename="agenda.txt"`)...)
	if again.Header().Get("Cal-Managed-ID") != key || len(w.links("a.ics")) != 1 {
		t.Errorf("%v %q", again.Header(), w.links("a.ics"))
	}
	w.quiet()

	rec = w.must(http.StatusNoContent, "POST", calendarPath+"a.ics?action=attachment-update&managed-id="+key, "agenda 2", with("Content-Disposition", `attachment;filename="agenda.txt"`)...)
	second := rec.Header().Get("Cal-Managed-ID")
	if links = w.links("a.ics"); second == key || len(links) != 1 || keyOf(links[0]) != second || w.file(links[0]) != "agenda 2" {
		t.Fatalf("%q %q", second, links)
	}
	w.must(http.StatusForbidden, "POST", calendarPath+"a.ics?action=attachment-update&managed-id="+key, "agenda 3", with("Content-Disposition", `attachment;filename="agenda.txt"`)...)
	w.quiet()

	// One occurrence gets another file, beside that of the series.
	at := roundtest.At(3, 9, 0).Format("20060102T150405Z")
	w.must(http.StatusCreated, "POST", calendarPath+"a.ics?action=attachment-add&rid="+at, "only then", with("Content-Disposition", `attachment;filename="then.txt"`)...)
	text := w.get("a.ics")
	if strings.Count(text, "FILENAME=agenda.txt") != 2 || strings.Count(text, "FILENAME=then.txt") != 1 || !strings.Contains(text, "RECURRENCE-ID") {
		t.Errorf("%s", text)
	}
	for _, l := range w.links("a.ics") {
		if got := w.file(l); got != "agenda 2" && got != "only then" {
			t.Errorf("%s: %q", l, got)
		}
	}
	w.must(http.StatusForbidden, "POST", calendarPath+"a.ics?action=attachment-add&rid=20300101T000000Z", "x", with("Content-Disposition", `attachment;filename="x.txt"`)...)
	w.quiet()

	// And the series' file goes, from all.
	w.must(http.StatusNoContent, "POST", calendarPath+"a.ics?action=attachment-remove&managed-id="+second, "", apple...)
	if text := w.get("a.ics"); strings.Contains(text, "agenda.txt") || strings.Count(text, "FILENAME=then.txt") != 1 {
		t.Errorf("%s", text)
	}
	w.quiet()
	if mails := w.Sim.Mails(); len(mails) != 0 {
		t.Errorf("mailed: %v", mails)
	}
	if v := w.Sim.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// A single occurrence can lose the file of its series.
func TestFileOfOneOccurrence(t *testing.T) {
	w := withFiles(t)
	w.Round()
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, "RRULE:FREQ=DAILY;COUNT=5", inline("all.txt", "for all")), "If-None-Match", "*")
	key := keyOf(w.links("a.ics")[0])
	at := roundtest.At(3, 9, 0).Format("20060102T150405Z")
	w.must(http.StatusNoContent, "POST", calendarPath+"a.ics?action=attachment-remove&managed-id="+key+"&rid="+at, "")
	text := w.get("a.ics")
	if strings.Count(text, "FILENAME=all.txt") != 1 || strings.Count(text, "BEGIN:VEVENT") != 2 {
		t.Errorf("%s", text)
	}
	id := w.Box.Calendar().Events()[0]
	if len(w.in(id)) != 1 || len(w.in(graph.OccurrenceID(id, roundtest.At(3, 9, 0).Format("2006-01-02")))) != 0 {
		t.Errorf("%q", w.in(id))
	}
	w.quiet()
}

// Only organizers attach, and nobody is mailed about it.
func TestFilesOfMeetings(t *testing.T) {
	w := withFiles(t)
	w.Round()
	meeting := appointment("m", "M", 1, 9, "ORGANIZER:mailto:"+address, "ATTENDEE:mailto:bob@elsewhere.example")
	w.must(http.StatusCreated, "PUT", calendarPath+"m.ics", meeting, "If-None-Match", "*")
	w.Pass(5e9)
	w.Sim.Settle()
	w.Round()
	w.Sim.ResetMails()
	w.must(http.StatusCreated, "POST", calendarPath+"m.ics?action=attachment-add", "agenda", "Content-Disposition", "attachment;filename=agenda.txt")
	if len(w.Sim.Mails()) != 0 || len(w.links("m.ics")) != 1 {
		t.Errorf("%v", w.Sim.Mails())
	}
	w.Box.Receive(graphsim.Event{Subject: "Theirs", Start: roundtest.At(2, 9, 0), End: roundtest.At(2, 10, 0), Zone: "UTC",
		Organizer: graph.EmailAddress{Name: "Bob", Address: "bob@elsewhere.example"},
		Attendees: []graph.Attendee{{Type: "required", EmailAddress: graph.EmailAddress{Address: address}}}})
	w.Round()
	for _, name := range w.names() {
		if name != "m.ics" {
			w.must(http.StatusForbidden, "POST", calendarPath+name+"?action=attachment-add", "agenda", "Content-Disposition", "attachment;filename=agenda.txt")
		}
	}
}

// An event that goes to another calendar takes its files along, by a MOVE and by a copy that a program makes.
func TestFilesMove(t *testing.T) {
	w := withFiles(t)
	second := w.Box.AddCalendar("Second", "")
	w.Round()
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, "RRULE:FREQ=DAILY;COUNT=5", inline("all.txt", "for all")), "If-None-Match", "*")
	at := roundtest.At(3, 9, 0).Format("20060102T150405Z")
	w.must(http.StatusCreated, "POST", calendarPath+"a.ics?action=attachment-add&rid="+at, "only then", "Content-Disposition", `attachment;filename="then.txt"`)
	w.must(http.StatusCreated, "MOVE", calendarPath+"a.ics", "", "Destination", "https://calendar.example/dav/calendars/alice/second/b.ics")
	if n := len(w.Box.Calendar().Events()); n != 0 {
		t.Errorf("%d events are left", n)
	}
	id := second.Events()[0]
	files, err := second.Attachments(id)
	w.Must(err)
	then, err := second.Attachments(graph.OccurrenceID(id, roundtest.At(3, 9, 0).Format("2006-01-02")))
	w.Must(err)
	if len(files) != 1 || string(files["all.txt"]) != "for all" || len(then) != 2 || string(then["then.txt"]) != "only then" {
		t.Errorf("%q %q", files, then)
	}
	w.quiet()

	text := w.must(http.StatusOK, "GET", "/dav/calendars/alice/second/b.ics", "").Body.String()
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n ", ""), "UID:a", "UID:copy")
	w.must(http.StatusCreated, "PUT", calendarPath+"copy.ics", text, "If-None-Match", "*", "User-Agent", "Thunderbird/128")
	got := w.get("copy.ics")
	if strings.Count(got, "FILENAME=all.txt") != 2 || strings.Count(got, "FILENAME=then.txt") != 1 {
		t.Errorf("%s", got)
	}
	for _, l := range w.links("copy.ics") {
		if c := w.file(l); c != "for all" && c != "only then" {
			t.Errorf("%s: %q", l, c)
		}
	}
	w.quiet()
	if v := w.Sim.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// What would get lost on the way keeps an event where it is.
func TestPicturesStay(t *testing.T) {
	w := withFiles(t)
	w.Box.AddCalendar("Second", "")
	id := w.Box.Calendar().Create(graphsim.Event{Subject: "A", Start: roundtest.At(1, 9, 0), End: roundtest.At(1, 10, 0), Body: "<p>See</p>"})
	w.Must(w.Box.Calendar().AttachPicture(id, "image001.png", "image001", []byte("PNG")))
	w.Round()
	name := w.names()[0]
	if len(w.links(name)) != 0 {
		t.Errorf("%q", w.links(name))
	}
	rec := w.must(http.StatusForbidden, "MOVE", calendarPath+name, "", "Destination", "https://calendar.example/dav/calendars/alice/second/b.ics")
	if !strings.Contains(rec.Body.String(), "pictures") || len(w.Box.Calendar().Events()) != 1 {
		t.Errorf("%s", rec.Body)
	}
	w.quiet()
}

// Where Outlook does not know an occurrence by its date, it is found by what it lists.
func TestFileOfUnnamedOccurrence(t *testing.T) {
	w := withFiles(t, func(s *graphsim.Server) { s.Writing.NoOccurrenceIDs = true })
	w.Round()
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, "RRULE:FREQ=DAILY;COUNT=5"), "If-None-Match", "*")
	at := roundtest.At(3, 9, 0).Format("20060102T150405Z")
	w.must(http.StatusCreated, "POST", calendarPath+"a.ics?action=attachment-add&rid="+at, "only then", "Content-Disposition", `attachment;filename="then.txt"`)
	if links := w.links("a.ics"); len(links) != 1 || w.file(links[0]) != "only then" {
		t.Errorf("%q", links)
	}
	w.quiet()
}

// Links to anything else are the client's own and stay, without what another server knows a file by.
func TestForeignLinks(t *testing.T) {
	w := withFiles(t)
	w.Round()
	w.must(http.StatusCreated, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, "ATTACH:https://files.example/plan.pdf",
		"ATTACH;MANAGED-ID=77;FILENAME=b.pdf:https://other.example/att/77", "ATTACH:https://elsewhere.example/dav/att/"+strings.Repeat("1", 40)), "If-None-Match", "*", "User-Agent", "Thunderbird/128")
	links := w.links("a.ics")
	if len(links) != 2 || !slices.Contains(links, "ATTACH:https://files.example/plan.pdf") || !slices.Contains(links, "ATTACH;FILENAME=b.pdf:https://other.example/att/77") {
		t.Errorf("%q", links)
	}
	if n := w.attachmentRequests(); n != 0 {
		t.Errorf("%d requests", n)
	}
	w.quiet()
	w.Sim.ResetRequests()
	w.must(http.StatusNoContent, "PUT", calendarPath+"a.ics", w.get("a.ics"), "User-Agent", "Thunderbird/128")
	if n := len(w.Sim.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// Where an account has files switched off, attaching one is refused rather than forgotten.
func TestFilesSwitchedOff(t *testing.T) {
	w := newWriting(t)
	w.Round()
	rec := w.must(http.StatusForbidden, "PUT", calendarPath+"a.ics", appointment("a", "A", 1, 9, inline("one.txt", "first")), "If-None-Match", "*")
	if !strings.Contains(rec.Body.String(), "max-attachment-size") || !strings.Contains(rec.Body.String(), "one.txt") {
		t.Errorf("%s", rec.Body)
	}
	w.must(http.StatusForbidden, "POST", calendarPath+"a.ics?action=attachment-add", "x", "Content-Disposition", "attachment;filename=x.txt")
	if n := len(w.Box.Calendar().Events()); n != 0 {
		t.Errorf("%d events", n)
	}
}
