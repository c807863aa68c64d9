package round

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/emersion/go-ical"
	"golang.org/x/sync/errgroup"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// derive turns every series whose mirror rows are complete into its object, and stages what differs from before.
func (r *round) derive(ctx context.Context) error {
	if err := r.deriveRefused(ctx); err != nil {
		return err
	}
	total, err := r.b.Store.CountMarked(ctx, r.cal.ID, bridge.StageDerive)
	if err != nil || total == 0 {
		return err
	}
	done := 0
	marks, drafts, err := r.nextDrafts(ctx, "")
	for err == nil && len(marks) > 0 {
		var list []bridge.Derived
		if list, err = r.decide(ctx, drafts); err != nil {
			return err
		}
		// While these are written the next ones are made.
		var g errgroup.Group
		g.Go(func() error { return r.b.Store.Stage(ctx, r.cal.ID, r.cal.Seq, list) })
		last := marks[len(marks)-1].Series
		g.Go(func() (err error) {
			marks, drafts, err = r.nextDrafts(ctx, last)
			return err
		})
		err = g.Wait()
		done += len(list)
		r.b.progress(Progress{Account: r.account, Calendar: r.cal.DisplayName, Phase: "convert", Pages: r.report.Pages,
			Events: r.report.Items, Done: done, Total: max(total, done)})
	}
	return err
}

// nextDrafts makes the objects of the marked series that follow one.
func (r *round) nextDrafts(ctx context.Context, after graph.EventID) ([]bridge.Mark, []draft, error) {
	marks, err := r.b.Store.Marked(ctx, r.cal.ID, bridge.StageDerive, after, derivePage)
	if err != nil || len(marks) == 0 {
		return nil, nil, err
	}
	drafts, err := r.drafts(ctx, marks)
	return marks, drafts, err
}

// deriveRefused serves series that Graph lists but whose masters it will not show, and that clients have not seen
// yet, as the listing has them. They stay marked, so that the next round tries to read them.
func (r *round) deriveRefused(ctx context.Context) error {
	var marks []bridge.Mark
	for _, id := range r.refused {
		if _, err := r.b.Store.SeriesObject(ctx, r.cal.ID, id); !errors.Is(err, bridge.ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		marks = append(marks, bridge.Mark{Series: id, Listed: true})
	}
	r.refused = nil
	if len(marks) == 0 {
		return nil
	}
	drafts, err := r.drafts(ctx, marks)
	if err != nil {
		return err
	}
	list, err := r.decide(ctx, drafts)
	if err != nil {
		return err
	}
	for i := range list {
		list[i].Unsettled = true
	}
	return r.b.Store.Stage(ctx, r.cal.ID, r.cal.Seq, list)
}

// draft is an object that is made and not yet held against those of the calendar.
type draft struct {
	bridge.Derived
	have    bridge.Object // the series' object as it is
	exists  bool
	failed  bool // it stays as it is
	object  *bridge.Object
	content *ical.Calendar // of object
}

// drafts makes the objects of some series, converting on all cores.
func (r *round) drafts(ctx context.Context, marks []bridge.Mark) ([]draft, error) {
	drafts := make([]draft, len(marks))
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i, m := range marks {
		g.Go(func() (err error) {
			drafts[i], err = r.draft(ctx, m)
			return err
		})
	}
	return drafts, g.Wait()
}

// decide holds drafts against the objects that there are, all earlier ones being staged, and tells what is to change.
func (r *round) decide(ctx context.Context, drafts []draft) ([]bridge.Derived, error) {
	list := make([]bridge.Derived, len(drafts))
	uids := map[string]bool{} // of this batch, which is not staged yet
	for i, d := range drafts {
		if d.object != nil {
			if err := r.distinct(ctx, &d, uids); err != nil {
				return nil, err
			}
		}
		switch {
		case d.failed:
		case d.object == nil && d.exists:
			d.have.Deleted, d.have.Data = true, nil
			d.Object = &d.have
		case d.object != nil && !(d.exists && sameButStamps(d.have.Data, d.object.Data)):
			d.Object = d.object
		}
		list[i] = d.Derived
	}
	return list, nil
}

// draft makes the object of one series.
func (r *round) draft(ctx context.Context, m bridge.Mark) (d draft, err error) {
	d.Series = m.Series
	d.have, err = r.b.Store.SeriesObject(ctx, r.cal.ID, m.Series)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return d, err
	}
	d.exists = err == nil
	rows, err := r.b.Store.SeriesRows(ctx, r.cal.ID, m.Series)
	if err != nil {
		return d, err
	}
	s, ok, err := r.series(rows, m.Listed)
	if err != nil || !ok {
		return d, err
	}
	if err := r.render(&d, s); err != nil {
		// Kept as it was: a series that cannot be converted must not vanish from anybody's calendar.
		r.log.Error("a series cannot be converted; its last good object is served", "series", m.Series, "err", err)
		d.failed = true
		d.Losses = append(d.Losses, convert.Loss{Event: m.Series, Field: "event", Reason: "It could not be converted: " + bridge.Sentence(err)})
	}
	return d, nil
}

