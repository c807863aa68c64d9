package web_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"outbridge/bridge"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

// TestFeedClients plays testdata/clients/*.txt: what each subscriber sends, by its source or as seen in logs, and what it
// needs to get. $FEED is the path of a feed of all that alice has. A step is
//
//	C: METHOD /path       request line, then header lines
//	S: 200                expected status, then what is expected of the answer, a line each:
//	Name: value           a header that has this value
//	~ Name regexp         a header that matches
//	! Name                a header that is not there
//	+ line    - line      the body has, or does not have, this line, unfolded
//	# n text              the body has this text n times
//	= NAME Header         $NAME is, from here on, the value of this header
//	> NAME property       the highest value of this property is above what it was when $NAME was last set so; sets $NAME
//
// "B: " changes things between steps: "create SUBJECT" and "change SUBJECT" in Outlook, "round", "cache lost". "--" starts a
// comment.
func TestFeedClients(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/clients/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &player{site: newSite(t), vars: map[string]string{}, ids: map[string]graph.EventID{}}
			p.now.Store(&feedStart)
			p.box.Calendar().Create(graphsim.Event{Subject: "Stand-up", Start: at(-7, 9), End: at(-7, 10), Categories: []string{"Réd"},
				Recurrence: &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "daily", Interval: 1}}})
			p.box.Calendar().Create(graphsim.Event{Subject: "Canceled: Demo", Start: at(3, 9), End: at(3, 10), Cancelled: true})
			p.ids["Review"] = p.meeting("Review")
			p.round()
			url, _ := p.feed(bridge.Feed{Name: "Ann, at work"})
			p.vars["FEED"] = strings.TrimPrefix(url, p.url)
			p.play(strings.Split(string(text), "\n"))
		})
	}
}

var feedStart = time.Now().UTC().Truncate(time.Second)

type player struct {
	*site
	vars map[string]string
	ids  map[string]graph.EventID
	last answer
	step int // line
}

func (p *player) play(lines []string) {
	for i := 0; i < len(lines); i++ {
		p.step = i + 1
		line := p.expand(lines[i])
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "--"):
		case strings.HasPrefix(line, "B: "):
			p.happens(strings.TrimPrefix(line, "B: "))
		case strings.HasPrefix(line, "C: "):
			method, path, _ := strings.Cut(strings.TrimPrefix(line, "C: "), " ")
			var headers []string
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "S: "); i++ {
				name, value, _ := strings.Cut(p.expand(lines[i]), ":")
				headers = append(headers, name, strings.TrimSpace(value))
			}
			p.step = i + 1
			p.last = p.do(method, p.url+path, headers...)
			if got, want := strconv.Itoa(p.last.StatusCode), strings.TrimPrefix(lines[i], "S: "); got != want {
				p.Fatalf("line %d: status %s, want %s\n%s", p.step, got, want, p.last.body)
			}
			if p.last.StatusCode == 200 && method == "GET" && strings.HasSuffix(path, ".ics") {
				checkFeed(p, p.last)
			}
		default:
			p.check(line)
		}
	}
}

func (p *player) expand(s string) string {
	for name, v := range p.vars {
		s = strings.ReplaceAll(s, "$"+name, v)
	}
	return s
}

func (p *player) happens(what string) {
	p.Helper()
	verb, rest, _ := strings.Cut(what, " ")
	switch verb {
	case "create":
		p.ids[rest] = p.meeting(rest)
	case "change":
		if err := p.box.Calendar().Change(p.ids[rest], func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(time.Hour), e.End.Add(time.Hour) }); err != nil {
			p.Fatal(err)
		}
	case "round":
		p.round()
	case "cache":
		if err := os.RemoveAll(p.cache); err != nil {
			p.Fatal(err)
		}
	default:
		p.Fatalf("line %d: %s", p.step, what)
	}
}

