package round

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const (
	// windowPad widens the window on both sides: an all-day event has its instants in its creator's zone, so at
	// the edges Graph may list or miss it a day off.
	windowPad = 24 * time.Hour
	// MaxWindow is the longest range that Graph allows, less the padding.
	MaxWindow = 1825*24*time.Hour - 2*windowPad

	stuckRounds  = 3   // failures of one cursor before it is given up
	askPage      = 100 // ids asked for between two writes
	derivePage   = 100 // series derived between two writes
	parallelCals = 4   // calendars of one mailbox in work at once; the client holds the request limit
)

// idleCursor is the deltaLink that an idle poll answered with, kept in memory until a checkpoint.
type idleCursor struct {
	seq  int64
	link string
}

// Round brings all calendars of one mailbox up to date. The report is filled in as far as the round came; the
// error joins those of its calendars. Rounds of one account run one after another.
func (b *Runner) Round(ctx context.Context, m Mailbox) (bridge.Report, error) {
	defer b.lockRound(m.Name)()
	begin := b.now()
	report := bridge.Report{Account: m.Name, Round: b.number.Add(1)}
	ctx = bridge.WithLogAttrs(ctx, slog.Int64("round", report.Round))
	a, err := b.Store.EnsureAccount(ctx, m.Name)
	if err != nil {
		return report, err
	}
	if err = b.roundOf(ctx, m, a, &report); err != nil {
		err = graph.ForAccount(err, m.Name)
	}
	report.Seconds = b.now().Sub(begin).Seconds()
	if ctx.Err() != nil {
		return report, ctx.Err()
	}
	if errors.Is(err, bridge.ErrBusy) {
		return report, err
	}
	report.Err, report.State = err, bridge.StateOf(err, m.Name)
	if g, ok := m.Graph.(interface{ TokenExpires() time.Time }); ok {
		report.TokenExpires = g.TokenExpires()
	}
	if b.Done != nil {
		b.Done(ctx, report)
	}
	return report, errors.Join(err, b.setState(ctx, a, report.State))
}

func (b *Runner) roundOf(ctx context.Context, m Mailbox, a bridge.Account, report *bridge.Report) error {
	cals, requests, listErr := b.calendars(ctx, m, a)
	report.Requests = requests
	if len(cals) == 0 {
		return listErr
	}
	settings, requests, err := b.settings(ctx, m, a)
	report.Requests += requests
	if err != nil {
		return err
	}
	rounds := make([]*round, len(cals))
	errs := make([]error, len(cals))
	var g errgroup.Group
	g.SetLimit(parallelCals)
	for i, c := range cals {
		rounds[i] = b.newRound(ctx, m, c, settings)
		rounds[i].others = cals
		g.Go(func() error {
			errs[i] = rounds[i].do(ctx, rounds[i].run)
			return nil
		})
	}
	g.Wait()
	for _, from := range rounds {
		for id, events := range from.arrived {
			i := slices.IndexFunc(cals, func(c bridge.Calendar) bool { return c.ID == id })
			if i >= 0 && errs[i] == nil {
				errs[i] = rounds[i].do(ctx, func(ctx context.Context) error { return rounds[i].askAgain(ctx, events) })
			}
		}
	}
	for i, r := range rounds {
		if r.report.Good = r.cal.Good; errs[i] == nil {
			r.report.Good = b.now()
		}
		report.Calendars = append(report.Calendars, r.report)
		report.Requests += r.report.Requests
		if errs[i] != nil {
			errs[i] = fmt.Errorf("calendar %q: %w", r.cal.DisplayName, errs[i])
		}
	}
	err = errors.Join(append(errs, listErr)...)
	if err != nil {
		b.listed.set(a.ID, time.Time{}) // perhaps a calendar is not there any more
	}
	return err
}

func (b *Runner) newRound(ctx context.Context, m Mailbox, c bridge.Calendar, s bridge.Settings) *round {
	log := b.log().With("account", m.Name, "calendar", c.DisplayName)
	for _, a := range bridge.LogAttrs(ctx) {
		log = log.With(a)
	}
	return &round{
		b: b, graph: m.graphOf(c), cal: c, settings: s, arrived: map[bridge.CalendarID][]graph.EventID{},
		account: m.Name, log: log, report: bridge.CalendarReport{Calendar: c.DisplayName, Name: c.Name, ID: c.ID},
	}
}

