package work

import (
	"time"

	"outbridge/bridge"
)

// Change ends the polling of some mailboxes and begins that of others, in place of those of their names, as Remove and Add do one by one.
// The first rounds are spread, so that a thousand who join at once do not all begin at once.
func (s *Scheduler) Change(add []Mailbox, remove []string) {
	ends := map[string]bool{}
	for _, name := range remove {
		ends[name] = true
	}
	for _, m := range add {
		ends[m.Name] = true
	}
	s.mu.Lock()
	kept := make([]Mailbox, 0, len(s.Mailboxes)+len(add))
	for _, m := range s.Mailboxes {
		if !ends[m.Name] {
			kept = append(kept, m)
		}
	}
	s.Mailboxes = kept
	var gone []*worker
	for name := range ends {
		if w := s.workers[name]; w != nil {
			gone = append(gone, w)
			delete(s.workers, name)
			w.stop()
		}
	}
	s.mu.Unlock()
	for _, w := range gone {
		<-w.done
	}
	for name := range ends {
		s.Rounds.Forget(name)
		if s.Removed != nil {
			s.Removed(name)
		}
	}
	s.mu.Lock()
	s.Mailboxes = append(s.Mailboxes, add...)
	runs := s.ctx != nil
	for i, m := range add {
		delete(ends, m.Name)
		if runs {
			s.start(m, time.Duration(i)*startGap)
		}
	}
	s.mu.Unlock()
	if !runs || s.Jobs == nil {
		return
	}
	for name := range ends {
		s.Jobs.end(name)
	}
	for _, m := range add {
		s.Jobs.nudge(m.Name, bridge.NudgeDue)
	}
}
