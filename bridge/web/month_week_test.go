package web

import (
	"bytes"
	"context"
	"fmt"
	"html/template"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// shelf is an ObjectLister in memory.
type shelf struct {
	bridge.ObjectLister
	list []bridge.Object
}

func (s *shelf) Objects(ctx context.Context, id bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	var page []bridge.Object
	for _, o := range s.list {
		if o.Calendar == id && o.Name > q.After && len(page) < q.Limit && !o.First.After(q.End) && (o.Last.IsZero() || !o.Last.Before(q.Start)) {
			page = append(page, o)
		}
	}
	return page, ctx.Err()
}

// put adds a VEVENT with these lines to a calendar.
func (s *shelf) put(t testing.TB, id bridge.CalendarID, lines ...string) {
	t.Helper()
	n := len(s.list)
	data := []byte("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:" + strconv.Itoa(n) + "\r\nDTSTAMP:20260101T000000Z\r\n" +
		strings.Join(lines, "\r\n") + "\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n")
	cal, err := ics.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	o := bridge.Object{Calendar: id, Name: fmt.Sprintf("%06d", n), Data: data}
	o.First, o.Last = (&ics.Reader{Resolve: convert.Zone}).Bounds(cal)
	s.list = append(s.list, o)
}

func zoneOf(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

var viewNow = time.Date(2026, 3, 25, 12, 0, 0, 0, time.UTC)

func viewOf(ctx context.Context, store bridge.ObjectLister, cals []bridge.Calendar, q url.Values, zone *time.Location, now time.Time) (*view, error) {
	return viewer{store, convert.Zone}.view(ctx, cals, q, zone, now)
}

// makeView is viewOf of one calendar, or of two if there are objects in the second.
func makeView(t testing.TB, s *shelf, query string, zone string) *view {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	cals := []bridge.Calendar{{ID: 1, DisplayName: "Work", Color: "#112233"}}
	for _, o := range s.list {
		if o.Calendar == 2 {
			cals = append(cals, bridge.Calendar{ID: 2, DisplayName: "Family"})
			break
		}
	}
	v, err := viewOf(t.Context(), s, cals, q, zoneOf(t, zone), viewNow)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// said lists the days of a view with their events, one per line.
func said(v *view) string {
	var b strings.Builder
	for _, d := range v.Days {
		for _, e := range d.Events {
			fmt.Fprintf(&b, "%s %s %s", d.Date.Format("01-02"), e.Time, e.Title)
			if e.Notes != "" {
				fmt.Fprintf(&b, " (%s)", e.Notes)
			}
			b.WriteByte('\n')
		}
		if d.More > 0 {
			fmt.Fprintf(&b, "%s +%d\n", d.Date.Format("01-02"), d.More)
		}
	}
	return b.String()
}

func TestViewDays(t *testing.T) {
	t.Parallel()
	weekly := []string{"SUMMARY:Weekly", "DTSTART;TZID=Europe/Berlin:20200106T093000", "DTEND;TZID=Europe/Berlin:20200106T101500", "RRULE:FREQ=WEEKLY;BYDAY=MO"}
	for _, c := range []struct {
		name, query, zone string
		objects           [][]string
		want              string
	}{
		{"an endless series keeps its clock time when summer time begins", "date=2026-03-01", "Europe/Berlin", [][]string{weekly},
			"03-02 09:30–10:15 Weekly\n03-09 09:30–10:15 Weekly\n03-16 09:30–10:15 Weekly\n03-23 09:30–10:15 Weekly\n03-30 09:30–10:15 Weekly\n"},
		{"and is an hour off for another zone", "view=week&date=2026-03-30&zone=UTC", "Europe/Berlin", [][]string{weekly}, "03-30 07:30–08:15 Weekly\n"},
		{"zones by Windows names", "view=week&date=2026-03-30&zone=Tokyo+Standard+Time", "Europe/Berlin", [][]string{weekly}, "03-30 16:30–17:15 Weekly\n"},
		{"all-day events are on their dates in every zone", "date=2026-03-31", "Pacific/Auckland",
			[][]string{{"SUMMARY:Trip", "DTSTART;VALUE=DATE:20260330", "DTEND;VALUE=DATE:20260403"}}, "03-30 all day Trip\n03-31 all day Trip\n"},
		{"over the month's end, seen from the other side", "date=2026-04-15", "America/Los_Angeles",
			[][]string{{"SUMMARY:Trip", "DTSTART;VALUE=DATE:20260330", "DTEND;VALUE=DATE:20260403"}}, "04-01 all day Trip\n04-02 all day Trip\n"},
		{"over midnight", "view=week&date=2026-03-04", "UTC",
			[][]string{{"SUMMARY:Night shift", "DTSTART:20260304T220000Z", "DTEND:20260305T060000Z"}}, "03-04 from 22:00 Night shift\n03-05 until 06:00 Night shift\n"},
		{"till midnight", "view=week&date=2026-03-04", "UTC",
			[][]string{{"SUMMARY:Party", "DTSTART:20260304T200000Z", "DTEND:20260305T000000Z"}}, "03-04 20:00–00:00 Party\n"},
		{"days on end", "view=week&date=2026-03-04", "UTC",
			[][]string{{"SUMMARY:Fair", "DTSTART:20260303T120000Z", "DTEND:20260305T120000Z"}}, "03-03 from 12:00 Fair\n03-04 all day Fair\n03-05 until 12:00 Fair\n"},
		{"no length", "view=week&date=2026-03-04", "UTC", [][]string{{"SUMMARY:Mark", "DTSTART:20260304T200000Z"}, {"SUMMARY:Midnight", "DTSTART:20260305T000000Z"}},
			"03-04 20:00 Mark\n03-05 00:00 Midnight\n"},
		{"the day after by another clock", "view=week&date=2026-03-04", "Asia/Tokyo",
			[][]string{{"SUMMARY:Late", "DTSTART:20260304T200000Z", "DTEND:20260304T210000Z"}}, "03-05 05:00–06:00 Late\n"},
		{"the hour that comes twice", "view=week&date=2026-10-25", "Europe/Berlin",
			[][]string{{"SUMMARY:First", "DTSTART:20261025T001500Z", "DTEND:20261025T004500Z"}, {"SUMMARY:Across", "DTSTART:20261025T003000Z", "DTEND:20261025T011500Z"}},
			"10-25 02:15–02:45 First\n10-25 02:30–02:15 Across\n"},
		{"all day first, then by time", "view=week&date=2026-03-04", "UTC",
			[][]string{{"SUMMARY:B", "DTSTART:20260304T100000Z", "DTEND:20260304T110000Z"}, {"SUMMARY:A", "DTSTART:20260304T100000Z", "DTEND:20260304T110000Z"},
				{"SUMMARY:C", "DTSTART:20260304T090000Z", "DTEND:20260304T110000Z"}, {"SUMMARY:D", "DTSTART;VALUE=DATE:20260304"}},
			"03-04 all day D\n03-04 09:00–11:00 C\n03-04 10:00–11:00 A\n03-04 10:00–11:00 B\n"},
		{"states", "view=week&date=2026-03-04", "UTC",
			[][]string{{"SUMMARY:Gone", "DTSTART:20260304T100000Z", "STATUS:CANCELLED"}, {"SUMMARY:Home", "DTSTART:20260304T110000Z", "TRANSP:TRANSPARENT", "CLASS:PRIVATE"},
				{"DTSTART:20260304T120000Z", "STATUS:TENTATIVE"}},
			"03-04 10:00 Gone (cancelled)\n03-04 11:00 Home (free, private)\n03-04 12:00 (no title) (tentative)\n"},
		{"the years' ends", "view=week&date=2027-01-01", "UTC", [][]string{{"SUMMARY:Eve", "DTSTART;VALUE=DATE:20261231", "RRULE:FREQ=YEARLY;BYMONTH=12;BYMONTHDAY=-1"}},
			"12-31 all day Eve\n"},
	} {
		s := &shelf{}
		for _, o := range c.objects {
			s.put(t, 1, o...)
		}
		v := makeView(t, s, c.query, c.zone)
		if d := cmp.Diff(c.want, said(v)); d != "" || v.Problem != "" || v.Note != "" {
			t.Errorf("%s: %s%s\n%s", c.name, v.Problem, v.Note, d)
		}
	}
}

func TestViewAddresses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, title, date, previous, next, other string }{
		{"", "March 2026", "2026-03-25", "month 2026-02-01", "month 2026-04-01", "week 2026-03-25"},
		{"view=month&date=2026-12-31", "December 2026", "2026-12-31", "month 2026-11-01", "month 2027-01-01", "week 2026-12-31"},
		{"view=week", "23 – 29 March 2026", "2026-03-25", "week 2026-03-16", "week 2026-03-30", "month 2026-03-25"},
		{"view=week&date=2026-03-01", "23 February – 1 March 2026", "2026-03-01", "week 2026-02-16", "week 2026-03-02", "month 2026-03-01"},
		{"view=week&date=2027-01-01", "28 December 2026 – 3 January 2027", "2027-01-01", "week 2026-12-21", "week 2027-01-04", "month 2027-01-01"},
	} {
		v := makeView(t, &shelf{}, c.query, "Europe/Berlin")
		at := func(s string) string {
			kind, date, _ := strings.Cut(s, " ")
			return "?view=" + kind + "&date=" + date + "&zone=Europe%2FBerlin"
		}
		if v.Title != c.title || v.Date != c.date || v.Previous != at(c.previous) || v.Next != at(c.next) || v.Other != at(c.other) ||
			v.Zone != "Europe/Berlin" || v.Problem != "" {
			t.Errorf("%s: %+v", c.query, v)
		}
	}
	v := makeView(t, &shelf{}, "date=2026-02-10", "UTC")
	if len(v.Weeks) != 5 || v.Weeks[0].Days[0].ISO() != "2026-01-26" || !v.Weeks[0].Days[0].Outside || v.Weeks[0].Number != 5 || v.Weeks[4].Days[6].ISO() != "2026-03-01" ||
		len(v.Days) != 28 {
		t.Errorf("February: %+v", v.Weeks)
	}
	if v := makeView(t, &shelf{}, "date=2027-02-10", "UTC"); len(v.Weeks) != 4 {
		t.Errorf("a February of four weeks has %d", len(v.Weeks))
	}
	today := 0
	for _, w := range makeView(t, &shelf{}, "", "Asia/Tokyo").Weeks {
		for _, d := range w.Days {
			if d.Today {
				today++
				if d.ISO() != "2026-03-25" {
					t.Errorf("today is %s", d.ISO())
				}
			}
		}
	}
	if today != 1 {
		t.Errorf("%d days are today", today)
	}
}

func TestViewProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ query, want string }{
		{"view=year", "Only view=month and view=week exist"},
		{"date=2026-13-01", "2026-03-25"},
		{"date=0001-01-01", "1900"},
		{"date=9999-01-01", "2200"},
		{"zone=Middle-earth%2FShire", "Europe/Berlin"},
		{"zone=..%2F..%2Fetc%2Fpasswd", "Europe/Berlin"},
		{"zone=" + strings.Repeat("x", 10_000), "Europe/Berlin"},
	} {
		v := makeView(t, &shelf{}, c.query, "UTC")
		if !strings.Contains(v.Problem, c.want) || len(v.Problem) > 300 || v.Title != "March 2026" || v.Zone != "UTC" {
			t.Errorf("%.80s: %.300s, %s in %s", c.query, v.Problem, v.Title, v.Zone)
		}
	}
	if v, err := viewOf(t.Context(), &shelf{}, nil, nil, time.Local, viewNow); err != nil || v.Zone != "" && v.Zone == "Local" || strings.Contains(v.Next, "zone") {
		t.Errorf("the host's zone: %+v %v", v, err)
	}
	// If the mailbox has no zone, it is that of most events.
	own := &shelf{}
	own.put(t, 1, "SUMMARY:A", "DTSTART;TZID=America/New_York:20260304T100000")
	own.put(t, 1, "SUMMARY:B", "DTSTART;TZID=Asia/Tokyo:20260305T100000")
	own.put(t, 1, "SUMMARY:C", "DTSTART;TZID=Asia/Tokyo:20260306T100000")
	own.put(t, 1, "SUMMARY:D", "DTSTART:20260306T110000Z")
	if v, err := viewOf(t.Context(), own, []bridge.Calendar{{ID: 1}}, nil, time.Local, viewNow); err != nil || v.Zone != "Asia/Tokyo" || !strings.Contains(said(v), "03-06 10:00 C") {
		t.Errorf("the events' zone: %+v %v", v, err)
	}
	if v, err := viewOf(t.Context(), own, []bridge.Calendar{{ID: 1}}, url.Values{"zone": {"UTC"}}, time.Local, viewNow); err != nil || v.Zone != "UTC" {
		t.Errorf("the zone that was asked for: %+v %v", v, err)
	}
	s := &shelf{}
	s.put(t, 1, "SUMMARY:Good", "DTSTART:20260304T100000Z")
	s.put(t, 1, "SUMMARY:Bad zone", "DTSTART:20260304T100000Z")
	s.list[1].Data = bytes.Replace(s.list[1].Data, []byte("DTSTART:20260304T100000Z"), []byte("DTSTART;TZID=Nowhere:20260304T100000"), 1)
	if v := makeView(t, s, "", "UTC"); v.Note != "1 event cannot be shown here." || said(v) != "03-04 10:00 Good\n" {
		t.Errorf("%s\n%s", v.Note, said(v))
	}
}

