//go:build load

package main_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"io"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// What TestServing is told by the environment.
var (
	servingPeers   = cmp.Or(os.Getenv("SERVING_PEERS"), "plain")   // of those in peers, with commas between; "all" for all of them
	servingBefore  = os.Getenv("SERVING_BEFORE")                   // a commit, whose program is measured beside this one
	servingProfile = os.Getenv("SERVING_PROFILE")                  // a folder for profiles of the server's processor, a file a row
	servingOnly    = regexp.MustCompile(os.Getenv("SERVING_ROWS")) // which rows are measured
	servingObjects = number("SERVING_OBJECTS", 4474)
	servingRounds  = number("SERVING_ROUNDS", 3)
	servingTime    = time.Duration(number("SERVING_MS", 700)) * time.Millisecond // of each sample
)

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// A served calendar is one of the servers that are compared.
type served struct {
	t              *testing.T
	name           string
	pid            int
	address        string
	user, password string
	calendar       string   // path
	paths          []string // of its objects
	token          string
	files          bool   // it has files only
	once           bool   // it is measured in the first round alone: one request may take a second
	slow           bool   // a first sync takes minutes
	measure        string // address at which it tells of itself, as measured.go does; "": it does not
	world          *loadWorld
	graph          graphSync
}

// A graphSync is what the first sync of the mailbox took, and on the wall clock only downloading the same.
type graphSync struct{ cpu, wall, download time.Duration }

func (s *served) cpu() time.Duration { return treeTime(s.t, s.pid) }

// A row is a kind of request, as the tables have it.
type servedRow struct {
	name     string
	things   int // in one request, of which the figures are
	requests func(s *served, gzip bool) [][]byte
	fresh    bool // once, by a server that has just started, on one connection
}

var servedRows = []servedRow{
	{name: rowGet, things: 1, requests: func(s *served, gzip bool) [][]byte {
		var l [][]byte
		for _, p := range s.paths {
			l = append(l, s.wire("GET", p, "", "", gzip))
		}
		return l
	}},
	{name: rowTag, things: 1, requests: func(s *served, gzip bool) [][]byte {
		return s.dav("PROPFIND", "0", ctagBody, gzip)
	}},
	{name: rowSync, things: 1, requests: func(s *served, gzip bool) [][]byte {
		return s.dav("REPORT", "1", fmt.Sprintf(syncBody, html.EscapeString(s.token)), gzip)
	}},
	{name: rowMulti, things: multigetSize, requests: (*served).multigets},
	{name: rowMonth, things: 1, requests: func(s *served, gzip bool) [][]byte {
		return s.months(gzip, 0)
	}},
	{name: rowFirst, fresh: true, requests: func(s *served, gzip bool) [][]byte {
		if s.files {
			return nil
		}
		all := s.multigets(gzip)
		for rest := len(s.paths) % multigetSize; rest > 0; rest = 0 {
			all = append(all, s.multiget(s.paths[len(s.paths)-rest:], gzip))
		}
		return append([][]byte{s.wire("PROPFIND", s.calendar, "1", listBody, gzip)}, all...)
	}},
}

// TestServing measures what the real program takes of the processor for each kind of request, beside a plain server of
// the same octets, and beside other programs. `make bench` calls it with all of them. For the program alone:
//
//	go test -tags load -count 1 -run TestServing -v ./cmd/outbridge
//
// SERVING_BEFORE=COMMIT measures that commit's program in the same rounds.
// It fails where an answer is wrong, or where a figure is past the gate of a goal.
func TestServing(t *testing.T) {
	ours := startOurs(t, "outbridge", "")
	list := []*served{ours}
	if servingBefore != "" {
		list = append(list, startOurs(t, "before", servingBefore))
	}
	objects := ours.checkAnswers()
	for _, name := range slices.Sorted(maps.Keys(peers)) {
		if servingPeers == "all" || slices.Contains(strings.Split(servingPeers, ","), name) {
			list = append(list, peers[name](t, ours, objects))
		}
	}
	m := newMeasured()
	for round := range servingRounds {
		for _, s := range list {
			if round == 0 || !s.once {
				t.Logf("round %d: %s", round+1, s.name)
				m.round(s, round)
			}
		}
	}
	for _, s := range list {
		m.told(s)
	}
	m.tables(t, list)
	m.goals(t, list)
}

