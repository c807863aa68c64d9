package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"outbridge/bridge"
)

const (
	maxWatching = 32 // pages that are kept up to date at once
	watchGap    = 400 * time.Millisecond
	watchPulse  = 10 * time.Second // between two lines, so that no proxy takes the connection for dead
	watchTime   = 10 * time.Minute // then the browser connects again
)

// Live is what rounds are at, for those who watch. The zero value is ready.
type Live struct {
	// Others is where machines tell each other. nil: all rounds run in this process.
	Others bridge.BriefStore

	mu      sync.Mutex
	of      map[string]map[string]bridge.Progress // account → calendar
	changed chan struct{}                         // closed, and replaced, at each change; nil: nobody waits
	closed  bool
	since   map[string]time.Time // when the round of an account first told of itself
	unsaid  map[string]bool      // accounts that other machines have not been told of
}

// Tell takes what the round of a calendar has come to. It never blocks.
func (l *Live) Tell(p bridge.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = map[string]map[string]bridge.Progress{}
	}
	if l.of[p.Account] == nil {
		l.of[p.Account] = map[string]bridge.Progress{}
	}
	l.of[p.Account][p.Calendar] = p
	if l.Others != nil {
		if l.since == nil {
			l.since, l.unsaid = map[string]time.Time{}, map[string]bool{}
		}
		if l.since[p.Account].IsZero() {
			l.since[p.Account] = time.Now()
		}
		l.unsaid[p.Account] = true
	}
	l.news()
}

// Waits takes that Microsoft does not answer the account, which asks again at a time.
func (l *Live) Waits(account string, until time.Time) {
	l.mu.Lock()
	before := l.of[account][""]
	l.mu.Unlock()
	if before.Since.IsZero() {
		before.Since = time.Now()
	}
	l.Tell(bridge.Progress{Account: account, Phase: bridge.ProgressWait, Since: before.Since, Until: until})
}

// Answered takes that Microsoft answers the account.
func (l *Live) Answered(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, ok := l.of[account][""]; !ok {
		return
	}
	delete(l.of[account], "")
	if l.Others != nil {
		l.unsaid[account] = true
	}
	l.news()
}

// Ended takes that the round of an account has ended.
func (l *Live) Ended(account string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.of, account)
	delete(l.since, account)
	delete(l.unsaid, account)
	l.news()
}

// Close ends all watching.
func (l *Live) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.news()
}