// TestViewGrid reads the grid as a table with row and column spans, and finds the rows and columns of each event.
func TestViewGrid(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	for _, e := range [][3]string{
		{"A", "02T100000Z", "02T120000Z"}, {"B", "02T103000Z", "02T110000Z"}, {"C", "02T110000Z", "02T113000Z"}, {"D", "02T120000Z", "02T120500Z"},
		{"Early", "03T053000Z", "03T063000Z"}, {"Late", "04T230000Z", "05T013000Z"},
		{"O1", "06T100000Z", "06T110000Z"}, {"O2", "06T100000Z", "06T110000Z"}, {"O3", "06T100000Z", "06T110000Z"}, {"O4", "06T100000Z", "06T110000Z"}, {"O5", "06T100000Z", "06T110000Z"},
	} {
		s.put(t, 1, "SUMMARY:"+e[0], "DTSTART:202603"+e[1], "DTEND:202603"+e[2])
	}
	for i := range 8 {
		s.put(t, 1, fmt.Sprintf("SUMMARY:Day %d", i), "DTSTART;VALUE=DATE:20260308")
	}
	v := makeView(t, s, "view=week&date=2026-03-02", "UTC")
	var got []string
	for _, d := range v.Grid.Days {
		got = append(got, fmt.Sprintf("%s %d all day, %d more", d.Day.ISO(), len(d.AllDay), d.More))
	}
	at := map[string]string{}
	for i, row := range v.Grid.Rows {
		for _, c := range row.Cells {
			if c.Event != nil {
				at[c.Event.Title+" "+c.Event.Time] = fmt.Sprintf("row %d, %d by %d", i, c.Rows, c.Columns)
			}
		}
	}
	want := []string{"2026-03-02 0 all day, 0 more", "2026-03-03 0 all day, 0 more", "2026-03-04 0 all day, 0 more",
		"2026-03-05 0 all day, 0 more", "2026-03-06 0 all day, 1 more", "2026-03-07 0 all day, 0 more", "2026-03-08 6 all day, 2 more"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	wantAt := map[string]string{"Late until 01:30": "row 0, 3 by 12", "Early 05:30–06:30": "row 11, 2 by 12", "A 10:00–12:00": "row 20, 4 by 6", "B 10:30–11:00": "row 21, 1 by 6",
		"C 11:00–11:30": "row 22, 1 by 6", "D 12:00–12:05": "row 24, 1 by 6", "Late from 23:00": "row 46, 2 by 12",
		"O1 10:00–11:00": "row 20, 2 by 3", "O2 10:00–11:00": "row 20, 2 by 3", "O3 10:00–11:00": "row 20, 2 by 3", "O4 10:00–11:00": "row 20, 2 by 3"}
	if d := cmp.Diff(wantAt, at); d != "" {
		t.Error(d)
	}
	if len(v.Grid.Rows) != 48 {
		t.Errorf("%d rows", len(v.Grid.Rows))
	}
	if quiet := makeView(t, &shelf{}, "view=week", "UTC"); len(quiet.Grid.Rows) != 20 || quiet.Grid.Rows[0].Label != "08:00" {
		t.Errorf("an empty week: %+v", quiet.Grid.Rows)
	}
	tableShape(t, render(t, v))
}

var viewPage = template.Must(template.ParseFS(files, "pages/month-week.html"))

func render(t testing.TB, v *view) *html.Node {
	t.Helper()
	var b bytes.Buffer
	if err := viewPage.ExecuteTemplate(&b, map[bool]string{true: "week", false: "month"}[v.Week], v); err != nil {
		t.Fatal(err)
	}
	doc, err := html.Parse(&b)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// all returns the elements of a kind below n, in order.
func all(n *html.Node, kinds ...atom.Atom) (list []*html.Node) {
	for d := range n.Descendants() {
		for _, k := range kinds {
			if d.DataAtom == k {
				list = append(list, d)
			}
		}
	}
	return list
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// tableShape checks that the cells of each table fill it without a gap or an overlap, as a browser lays them out.
func tableShape(t *testing.T, doc *html.Node) {
	t.Helper()
	tables := all(doc, atom.Table)
	if len(tables) != 1 || len(all(tables[0], atom.Caption)) != 1 {
		t.Fatalf("%d tables", len(tables))
	}
	rows := all(tables[0], atom.Tr)
	number := func(n *html.Node, name string) int {
		if s := attr(n, name); s != "" {
			v, err := strconv.Atoi(s)
			if err != nil || v < 1 {
				t.Fatalf("%s=%q", name, s)
			}
			return v
		}
		return 1
	}
	width := 0
	for _, c := range all(rows[0], atom.Th) {
		width += number(c, "colspan")
		if attr(c, "scope") != "col" {
			t.Error("a heading of a column without a scope")
		}
	}
	busy := make([]int, width) // rows that a cell above still covers
	for i, r := range rows {
		x := 0
		for _, c := range all(r, atom.Td, atom.Th) {
			for x < width && busy[x] > 0 {
				x++
			}
			for range number(c, "colspan") {
				if x >= width || busy[x] > 0 {
					t.Fatalf("row %d: a cell lies over another or outside of the table: %q", i, text(c))
				}
				busy[x] = number(c, "rowspan")
				x++
			}
		}
		for x := range busy {
			if busy[x] == 0 {
				t.Fatalf("row %d has a gap in column %d", i, x)
			}
			busy[x]--
		}
	}
	for x, n := range busy {
		if n > 0 {
			t.Errorf("column %d reaches %d rows below the table", x, n)
		}
	}
}

func TestViewMarkup(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	s.put(t, 1, "SUMMARY:<script>alert(1)</script>", "LOCATION:Room \"7\" & <b>", "DTSTART:20260304T100000Z", "DTEND:20260304T110000Z")
	s.put(t, 2, "SUMMARY:School play", "DTSTART;VALUE=DATE:20260304", "DTEND;VALUE=DATE:20260306", "STATUS:CANCELLED")
	for i := range 12 {
		s.put(t, 1, fmt.Sprintf("SUMMARY:Meeting %d", i), fmt.Sprintf("DTSTART:20260305T%02d0000Z", 8+i), fmt.Sprintf("DTEND:20260305T%02d3000Z", 9+i))
	}
	for _, query := range []string{"date=2026-03-04", "view=week&date=2026-03-04"} {
		v := makeView(t, s, query, "UTC")
		doc := render(t, v)
		tableShape(t, doc)
		whole := text(doc)
		for _, want := range []string{"<script>alert(1)</script>", `Room "7" & <b>`, "School play", "cancelled", "Work", "Family", v.Title, "Wednesday 4 March 2026"} {
			if !strings.Contains(whole, want) {
				t.Errorf("%s: no %q", query, want)
			}
		}
		if len(all(doc, atom.Script, atom.Style)) > 0 {
			t.Errorf("%s: a script or a style", query)
		}
		ids := map[string]int{}
		colors := map[string]bool{}
		for d := range doc.Descendants() {
			if attr(d, "style") != "" || strings.HasPrefix(attr(d, "href"), "javascript") {
				t.Errorf("%s: what the pages' policy refuses: %v", query, d.Attr)
			}
			if id := attr(d, "id"); id != "" {
				ids[id]++
			}
			if d.Data == "rect" {
				colors[attr(d, "fill")] = true
			}
		}
		for id, n := range ids {
			if n > 1 {
				t.Errorf("%s: the id %s is there %d times", query, id, n)
			}
		}
		if len(colors) != 2 || !colors["#112233"] {
			t.Errorf("%s: colours %v", query, colors)
		}
		for _, a := range all(doc, atom.A) {
			href := attr(a, "href")
			if strings.HasPrefix(href, "#") && ids[href[1:]] != 1 {
				t.Errorf("%s: a link to %s, which is not there", query, href)
			}
			if text(a) == "" && attr(a, "aria-label") == "" {
				t.Errorf("%s: a link without a name: %s", query, href)
			}
		}
		if query == "date=2026-03-04" && !strings.Contains(whole, "7 more") {
			t.Error("no word of the events that the cell has no room for")
		}
	}
}

// TestViewBounds: however many events there are, the page stays small and says what it leaves out.
func TestViewBounds(t *testing.T) {
	t.Parallel()
	s := &shelf{}
	for i := range 700 {
		s.put(t, 1, fmt.Sprintf("SUMMARY:Daily %d", i), "DTSTART:20200101T100000Z", "DTEND:20200101T110000Z", "RRULE:FREQ=DAILY")
	}
	v := makeView(t, s, "", "UTC")
	if !strings.Contains(v.Note, " are not shown.") || len(v.Days) != 31 || len(v.Days[0].Events) != maxInList || v.Days[0].More < 250 {
		t.Errorf("%s %d", v.Note, v.Days[0].More)
	}
	v = makeView(t, s, "view=week", "UTC")
	if v.Note != "" || v.Days[0].More != 500 || v.Grid.Days[0].More != 696 {
		t.Errorf("%s %d %d", v.Note, v.Days[0].More, v.Grid.Days[0].More)
	}
	tableShape(t, render(t, v))
}

func FuzzViewQuery(f *testing.F) {
	for _, q := range []string{"", "view=week&date=2026-03-29&zone=Europe/Berlin", "date=0000-00-00", "date=2200-12-31&view=week", "zone=+14", "view=%00&date=-1", "zone=/etc/localtime", "zone=Local"} {
		f.Add(q)
	}
	s := &shelf{}
	s.put(f, 1, "SUMMARY:Weekly", "DTSTART;TZID=Europe/Berlin:20200106T093000", "RRULE:FREQ=WEEKLY")
	f.Fuzz(func(t *testing.T, query string) {
		q, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		v, err := viewOf(t.Context(), s, []bridge.Calendar{{ID: 1}}, q, time.UTC, viewNow)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(v.Days); n < 28 && n != 7 || n > 31 || v.Note != "" {
			t.Errorf("%d days, %s", n, v.Note)
		}
		tableShape(t, render(t, v))
		for _, address := range []string{v.Previous, v.Next, v.Other, v.Today} {
			if u, err := url.Parse(address); err != nil || u.Path != "" {
				t.Errorf("%q: %v", address, err)
			}
		}
	})
}

// BenchmarkView renders the month of a calendar with 10,000 single events, all of them in this month.
func BenchmarkView(b *testing.B) {
	s := &shelf{}
	for i := range 10_000 {
		at := time.Date(2026, 3, 1+i%31, i/31%24, 0, 0, 0, time.UTC)
		cal, _, err := convert.ToICS(convert.Series{Owner: "ann@contoso.example", Event: graph.Event{
			ID: graph.EventID(fmt.Sprint(i)), ICalUID: fmt.Sprintf("%0112d", i), Subject: fmt.Sprintf("Meeting %d", i), OriginalStartTimeZone: "W. Europe Standard Time",
			Body: graph.ItemBody{ContentType: "text", Content: strings.Repeat("What there is to say of it. ", 20)}, Location: graph.Location{DisplayName: "Room 7"},
			Start: graph.DateTimeTimeZone{DateTime: at.Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
			End:   graph.DateTimeTimeZone{DateTime: at.Add(time.Hour).Format("2006-01-02T15:04:05"), TimeZone: "UTC"},
		}})
		if err != nil {
			b.Fatal(err)
		}
		var w bytes.Buffer
		if err := ics.Encode(&w, cal); err != nil {
			b.Fatal(err)
		}
		s.list = append(s.list, bridge.Object{Calendar: 1, Name: fmt.Sprintf("%06d", i), Data: w.Bytes()})
	}
	// The real store pages by an index; shelf would search everything each time.
	pages := map[string][]bridge.Object{}
	for i := 0; i < len(s.list); i += 50 {
		after := ""
		if i > 0 {
			after = s.list[i-1].Name
		}
		pages[after] = s.list[i : i+50]
	}
	cals := []bridge.Calendar{{ID: 1}}
	b.ReportAllocs()
	for b.Loop() {
		v, err := viewOf(b.Context(), paged{pages: pages}, cals, nil, time.UTC, viewNow)
		if err != nil || len(v.Days) != 31 || v.Days[0].More == 0 {
			b.Fatal(err)
		}
		var w bytes.Buffer
		if err := viewPage.ExecuteTemplate(&w, "month", v); err != nil {
			b.Fatal(err)
		}
	}
}

type paged struct {
	bridge.ObjectLister
	pages map[string][]bridge.Object
}

func (p paged) Objects(_ context.Context, _ bridge.CalendarID, q bridge.ObjectQuery) ([]bridge.Object, error) {
	list := p.pages[q.After]
	return list[:min(len(list), q.Limit)], nil
}
