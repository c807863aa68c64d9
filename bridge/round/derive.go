package round

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

const derivePage = 100 // series derived between two writes

// Deriver makes objects of mirror rows: it converts series, compares what comes out with the objects that there are, stages
// what differs, and publishes. It asks Graph nothing. Derivers of one calendar may be used at the same time: what one has
// overtaken, the other does once more.
type Deriver struct {
	*current
	store    deriveStore
	settings bridge.Settings
	html     bool
	policy   bridge.Policy                   // of this calendar
	link     func(token, name string) string // to a file; nil: clients get none
	keepPast bool                            // what a client has put before the window is served too
	staging  *sync.Mutex                     // held from a comparison with the objects that there are until its outcome is staged
	now      func() time.Time
	tell     func(phase string, done, total int)
}

type deriveStore interface {
	RowsOf(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID][]bridge.Row, error)
	Marked(ctx context.Context, id bridge.CalendarID, stage int, after graph.EventID, limit int) ([]bridge.Mark, error)
	CountMarked(ctx context.Context, id bridge.CalendarID, stage int) (int, error)
	MarksOf(ctx context.Context, id bridge.CalendarID, series []graph.EventID) (map[graph.EventID]bridge.Mark, error)
	bridge.StagingStore
	bridge.WrittenStore
	bridge.FileStore
}

// Derive turns each series whose mirror rows are complete into its object, and stages what differs from before. With marks it
// does only these.
func (d *Deriver) Derive(ctx context.Context, marks ...bridge.Mark) error {
	if len(marks) > 0 {
		return d.again(ctx, func(ctx context.Context) error { return d.stage(ctx, marks, false) })
	}
	return d.deriveMarked(ctx)
}

// batch are series that are converted and not yet written, on the state of the mirror that seq names.
type batch struct {
	marks  []bridge.Mark
	drafts []draft
	seq    int64
}

func (d *Deriver) deriveMarked(ctx context.Context) error {
	if err := d.takeBack(ctx); err != nil {
		return err
	}
	total, err := d.store.CountMarked(ctx, d.cal.ID, bridge.StageDerive)
	if err != nil || total == 0 {
		return err
	}
	after, done := graph.EventID(""), 0
	now := batch{seq: -1}
	for {
		var ahead batch
		err := d.again(ctx, func(ctx context.Context) (err error) {
			if now.seq != d.cal.Seq {
				now, err = d.nextBatch(ctx, after)
			}
			if err != nil || len(now.marks) == 0 {
				return err
			}
			// While these are written the next ones are made.
			var g errgroup.Group
			g.Go(func() error { return d.settle(ctx, now.drafts, false) })
			g.Go(func() (err error) {
				ahead, err = d.nextBatch(ctx, now.marks[len(now.marks)-1].Series)
				return err
			})
			return g.Wait()
		})
		if err != nil || len(now.marks) == 0 {
			return err
		}
		done += len(now.marks)
		d.tell(bridge.ProgressConvert, done, max(total, done))
		after, now = now.marks[len(now.marks)-1].Series, ahead
	}
}

// nextBatch makes the objects of the marked series that follow one.
func (d *Deriver) nextBatch(ctx context.Context, after graph.EventID) (b batch, err error) {
	b.seq = d.cal.Seq
	b.marks, err = d.store.Marked(ctx, d.cal.ID, bridge.StageDerive, after, derivePage)
	if err != nil || len(b.marks) == 0 {
		return b, err
	}
	b.drafts, err = d.drafts(ctx, b.marks)
	return b, err
}

// deriveRefused serves series that Graph lists but whose masters it will not show, and that clients have not seen
// yet, as the listing has them. They stay marked, so that the next round tries to read them.
func (d *Deriver) deriveRefused(ctx context.Context, refused []graph.EventID) error {
	return d.again(ctx, func(ctx context.Context) error {
		var marks []bridge.Mark
		for _, id := range refused {
			_, err := d.store.SeriesObject(ctx, d.cal.ID, id)
			if errors.Is(err, bridge.ErrNotFound) {
				marks = append(marks, bridge.Mark{Series: id, Complete: true, Unread: true})
			} else if err != nil {
				return err
			}
		}
		return d.stage(ctx, marks, true)
	})
}

// stage makes the objects of some series and stages what differs. unsettled: they stay marked.
func (d *Deriver) stage(ctx context.Context, marks []bridge.Mark, unsettled bool) error {
	if len(marks) == 0 {
		return nil
	}
	drafts, err := d.drafts(ctx, marks)
	if err != nil {
		return err
	}
	return d.settle(ctx, drafts, unsettled)
}

