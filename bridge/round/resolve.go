package round

import (
	"context"
	"errors"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// readPage is how many series are read between two writes: two batches.
const readPage = 40

// resolver asks Graph what a delta left open: whether tombstones mean deletion, and what the masters of changed series say.
type resolver struct {
	*mirror
	deriver  *Deriver
	siblings *siblings
	memory   *calendarMemory
	foreign  bool                   // the calendar is somebody else's
	missed   map[graph.EventID]bool // what Graph would not show for the first time in this round
	// refused are series whose masters Graph will not show; they stay marked to be read.
	refused []graph.EventID
}

// resolve asks all that is open. The error joins what could not be answered; that stays marked for the next round.
func (r *resolver) resolve(ctx context.Context) error {
	if err := r.again(ctx, r.readAgain); err != nil {
		return err
	}
	return errors.Join(r.each(ctx, bridge.StageAsk, askPage, r.ask), r.each(ctx, bridge.StageRead, readPage, r.read))
}

// rereadEvery is how often a master that Graph lists and does not show is asked for.
const rereadEvery = time.Hour

func (r *resolver) readsAgain() bool { return bridge.Elapsed(r.now(), r.memory.reread) >= rereadEvery }

// readAgain marks for reading the masters that Graph has not shown so far, now and then.
func (r *resolver) readAgain(ctx context.Context) error {
	now := r.now()
	if !r.readsAgain() {
		return nil
	}
	after := graph.EventID("")
	for {
		ids, err := r.store.Unread(ctx, r.cal.ID, after, listPage)
		if err != nil {
			return err
		}
		p := newPage()
		for _, id := range ids {
			p.marks[id] = bridge.Mark{Series: id, Stage: bridge.StageRead, Complete: true, Unread: true}
			after = id
		}
		if err := r.write(ctx, p); err != nil {
			return err
		}
		if len(ids) < listPage {
			r.memory.reread = now
			return nil
		}
	}
}

// answers are what a step found out, to be written in one page, and what it could not.
type answers struct {
	*mirrorPage
	open error
}

// each does the marked series of a stage, so many between two writes.
func (r *resolver) each(ctx context.Context, stage, size int, do func(context.Context, []bridge.Mark, *answers) error) error {
	total, err := r.store.CountMarked(ctx, r.cal.ID, stage)
	if err != nil || total == 0 {
		return err
	}
	var open error
	after, done := graph.EventID(""), 0
	for {
		var ids []graph.EventID
		var a answers
		err := r.again(ctx, func(ctx context.Context) error {
			marks, err := r.store.Marked(ctx, r.cal.ID, stage, after, size)
			if err != nil || len(marks) == 0 {
				ids = nil
				return err
			}
			ids = seriesOf(marks)
			a = answers{mirrorPage: newPage()}
			if err := do(ctx, marks, &a); err != nil {
				return err
			}
			return r.write(ctx, a.mirrorPage)
		})
		open = errors.Join(open, a.open)
		if err != nil || len(ids) == 0 {
			return errors.Join(open, err)
		}
		after = ids[len(ids)-1]
		if done += len(ids); stage == bridge.StageRead {
			r.tell(bridge.ProgressRead, done, max(total, done))
		}
	}
}

func seriesOf(marks []bridge.Mark) []graph.EventID {
	ids := make([]graph.EventID, len(marks))
	for i, m := range marks {
		ids[i] = m.Series
	}
	return ids
}

// ask settles tombstones: a tombstone also comes for an event outside the window that was added or changed.
func (r *resolver) ask(ctx context.Context, marks []bridge.Mark, a *answers) error {
	ids := seriesOf(marks)
	rows, err := r.store.Rows(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	elsewhere, err := r.store.Elsewhere(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	results := r.graph.Events(ctx, r.cal.GraphID, ids)
	fences, err := r.fences(ctx, ids)
	if err != nil {
		return err
	}
	listed := r.listed(ctx, results, marks, rows)
	r.siblings.look(ctx, slices.DeleteFunc(slices.Clone(results), func(res graph.Result) bool { return listed[res.ID] }))
	for i, res := range results {
		if r.isLate(a, fences, res, rows[res.ID], nil) {
			continue
		}
		if err := r.answer(ctx, a, res, listed[res.ID], marks[i], rows[res.ID], elsewhere); err != nil {
			a.open = errors.Join(a.open, err)
		}
	}
	return nil
}

// listed puts in place of refusals what the list of the calendar's events says, which names events too that Graph does not show
// by their ids, and tells of which. It is asked where that has happened before, and where it is to be expected: of calendars of
// other people.
func (r *resolver) listed(ctx context.Context, results []graph.Result, marks []bridge.Mark, rows map[graph.EventID]bridge.Row) map[graph.EventID]bool {
	var doubtful []graph.Event
	at := map[graph.EventID]int{}
	for i, res := range results {
		row, known := rows[res.ID]
		e, err := eventOf(row)
		if known && err == nil && e.ICalUID != "" && !row.IsInstance() && row.Kind != bridge.KindOrphan && isHidden(res.Err) &&
			(r.foreign || marks[i].Unread || !isGone(res.Err)) {
			at[res.ID] = i
			doubtful = append(doubtful, e)
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	listed := map[graph.EventID]bool{}
	for _, found := range r.graph.Listed(ctx, r.cal.GraphID, doubtful) {
		switch i := at[found.ID]; {
		case isUnlisted(found.Err): // the refusal counts
		case found.Err != nil:
			results[i].Err = found.Err
		case found.Event.ID != "":
			results[i] = found
			listed[found.ID] = true
		default:
			results[i].Err = errNotListed
		}
	}
	return listed
}

// isLate reports whether an answer is as the event was before the last write to it, and is not to be taken. It stays marked, to be
// asked for in the next round; of what was deleted here nothing is left to ask for.
func (r *resolver) isLate(a *answers, f fences, res graph.Result, have bridge.Row, rows []bridge.Row) bool {
	res.Event.ID = res.ID
	if res.Err != nil || have.IsInstance() || rowOf(res.Event, 0).IsInstance() || !f.isOlder(res.Event, bridge.Row{}) {
		return false
	}
	r.log.Info("Graph answers with an event as it was before it was written to", "event", res.ID)
	if f.isGone(res.ID) {
		a.drop(res.ID, rows)
		a.remove(res.ID)
	}
	return true
}

// errNotListed says that an event is neither to be had by its id nor named by a list: it is gone.
var errNotListed = errors.New("Graph neither shows nor lists the event")

// answer takes what Graph said of one asked id. listed: it is the list of the calendar's events that said it.
func (r *resolver) answer(ctx context.Context, a *answers, res graph.Result, listed bool, mark bridge.Mark, have bridge.Row, elsewhere map[graph.EventID]bridge.CalendarID) error {
	drop := func() error {
		rows, err := r.store.SeriesRows(ctx, r.cal.ID, res.ID) // of a series its occurrences too
		a.drop(res.ID, rows)
		return err
	}
	switch {
	case isGone(res.Err), errors.Is(res.Err, errNotListed):
		return drop()
	case isHidden(res.Err) && mark.Unread && !r.missed[res.ID]:
		r.log.Warn("an event that has changed is not shown by Graph, nor known from a list", "event", res.ID, "err", res.Err)
		a.asListed(res.ID, false)
		return nil
	case isHidden(res.Err):
		r.missed[res.ID] = true
		a.marks[res.ID] = bridge.Mark{Series: res.ID, Stage: bridge.StageAsk, Unread: true} // once more in the next round
		return res.Err
	case res.Err != nil:
		return res.Err
	}
	e := res.Event
	e.ID = res.ID
	row := rowOf(e, r.cal.Round)
	here, err := r.siblings.isHere(ctx, e, listed, elsewhere)
	if err != nil {
		return err
	}
	switch {
	case !here:
		return drop()
	case listed && row.Kind == bridge.KindSingle && !isPast(row.Span.End, r.cal.Window):
		a.put(row)
		a.asListed(row.ID, true)
	case have.Kind == bridge.KindOrphan:
		row.Kind, row.Series = bridge.KindOrphan, e.ID
		a.put(row)
		a.mark(e.ID, bridge.StageDerive)
	case row.IsInstance():
		// Nothing of its own: the series that it belongs to shows it. That one need not be here, for no listing has named it.
		row.Round = 0
		a.put(row)
		if a.marks[row.Series].Stage < bridge.StageRead {
			a.mark(row.Series, bridge.StageRead)
		}
		a.mark(e.ID, bridge.StageDerive)
	case row.Kind == bridge.KindSingle && isPast(row.Span.End, r.cal.Window) && !isPast(have.Span.End, r.cal.Window):
		return drop()
	default:
		a.take(row)
	}
	return nil
}

// read reads masters, with their exceptions and cancellations.
func (r *resolver) read(ctx context.Context, marks []bridge.Mark, a *answers) error {
	ids := seriesOf(marks)
	elsewhere, err := r.store.Elsewhere(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	fences, err := r.fences(ctx, ids)
	if err != nil {
		return err
	}
	rows, err := r.store.RowsOf(ctx, r.cal.ID, ids)
	if err != nil {
		return err
	}
	var refs []graph.MasterRef
	for _, id := range ids {
		refs = append(refs, graph.MasterRef{ID: id, Zone: zoneOfRows(rows[id])})
	}
	results := r.masters(ctx, refs)
	r.unlisted(ctx, results, marks, rows)
	var doubtful []graph.Result
	for i, res := range results {
		if !r.isNamed(marks[i], rows[res.ID]) {
			doubtful = append(doubtful, res)
		}
	}
	r.siblings.look(ctx, doubtful)
	for i, res := range results {
		have, _ := masterRow(rows[res.ID])
		if r.isLate(a, fences, res, have, rows[res.ID]) {
			continue
		}
		if err := r.master(ctx, a, res, marks[i], rows[res.ID], elsewhere); err != nil {
			a.open = errors.Join(a.open, err)
		}
	}
	return nil
}

// unlisted puts errNotListed in place of refusals of masters that have no occurrence left and that the list of the calendar's
// events does not name either: where masters are in no delta, nothing else tells that they are gone.
func (r *resolver) unlisted(ctx context.Context, results []graph.Result, marks []bridge.Mark, rows map[graph.EventID][]bridge.Row) {
	if r.cal.Way != bridge.WayView {
		return
	}
	masters := map[graph.EventID]bridge.Row{}
	for id, list := range rows {
		if row, known := masterRow(list); known && len(list) == 1 {
			masters[id] = row
		}
	}
	asked := slices.Clone(results)
	r.listed(ctx, asked, marks, masters)
	for i := range results {
		if errors.Is(asked[i].Err, errNotListed) {
			results[i].Err = errNotListed
		}
	}
}

// isNamed reports whether a listing has named a series, and nothing has taken that back since.
func (r *resolver) isNamed(mark bridge.Mark, rows []bridge.Row) bool {
	return mark.Complete || slices.ContainsFunc(rows, func(row bridge.Row) bool { return row.Round == r.cal.Round })
}

// masters reads masters each in its own zone. Where the zone was not known beforehand, a second reading follows.
func (r *resolver) masters(ctx context.Context, refs []graph.MasterRef) []graph.Result {
	results := r.graph.Masters(ctx, r.cal.GraphID, refs)
	var again []graph.MasterRef
	for i, res := range results {
		if zone := seriesZone(res.Event); res.Err == nil && refs[i].Zone == "" && zone != "" && !res.Event.IsAllDay {
			again = append(again, graph.MasterRef{ID: res.ID, Zone: zone})
		}
	}
	if len(again) == 0 {
		return results
	}
	second := r.graph.Masters(ctx, r.cal.GraphID, again)
	for i := range results {
		if j := slices.IndexFunc(second, func(s graph.Result) bool { return s.ID == results[i].ID }); j >= 0 && second[j].Err == nil {
			results[i] = second[j]
		}
	}
	return results
}

func masterRow(rows []bridge.Row) (row bridge.Row, known bool) {
	i := slices.IndexFunc(rows, func(row bridge.Row) bool { return row.Kind == bridge.KindMaster })
	if i < 0 {
		return row, false
	}
	return rows[i], true
}

func zoneOfRows(rows []bridge.Row) string {
	if row, known := masterRow(rows); known {
		if e, err := eventOf(row); err == nil {
			return seriesZone(e)
		}
	}
	return ""
}

// seriesZone is the zone to read a master in: its own, by a name that Graph takes, where that is a known one and not UTC,
// else "".
func seriesZone(e graph.Event) string {
	if zone := convert.GraphZone(e.OriginalStartTimeZone); zone != "UTC" && zone != "Etc/UTC" {
		return zone
	}
	return ""
}

// master takes what Graph said of one master.
func (r *resolver) master(ctx context.Context, a *answers, res graph.Result, mark bridge.Mark, rows []bridge.Row, elsewhere map[graph.EventID]bridge.CalendarID) error {
	have, known := masterRow(rows)
	fresh := known && have.Round == r.cal.Round // this round's pages named it
	named := r.isNamed(mark, rows)
	switch {
	case isHidden(res.Err) && known && (named || !isGone(res.Err)): // to deny access is not to say that it is gone
		return r.hidden(a, res, mark, have, rows)
	case isGone(res.Err) && known, errors.Is(res.Err, errNotListed):
		a.drop(res.ID, rows)
		return nil
	case isHidden(res.Err) && !known:
		return r.unmastered(ctx, a, res, rows, named)
	case res.Err != nil:
		if !graph.IsUnavailable(res.Err) && known {
			r.refused = append(r.refused, res.ID)
		}
		return res.Err
	}
	e := res.Event
	e.ID = res.ID
	here, err := r.siblings.isHere(ctx, e, named, elsewhere)
	if err != nil {
		return err
	}
	if !here {
		a.drop(e.ID, rows)
		return nil
	}
	row := rowOf(e, r.cal.Round)
	if row.Kind != bridge.KindMaster {
		a.drop(e.ID, rows)
		a.put(row)
		return nil
	}
	a.put(row)
	return r.reconcile(ctx, a.mirrorPage, e, rows, fresh)
}

// hidden takes that Graph lists a master and will not show it. Perhaps it was deleted since, which the next round tells, or Graph
// contradicts itself for a moment. If it goes on to do so, the series is what was listed of it.
func (r *resolver) hidden(a *answers, res graph.Result, mark bridge.Mark, have bridge.Row, rows []bridge.Row) error {
	if !mark.Unread || r.missed[res.ID] {
		r.missed[res.ID] = true
		a.marks[res.ID] = bridge.Mark{Series: res.ID, Stage: bridge.StageRead, Complete: true, Unread: true}
		r.refused = append(r.refused, res.ID)
		if isGone(res.Err) {
			return nil
		}
		return res.Err
	}
	r.log.Warn("Graph lists a series and does not show it; it is served as it was listed", "series", res.ID, "err", res.Err)
	current := false // whether occurrences were listed with it
	for _, row := range rows {
		current = current || row.IsInstance() && row.Round >= have.Round
	}
	for _, row := range rows {
		if current && row.IsInstance() && row.Round < have.Round {
			a.remove(row.ID)
		}
	}
	a.asListed(res.ID, current)
	return nil
}

// unmastered takes that Graph shows nothing of the master of occurrences that it has named. Where there is none in the mailbox,
// for whoever was invited to single occurrences has just these, they become events of their own. Where it is denied, or lies in
// somebody else's calendar, of which masters are not listed, it may well be there: the series is what was listed of it, and its
// master is asked for again. named: a listing has named the occurrences.
func (r *resolver) unmastered(ctx context.Context, a *answers, master graph.Result, rows []bridge.Row, named bool) error {
	a.mark(master.ID, bridge.StageDerive)
	if len(rows) == 0 {
		return nil
	}
	kept := !isGone(master.Err) || r.foreign || r.cal.Way == bridge.WayView
	take := func(e graph.Event) {
		row := rowOf(e, r.cal.Round)
		if kept {
			row.Series = master.ID
			if !row.IsInstance() {
				row.Kind = bridge.KindOccurrence
			}
			a.put(row)
			return
		}
		row.Series, row.Kind = row.ID, bridge.KindOrphan
		a.put(row)
		a.mark(row.ID, bridge.StageDerive)
	}
	var ids []graph.EventID
	spans := map[graph.EventID]convert.Span{}
	for _, row := range rows {
		spans[row.ID] = row.Span
		if e, err := eventOf(row); err == nil && kept && e.ICalUID != "" {
			continue // it is known in full already
		}
		ids = append(ids, row.ID) // in a delta, and in a view, an occurrence is a skeleton
	}
	if kept {
		r.log.Warn("Graph lists occurrences and does not show their series; it is served as it was listed", "series", master.ID, "err", master.Err)
		a.asListed(master.ID, true)
	}
	var failed error
	hidden := map[graph.EventID]convert.Span{}
	for _, res := range r.graph.Events(ctx, r.cal.GraphID, ids) {
		switch {
		case isHidden(res.Err) && (named || !isGone(res.Err)):
			hidden[res.ID] = spans[res.ID]
			fallthrough
		case isGone(res.Err):
			a.remove(res.ID)
			a.mark(res.ID, bridge.StageDerive)
		case res.Err != nil:
			failed = errors.Join(failed, res.Err)
			a.marks[master.ID] = bridge.Mark{Series: master.ID, Stage: bridge.StageRead, Complete: named, Unread: kept}
		default:
			res.Event.ID = res.ID
			take(res.Event)
		}
	}
	err := r.view(ctx, hidden, func(e graph.Event) {
		if take(e); !kept {
			a.asListed(e.ID, true)
		}
	})
	if err != nil {
		for id := range hidden { // they stay as they are until the view can be had
			delete(a.gone, id)
			delete(a.marks, id)
		}
		a.marks[master.ID] = bridge.Mark{Series: master.ID, Stage: bridge.StageRead, Complete: true, Unread: kept}
	}
	return errors.Join(failed, err)
}
