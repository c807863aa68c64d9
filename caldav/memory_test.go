package caldav_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"outbridge/caldav"
	"outbridge/caldav/ics"
)

// memory is a Backend with one user, alice, whose password is "secret". The zero value is ready.
type memory struct {
	mu        sync.Mutex
	calendars []*memoryCalendar
	fail      error // what every call after Login returns
	calls     map[string]int
	yieldFail error // what Objects yields after its first element
	writes          // see writer_test.go
}

type memoryCalendar struct {
	caldav.Calendar
	objects map[string]caldav.Object
	floor   int64 // revisions before it have lost their tombstones
}

func (m *memory) add(c caldav.Calendar) *memoryCalendar {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.Owner = "alice"
	c.Token.Epoch = cmp.Or(c.Token.Epoch, "e1")
	mc := &memoryCalendar{Calendar: c, objects: map[string]caldav.Object{}}
	m.calendars = append(m.calendars, mc)
	return mc
}

// publish stores octets under a name, in a revision of their own.
func (m *memory) publish(calendar, name, data string) caldav.Object {
	return m.publishBounded(calendar, name, data, time.Time{}, time.Time{})
}

func (m *memory) publishBounded(calendar, name, data string, first, last time.Time) caldav.Object {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.find(calendar)
	c.Token.Rev++
	c.Modified = time.Date(2026, 8, 1, 12, 0, int(c.Token.Rev), 0, time.UTC)
	sum := sha256.Sum256([]byte(data))
	o := caldav.Object{Name: name, ETag: hex.EncodeToString(sum[:8]), Rev: c.Token.Rev, Modified: c.Modified,
		Size: len(data), Data: []byte(data), First: first, Last: last, ReadOnly: m.readOnly[name], ScheduleTag: scheduleTag(data)}
	c.objects[name] = o
	return o
}

// tell gives an object a timetable.
func (m *memory) tell(calendar, name string, t ics.Timetable) {
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.find(calendar).objects[name]
	o.Timetable = string(t)
	m.find(calendar).objects[name] = o
}

func (m *memory) remove(calendar, name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.find(calendar)
	c.Token.Rev++
	c.objects[name] = caldav.Object{Name: name, Rev: c.Token.Rev, Deleted: true}
}

func (m *memory) find(name string) *memoryCalendar {
	for _, c := range m.calendars {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (m *memory) token(calendar string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.find(calendar).Token.String()
}

func (m *memory) begin(call string) error {
	if m.calls == nil {
		m.calls = map[string]int{}
	}
	m.calls[call]++
	return m.fail
}

func (m *memory) Login(_ context.Context, user, password string) (caldav.Principal, error) {
	if user != "alice" || password != "secret" {
		return caldav.Principal{}, fmt.Errorf("login: %w", caldav.ErrUnauthorized)
	}
	return caldav.Principal{Name: "alice", DisplayName: "Alice Example"}, nil
}

func (m *memory) Calendars(context.Context, caldav.Principal) ([]caldav.Calendar, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Calendars"); err != nil {
		return nil, err
	}
	var l []caldav.Calendar
	for _, c := range m.calendars {
		l = append(l, c.Calendar)
	}
	return l, nil
}

func (m *memory) Calendar(_ context.Context, _ caldav.Principal, name string) (caldav.Calendar, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Calendar"); err != nil {
		return caldav.Calendar{}, err
	}
	if c := m.find(name); c != nil {
		return c.Calendar, nil
	}
	return caldav.Calendar{}, fmt.Errorf("calendar %s: %w", name, caldav.ErrNotFound)
}

func (m *memory) Object(_ context.Context, c caldav.Calendar, name string) (caldav.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("Object"); err != nil {
		return caldav.Object{}, err
	}
	o, ok := m.object(c.Name, name)
	if !ok {
		return caldav.Object{}, fmt.Errorf("object %s: %w", name, caldav.ErrNotFound)
	}
	return o, nil
}