// round is one round of one calendar.
type round struct {
	b        *Runner
	graph    Graph
	cal      bridge.Calendar   // as last written
	others   []bridge.Calendar // all of the account
	unserved map[graph.CalendarID]bool
	settings bridge.Settings
	account  string
	log      *slog.Logger
	report   bridge.CalendarReport
	// arrived are events that this round met for the first time here while another calendar mirrors them still:
	// they have moved, and the other is to ask again.
	arrived map[bridge.CalendarID][]graph.EventID
	idle    string          // the deltaLink that an empty round ended with, not yet written
	refused []graph.EventID // series whose masters Graph will not show; they stay marked to be read
}

// do runs one part of the round, and accounts for it.
func (r *round) do(ctx context.Context, part func(context.Context) error) error {
	begin := r.b.now()
	counted, n := graph.CountRequests(bridge.WithLogAttrs(ctx, slog.String("calendar", r.cal.DisplayName)))
	err := part(counted)
	r.report.Requests += n.Load()
	r.report.Seconds += r.b.now().Sub(begin).Seconds()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if r.b.Count {
		counts, countErr := r.b.Store.Counts(ctx, r.cal.ID)
		err = errors.Join(err, countErr)
		r.report.Events, r.report.Series, r.report.Losses = counts.Events, counts.Series, counts.Losses
	}
	if err != nil {
		r.report.Error = bridge.Sentence(graph.ForAccount(err, r.account))
	}
	if errors.Is(err, bridge.ErrBusy) {
		return err // so is writing down why
	}
	if err != nil {
		return errors.Join(err, r.b.Store.SetFault(ctx, r.cal.ID, r.report.Error))
	}
	return nil
}

func (r *round) run(ctx context.Context) error {
	if err := r.follow(ctx); err != nil {
		return err
	}
	err := r.complete(ctx)
	if errors.Is(err, bridge.ErrConflict) {
		return err
	}
	if err := errors.Join(err, r.rerender(ctx), r.settle(ctx)); err != nil {
		return err
	}
	return r.auditIfDue(ctx)
}

// complete does what an opened window still waits for. Should Graph fail here, what the window lists is published all
// the same, and the next round goes on.
func (r *round) complete(ctx context.Context) error {
	if r.cal.Pending == bridge.PendingLook {
		if err := r.look(ctx); err != nil {
			return err
		}
	}
	if r.cal.Pending == bridge.PendingSweep {
		return r.sweep(ctx)
	}
	return nil
}

// settle turns what the mirror has learnt into what clients see. What could not be read stays marked for the next
// round; everything else is published all the same.
func (r *round) settle(ctx context.Context) error {
	unread := r.resolve(ctx)
	if errors.Is(unread, bridge.ErrConflict) || ctx.Err() != nil {
		return unread
	}
	before := r.report.Changed
	if err := errors.Join(r.publish(ctx), unread); err != nil {
		return err
	}
	return r.good(ctx, r.report.Changed > before)
}

// publish converts what is marked and shows what has changed.
func (r *round) publish(ctx context.Context) error {
	if err := r.derive(ctx); err != nil {
		return err
	}
	changed, removed, err := r.b.Store.Publish(ctx, r.cal.ID, r.b.now())
	r.report.Changed += changed
	r.report.Removed += removed
	if changed > 0 && r.b.Published != nil {
		r.b.Published(r.cal.ID)
	}
	return err
}

// good records the end of a good round: at once when something changed, else at the next checkpoint.
func (r *round) good(ctx context.Context, changed bool) error {
	now := r.b.now()
	if !changed && r.cal.Fault == "" && now.Sub(r.cal.Good) < r.b.CheckpointAfter {
		if r.idle != "" {
			r.b.keepIdle(r.cal.ID, idleCursor{r.cal.Seq, r.idle})
		}
		return nil
	}
	r.b.keepIdle(r.cal.ID, idleCursor{})
	return r.b.Store.SetGood(ctx, r.cal.ID, r.cal.Seq, r.idle, now)
}

func (b *Runner) keepIdle(id bridge.CalendarID, c idleCursor) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.idle == nil {
		b.idle = map[bridge.CalendarID]idleCursor{}
	}
	b.idle[id] = c
}

// link is the cursor to follow: the one in memory where it is newer than the stored one.
func (r *round) link() string {
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if c := r.b.idle[r.cal.ID]; c.link != "" && c.seq == r.cal.Seq && r.cal.Phase == bridge.PhaseSteady {
		return c.link
	}
	return r.cal.Cursor
}

// window is what a first round asks for.
func (b *Runner) window(now time.Time) convert.Span {
	history, horizon := b.History, b.Horizon
	if history == (bridge.Period{}) {
		history = bridge.Period{Months: 4}
	}
	if horizon == (bridge.Period{}) {
		horizon = bridge.Period{Months: 12}
	}
	day := now.Truncate(24 * time.Hour)
	return convert.Span{Start: history.Before(day).Add(-windowPad), End: horizon.After(day).Add(24*time.Hour + windowPad)}
}

