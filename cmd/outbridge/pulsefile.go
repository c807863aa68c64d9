package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"sync"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/sqlstore"
)

// pulseFile is where a server tells when the last good round of each calendar ended, for commands and for its next start: in the
// row of a calendar that stands only every few minutes while nothing changes, since an idle round writes nothing there. It is a hint,
// which may be lost: nothing waits for the disk. It also tells which accounts Microsoft does not answer now. Where the database is on a PostgreSQL server it is no file but one row of each machine,
// written once a minute, whatever the number of accounts, and each machine takes in what the others have written.
type pulseFile struct {
	path    string
	store   *sqlstore.Store // of a PostgreSQL server; nil: it is a file
	machine string
	took    func(good func(account string) time.Time) // is called after it; nil: nobody wants to know
	log     *slog.Logger

	news  chan struct{}
	mu    sync.Mutex
	good  goodTimes
	waits map[string]waiting
}

// told is what a server tells.
type told struct {
	Good  goodTimes          `json:"good"`
	Waits map[string]waiting `json:"waits,omitempty"` // the accounts that Microsoft does not answer
}

// waiting is from when on Microsoft has not answered an account, and when it is asked again.
type waiting struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// goodTimes are the ends of the last good rounds, by account and calendar.
type goodTimes map[string]map[bridge.CalendarID]time.Time

// pulseGap is the least time between two writes, and pulseRowGap that on a PostgreSQL server.
const (
	pulseGap    = time.Second
	pulseRowGap = time.Minute
)

// pulsePath is the path of the pulseFile; "" if the database is no file.
func (c *config) pulsePath() string {
	if c.onServer() {
		return ""
	}
	return c.Database + ".pulse"
}

// told reads the pulseFile, or what the machines have written. Without one, or with one that cannot be read, nothing is known.
func (p *program) told(ctx context.Context) told {
	if !p.conf.onServer() {
		return p.conf.told()
	}
	all := told{Good: goodTimes{}, Waits: map[string]waiting{}}
	if p.store != nil {
		all.takeIn(ctx, p.store)
	}
	return all
}

func (c *config) told() told {
	path := c.pulsePath()
	for range 3 { // it may be in the middle of being written
		f, err := os.Open(path)
		if err != nil {
			break
		}
		var all told
		err = json.NewDecoder(f).Decode(&all) // what follows is left of a longer one
		f.Close()
		if err == nil && all.Good != nil {
			return all
		}
	}
	return told{Good: goodTimes{}}
}

// takeIn adds what machines have written where that is later.
func (t told) takeIn(ctx context.Context, store *sqlstore.Store) {
	list, err := store.Pulses(ctx)
	if err != nil {
		return
	}
	for _, b := range list {
		var one told
		if json.Unmarshal(b, &one) != nil {
			continue
		}
		for account, w := range one.Waits {
			if w.Until.After(t.Waits[account].Until) {
				t.Waits[account] = w
			}
		}
		for account, times := range one.Good {
			all := maps.Clone(t.Good[account])
			if all == nil {
				all = map[bridge.CalendarID]time.Time{}
			}
			for id, at := range times {
				if at.After(all[id]) {
					all[id] = at
				}
			}
			t.Good[account] = all
		}
	}
}

// of is the pulse of an account, as far as it is known here.
func (g goodTimes) of(account string) bridge.Pulse { return bridge.Pulse{Calendars: g[account]} }

func newPulseFile(ctx context.Context, p *program) *pulseFile {
	f := &pulseFile{path: p.conf.pulsePath(), log: p.log, news: make(chan struct{}, 1), good: p.told(ctx).Good, waits: map[string]waiting{}}
	if p.conf.onServer() {
		host, _ := os.Hostname()
		f.store, f.machine = p.store, host+" "+p.conf.listenText() // the same after a restart
	}
	return f
}