func (m *memory) Objects(ctx context.Context, c caldav.Calendar, q caldav.Query) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		m.mu.Lock()
		err := m.begin("Objects")
		var l []caldav.Object
		if len(q.Names) > 0 {
			for _, n := range q.Names {
				if o, ok := m.object(c.Name, n); ok {
					o.Name = n
					l = append(l, o)
				}
			}
			slices.Reverse(l) // in any order
		} else {
			objects := m.find(c.Name).objects
			for _, n := range slices.Sorted(maps.Keys(objects)) {
				l = append(l, objects[n])
			}
		}
		yieldFail := m.yieldFail
		m.mu.Unlock()
		if err != nil {
			yield(caldav.Object{}, err)
			return
		}
		for _, o := range l {
			known := !o.First.IsZero()
			if o.Deleted ||
				known && !q.End.IsZero() && !o.First.Before(q.End) ||
				known && !q.Start.IsZero() && !o.Last.IsZero() && o.Last.Before(q.Start) {
				continue
			}
			if !q.WithData {
				o.Data = nil
			}
			if !yield(o, ctx.Err()) {
				return
			}
			if yieldFail != nil {
				yield(caldav.Object{}, yieldFail)
				return
			}
		}
	}
}

func (m *memory) Changes(_ context.Context, c caldav.Calendar, since caldav.Token) iter.Seq2[caldav.Object, error] {
	return func(yield func(caldav.Object, error) bool) {
		m.mu.Lock()
		err := m.begin("Changes")
		mc := m.find(c.Name)
		l := slices.Collect(maps.Values(mc.objects))
		if since.Epoch != mc.Token.Epoch || since.Rev > mc.Token.Rev || since.Rev < mc.floor {
			err = cmp.Or(err, fmt.Errorf("changes since %v: %w", since, caldav.ErrTokenGone))
		}
		m.mu.Unlock()
		if err != nil {
			yield(caldav.Object{}, err)
			return
		}
		slices.SortFunc(l, func(a, b caldav.Object) int { return cmp.Or(cmp.Compare(a.Rev, b.Rev), cmp.Compare(a.Name, b.Name)) })
		for _, o := range l {
			o.Data = nil
			if o.Rev > since.Rev && !yield(o, nil) {
				return
			}
		}
	}
}

// keeping is a memory that is also a PropertyStore.
type keeping struct {
	*memory
	props map[string]map[xml.Name]string
}

func (k *keeping) Properties(_ context.Context, p caldav.Principal, path string) (map[xml.Name]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return maps.Clone(k.props[p.Name+path]), nil
}

func (k *keeping) SetProperties(_ context.Context, p caldav.Principal, path string, set map[xml.Name]string, remove []xml.Name) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.props == nil {
		k.props = map[string]map[xml.Name]string{}
	}
	m := k.props[p.Name+path]
	if m == nil {
		m = map[xml.Name]string{}
		k.props[p.Name+path] = m
	}
	maps.Copy(m, set)
	for _, n := range remove {
		delete(m, n)
	}
	return nil
}

func berlin(iana string) []byte {
	return []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VTIMEZONE\r\nTZID:" + iana +
		"\r\nEND:VTIMEZONE\r\nEND:VCALENDAR\r\n")
}

// event wraps the lines of VEVENTs, one after another, into an object.
func event(lines string) string {
	return "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\n" +
		strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
}

const nextEvent = "\nEND:VEVENT\nBEGIN:VEVENT\n"