// startOurs serves a filled mailbox with the program of a commit, or of these files.
func startOurs(t *testing.T, name, commit string) *served {
	t.Helper()
	w := newLoadWorldOf(t, func(dir string) string { return buildMeasured(t, dir, commit) }, func(cal *graphsim.Calendar) { fillServed(cal, servingObjects) })
	var report struct{ Events int }
	download := downloadOnly(t, w.outlook)
	var out []byte
	var first *os.ProcessState
	took := timed(func() { out, first = w.tool("sync", "--json") })
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	if report.Events != servingObjects {
		t.Fatalf("synced %d events", report.Events)
	}
	var pass struct{ Password string }
	w.json(&pass, "password", "add", "alice")
	s := &served{t: t, name: name, address: w.address, user: "alice", password: pass.Password, calendar: "/dav/calendars/alice/calendar/",
		world: w, measure: freeAddress(t)}
	w.env = []string{"OUTBRIDGE_MEASURE=" + s.measure}
	w.start()
	s.pid = w.serve.Process.Pid
	s.read()
	s.graph = graphSync{cpu: first.UserTime() + first.SystemTime(), wall: took, download: download}
	return s
}

// fresh starts the server anew, and waits until it has done what it does at a start.
func (s *served) fresh() {
	s.world.stop()
	s.world.start()
	s.pid = s.world.serve.Process.Pid
	for quiet, last, tries := 0, time.Duration(0), 0; quiet < 3 && tries < 200; tries++ {
		time.Sleep(100 * time.Millisecond)
		now := processTime(s.pid)
		if quiet++; now-last > 2*time.Millisecond {
			quiet = 0
		}
		last = now
	}
}

// read asks for what requests are made of: the paths of the objects and the sync token.
func (s *served) read() {
	s.t.Helper()
	c := newCalDAVClient(s.t, s.pid, "http://"+s.address+s.calendar, s.user, s.password)
	s.paths, s.token = c.hrefs(nil), c.token()
	slices.Sort(s.paths)
	if len(s.paths) != servingObjects {
		s.t.Fatalf("%s: %d objects", s.name, len(s.paths))
	}
}

func (s *served) wire(method, path, depth, body string, gzip bool) []byte {
	return wire(s.address, s.user, s.password, method, path, depth, body, gzip)
}

// dav is one request for the calendar, of those that a server of files has no answer for.
func (s *served) dav(method, depth, body string, gzip bool) [][]byte {
	if s.files {
		return nil
	}
	return [][]byte{s.wire(method, s.calendar, depth, body, gzip)}
}

func (s *served) multiget(paths []string, gzip bool) []byte {
	return s.wire("REPORT", s.calendar, "1", multigetBody(paths), gzip)
}

// multigets are those of whole hundreds.
func (s *served) multigets(gzip bool) (l [][]byte) {
	for i := 0; i+multigetSize <= len(s.paths); i += multigetSize {
		if s.files {
			l = append(l, s.wire("GET", fmt.Sprintf("/multiget%d", i/multigetSize), "", "", gzip))
		} else {
			l = append(l, s.multiget(s.paths[i:i+multigetSize], gzip))
		}
	}
	return l
}

// months are the queries of months, counted from the present one.
func (s *served) months(gzip bool, from ...int) (l [][]byte) {
	const utc = "20060102T150405Z"
	now := time.Now().UTC()
	for _, n := range from {
		begin := time.Date(now.Year(), now.Month()+time.Month(n), 1, 0, 0, 0, 0, time.UTC)
		l = append(l, s.dav("REPORT", "1", fmt.Sprintf(`<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:time-range start="%s" end="%s"/></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`,
			begin.Format(utc), begin.AddDate(0, 1, 0).Format(utc)), gzip)...)
	}
	return l
}

// whole asks once and keeps the answer.
func (s *served) whole(request []byte) answer {
	s.t.Helper()
	a := &asker{address: s.address}
	defer a.close()
	res, err := a.ask(request, true)
	if err != nil || res.status != 200 && res.status != 207 {
		s.t.Fatalf("%s: status %d, %v: %.300s: %.300s", s.name, res.status, err, request, res.body)
	}
	return res
}

