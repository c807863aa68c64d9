package graphsim

import (
	"reflect"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// A touch is what Exchange does to an event by itself, some time after it was written.
type touch struct {
	at time.Time
	x  *item
	do func(x *item)
}

// Settle lets everything happen at once that Exchange would do in the next seconds.
func (s *Server) Settle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch(func(touch) bool { return true })
}

// settle does what is due.
func (s *Server) settle() {
	now := s.now()
	s.touch(func(t touch) bool { return !t.at.After(now) })
}

func (s *Server) touch(due func(touch) bool) {
	var later []touch
	ready := s.touches
	s.touches = nil
	slices.SortStableFunc(ready, func(a, b touch) int { return a.at.Compare(b.at) })
	for _, t := range ready {
		switch {
		case !due(t):
			later = append(later, t)
		case t.x.cal.items[t.x.n] == t.x:
			t.do(t.x)
			t.x.update()
		}
	}
	s.touches = append(s.touches, later...)
}

// touchLater has Exchange come back to an event that was written: for its change key always, and for whatever else there is to do.
func (s *Server) touchLater(x *item) {
	if s.Writing.Calm {
		return
	}
	now := s.now()
	at := func(seconds uint64) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	after := 1 + s.version%3
	s.touches = append(s.touches, touch{at(after), x, func(x *item) {
		x.everywhere(s.resolveNames)
		if x.ev.JoinURL != "" {
			x.ev.Body = withJoin(x.ev.Body, x.ev.JoinURL)
		}
	}})
	if slices.ContainsFunc(x.ev.Attendees, waitingRoom) {
		s.touches = append(s.touches, touch{at(after + 1), x, func(x *item) {
			x.everywhere(func(e *Event) {
				for i, a := range e.Attendees {
					if waitingRoom(a) {
						e.Attendees[i].Status.Response, e.Attendees[i].Status.Time = "accepted", s.now().UTC().Format(time.RFC3339)
					}
				}
			})
		}})
	}
}

// waitingRoom tells whether an attendee is a room that has not answered yet.
func waitingRoom(a graph.Attendee) bool {
	return a.Type == "resource" && (a.Status.Response == "" || a.Status.Response == "none")
}

// everywhere changes the event and its exceptions.
func (x *item) everywhere(change func(*Event)) {
	e := x.ev.clone()
	change(&e)
	x.ev = e
	for day, e := range x.exceptions {
		was := e
		e = e.clone()
		if change(&e); !reflect.DeepEqual(was, e) {
			x.exceptions[day] = e
			delete(x.own, day)
		}
	}
}

func (s *Server) resolveNames(e *Event) {
	for i, a := range e.Attendees {
		if m := s.mailbox(a.EmailAddress.Address); m != nil {
			e.Attendees[i].EmailAddress.Name = m.name
		} else if a.EmailAddress.Name == "" {
			e.Attendees[i].EmailAddress.Name = a.EmailAddress.Address
		}
	}
}

const joinMark = `class="me-email-text"`

// joinBlob is what an online meeting has at the end of its body.
func joinBlob(url string) string {
	line := `<div><span style="color:#5F5F5F">` + strings.Repeat("_", 80) + "</span></div>\r\n"
	return "<br>\r\n" + line + `<div ` + joinMark + ` lang="en-US"><div><span>Microsoft Teams meeting</span></div>` + "\r\n" +
		`<div><a class="me-email-headline" href="` + url + `">Join the meeting now</a></div></div>` + "\r\n" + line
}

// hasJoin tells whether a body still has the join information of a meeting.
func hasJoin(body, url string) bool {
	return strings.Contains(body, joinMark) && strings.Contains(body, url)
}

// withJoin adds the join information to a body that lacks it.
func withJoin(body, url string) string {
	if hasJoin(body, url) {
		return body
	}
	if i := strings.LastIndex(body, "</body>"); i >= 0 {
		return body[:i] + joinBlob(url) + body[i:]
	}
	return body + joinBlob(url)
}