// fixture is the world of the client scripts.
func fixture() *memory {
	m := &memory{}
	m.add(caldav.Calendar{Name: "work", DisplayName: "Work & more", Color: "#2a7fff", Order: 1, TimeZone: "Europe/Berlin", Description: "the day job"})
	m.add(caldav.Calendar{Name: "private", DisplayName: "Private", Order: 2, Writable: true})
	m.publish("work", "single.ics", event("UID:single\nDTSTAMP:20260101T000000Z\nDTSTART;TZID=Europe/Berlin:20260810T100000\nDTEND;TZID=Europe/Berlin:20260810T110000\nSUMMARY:Planning <1> & more"))
	m.publish("work", "allday.ics", event("UID:allday\nDTSTAMP:20260101T000000Z\nDTSTART;VALUE=DATE:20260812\nDTEND;VALUE=DATE:20260813\nSUMMARY:Holiday"))
	m.publish("work", "weekly.ics", event("UID:weekly\nDTSTAMP:20260101T000000Z\nDTSTART;TZID=Europe/Berlin:20260105T090000\nDTEND;TZID=Europe/Berlin:20260105T093000\nRRULE:FREQ=WEEKLY;WKST=MO;BYDAY=MO\nEXDATE;TZID=Europe/Berlin:20260817T090000\nSUMMARY:Stand-up"+
		nextEvent+"UID:weekly\nDTSTAMP:20260101T000000Z\nRECURRENCE-ID;TZID=Europe/Berlin:20260810T090000\nDTSTART;TZID=Europe/Berlin:20260811T140000\nDTEND;TZID=Europe/Berlin:20260811T143000\nSUMMARY:Stand-up, moved"))
	m.publish("work", "past.ics", event("UID:past\nDTSTAMP:20260101T000000Z\nDTSTART:20240110T100000Z\nDTEND:20240110T110000Z\nSUMMARY:Long ago"))
	m.publish("private", "dentist.ics", event("UID:dentist\nDTSTAMP:20260101T000000Z\nDTSTART:20260811T080000Z\nDURATION:PT1H\nSUMMARY:Dentist"))
	return m
}

// server is a Handler behind a real HTTP server.
type server struct {
	t       testing.TB
	backend caldav.Backend
	url     string
	client  *http.Client
}

func serve(t testing.TB, b caldav.Backend) *server {
	return serveHandler(t, &caldav.Handler{Backend: b, Log: testLog(t), Realm: `a "quoted" realm`, TimeZone: berlin, Zone: windows,
		Now: func() time.Time { return time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC) }})
}

// windows knows one name of Windows.
func windows(tzid string) (*time.Location, bool) {
	if tzid != "W. Europe Standard Time" {
		return nil, false
	}
	loc, err := time.LoadLocation("Europe/Berlin")
	return loc, err == nil
}

func serveHandler(t testing.TB, h *caldav.Handler) *server {
	srv := httptest.NewUnstartedServer(h)
	srv.Config.DisableGeneralOptionsHandler = true
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // ErrAbortHandler is not logged; resets are
	srv.Start()
	t.Cleanup(srv.Close)
	c := srv.Client()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &server{t: t, backend: h.Backend, url: srv.URL, client: c}
}

