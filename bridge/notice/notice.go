// Package notice tells people of trouble: by mail, ntfy, webhooks and whatever else shoutrrr knows.
//
// A Watcher looks now and then at what is wrong (Survey), compares that with what it has told, and sends what is news. It reads
// the store and asks Graph nothing; no round waits for it. Invariants:
//   - A trouble is told once, and once that it is over; a restart repeats neither. Only a crash between the delivery of a
//     message and the note of it sends that message again.
//   - What cannot be known at the moment is not over.
//   - Messages have names of accounts and calendars, and nothing of events. The URLs of targets are secrets: they are in no log,
//     no error and no page.
//   - Everything is bounded: troubles, messages that wait, news in one message, messages in an hour.
package notice

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
)

const (
	lookEvery = time.Minute
	nudgeGap  = 5 * time.Second // between two looks, however many rounds end
	lookShare = 30              // a look at very many accounts takes no more than such a part of the time

	// Looks that a calendar has to be old for: after a start, or when the machine has slept, each is until its next round. And those
	// that a disk has to have room for, which it may for a moment.
	staleLooks = 10
	diskGone   = 30

	maxNotices = 500
	maxNews    = 20 // in one message
	maxHourly  = 12 // messages, of all troubles together; what comes later is in the next one
	maxWaiting = 50 // messages, for each target; then the oldest goes

	firstRetry = 30 * time.Second // doubled after each failure
	maxRetry   = 6 * time.Hour
	giveUp     = 3 * 24 * time.Hour
)

// Watcher tells of trouble. Set the fields, call Load, then Run.
type Watcher struct {
	Store bridge.NoticeStore
	// Survey finds out what is wrong now.
	Survey func(ctx context.Context, now time.Time) (Findings, error)
	// Words are the title and the text of a message in a language; "" is that of the bridge.
	Words func(m bridge.NoticeMessage, language string) (title, text string)
	// Send delivers one. Nil: Send.
	Send func(ctx context.Context, target, title, text string) error
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: slog.Default

	wake, mail chan struct{}

	mu         sync.Mutex // guards what follows
	configured []string   // see Configure
	language   string     // of these
	known      map[string]*trouble
	messages   []bridge.NoticeMessage // by ID
	lastID     int64
	sent       []time.Time     // when messages of the last hour were made
	flying     map[string]bool // targets with a delivery on its way
}

// trouble is a Notice with how often it was seen, or missed, in a row. That is not stored.
type trouble struct {
	bridge.Notice
	seen, missed int
}

// Findings are what a Survey has found.
type Findings struct {
	Present []bridge.Notice
	Unsure  map[string]bool // keys of which nothing can be said now
}

// Configure sets the targets that are in the configuration, and their language, before Load or later. Messages that wait for other ones are
// dropped.
func (w *Watcher) Configure(urls []string, language string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.configured, w.language = slices.Clone(urls), language
}

// Load reads what was told before. It is called before everything else, and again where another process may have told something
// since.
func (w *Watcher) Load(ctx context.Context) error {
	list, messages, err := w.Store.Notices(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.flying == nil {
		w.wake, w.mail, w.flying = make(chan struct{}, 1), make(chan struct{}, 1), map[string]bool{}
	}
	w.known = map[string]*trouble{}
	for _, n := range list {
		w.known[n.Key] = &trouble{Notice: n}
	}
	w.messages = messages
	for _, m := range messages {
		w.lastID = max(w.lastID, m.ID)
	}
	return nil
}

// Wake asks for a look soon. It never blocks.
func (w *Watcher) Wake() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run looks and sends until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	var g errgroup.Group
	g.Go(func() error {
		w.watch(ctx)
		return nil
	})
	g.Go(func() error {
		w.deliverAll(ctx)
		return nil
	})
	return g.Wait()
}

func (w *Watcher) watch(ctx context.Context) {
	for regular := true; ; {
		begun := time.Now()
		if err := w.Look(ctx, regular); err != nil && ctx.Err() == nil {
			w.log().Warn("what is wrong cannot be found out, or not be noted", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(nudgeGap, lookShare*time.Since(begun))):
		}
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			regular = false
		case <-time.After(lookEvery - nudgeGap):
			regular = true
		}
	}
}