// wait takes that Microsoft does not answer an account, which asks again at a time.
func (p *pulseFile) wait(account string, until time.Time) {
	p.mu.Lock()
	since := p.waits[account].Since
	if since.IsZero() {
		since = time.Now()
	}
	p.waits[account] = waiting{since, until}
	p.mu.Unlock()
	p.tell()
}

// answered takes that Microsoft answers an account, or that it is not asked any more.
func (p *pulseFile) answered(account string) {
	p.mu.Lock()
	_, waited := p.waits[account]
	delete(p.waits, account)
	p.mu.Unlock()
	if waited {
		p.tell()
	}
}

// round takes what a round reports.
func (p *pulseFile) round(report bridge.Report) {
	p.answered(report.Account)
	if len(report.Calendars) == 0 {
		return // nothing is known of them
	}
	good := map[bridge.CalendarID]time.Time{}
	for _, c := range report.Calendars {
		if !c.Good.IsZero() {
			good[c.ID] = c.Good
		}
	}
	p.mu.Lock()
	for id, at := range good {
		good[id] = p.good.of(report.Account).GoodOf(id, at)
	}
	p.good[report.Account] = good
	p.mu.Unlock()
	p.tell()
}

func (p *pulseFile) forget(account string) {
	p.mu.Lock()
	delete(p.good, account)
	delete(p.waits, account)
	p.mu.Unlock()
	p.tell()
}

// pulse is what is known of an account, also from before the start.
func (p *pulseFile) pulse(account string) bridge.Pulse {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.good.of(account)
}

func (p *pulseFile) tell() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// Run writes the file whenever there is news, until ctx ends.
func (p *pulseFile) Run(ctx context.Context) error {
	gap := pulseGap
	var idle <-chan time.Time // for what others write while nothing is done here
	if p.store != nil {
		gap = pulseRowGap
		every := time.NewTicker(gap)
		defer every.Stop()
		idle = every.C
	}
	for {
		select {
		case <-ctx.Done():
			p.write()
			return nil
		case <-p.news:
			p.write()
		case <-idle:
			p.takeIn()
		}
		select {
		case <-ctx.Done():
		case <-time.After(gap):
		}
	}
}

// writeRow writes the machine's row, and takes in what the others have.
func (p *pulseFile) writeRow(b []byte) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := p.store.SetPulse(ctx, p.machine, b, time.Now()); err != nil {
		p.log.Debug("the times of the last good syncs cannot be written", "err", err)
		return
	}
	p.takeIn()
}

// takeIn takes in what the other machines have written.
func (p *pulseFile) takeIn() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	p.mu.Lock()
	all := maps.Clone(p.good)
	p.mu.Unlock()
	told{Good: all, Waits: map[string]waiting{}}.takeIn(ctx, p.store)
	p.mu.Lock()
	for account, times := range all {
		for id, at := range p.good[account] { // of rounds since
			if at.After(times[id]) {
				times[id] = at
			}
		}
		p.good[account] = times
	}
	p.mu.Unlock()
	if p.took != nil {
		p.took(func(account string) (latest time.Time) {
			for _, at := range all[account] {
				if at.After(latest) {
					latest = at
				}
			}
			return latest
		})
	}
}

func (p *pulseFile) write() {
	p.mu.Lock()
	all := told{maps.Clone(p.good), maps.Clone(p.waits)} // the maps in good are replaced, never changed
	p.mu.Unlock()
	b, err := json.Marshal(all)
	if err != nil {
		p.log.Debug("the times of the last good syncs cannot be written", "err", err)
		return
	}
	if p.store != nil {
		p.writeRow(b)
		return
	}
	f, err := os.OpenFile(p.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(p.path, os.O_WRONLY, 0)
	} else if err == nil {
		err = sqlstore.OwnLikeFolder(p.path)
	}
	if err == nil {
		_, err = f.WriteAt(b, 0)
		err = errors.Join(err, f.Truncate(int64(len(b))), f.Close())
	}
	if err != nil {
		p.log.Debug("the times of the last good syncs cannot be written", "err", err)
	}
}