func testLog(t testing.TB) *slog.Logger {
	if _, ok := t.(*testing.T); !ok {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// answer is a response with its body read. What is DAV: in it has the prefix D, though it comes without one.
type answer struct {
	*http.Response
	body string
	size int // octets of the body as it came
}

var tag = regexp.MustCompile(`<(/?)([A-Za-z][^\s/>]*)([^>]*?)(/?)>`)

// prefixed gives the names of an XML document whose default namespace is DAV: the prefix D, but those where another default
// has been declared.
func prefixed(body string) string {
	const root = ` xmlns="DAV:"`
	if !strings.Contains(body[:min(len(body), 200)], root) {
		return body
	}
	var open []bool // of each open element, whether its default is DAV:
	body = tag.ReplaceAllStringFunc(body, func(s string) string {
		m := tag.FindStringSubmatch(s)
		end, name, attrs, empty := m[1] != "", m[2], m[3], m[4] != ""
		dav := true
		switch {
		case end:
			dav, open = open[len(open)-1], open[:len(open)-1]
		case len(open) > 0:
			dav = open[len(open)-1] && !strings.Contains(attrs, " xmlns=")
		}
		if !end && !empty {
			open = append(open, dav)
		}
		if dav && !strings.Contains(name, ":") {
			name = "D:" + name
		}
		return "<" + m[1] + name + attrs + m[4] + ">"
	})
	return strings.Replace(body, root, ` xmlns:D="DAV:"`, 1)
}

// do sends one request as alice. Header lines are "Name: value"; "Authorization: none" sends none.
func (s *server) do(method, path, body string, headers ...string) answer {
	s.t.Helper()
	return s.ask(true, method, path, body, headers...)
}

// ask is do, which leaves a body coded where the request names codings of its own.
func (s *server) ask(decode bool, method, path, body string, headers ...string) answer {
	s.t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	req.SetBasicAuth("alice", "secret")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		req.Header.Set(name, strings.TrimSpace(value))
	}
	if req.Header.Get("Authorization") == "none" {
		req.Header.Del("Authorization")
	}
	resp, err := s.client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	size := len(b)
	if zipped, err := gzip.NewReader(bytes.NewReader(b)); err == nil && resp.Header.Get("Content-Encoding") == "gzip" && decode {
		if b, err = io.ReadAll(zipped); err != nil {
			s.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return answer{resp, prefixed(string(b)), size}
}

// multistatus reads a 207 and checks what every client relies on.
func (a answer) multistatus(t testing.TB) multistatus {
	t.Helper()
	if a.StatusCode != http.StatusMultiStatus {
		t.Fatalf("status %d, want 207:\n%s", a.StatusCode, a.body)
	}
	if got := a.Header.Get("DAV"); a.Request.Method != "REPORT" && !strings.HasPrefix(got, "1, ") {
		t.Errorf("DAV header %q", a.Header.Get("DAV"))
	}
	if ct := a.Header.Get("Content-Type"); ct != "application/xml; charset=utf-8" {
		t.Errorf("Content-Type %q", ct)
	}
	var ms multistatus
	if err := xml.Unmarshal([]byte(a.body), &ms); err != nil {
		t.Fatalf("%v in\n%s", err, a.body)
	}
	for _, r := range ms.Responses {
		if !strings.HasPrefix(r.Href, "/") {
			t.Errorf("href %q is not an absolute path", r.Href)
		}
		if (len(r.Propstats) == 0) == (r.Status == "") {
			t.Errorf("%s: a response has either propstats or a status", r.Href)
		}
		for i, p := range r.Propstats {
			if i == 0 && p.Status != "HTTP/1.1 200 OK" {
				t.Errorf("%s: first propstat is %q", r.Href, p.Status)
			}
			if p.Status == "" {
				t.Errorf("%s: a propstat without a status", r.Href)
			}
			if p.Status == "HTTP/1.1 200 OK" && strings.Contains(p.Prop.Inner, "collection/>") && !strings.HasSuffix(r.Href, "/") {
				t.Errorf("collection %q without a slash", r.Href)
			}
		}
	}
	return ms
}

type multistatus struct {
	XMLName   xml.Name   `xml:"DAV: multistatus"`
	Responses []response `xml:"DAV: response"`
	SyncToken string     `xml:"DAV: sync-token"`
}

type response struct {
	Href      string     `xml:"DAV: href"`
	Status    string     `xml:"DAV: status"`
	Propstats []propstat `xml:"DAV: propstat"`
}

type propstat struct {
	Status string `xml:"DAV: status"`
	Prop   struct {
		Inner string    `xml:",innerxml"`
		Props []anyProp `xml:",any"`
	} `xml:"DAV: prop"`
}

type anyProp struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
	Inner   string `xml:",innerxml"`
}

// get finds a property of a response among those that are there.
func (r response) get(space, local string) (anyProp, bool) {
	for _, ps := range r.Propstats {
		for _, p := range ps.Prop.Props {
			if ps.Status == "HTTP/1.1 200 OK" && p.XMLName.Space == space && p.XMLName.Local == local {
				return p, true
			}
		}
	}
	return anyProp{}, false
}

// hrefs lists the last segments of the answered hrefs in order, each with its status if it has one.
func (m multistatus) hrefs() []string {
	l := []string{}
	for _, r := range m.Responses {
		h := r.Href[strings.LastIndexByte(strings.TrimSuffix(r.Href, "/"), '/')+1:]
		if r.Status != "" {
			h += " " + strings.Fields(r.Status)[1]
		}
		l = append(l, h)
	}
	slices.Sort(l)
	return l
}