// distinct gives the object a UID of its own where another one of the calendar has it already: one UID, one resource
// (RFC 4791 §4.1). A copy of an event within a calendar has the same iCalUId.
func (r *round) distinct(ctx context.Context, d *draft, uids map[string]bool) error {
	taken := uids[d.object.UID]
	if !taken {
		var err error
		if taken, err = r.b.Store.UIDTaken(ctx, r.cal.ID, d.Series, d.object.UID); err != nil {
			return err
		}
	}
	if taken {
		d.object.UID += "-" + shortHash(string(d.Series), 8)
		for _, c := range d.content.Children {
			if c.Name == ical.CompEvent {
				c.Props.SetText(ical.PropUID, d.object.UID)
			}
		}
		if err := encode(d.object, d.content); err != nil {
			return err
		}
	}
	uids[d.object.UID] = true
	return nil
}

// series reads a series from its rows. ok is false where nothing is left of it.
func (r *round) series(rows []bridge.Row, listed bool) (s convert.Series, ok bool, err error) {
	s = r.newSeries()
	spans := []convert.Span{}
	for _, row := range rows {
		switch row.Kind {
		case bridge.KindSingle, bridge.KindMaster, bridge.KindOrphan:
			if s.Event, err = decode(row); err != nil {
				return s, false, err
			}
			ok = true
		case bridge.KindException, bridge.KindOccurrence:
			spans = append(spans, row.Span)
		}
	}
	if s.Event.Recurrence == nil {
		return s, ok, nil
	}
	if listed {
		s.Occurrences = spans
	}
	s.Exceptions, err = untold(s.Event, rows)
	return s, ok, err
}

