package round

import (
	"context"
	"errors"
	"net/http"

	"outbridge/bridge"
	"outbridge/bridge/graph"
)

// stuckRounds is how often one cursor may fail before it is given up.
const stuckRounds = 3

// follower brings a mirror to the end of its delta.
type follower struct {
	*mirror
	deriver *Deriver
	memory  *calendarMemory
	foreign bool // the calendar is somebody else's

	reopen bool // the next page is the first of a window
	opened bool // a window was opened because the cursor was of no more use
	// download is what is read ahead; nil: nothing.
	download *download
	// first is the first page of a window while somebody else's write has kept it from being written. Asked for again, Graph
	// would keep deletions to itself.
	first *firstPage
	// idle is the deltaLink that an empty round ended with, not yet written.
	idle string
}

type firstPage struct {
	link string
	page graph.DeltaPage
}

// errNoCursor says that Graph lets nobody follow the changes of the calendar.
var errNoCursor = errors.New("no cursor may be followed")

// follow reads delta pages until the mirror is at a deltaLink. Every page is written with its cursor. The error is errNoCursor
// and the refusal where there is no way to follow.
func (f *follower) follow(ctx context.Context) error {
	defer f.drop() // pages that nobody waits for any more
	// A round that was cut short shows the calendar as it was when that began: what has happened since comes with the next one.
	resumed := f.cal.Phase == bridge.PhaseFollow || f.cal.Phase == bridge.PhaseOpening
	for {
		end := false
		err := f.again(ctx, func(ctx context.Context) (err error) {
			end, err = f.step(ctx)
			return err
		})
		if err != nil || end && !resumed {
			return err
		}
		resumed = resumed && !end
	}
}

// step reads the next page and writes it. end: it was the last one.
func (f *follower) step(ctx context.Context) (end bool, err error) {
	at := f.next()
	link := at.Link
	got := f.fetch(ctx, at)
	page, err := got.page, got.err
	switch {
	case (graph.IsSyncStateLost(err) || f.isStuck(err)) && !f.opened && f.cal.Phase != bridge.PhaseNew:
		f.log.Info("the cursor is of no more use; the window is listed again and compared", "err", err)
		f.reopen, f.opened = true, true
		return false, nil
	case f.isForbidden(err):
		return false, errors.Join(errNoCursor, err)
	case err != nil:
		return false, err
	}
	was := at.Phase
	at.Link = page.Next
	switch {
	case page.Delta != "":
		at.Link, at.Phase = page.Delta, bridge.PhaseSteady
		if was == bridge.PhaseOpening {
			at.Pending = bridge.PendingLook
		}
	case was == bridge.PhaseSteady:
		at.Phase = bridge.PhaseFollow
	}
	if len(page.Events) == 0 && was == bridge.PhaseSteady && page.Delta != "" {
		f.count(page)
		f.idle = page.Delta
		return true, nil
	}
	if err := f.record(ctx, got, &at, f.first != nil); err != nil {
		f.drop() // it may be older than what somebody else has written
		if was == bridge.PhaseOpening && at.Round != f.cal.Round {
			f.first = &firstPage{link, page}
		}
		return false, err
	}
	f.reopen, f.first = false, nil
	f.count(page)
	f.tell(bridge.ProgressDownload, 0, 0)
	return page.Delta != "", nil
}

func (f *follower) count(page graph.DeltaPage) {
	f.report.Pages++
	f.report.Items += len(page.Events)
}

// next is where to read on: within a round from its last page, else from the deltaLink, or from the start of a window.
func (f *follower) next() bridge.Cursor {
	at, now := *f.cursor(f.cal.Pending), f.now()
	steady := at.Phase == bridge.PhaseSteady
	outdated := steady && f.periods.outdated(at.Window, now)
	if steady {
		at.Link = f.deltaLink()
		at.Round++
	}
	if !f.reopen && !outdated && at.Phase != bridge.PhaseNew && at.Link != "" {
		return at
	}
	w := f.periods.window(now)
	if outdated {
		f.log.Info("opening a new window", "from", w.Start, "to", w.End)
	}
	return bridge.Cursor{
		Link: f.graph.DeltaURL(f.cal.GraphID, w.Start, w.End), Phase: bridge.PhaseOpening,
		Round: f.cal.Round + 1, Opened: f.cal.Round + 1, Window: w,
	}
}