// drafts makes the objects of some series, converting on all cores.
func (d *Deriver) drafts(ctx context.Context, marks []bridge.Mark) ([]draft, error) {
	drafts, all := make([]draft, len(marks)), seriesOf(marks)
	kept, err := d.kept(ctx, all)
	if err != nil {
		return nil, err
	}
	shown, err := d.store.Shown(ctx, d.cal.ID, all)
	if err != nil {
		return nil, err
	}
	rows, err := d.store.RowsOf(ctx, d.cal.ID, all)
	if err != nil {
		return nil, err
	}
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range marks {
		g.Go(func() (err error) {
			drafts[i], err = d.draft(m, rows[m.Series], shown[m.Series], kept.of(m.Series))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var uids []string
	for i := range drafts {
		uids = append(uids, drafts[i].uids()...)
	}
	past, err := d.store.Past(ctx, d.cal.ID, uids)
	if err != nil {
		return nil, err
	}
	for i := range drafts {
		g.Go(func() error {
			for _, uid := range drafts[i].uids() {
				if before, known := past[uid]; known {
					drafts[i].follow(before)
				}
			}
			d.finish(&drafts[i])
			return nil
		})
	}
	return drafts, g.Wait()
}

// settle compares drafts with the objects that there are, all earlier ones being staged, and stages what is to change.
func (d *Deriver) settle(ctx context.Context, drafts []draft, unsettled bool) error {
	d.staging.Lock()
	defer d.staging.Unlock()
	list := make([]bridge.Derived, len(drafts))
	have := taken{uids: map[string]bool{}, names: map[string]bool{}} // by these, which are not staged yet
	for i, one := range drafts {
		if one.object != nil {
			if err := d.distinct(ctx, &one, have); err != nil {
				return err
			}
		}
		list[i] = one.outcome()
		list[i].Unsettled = unsettled
	}
	return d.store.Stage(ctx, d.cal.ID, d.cal.Seq, list)
}

// taken are the UIDs and names of objects that are about to be staged.
type taken struct{ uids, names map[string]bool }

// distinct gives the object a UID of its own where another one of the calendar has it already: one UID, one resource
// (RFC 4791 §4.1). A copy of an event within a calendar has the same iCalUId. At one href the UID never changes (§5.3.2): an object
// keeps what it has, one that comes back takes a href where it had a UID that is free, or else a new one. What a client has made
// has the href and the UID that this client gave it, in any case.
func (d *Deriver) distinct(ctx context.Context, one *draft, have taken) error {
	o := one.object
	isTaken := func(uid string) (bool, error) {
		if have.uids[uid] {
			return true, nil
		}
		return d.store.UIDTaken(ctx, d.cal.ID, one.Series, uid)
	}
	defer func() { have.uids[o.UID], have.names[o.Name] = true, true }()
	if one.name.Object != "" {
		if held, err := d.isHeld(ctx, one, one.name.Object, have); err != nil {
			return err
		} else if !held {
			return one.call(isTaken)
		}
		d.log.Warn("the name that a client gave an event is another one's", "series", one.Series)
	}
	if one.exists {
		o.Name = one.have.Name
		return one.rename(one.have.UID)
	}
	for _, was := range one.removed {
		if uidTaken, err := isTaken(was.UID); err != nil {
			return err
		} else if !uidTaken {
			o.Name = was.Name
			return one.rename(was.UID)
		}
	}
	uidTaken, err := isTaken(o.UID)
	if err == nil && uidTaken {
		err = one.rename(ownUID(o.UID, one.Series))
	}
	if err != nil {
		return err
	}
	held := slices.ContainsFunc(one.removed, func(was bridge.Object) bool { return was.Name == o.Name })
	if !held && d.cal.Written { // a client may have made another event where this one was
		held, err = d.isHeld(ctx, one, o.Name, have)
	}
	if held {
		o.Name = shortHash(o.Name+"\x00"+o.UID, 32) + ".ics"
	}
	return err
}

// isHeld reports whether another series has an object of that name.
func (d *Deriver) isHeld(ctx context.Context, one *draft, name string, have taken) (bool, error) {
	if have.names[name] {
		return true, nil
	}
	return d.store.NameTaken(ctx, d.cal.ID, one.Series, name)
}

// Publish shows what is staged: all of it, or that of some series only. changed counts objects, removed ones included.
func (d *Deriver) Publish(ctx context.Context, series ...graph.EventID) (changed, removed int, err error) {
	d.staging.Lock()
	defer d.staging.Unlock()
	return d.store.Publish(ctx, d.cal.ID, d.now(), series...)
}

// series reads a series from its rows. Complete: these are all that Outlook shows of it in the window. Unread: there need be no
// master among them. ok is false where nothing is left of it.
func (d *Deriver) series(rows []bridge.Row, m bridge.Mark) (s convert.Series, ok bool, err error) {
	s = d.newSeries()
	defer func() { s.Scheduling = mails(d.policy, s.Event) }()
	complete := m.Complete
	isMaster := false
	for _, row := range rows {
		switch row.Kind {
		case bridge.KindSingle, bridge.KindMaster, bridge.KindOrphan:
			if s.Event, err = eventOf(row); err != nil {
				return s, false, err
			}
			ok, isMaster = true, row.Kind == bridge.KindMaster
		}
	}
	if !ok && m.Unread {
		s.Event, ok, err = unmastered(m.Series, rows)
		if isMaster = ok; err != nil {
			return s, false, err
		}
	}
	if s.Event.Recurrence == nil && !isMaster {
		return s, ok, nil
	}
	if complete {
		if s.Occurrences, err = occurrences(s.Event, rows); err != nil {
			return s, false, err
		}
	}
	s.Exceptions, err = untold(s.Event, rows)
	return s, ok, err
}

// unmastered is what the first of some occurrences says of their series, which Graph does not show.
func unmastered(series graph.EventID, rows []bridge.Row) (e graph.Event, ok bool, err error) {
	var first bridge.Row
	for _, row := range rows {
		if !row.IsInstance() {
			continue
		}
		plain, was := row.Kind == bridge.KindOccurrence, first.Kind == bridge.KindOccurrence
		if first.ID == "" || plain && !was || plain == was && row.Span.Start.Before(first.Span.Start) {
			first = row
		}
	}
	if first.ID == "" {
		return e, false, nil
	}
	e, err = eventOf(first)
	e.ID, e.Type, e.SeriesMasterID, e.OccurrenceID = series, graph.SeriesMaster, "", ""
	return e, err == nil, err
}

// occurrences are the instances among the rows of a series. That one is all day is its master's to say, or its own where
// it is an exception: a delta gives nothing of an occurrence but its times.
func occurrences(master graph.Event, rows []bridge.Row) ([]convert.Occurrence, error) {
	list := []convert.Occurrence{}
	for _, row := range rows {
		if !row.IsInstance() {
			continue
		}
		o := convert.Occurrence{Span: row.Span, AllDay: master.IsAllDay}
		if row.Kind == bridge.KindException {
			e, err := eventOf(row)
			if err != nil {
				return nil, err
			}
			o.AllDay = e.IsAllDay
			for _, full := range master.ExceptionOccurrences {
				if full.ID == row.ID {
					o.AllDay = full.IsAllDay
				}
			}
		}
		list = append(list, o)
	}
	return list, nil
}

func (d *Deriver) newSeries() convert.Series {
	return convert.Series{Window: d.cal.Window, Owner: d.cal.Owner, MailboxZone: d.settings.Zone, Colors: d.settings.Colors, HTML: d.html}
}

// rendering names everything beside the mirror, and what clients have written, that the octets of an object depend on.
func (d *Deriver) rendering() string {
	b, err := json.Marshal(d.settings) // keys in order
	if err != nil {
		panic(err) // strings always marshal
	}
	text := fmt.Sprintf("%v timetables html=%t settings=%s", convert.Version, d.html, shortHash(string(b), 16))
	if d.policy.Write {
		text += " invitations=" + string(d.policy.Invitations)
	}
	if d.serves() {
		text += " attachments=" + d.link("", "")
	}
	return text
}

// rerender marks every series for conversion where the converter or an option has changed since.
func (d *Deriver) rerender(ctx context.Context) error {
	if d.cal.Versioned != d.policy.Write { // first, for clients know what they had before
		if err := d.store.SetVersioned(ctx, d.cal.ID, d.policy.Write); err != nil {
			return err
		}
		d.cal.Versioned = d.policy.Write
	}
	if d.cal.Rendering == d.rendering() {
		return nil
	}
	return d.markAll(ctx)
}

func (d *Deriver) markAll(ctx context.Context) error {
	want := d.rendering()
	if err := d.store.MarkAll(ctx, d.cal.ID, want); err != nil {
		return err
	}
	d.cal.Rendering = want
	return nil
}
