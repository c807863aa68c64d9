package graphsim

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Violations are the breaches of Graph's rules by the client since the last ResetViolations, oldest first:
//   - a first delta request (with dates) for a calendar and much the same window (both ends within a day) while a
//     token for it lives: deletions get lost;
//   - a token that was never issued, or was altered;
//   - more than 4 requests at once for one mailbox, of which the parts of a $batch are up to 4;
//   - a request before the Retry-After of an earlier answer has passed. Other requests than the refused one have
//     50 ms of grace, since they may have been under way;
//   - a $batch of more than 20 parts;
//   - a Prefer with a time zone that the service does not know;
//   - a page of a delta without IdType="ImmutableId" where the first page had it, or the reverse.
//
// Of those who write also:
//   - a PATCH or DELETE without If-Match, but of an occurrence that is no exception yet;
//   - a POST of an event without a transactionId, and a transactionId for another body than before;
//   - a PATCH with a property that does not change, where none changes that goes with it (times and recurrence, reminder, places);
//   - one of start and end without the other;
//   - a recurrence with properties that its type does not have, or in another zone than the start; a weekly one without firstDayOfWeek;
//   - a body that takes the join information away from an online meeting;
//   - a PATCH by an invitee of what is the organizer's, and of somebody else's private event;
//   - a mail that tells somebody of the same thing again;
//   - permanentDelete, and a token that is sent to an upload session.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.violations)
}

// ResetViolations forgets the violations so far.
func (s *Server) ResetViolations() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.violations = nil
}

func (s *Server) violation(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if len(s.violations) < 1000 {
		s.violations = append(s.violations, text)
	}
	if s.Log != nil {
		s.Log.Warn("protocol violation", "what", text)
	}
}

// MaxConcurrent is the largest number of requests that were under way at once for one mailbox.
func (s *Server) MaxConcurrent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.concurrent
}

// atOnce is how many requests Outlook serves one app in one mailbox at once, and how many parts of a $batch.
const atOnce = 4

// enter counts a request that begins, a $batch as so many as it has parts that run at once. It reports true where that is
// too many to be served.
func (s *Server) enter(m *Mailbox, requests int) bool {
	if m == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := m.inflight
	m.inflight += requests
	s.concurrent = max(s.concurrent, m.inflight)
	if before <= atOnce && m.inflight > atOnce {
		s.violation("more than 4 requests at once for %s", m.address)
	}
	return s.Concurrency > 0 && before > 0 && m.inflight > s.Concurrency
}

func (s *Server) leave(m *Mailbox, requests int) {
	if m == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m.inflight -= requests
}

// A pause is a Retry-After that a client was given. It counts in the time of the process, which is what a client
// waits by, and not by Server.Now.
type pause struct {
	given, until time.Time
	request      string
}

const pauseGrace = 50 * time.Millisecond

// checkPause looks whether a request comes too early.
func (s *Server) checkPause(m *Mailbox, request string) {
	if m == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if p := m.pause; now.Before(p.until) && (request == p.request || now.Sub(p.given) > pauseGrace) {
		s.violation("request %s before the Retry-After of %s has passed (%s early)", request, p.request, p.until.Sub(now))
	}
}

// notePause remembers the Retry-After of an answer.
func (s *Server) notePause(c *call, request string, a response) {
	seconds, err := strconv.Atoi(cmp.Or(a.header.Get("Retry-After"), "0"))
	if err != nil || seconds <= 0 || c.mailbox == nil {
		return
	}
	now := time.Now()
	c.mailbox.pause = pause{now, now.Add(time.Duration(seconds) * time.Second), request}
}