// deltaLink is the one in memory where that is newer than the stored one.
func (f *follower) deltaLink() string {
	if c := f.memory.idle; c.link != "" && c.seq == f.cal.Seq {
		return c.link
	}
	return f.cal.Cursor
}

// fetch is the page at a cursor, which was read already where it follows the one before.
func (f *follower) fetch(ctx context.Context, at bridge.Cursor) fetched {
	if f.first != nil && f.first.link == at.Link {
		return fetched{page: f.first.page}
	}
	f.first = nil
	if f.download == nil || f.download.next != at.Link {
		f.drop()
		f.download = startDownload(ctx, f.graph, at.Link, newAhead(f.deriver, at))
	}
	return f.download.take(ctx)
}

// drop ends what is read ahead.
func (f *follower) drop() {
	f.download.end()
	f.download = nil
}

// isStuck counts the rounds that one cursor has answered with the same kind of failure, and reports whether it will
// do nothing else: Graph is known to choke on a token forever (500, 504) while it serves everything else.
func (f *follower) isStuck(err error) bool {
	var e *graph.Error
	if !errors.As(err, &e) || e.Status != http.StatusInternalServerError && e.Status != http.StatusGatewayTimeout {
		f.memory.stuck = 0
		return false
	}
	f.memory.stuck++
	return f.memory.stuck > stuckRounds
}

// isForbidden reports whether Graph gave the first page of a window and then forbids what follows it, be it a page or the next
// round, as it is known to do to a person who reads somebody else's calendar.
func (f *follower) isForbidden(err error) bool {
	var e *graph.Error
	began := f.report.Pages > 0 || f.cal.Phase != bridge.PhaseNew
	return f.foreign && began && errors.As(err, &e) && e.Status == http.StatusForbidden
}

// record writes one page of events and tombstones. overtaken: somebody else has written since Graph gave it, so what the mirror
// knows is not replaced but asked for again.
func (f *follower) record(ctx context.Context, got fetched, at *bridge.Cursor, overtaken bool) error {
	events := got.page.Events
	rows, err := f.store.Rows(ctx, f.cal.ID, f.toLookUp(events, overtaken))
	if err != nil {
		return err
	}
	fences, err := f.fencesOf(ctx, events, rows)
	if err != nil {
		return err
	}
	p := newPage()
	p.cursor = at
	fresh := map[graph.EventID]graph.EventID{} // events that were not here, and their series
	for _, e := range events {
		have, known := rows[e.ID]
		switch {
		case e.ID == "":
			f.log.Warn("Graph sent an event without an id; it cannot be followed")
		case e.Removed != nil && known && have.IsInstance():
			p.doubt(have)
			delete(rows, e.ID)
		case e.Removed != nil:
			// A tombstone is a question: it also comes for events outside the window that were added or changed.
			p.mark(e.ID, bridge.StageAsk)
		case !known && fences.isOlder(e, have):
			p.askOf(rowOf(e, at.Round))
		case (overtaken || fences.isOlder(e, have)) && known && have.Round < at.Round:
			have.Round = at.Round
			p.put(have)
			p.askAgain(have)
		case known && fences.isOlder(e, have): // this round has named it before
			p.askAgain(have)
		default:
			row := rowOf(e, at.Round)
			if !known {
				fresh[e.ID] = row.Series
			}
			p.take(row)
			rows[e.ID] = row
		}
	}
	if err := f.arrive(ctx, p, fresh); err != nil {
		return err
	}
	if err := f.deriver.stageWith(ctx, p, got.drafts); err != nil {
		return err
	}
	return f.write(ctx, p)
}

// toLookUp are the events of a page that depend on what the mirror has of them. Where nothing is published yet and nothing was written,
// these are those that are gone: the others are taken as they are. If an earlier page has named one, other calendars are asked for it
// again, which is no news to them.
func (f *follower) toLookUp(events []graph.Event, overtaken bool) []graph.EventID {
	if overtaken || f.cal.Rev != 0 || f.cal.Written || !f.cal.Fenced.IsZero() {
		return idsOf(events)
	}
	var gone []graph.EventID
	for _, e := range events {
		if e.Removed != nil {
			gone = append(gone, e.ID)
		}
	}
	return gone
}

func idsOf(events []graph.Event) []graph.EventID {
	ids := make([]graph.EventID, len(events))
	for i, e := range events {
		ids[i] = e.ID
	}
	return ids
}