// untold are the exceptions among the rows of a series where Graph would not tell its master's: those of the window are
// then all that is known.
func untold(master graph.Event, rows []bridge.Row) (list []graph.Event, err error) {
	if master.ExceptionOccurrences != nil {
		return nil, nil
	}
	for _, row := range rows {
		if row.Kind == bridge.KindException {
			e, err := decode(row)
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	}
	return list, nil
}

func (r *round) newSeries() convert.Series {
	return convert.Series{Window: r.cal.Window, Owner: r.cal.Owner, MailboxZone: r.settings.Zone, Colors: r.settings.Colors, HTML: r.b.HTML}
}

func decode(row bridge.Row) (graph.Event, error) {
	var e graph.Event
	if err := json.Unmarshal(row.Raw, &e); err != nil {
		return e, fmt.Errorf("mirror row %s: %w", row.ID, err)
	}
	if e.ID == "" {
		e.ID = row.ID
	}
	return e, nil
}

// render makes the object of a series; none where clients are to see none.
func (r *round) render(d *draft, s convert.Series) error {
	if d.exists {
		s.Sequence, s.Modified = d.have.Sequence+1, d.have.Stamp.Add(time.Second)
	}
	cal, losses, err := toICS(s)
	d.Losses = losses
	switch {
	case errors.Is(err, convert.ErrNoInstances):
		return nil
	case errors.Is(err, convert.ErrNoTime):
		d.Losses = append(d.Losses, convert.Loss{Event: s.Event.ID, Field: "start",
			Reason: fmt.Sprintf("%q has no place in time: %s.", s.Event.Subject, err)})
		return nil
	case err != nil:
		return err
	}
	first, last := (&ics.Reader{Resolve: convert.Zone}).Bounds(cal)
	if r.isPast(last) && !(d.exists && r.isPast(d.have.Last)) {
		d.Losses = nil
		return nil
	}
	uid := convert.UID(s.Event)
	if p := firstEvent(cal).Props.Get(ical.PropUID); p != nil {
		uid = p.Value
	}
	series := s.Event.ID
	o := &bridge.Object{
		Calendar: r.cal.ID, Series: series, Name: shortHash(string(r.cal.GraphID)+"\x00"+string(series), 32) + ".ics", UID: uid,
		Sequence: s.Sequence, Stamp: stampOf(cal), First: first, Last: last,
	}
	if err := encode(o, cal); err != nil {
		return err
	}
	d.object, d.content = o, cal
	return nil
}

// encode sets of an object what follows from the content.
func encode(o *bridge.Object, cal *ical.Calendar) error {
	var b bytes.Buffer
	if err := ics.Encode(&b, cal); err != nil {
		return err
	}
	o.Data, o.Size, o.ETag = b.Bytes(), b.Len(), shortHash(b.String(), 32)
	return nil
}

// toICS converts, and makes an error of a panic: one event must never end the sync of the others.
func toICS(s convert.Series) (cal *ical.Calendar, losses []convert.Loss, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("convert: panic: %v\n%s", p, debug.Stack())
		}
	}()
	return convert.ToICS(s)
}

func firstEvent(cal *ical.Calendar) *ical.Component {
	for _, c := range cal.Children {
		if c.Name == ical.CompEvent {
			return c
		}
	}
	return ical.NewComponent(ical.CompEvent)
}

// stampOf is the latest DTSTAMP of the object.
func stampOf(cal *ical.Calendar) (t time.Time) {
	for _, c := range cal.Children {
		if p := c.Props.Get(ical.PropDateTimeStamp); p != nil {
			if at, err := p.DateTime(time.UTC); err == nil && at.After(t) {
				t = at
			}
		}
	}
	return t
}

// shortHash is n hex digits of SHA-256.
func shortHash(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// sameButStamps reports whether two renderings differ only in the properties that tell when they were made. Graph
// gives an event a new changeKey and a new lastModifiedDateTime for every touch, a dismissed reminder for example;
// clients are to see a change only where there is one.
func sameButStamps(a, b []byte) bool {
	for {
		var x, y ics.Line
		x, a = nextLine(a)
		y, b = nextLine(b)
		if !bytes.Equal(x, y) {
			return false
		}
		if x == nil {
			return true
		}
	}
}

// nextLine is the next line that is no stamp, nil at the end, and what follows it.
func nextLine(b []byte) (ics.Line, []byte) {
	for {
		line, rest, ok := ics.Cut(b)
		if !ok {
			return nil, nil
		}
		switch string(line.Name()) {
		case ical.PropDateTimeStamp, ical.PropLastModified, ical.PropSequence:
			b = rest
		default:
			return line, rest
		}
	}
}

// spanOf is when an event is, as the mirror keeps it; the zero Span where its times cannot be read. An all-day event
// is midnight to midnight in UTC whatever its zone.
func spanOf(e graph.Event) convert.Span {
	at := func(d graph.DateTimeTimeZone) time.Time {
		loc := time.UTC
		if l, _, ok := convert.LoadZone(d.TimeZone); ok && !e.IsAllDay {
			loc = l
		}
		t, err := time.ParseInLocation("2006-01-02T15:04:05.9999999", strings.TrimSuffix(d.DateTime, "Z"), loc)
		if err != nil {
			return time.Time{}
		}
		return t.UTC()
	}
	return convert.Span{Start: at(e.Start), End: at(e.End)}
}