// checkAnswers holds the answers with gzip against those without it, and returns the objects by name.
func (s *served) checkAnswers() map[string][]byte {
	s.t.Helper()
	objects := map[string][]byte{}
	for _, r := range servedRows {
		plain, coded := r.requests(s, false), r.requests(s, true)
		for i := range plain {
			a, b := s.whole(plain[i]), s.whole(coded[i])
			text, err := b.text()
			if a.gzip || err != nil || !bytes.Equal(said(a.body), said(text)) {
				s.t.Fatalf("%s: %s with gzip says something else: %v: %.300s and %.300s", s.name, r.name, err, a.body, text)
			}
			if r.things == multigetSize && bytes.Count(text, []byte("BEGIN:VCALENDAR")) != multigetSize {
				s.t.Fatalf("%s: %s: %.300s", s.name, r.name, text)
			}
			if r.name == rowGet {
				objects[s.object(i)] = text
			}
		}
	}
	return objects
}

// said is what XML says, however its characters are escaped, its lines end and its responses are
// sorted; what is not XML stays.
func said(b []byte) []byte {
	if !bytes.HasPrefix(b, []byte("<?xml")) {
		return b
	}
	var out []byte
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.RawToken()
		if err == io.EOF {
			responses := bytes.Split(bytes.TrimSuffix(bytes.TrimSpace(out), []byte("</>")), []byte("<{ response}"))
			slices.SortFunc(responses, bytes.Compare)
			return bytes.Join(responses, nil)
		}
		if err != nil {
			return fmt.Append(nil, err)
		}
		switch token := token.(type) {
		case xml.CharData:
			out = append(out, bytes.ReplaceAll(token, []byte("\r"), nil)...)
		case xml.StartElement:
			out = fmt.Append(out, "<", token.Name, token.Attr, ">")
		case xml.EndElement:
			out = append(out, "</>"...)
		}
	}
}

// object is the name of the file that an object is for others.
func (s *served) object(i int) string {
	name, err := url.PathUnescape(s.paths[i][strings.LastIndexByte(s.paths[i], '/')+1:])
	if err != nil {
		s.t.Fatal(err)
	}
	return name
}

// fillServed makes events such as people have over sixteen months: a third of them series, most of them every week and
// without an end, some every working day, with some thirty rows of Graph for each event on average.
func fillServed(cal *graphsim.Calendar, events int) {
	today := time.Now().UTC().Truncate(24 * time.Hour)
	body := "<p>Agenda</p><ul>" + strings.Repeat("<li>A point to talk about</li>", 10) + "</ul>"
	for i := range events {
		begin := today.AddDate(0, 0, i%400-100).Add(time.Duration(7+i/400%10) * time.Hour)
		e := graphsim.Event{Subject: fmt.Sprintf("Meeting %d", i), Body: body, Location: "Room 5", Start: begin, End: begin.Add(30 * time.Minute)}
		if i%3 == 0 {
			for begin.Weekday() == time.Saturday || begin.Weekday() == time.Sunday {
				begin = begin.AddDate(0, 0, 1)
			}
			if i/3%10 != 1 {
				begin = begin.AddDate(0, 0, -7*(i%60))
			}
			day := strings.ToLower(begin.Weekday().String())
			e.Start, e.End = begin, begin.Add(30*time.Minute)
			e.Recurrence = &graph.Recurrence{
				Pattern: graph.RecurrencePattern{Type: "weekly", Interval: 1, DaysOfWeek: []string{day}},
				Range:   graph.RecurrenceRange{Type: "noEnd"},
			}
			switch p := &e.Recurrence.Pattern; i / 3 % 10 {
			case 0:
				p.DaysOfWeek = []string{"monday", "tuesday", "wednesday", "thursday", "friday"}
			case 1:
				p.Type, p.DaysOfWeek = "daily", nil
				e.Recurrence.Range = graph.RecurrenceRange{Type: "endDate", EndDate: begin.AddDate(0, 3, 0).Format(time.DateOnly)}
			case 2:
				p.Interval = 2
			case 3:
				p.Type, p.DaysOfWeek, p.DayOfMonth = "absoluteMonthly", nil, min(begin.Day(), 28)
				e.Start = time.Date(begin.Year(), begin.Month(), p.DayOfMonth, begin.Hour(), 0, 0, 0, time.UTC)
				e.End = e.Start.Add(30 * time.Minute)
			}
		}
		cal.Create(e)
	}
}