func (l *Live) news() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// at is what the round of an account is at, by calendar, and a channel that is closed when that changes. closed: it will not.
func (l *Live) at(account string) (list []bridge.Progress, changed <-chan struct{}, closed bool) {
	if l == nil {
		return nil, nil, true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	list = slices.SortedFunc(maps.Values(l.of[account]), func(a, b bridge.Progress) int { return cmp.Compare(a.Calendar, b.Calendar) })
	return list, l.changed, l.closed
}

// ProgressWords say what the round of a calendar is at.
func ProgressWords(p bridge.Progress) Text {
	switch p.Phase {
	case bridge.ProgressDownload:
		return Counted(p.Events, "reading events from Outlook, {n} so far", "reading events from Outlook, {n} so far")
	case bridge.ProgressRead:
		return With("reading series, {done} of {total}", p.Done, p.Total)
	case bridge.ProgressConvert:
		return With("converting events, {done} of {total}", p.Done, p.Total)
	}
	return Plain(p.Phase)
}

// wall is a time of today, to the second, in the zone of this machine.
func wall(t time.Time) string { return t.Local().Format(time.TimeOnly) }

const (
	progressKind = "progress"
	progressLife = 15 * time.Second // after which what was not told again counts no more
	tellEvery    = time.Second
	tellAfter    = 2 * time.Second // rounds that are shorter nobody tells of
)

// Run tells other machines of rounds that last, until ctx ends.
func (l *Live) Run(ctx context.Context) error {
	if l.Others == nil {
		return nil
	}
	every := time.NewTicker(tellEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
		for account, list := range l.toTell() {
			value, err := json.Marshal(list)
			if err == nil {
				now := time.Now()
				_ = l.Others.KeepBrief(ctx, progressKind, account, value, now, now.Add(progressLife)) // it is a hint
			}
		}
	}
}

func (l *Live) toTell() map[string][]bridge.Progress {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := map[string][]bridge.Progress{}
	for account := range l.unsaid {
		if time.Since(l.since[account]) >= tellAfter {
			all[account] = slices.Collect(maps.Values(l.of[account]))
			delete(l.unsaid, account)
		}
	}
	return all
}

// elsewhere is what the round of an account is at on another machine.
func (l *Live) elsewhere(ctx context.Context, account string) (list []bridge.Progress) {
	value, err := l.Others.Brief(ctx, progressKind, account, time.Now())
	if err != nil || json.Unmarshal(value, &list) != nil {
		return nil
	}
	slices.SortFunc(list, func(a, b bridge.Progress) int { return cmp.Compare(a.Calendar, b.Calendar) })
	return list
}

// pulse is the longest time between two looks.
func (l *Live) pulse() time.Duration {
	if l != nil && l.Others != nil {
		return tellEvery
	}
	return watchPulse
}

// progressLine is what a page shows of one calendar.
type progressLine struct {
	Calendar string `json:"calendar"`
	Words    Text   `json:"-"`
	Text     string `json:"text"` // Words in the language of the page
	Done     int    `json:"done"`
	Total    int    `json:"total"` // 0: it is not known
}

// progress is what a page shows of a round.
type progress struct {
	State string         `json:"state"` // when it changes, the page is to be loaded again
	Lines []progressLine `json:"lines"`

	waits bridge.Progress // that Microsoft does not answer; zero: it does
}

// progress is what the account is at now.
func (h *Handler) progress(ctx context.Context, a bridge.Account) (p progress, changed <-chan struct{}, closed bool) {
	list, changed, closed := h.Live.at(a.Name)
	pulse := h.Accounts.Pulse(a.Name)
	if len(list) == 0 && pulse.Busy && h.Live != nil && h.Live.Others != nil {
		list = h.Live.elsewhere(ctx, a.Name)
	}
	p.Lines = []progressLine{}
	for _, one := range list {
		if one.Phase == bridge.ProgressWait { // the state tells of it
			p.waits = one
			continue
		}
		p.Lines = append(p.Lines, progressLine{one.Calendar, ProgressWords(one), "", one.Done, one.Total})
	}
	p.State = liveState(a, pulse)
	if p.waits.Phase != "" {
		p.State += " waits " + wall(p.waits.Until)
	}
	return p, changed, closed
}

// liveState changes when the page of an account is to be loaded again.
func liveState(a bridge.Account, pulse bridge.Pulse) string {
	at := "idle"
	if pulse.Busy {
		at = "busy"
	}
	return strings.Join([]string{cmp.Or(a.State.Code, bridge.StateNew), fmt.Sprint(a.State.Final, a.State.TokenVersion == a.TokenVersion, a.TokenVersion > 0), at}, " ")
}

// accountProgress keeps the page of an account up to date while a round runs: server-sent events, one for each state.
func accountProgress(v *visit, a Account) error {
	select {
	case v.h.watching <- struct{}{}:
		defer func() { <-v.h.watching }()
	default:
		unavailable(v.w, "Too many pages are watching.")
		return nil
	}
	v.turn() // it lasts, and is nearly always idle
	head := v.w.Header()
	head.Set("Content-Type", "text/event-stream")
	head.Set("Cache-Control", "no-store, no-transform")
	head.Set("X-Accel-Buffering", "no") // for nginx, which would wait for more
	out := http.NewResponseController(v.w)
	_ = out.SetReadDeadline(time.Now().Add(watchTime + time.Minute)) // the server's own limits are for whole requests
	end := time.NewTimer(watchTime)
	defer end.Stop()
	for last := ""; ; {
		row, err := v.h.Store.Account(v.r.Context(), a.Name)
		if err != nil || last != "" && !v.stillConcerned(a) {
			return nil // the browser asks again
		}
		now, changed, closed := v.h.progress(v.r.Context(), row)
		for i, line := range now.Lines {
			now.Lines[i].Text = v.lang.Text(line.Words)
		}
		text := ": still here\n\n"
		if b, err := json.Marshal(now); err != nil {
			return err
		} else if string(b) != last {
			last = string(b)
			text = "data: " + last + "\n\n"
		}
		if err := out.SetWriteDeadline(time.Now().Add(2 * watchPulse)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return nil
		}
		if _, err := v.w.Write([]byte(text)); err != nil {
			return nil // it has gone
		}
		if out.Flush() != nil || closed {
			return nil
		}
		select {
		case <-v.r.Context().Done():
			return nil
		case <-end.C:
			return nil
		case <-time.After(watchGap):
		}
		select {
		case <-v.r.Context().Done():
			return nil
		case <-end.C:
			return nil
		case <-changed:
		case <-time.After(v.h.Live.pulse()):
		}
	}
}