func (p *player) check(line string) {
	p.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	lines := "\n" + strings.ReplaceAll(unfold(p.last.body), "\r\n", "\n")
	switch kind {
	case "+", "-":
		if strings.Contains(lines, "\n"+rest+"\n") != (kind == "+") {
			p.Errorf("line %d: %s\n%s", p.step, line, lines)
		}
	case "#":
		count, text, _ := strings.Cut(rest, " ")
		if got := strconv.Itoa(strings.Count(lines, text)); got != count {
			p.Errorf("line %d: %s times %s in\n%s", p.step, got, text, lines)
		}
	case "~":
		name, re, _ := strings.Cut(rest, " ")
		if got := p.last.Header.Get(name); !regexp.MustCompile("^" + re + "$").MatchString(got) {
			p.Errorf("line %d: %s is %q", p.step, name, got)
		}
	case "!":
		if got, ok := p.last.Header[rest]; ok {
			p.Errorf("line %d: %s is %q", p.step, rest, got)
		}
	case "=":
		name, header, _ := strings.Cut(rest, " ")
		if p.vars[name] = p.last.Header.Get(header); p.vars[name] == "" {
			p.Errorf("line %d: no %s", p.step, header)
		}
	case ">":
		name, prop, _ := strings.Cut(rest, " ")
		highest := ""
		for _, m := range regexp.MustCompile("\n"+prop+":([^\n]*)").FindAllStringSubmatch(lines, -1) {
			highest = max(highest, m[1])
		}
		if highest <= p.vars[name] {
			p.Errorf("line %d: %s is %s, after %s", p.step, prop, highest, p.vars[name])
		}
		p.vars[name] = highest
	default:
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			p.Fatalf("line %d: what is %q?", p.step, line)
		}
		if got := p.last.Header.Get(name); got != value {
			p.Errorf("line %d: %s is %q, want %q", p.step, name, got, value)
		}
	}
}

func unfold(s string) string { return strings.ReplaceAll(s, "\r\n ", "") }

// checkFeed looks for what any subscriber stumbles over: Google ignores the whole file, Home Assistant fails, Outlook.com
// shows nothing.
func checkFeed(t testing.TB, got answer) {
	t.Helper()
	bad := func(what string) { t.Helper(); t.Errorf("%s:\n%s", what, got.body) }
	if kind := got.Header.Get("Content-Type"); kind != "text/calendar; charset=utf-8" {
		bad("Content-Type " + kind)
	}
	suffix := ""
	if coding := got.Header.Get("Content-Encoding"); coding != "" {
		suffix = "-" + coding
	}
	if tag := got.Header.Get("ETag"); !regexp.MustCompile(`^"[0-9a-f]{32}` + suffix + `"$`).MatchString(tag) {
		bad("ETag " + tag)
	}
	if !strings.HasPrefix(got.body, "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//outbridge//") || !strings.HasSuffix(got.body, "\r\nEND:VCALENDAR\r\n") {
		bad("its begin or its end")
	}
	if !utf8.ValidString(got.body) || strings.Contains(got.body, "\ufeff") || strings.Count(got.body, "\n") != strings.Count(got.body, "\r\n") ||
		strings.Count(got.body, "\r") != strings.Count(got.body, "\n") {
		bad("encoding or line ends")
	}
	for line := range strings.SplitSeq(got.body, "\r\n") {
		if len(line) > 75 || strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' }) {
			bad("line " + line)
		}
	}
	head, _, _ := strings.Cut(got.body, "BEGIN:V")
	if strings.HasPrefix(got.body, "BEGIN:VCALENDAR") {
		head, _, _ = strings.Cut(got.body[len("BEGIN:VCALENDAR\r\n"):], "BEGIN:")
	}
	head = "\r\n" + unfold(head)
	for _, name := range []string{"CALSCALE:GREGORIAN", "METHOD:PUBLISH", "NAME:", "X-WR-CALNAME:", "COLOR:", "X-APPLE-CALENDAR-COLOR:#",
		"REFRESH-INTERVAL;VALUE=DURATION:PT1H\r\n", "X-PUBLISHED-TTL:PT1H\r\n"} {
		if strings.Count(head, "\r\n"+name) != 1 {
			bad("not once: " + name)
		}
	}
	if strings.Count(got.body, "METHOD:") != 1 {
		bad("METHOD")
	}
	cal, err := ics.Decode([]byte(got.body))
	if err != nil {
		t.Fatal(err)
	}
	zones := map[string]int{}
	for _, c := range cal.Children {
		if c.Name == "VTIMEZONE" {
			zones[c.Props.Get("TZID").Value]++
		}
	}
	for zone, n := range zones {
		if n != 1 {
			bad("twice the zone " + zone)
		}
	}
	uids := map[string]bool{}
	for _, e := range cal.Events() {
		for _, props := range e.Props {
			for _, p := range props {
				if id := p.Params.Get("TZID"); id != "" && zones[id] == 0 {
					bad("no VTIMEZONE for " + id)
				}
			}
		}
		for _, name := range []string{"UID", "DTSTAMP", "DTSTART", "LAST-MODIFIED"} {
			if e.Props.Get(name) == nil {
				bad("an event without " + name)
			}
		}
		uid := e.Props.Get("UID").Value
		if id := e.Props.Get("RECURRENCE-ID"); id != nil {
			uid += " " + id.Value
		}
		if uids[uid] {
			bad("twice the UID " + uid)
		}
		uids[uid] = true
	}
}