// outdated reports whether the window is to be opened anew: a quarter of the horizon is used up, or the periods
// of the configuration have changed.
func (b *Runner) outdated(have convert.Span, now time.Time) bool {
	want := b.window(now)
	slack := max(want.End.Sub(now)/4, 48*time.Hour)
	start, end := want.Start.Sub(have.Start), want.End.Sub(have.End)
	return end > slack || end < -48*time.Hour || start < -48*time.Hour || start > slack+48*time.Hour
}

// follow reads delta pages until the mirror is at a deltaLink. Every page is written with its cursor.
func (r *round) follow(ctx context.Context) error {
	now := r.b.now()
	// Whether Graph allows a cursor by now is tried again when the window is opened anew.
	if r.cal.Way == bridge.WayView && !r.b.outdated(r.cal.Window, now) {
		return r.followView(ctx)
	}
	cur := *r.cursor(r.cal.Pending)
	cur.Link = r.link()
	open := func() {
		w := r.b.window(now)
		cur = bridge.Cursor{Phase: bridge.PhaseOpening, Round: cur.Round + 1, Opened: cur.Round + 1, Window: w}
		cur.Link = r.graph.DeltaURL(r.cal.GraphID, w.Start, w.End)
	}
	switch {
	case cur.Phase == bridge.PhaseNew, cur.Link == "": // the latter after WayView
		open()
	case cur.Phase == bridge.PhaseSteady && r.b.outdated(cur.Window, now):
		r.log.Info("opening a new window", "from", r.b.window(now).Start, "to", r.b.window(now).End)
		open()
	case cur.Phase == bridge.PhaseSteady:
		cur.Round++
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of a page that nobody waits for any more
	reopened := false
	coming := r.fetch(ctx, cur.Link)
	for {
		page, err := (<-coming).unpack()
		if (graph.IsSyncStateLost(err) || r.isStuck(err)) && !reopened && r.cal.Phase != bridge.PhaseNew {
			r.log.Info("the cursor is of no more use; the window is listed anew and compared", "err", err)
			reopened = true
			open()
			coming = r.fetch(ctx, cur.Link)
			continue
		}
		if r.cannotFollow(err) {
			r.log.Warn("Graph does not let this account follow the changes of this calendar; it is listed and compared instead, which takes more requests", "err", err)
			if viewErr := r.followView(ctx); viewErr != nil {
				return errors.Join(err, viewErr)
			}
			r.cal.Way = bridge.WayView
			return r.b.Store.SetWay(ctx, r.cal.ID, bridge.WayView)
		}
		if err != nil {
			return err
		}
		if page.Next != "" {
			coming = r.fetch(ctx, page.Next) // while this one is written
		}
		r.report.Pages++
		r.report.Items += len(page.Events)
		was := cur.Phase
		next := cur
		switch {
		case page.Delta == "":
			next.Link = page.Next
			if was == bridge.PhaseSteady {
				next.Phase = bridge.PhaseFollow
			}
		case was == bridge.PhaseOpening:
			next.Link, next.Phase, next.Pending = page.Delta, bridge.PhaseSteady, bridge.PendingLook
		default:
			next.Link, next.Phase = page.Delta, bridge.PhaseSteady
		}
		if len(page.Events) == 0 && was == bridge.PhaseSteady && next.Phase == bridge.PhaseSteady {
			r.idle = page.Delta
			return nil
		}
		if err := r.mirrorEvents(ctx, page.Events, &next); err != nil {
			return err
		}
		cur = next
		r.b.progress(Progress{Account: r.account, Calendar: r.cal.DisplayName, Phase: "download", Pages: r.report.Pages, Events: r.report.Items})
		if page.Delta != "" && r.cal.Way == bridge.WayView {
			r.cal.Way = bridge.WayDelta
			return r.b.Store.SetWay(ctx, r.cal.ID, bridge.WayDelta)
		}
		if page.Delta != "" {
			return nil
		}
	}
}

// fetched is a delta page, or why there is none.
type fetched struct {
	page graph.DeltaPage
	err  error
}

func (f fetched) unpack() (graph.DeltaPage, error) { return f.page, f.err }

// fetch reads a delta page in the background.
func (r *round) fetch(ctx context.Context, link string) <-chan fetched {
	c := make(chan fetched, 1)
	go func() {
		page, err := r.graph.Delta(ctx, link)
		c <- fetched{page, err}
	}()
	return c
}

// isStuck counts the rounds that one cursor has answered with the same kind of failure, and reports whether it will
// do nothing else: Graph is known to choke on a token for ever (500, 504) while it serves everything else.
func (r *round) isStuck(err error) bool {
	var e *graph.Error
	r.b.mu.Lock()
	defer r.b.mu.Unlock()
	if !errors.As(err, &e) || e.Status != http.StatusInternalServerError && e.Status != http.StatusGatewayTimeout {
		delete(r.b.stuck, r.cal.ID)
		return false
	}
	if r.b.stuck == nil {
		r.b.stuck = map[bridge.CalendarID]int{}
	}
	r.b.stuck[r.cal.ID]++
	return r.b.stuck[r.cal.ID] > stuckRounds
}

// mirrorEvents writes one page of events and tombstones.
func (r *round) mirrorEvents(ctx context.Context, events []graph.Event, next *bridge.Cursor) error {
	var ids []graph.EventID
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	rows, err := r.b.Store.Rows(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	p := newPage(r.cal)
	p.cursor = next
	var fresh []graph.EventID
	for _, e := range events {
		if e.ID == "" {
			r.log.Warn("Graph sent an event without an id; it cannot be followed")
			continue
		}
		have, known := rows[e.ID]
		if e.Removed != nil {
			// A tombstone is a question: it also comes for events outside the window that were added or changed.
			switch {
			case known && have.IsInstance():
				p.doubt(have)
				delete(rows, e.ID)
			default:
				p.mark(e.ID, bridge.StageAsk)
			}
			continue
		}
		if !known {
			fresh = append(fresh, e.ID)
		}
		row := rowOf(e, next.Round)
		p.take(row)
		rows[e.ID] = row
	}
	elsewhere, err := r.b.Store.Elsewhere(ctx, r.cal.ID, fresh)
	if err != nil {
		return err
	}
	if err := r.write(ctx, p); err != nil {
		return err
	}
	for id, cal := range elsewhere {
		r.arrived[cal] = append(r.arrived[cal], id)
	}
	return nil
}

// rowOf is the mirror row of an event that a list or a GET gave.
func rowOf(e graph.Event, round int64) bridge.Row {
	row := bridge.Row{ID: e.ID, Series: e.ID, Kind: bridge.KindSingle, Round: round, Span: spanOf(e), Raw: e.Raw}
	switch {
	case e.Type == graph.SeriesMaster || e.Type == "" && e.Recurrence != nil:
		row.Kind = bridge.KindMaster
	case e.Type == graph.Exception && e.SeriesMasterID != "":
		row.Kind, row.Series = bridge.KindException, e.SeriesMasterID
	case e.Type == graph.Occurrence && e.SeriesMasterID != "":
		row.Kind, row.Series = bridge.KindOccurrence, e.SeriesMasterID
	}
	return row
}

// write writes a page and takes over what it changed.
func (r *round) write(ctx context.Context, p *page) error {
	m := p.build(r.cal.Seq)
	if len(m.Rows) == 0 && len(m.Gone) == 0 && len(m.Marks) == 0 && m.Cursor == nil {
		return nil
	}
	seq, err := r.b.Store.Mirror(ctx, m)
	if err != nil {
		return err
	}
	r.cal.Seq = seq
	if c := m.Cursor; c != nil {
		r.cal.Cursor, r.cal.Phase, r.cal.Pending = c.Link, c.Phase, c.Pending
		r.cal.Round, r.cal.Opened, r.cal.Window = c.Round, c.Opened, c.Window
	}
	return nil
}

// cursor is the present cursor with another thing pending.
func (r *round) cursor(pending string) *bridge.Cursor {
	return &bridge.Cursor{Link: r.cal.Cursor, Phase: r.cal.Phase, Pending: pending, Round: r.cal.Round, Opened: r.cal.Opened, Window: r.cal.Window}
}

// look mirrors the single events and series that come after the window, once each time that it is opened. Later
// ones are found by the tombstones that Graph sends for events outside the window.
func (r *round) look(ctx context.Context) error {
	p := newPage(r.cal)
	var older []graph.Event // series that began earlier; mostly the window has listed them
	take := func(e graph.Event) {
		p.take(rowOf(e, r.cal.Round))
		r.report.Items++
	}
	write := func() error {
		var ids []graph.EventID
		for _, e := range older {
			ids = append(ids, e.ID)
		}
		known, err := r.b.Store.Rows(ctx, r.cal.ID, ids)
		if err != nil {
			return err
		}
		for _, e := range older {
			if _, ok := known[e.ID]; !ok {
				take(e)
			}
		}
		older = older[:0]
		err = r.write(ctx, p)
		p = newPage(r.cal)
		return err
	}
	for e, err := range r.graph.EventsFrom(ctx, r.cal.GraphID, r.cal.Window.End) {
		if err != nil && graph.IsUnavailable(err) || ctx.Err() != nil {
			return err
		}
		if err != nil {
			r.log.Warn("events after the window cannot be listed; they will show when they change or come near", "err", err)
			break
		}
		if e.ID == "" || e.Removed != nil {
			continue
		}
		if start := spanOf(e).Start; e.Type == graph.SeriesMaster && start.Before(r.cal.Window.End) {
			older = append(older, e)
		} else {
			take(e)
		}
		if len(p.rows)+len(older) >= askPage {
			if err := write(); err != nil {
				return err
			}
		}
	}
	if err := write(); err != nil {
		return err
	}
	p.cursor = r.cursor(bridge.PendingSweep)
	return r.write(ctx, p)
}

// sweep asks for every event that was known before the window was opened and that neither list named. Those that
// the window has left behind are kept unasked: nothing that a client has vanishes because time goes by.
func (r *round) sweep(ctx context.Context) error {
	for {
		rows, err := r.b.Store.Unlisted(ctx, r.cal.ID, r.cal.Opened, askPage)
		if err != nil {
			return err
		}
		p := newPage(r.cal)
		if len(rows) == 0 {
			p.cursor = r.cursor(bridge.PendingNothing)
			return r.write(ctx, p)
		}
		for _, row := range rows {
			row.Round = r.cal.Round
			p.put(row)
			if row.Kind == bridge.KindMaster || row.Span.End.IsZero() || row.Span.End.After(r.cal.Window.Start) {
				p.mark(row.ID, bridge.StageAsk)
			}
		}
		if err := r.write(ctx, p); err != nil {
			return err
		}
	}
}

var calendarInLink = regexp.MustCompile(`(?i)calendars(?:\('([^']+)'\)|/([^/?]+))`)

// isHere reports whether an event that Graph has is in this calendar. listed: this round's pages named it here.
func (r *round) isHere(ctx context.Context, e graph.Event, listed bool, elsewhere map[graph.EventID]bridge.CalendarID) (bool, error) {
	if m := calendarInLink.FindStringSubmatch(e.CalendarLink); m != nil {
		text, err := url.PathUnescape(m[1] + m[2])
		id := graph.CalendarID(text)
		i := slices.IndexFunc(r.others, func(c bridge.Calendar) bool { return c.Mailbox == r.cal.Mailbox && c.GraphID == id })
		if err == nil && i >= 0 {
			return r.others[i].ID == r.cal.ID, nil
		}
		if err == nil && !listed {
			if unserved, err := r.isUnserved(ctx, id); err != nil || unserved {
				return false, err
			}
		}
	}
	_, moved := elsewhere[e.ID]
	return listed || !moved, nil
}

// isUnserved reports whether an id that an event names is that of a calendar which is not served, because the
// configuration leaves it out or it is not shared, and not just another form of the id of one that is.
func (r *round) isUnserved(ctx context.Context, id graph.CalendarID) (bool, error) {
	if unserved, ok := r.unserved[id]; ok {
		return unserved, nil
	}
	c, err := r.graph.Calendar(ctx, id)
	unserved := err == nil && !slices.ContainsFunc(r.others, func(o bridge.Calendar) bool { return o.Mailbox == r.cal.Mailbox && o.GraphID == c.ID })
	switch {
	case err == nil, isGone(err):
	case graph.IsAccessDenied(err):
		unserved = true // this calendar may be read
	default:
		return false, err
	}
	if r.unserved == nil {
		r.unserved = map[graph.CalendarID]bool{}
	}
	r.unserved[id] = unserved
	return unserved, nil
}

// askAgain asks for events that have turned up in another calendar.
func (r *round) askAgain(ctx context.Context, ids []graph.EventID) error {
	rows, err := r.b.Store.Rows(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	p := newPage(r.cal)
	for _, row := range rows {
		row.Round = min(row.Round, r.cal.Round-1)
		p.put(row)
		switch row.Kind {
		case bridge.KindSingle, bridge.KindOrphan:
			p.mark(row.ID, bridge.StageAsk)
		default:
			p.mark(row.Series, bridge.StageRead)
		}
	}
	if err := r.write(ctx, p); err != nil {
		return err
	}
	return r.settle(ctx)
}
