package caldav_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"outbridge/caldav"
)

// TestClients plays testdata/clients/*.txt: what each client sends, as recorded or read in its source, and what it
// needs to get. A step is
//
//	C: METHOD /path            request line, then header lines, an empty line, and the body
//	S: 207                     expected status, then what is expected of the answer, a line each:
//	Name: value                a header that has this value
//	+ text    - text           the body has, or does not have, this text (white space between tags aside)
//	# n text                   the body has this text n times
//	= NAME regexp              $NAME is, from here on, what the regexp's group matches in the body
//
// Between "P: begin" and "P: N requests, M octets" are N requests whose answers, headers and all, have at most M octets,
// and not less than nine tenths of it: docs/clients.md tells of an idle poll in these figures.
//
// "B: publish CALENDAR NAME" and "B: remove CALENDAR NAME" change the backend between steps, "B: writable" makes the calendar
// private one that mails and keeps files, and "B: refuse CONDITION" has every write refused with a precondition, or by a
// status, until "B: refuse nothing"; "--" starts a comment. "~ NAME Header" makes $NAME the value of a header.
func TestClients(t *testing.T) {
	files, err := filepath.Glob("testdata/clients/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			m := fixture()
			p := &player{s: serve(t, &keeping{memory: m}), m: m, vars: map[string]string{}}
			p.play(t, strings.Split(string(text), "\n"))
		})
	}
}

type player struct {
	s    *server
	m    *memory
	vars map[string]string
	last answer

	requests, octets int // since "P: begin"
}

var betweenTags = regexp.MustCompile(`>\s+<`)

func squeeze(s string) string { return betweenTags.ReplaceAllString(strings.TrimSpace(s), "><") }

func (p *player) play(t *testing.T, lines []string) {
	for i := 0; i < len(lines); i++ {
		line := p.expand(lines[i])
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(line, "--"):
		case strings.HasPrefix(line, "B: "):
			f := strings.Fields(line)
			switch f[1] {
			case "publish":
				p.m.publish(f[2], f[3], event("UID:"+f[3]+"\nDTSTAMP:20260101T000000Z\nDTSTART:20260901T100000Z\nDURATION:PT1H\nSUMMARY:"+strconv.Itoa(i)))
			case "remove":
				p.m.remove(f[2], f[3])
			case "writable":
				p.m.writable()
			case "refuse":
				p.m.refuse = refusals[f[2]]
				if p.m.refuse == nil && f[2] != "nothing" {
					t.Fatalf("line %d: %s", i+1, line)
				}
			default:
				t.Fatalf("line %d: %s", i+1, line)
			}
		case line == "P: begin":
			p.requests, p.octets = 0, 0
		case strings.HasPrefix(line, "P: "):
			var requests, octets int
			if _, err := fmt.Sscanf(line, "P: %d requests, %d octets", &requests, &octets); err != nil {
				t.Fatalf("line %d: %v", i+1, err)
			}
			if p.requests != requests || p.octets > octets || p.octets < octets*9/10 {
				t.Errorf("line %d: %d requests, %d octets", i+1, p.requests, p.octets)
			}
		case strings.HasPrefix(line, "C: "):
			method, path, _ := strings.Cut(strings.TrimPrefix(line, "C: "), " ")
			var headers, body []string
			inBody := false
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "S: "); i++ {
				l := p.expand(lines[i])
				switch {
				case inBody:
					body = append(body, l)
				case l == "":
					inBody = true
				default:
					headers = append(headers, l)
				}
			}
			p.last = p.s.do(method, path, strings.TrimSpace(strings.Join(body, "\n")), headers...)
			p.requests++
			var head strings.Builder
			_ = p.last.Header.Write(&head)
			p.octets += len("HTTP/1.1 \r\n\r\n") + len(p.last.Status) + head.Len() + p.last.size
			want := strings.TrimPrefix(lines[i], "S: ")
			if got := strconv.Itoa(p.last.StatusCode); got != want {
				t.Fatalf("line %d: status %s, want %s\n%s", i+1, got, want, p.last.body)
			}
			if want == "207" {
				p.last.multistatus(t)
			}
		default:
			p.check(t, i+1, line)
		}
	}
}

// refusals are what "B: refuse" knows.
var refusals = map[string]error{
	"412":                            caldav.ErrPrecondition,
	"503":                            &caldav.Refused{Err: caldav.ErrUnavailable, Sentence: "Outlook does not answer.", RetryAfter: 10 * time.Second},
	"need-privileges":                &caldav.Refused{Sentence: "This event cannot be changed."},
	"valid-calendar-object-resource": &caldav.Refused{Condition: caldav.ValidCalendarObject, Sentence: "Outlook cannot restore a deleted occurrence."},
	"allowed-attendee":               &caldav.Refused{Condition: caldav.AllowedAttendeeChange, Sentence: "Only the organizer can move this meeting."},
	"allowed-organizer":              &caldav.Refused{Condition: caldav.AllowedOrganizerChange, Sentence: "Saving this would send mail."},
	"no-uid-conflict":                &caldav.Refused{Condition: caldav.NoUIDConflict, Sentence: "The event is in another calendar.", Calendar: "work", Object: "single.ics"},
}

func (p *player) expand(s string) string {
	for name, v := range p.vars {
		s = strings.ReplaceAll(s, "$"+name, v)
	}
	return s
}

func (p *player) check(t *testing.T, n int, line string) {
	t.Helper()
	kind, rest, _ := strings.Cut(line, " ")
	body := squeeze(p.last.body)
	switch kind {
	case "+":
		if !strings.Contains(body, squeeze(rest)) {
			t.Errorf("line %d: no %s in\n%s", n, rest, body)
		}
	case "-":
		if strings.Contains(body, squeeze(rest)) {
			t.Errorf("line %d: %s in\n%s", n, rest, body)
		}
	case "#":
		count, text, _ := strings.Cut(rest, " ")
		if got := strconv.Itoa(strings.Count(body, squeeze(text))); got != count {
			t.Errorf("line %d: %s times %s in\n%s", n, got, text, body)
		}
	case "~":
		name, header, _ := strings.Cut(rest, " ")
		if p.vars[name] = p.last.Header.Get(header); p.vars[name] == "" {
			t.Fatalf("line %d: no %s in %v", n, header, p.last.Header)
		}
	case "=":
		name, re, _ := strings.Cut(rest, " ")
		m := regexp.MustCompile("(?s)" + re).FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("line %d: no match in\n%s", n, body)
		}
		p.vars[name] = m[1]
	default:
		name, value, ok := strings.Cut(line, ": ")
		if !ok {
			t.Fatalf("line %d: what is %q?", n, line)
		}
		if got := p.last.Header.Get(name); got != value {
			t.Errorf("line %d: %s is %q, want %q", n, name, got, value)
		}
	}
}

var _ caldav.PropertyStore = (*keeping)(nil)