// Look compares what is wrong now with what was told, and has messages of what is news sent. Only regular looks count for how long
// a trouble has lasted.
func (w *Watcher) Look(ctx context.Context, regular bool) error {
	now := w.now()
	found, err := w.Survey(ctx, now)
	if err != nil {
		return err
	}
	targets, err := w.Targets(ctx)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	changed := w.compare(found, regular, now)
	if w.tell(targets, now) {
		changed = true
	}
	if !changed {
		return nil
	}
	// Where that fails, as on a full disk, the messages go out all the same, and memory knows it until the next start.
	return w.save(ctx)
}

// compare brings what is known up to date. What is over stays known until that is told.
func (w *Watcher) compare(found Findings, regular bool, now time.Time) (changed bool) {
	present := map[string]bool{}
	for _, n := range found.Present {
		present[n.Key] = true
		t := w.known[n.Key]
		if t == nil {
			if len(w.known) >= maxNotices {
				continue
			}
			n.Since, n.Told = now, time.Time{}
			t = &trouble{Notice: n}
			w.known[n.Key] = t
			changed = true
		}
		was := t.Notice
		n.Since, n.Told = was.Since, was.Told
		t.Notice, t.missed = n, 0
		if regular || t.seen == 0 {
			t.seen++
		}
	}
	for key, t := range w.known {
		if present[key] || found.Unsure[key] {
			continue
		}
		if regular || t.missed == 0 {
			t.missed++
		}
		if t.Told.IsZero() && t.missed > 0 || t.IsPassing() { // nobody was told of it, or is told that it is over
			delete(w.known, key)
			changed = true
		}
	}
	return changed
}

// lasts reports whether it has been there for long enough to tell of it.
func (t *trouble) lasts() bool { return t.Kind != bridge.NoticeStale || t.seen >= staleLooks }

// isOver reports whether it has been gone for long enough.
func (t *trouble) isOver() bool {
	switch t.Kind {
	case bridge.NoticeDiskFull, bridge.NoticeDiskLow:
		return t.missed >= diskGone
	}
	return t.missed > 0
}

// tell makes one message of all that is news, unless too many were made in the last hour: it is then in a later one.
func (w *Watcher) tell(targets []bridge.NoticeTarget, now time.Time) bool {
	w.sent = slices.DeleteFunc(w.sent, func(at time.Time) bool { return now.Sub(at) >= time.Hour })
	if len(w.sent) >= maxHourly {
		return false
	}
	var news []bridge.News
	for key, t := range w.known {
		switch {
		case t.isOver():
			news = append(news, bridge.News{Notice: t.Notice, Over: true})
			delete(w.known, key)
		case t.missed == 0 && t.Told.IsZero() && t.lasts() && len(targets) > 0:
			t.Told = now
			news = append(news, bridge.News{Notice: t.Notice})
		}
	}
	if len(news) == 0 {
		return false
	}
	slices.SortFunc(news, func(a, b bridge.News) int {
		if a.Over != b.Over {
			return map[bool]int{false: -1, true: 1}[a.Over]
		}
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Key, b.Key))
	})
	m := bridge.NoticeMessage{News: news[:min(len(news), maxNews)], More: max(0, len(news)-maxNews), Created: now}
	for _, t := range targets {
		w.lastID++
		m.ID, m.Target = w.lastID, t.ID
		w.messages = append(w.messages, m)
	}
	w.bound()
	w.sent = append(w.sent, now)
	select {
	case w.mail <- struct{}{}:
	default:
	}
	return true
}

// bound drops the oldest messages of a target that has too many.
func (w *Watcher) bound() {
	have := map[string]int{}
	for _, m := range w.messages {
		have[m.Target]++
	}
	w.messages = slices.DeleteFunc(w.messages, func(m bridge.NoticeMessage) bool {
		if have[m.Target] > maxWaiting {
			have[m.Target]--
			return true
		}
		return false
	})
}

// save stores what is known and what waits.
func (w *Watcher) save(ctx context.Context) error {
	list := make([]bridge.Notice, 0, len(w.known))
	for _, t := range w.known {
		list = append(list, t.Notice)
	}
	return w.Store.SetNotices(ctx, list, w.messages)
}

func (w *Watcher) now() time.Time {
	if w.Now != nil {
		return w.Now().UTC()
	}
	return time.Now().UTC()
}

func (w *Watcher) log() *slog.Logger {
	if w.Log != nil {
		return w.Log
	}
	return slog.Default()
}
