package round

import (
	"encoding/json"

	"outbridge/bridge"
)

// remembered is what the next round of an account wants to know of those before, wherever it runs.
type remembered struct {
	Settings  int64                         `json:"settings,omitempty"` // Unix seconds, as are all times
	Calendars int64                         `json:"calendars,omitempty"`
	Groups    int64                         `json:"groups,omitempty"`
	Of        map[string]rememberedCalendar `json:"of,omitempty"` // by epoch
}

type rememberedCalendar struct {
	Stuck  int   `json:"stuck,omitempty"`
	Viewed int64 `json:"viewed,omitempty"`
	Good   int64 `json:"good,omitempty"`
	Looked int64 `json:"looked,omitempty"`
	Looks  int   `json:"looks,omitempty"`
	Reread int64 `json:"reread,omitempty"`
}

// Remember is what is remembered of an account's rounds, for another process to Recall. The cursor of an idle calendar is not in
// it: the one that is stored is a few minutes old, and Graph repeats what has happened since.
func (r *Runner) Remember(account string) (json.RawMessage, error) {
	a := r.memory.account(account)
	a.mu.Lock()
	out := remembered{Settings: bridge.UnixSeconds(a.settings), Calendars: bridge.UnixSeconds(a.calendars), Groups: bridge.UnixSeconds(a.groups), Of: map[string]rememberedCalendar{}}
	of := make(map[string]*calendarMemory, len(a.of))
	for epoch, m := range a.of {
		of[epoch] = m
	}
	a.mu.Unlock()
	for epoch, m := range of {
		m.round.Lock()
		out.Of[epoch] = rememberedCalendar{Stuck: m.stuck, Viewed: bridge.UnixSeconds(m.viewed), Good: bridge.UnixSeconds(m.good), Looked: bridge.UnixSeconds(m.looked), Looks: m.looks, Reread: bridge.UnixSeconds(m.reread)}
		m.round.Unlock()
	}
	return json.Marshal(out)
}

// Recall takes what another process has remembered of an account, in place of what is known here. Nil: nothing.
func (r *Runner) Recall(account string, text json.RawMessage) error {
	var in remembered
	if len(text) > 0 {
		if err := json.Unmarshal(text, &in); err != nil {
			return err
		}
	}
	a := r.memory.account(account)
	a.mu.Lock()
	a.settings, a.calendars, a.groups = bridge.AtUnixSeconds(in.Settings), bridge.AtUnixSeconds(in.Calendars), bridge.AtUnixSeconds(in.Groups)
	for epoch := range in.Of {
		if a.of[epoch] == nil {
			a.of[epoch] = new(calendarMemory)
		}
	}
	of := make(map[string]*calendarMemory, len(a.of))
	for epoch, m := range a.of {
		of[epoch] = m
	}
	a.mu.Unlock()
	for epoch, m := range of {
		kept := in.Of[epoch]
		m.round.Lock()
		m.idle = idleCursor{}
		m.stuck, m.viewed, m.good = kept.Stuck, bridge.AtUnixSeconds(kept.Viewed), bridge.AtUnixSeconds(kept.Good)
		m.looked, m.looks, m.reread = bridge.AtUnixSeconds(kept.Looked), kept.Looks, bridge.AtUnixSeconds(kept.Reread)
		m.round.Unlock()
	}
	return nil
}
