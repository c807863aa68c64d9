package bridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// derive turns every series whose mirror rows are complete into its object, and stages what differs from before.
func (r *round) derive(ctx context.Context) error {
	if err := r.deriveRefused(ctx); err != nil {
		return err
	}
	total, err := r.b.Store.CountMarked(ctx, r.cal.ID, StageDerive)
	if err != nil || total == 0 {
		return err
	}
	done := 0
	for {
		marks, err := r.b.Store.Marked(ctx, r.cal.ID, StageDerive, "", derivePage)
		if err != nil || len(marks) == 0 {
			return err
		}
		var list []Derived
		uids := map[string]graph.EventID{}
		for _, m := range marks {
			d, err := r.deriveSeries(ctx, m, uids)
			if err != nil {
				return err
			}
			list = append(list, d)
		}
		if err := r.b.Store.Stage(ctx, r.cal.ID, r.cal.Seq, list); err != nil {
			return err
		}
		done += len(list)
		r.b.progress(Progress{Account: r.account, Calendar: r.cal.DisplayName, Phase: "convert", Pages: r.report.Pages,
			Events: r.report.Items, Done: done, Total: max(total, done)})
	}
}

// deriveRefused serves series that Graph lists but whose masters it will not show, and that clients have not seen
// yet, as the listing has them. They stay marked, so that the next round tries to read them.
func (r *round) deriveRefused(ctx context.Context) error {
	var list []Derived
	for _, id := range r.refused {
		if _, err := r.b.Store.SeriesObject(ctx, r.cal.ID, id); !errors.Is(err, ErrNotFound) {
			if err != nil {
				return err
			}
			continue
		}
		d, err := r.deriveSeries(ctx, Mark{Series: id, Listed: true}, map[string]graph.EventID{})
		if err != nil {
			return err
		}
		d.Unsettled = true
		list = append(list, d)
	}
	r.refused = nil
	if len(list) == 0 {
		return nil
	}
	return r.b.Store.Stage(ctx, r.cal.ID, r.cal.Seq, list)
}

// deriveSeries makes the object of one series. uids are those taken by series of the same batch, not staged yet.
func (r *round) deriveSeries(ctx context.Context, m Mark, uids map[string]graph.EventID) (Derived, error) {
	d := Derived{Series: m.Series}
	have, err := r.b.Store.SeriesObject(ctx, r.cal.ID, m.Series)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return d, err
	}
	exists := err == nil
	rows, err := r.b.Store.SeriesRows(ctx, r.cal.ID, m.Series)
	if err != nil {
		return d, err
	}
	s, ok, err := r.series(rows, m.Listed)
	if err != nil {
		return d, err
	}
	var o *Object
	if ok {
		o, d.Losses, err = r.object(ctx, s, have, exists, uids)
		if err != nil {
			// Kept as it was: a series that cannot be converted must not vanish from anybody's calendar.
			r.log.Error("a series cannot be converted; its last good object is served", "series", m.Series, "err", err)
			d.Losses = append(d.Losses, convert.Loss{Event: m.Series, Field: "event", Reason: "It could not be converted: " + sentence(err)})
			return d, nil
		}
	}
	switch {
	case o == nil && exists:
		have.Deleted, have.Data = true, nil
		d.Object = &have
	case o != nil && !(exists && sameButStamps(have.Data, o.Data)):
		d.Object = o
	}
	if o != nil {
		uids[o.UID] = m.Series
	}
	return d, nil
}

// series reads a series from its rows. ok is false where nothing is left of it.
func (r *round) series(rows []Row, listed bool) (s convert.Series, ok bool, err error) {
	s = r.newSeries()
	spans := []convert.Span{}
	for _, row := range rows {
		switch row.Kind {
		case KindSingle, KindMaster, KindOrphan:
			if s.Event, err = decode(row); err != nil {
				return s, false, err
			}
			ok = true
		case KindException, KindOccurrence:
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
func untold(master graph.Event, rows []Row) (list []graph.Event, err error) {
	if master.ExceptionOccurrences != nil {
		return nil, nil
	}
	for _, row := range rows {
		if row.Kind == KindException {
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

func decode(row Row) (graph.Event, error) {
	var e graph.Event
	if err := json.Unmarshal(row.Raw, &e); err != nil {
		return e, fmt.Errorf("mirror row %s: %w", row.ID, err)
	}
	if e.ID == "" {
		e.ID = row.ID
	}
	return e, nil
}

// object renders a series; nil where clients are to see none.
func (r *round) object(ctx context.Context, s convert.Series, have Object, exists bool, uids map[string]graph.EventID) (*Object, []convert.Loss, error) {
	if exists {
		s.Sequence, s.Modified = have.Sequence+1, have.Stamp.Add(time.Second)
	}
	cal, losses, err := toICS(s)
	switch {
	case errors.Is(err, convert.ErrNoInstances):
		return nil, losses, nil
	case errors.Is(err, convert.ErrNoTime):
		return nil, append(losses, convert.Loss{Event: s.Event.ID, Field: "start",
			Reason: fmt.Sprintf("%q has no place in time: %s.", s.Event.Subject, err)}), nil
	case err != nil:
		return nil, losses, err
	}
	first, last := convert.Bounds(cal)
	if r.isPast(last) && !(exists && r.isPast(have.Last)) {
		return nil, nil, nil
	}
	uid := convert.UID(s.Event)
	if p := firstEvent(cal).Props.Get(ical.PropUID); p != nil {
		uid = p.Value
	}
	series := s.Event.ID
	taken := uids[uid] != "" && uids[uid] != series
	if !taken {
		if taken, err = r.b.Store.UIDTaken(ctx, r.cal.ID, series, uid); err != nil {
			return nil, losses, err
		}
	}
	if taken {
		// RFC 4791 §4.1: one UID, one resource. A copy of an event within a calendar has the same iCalUId.
		uid += "-" + shortHash(string(series), 8)
		for _, c := range cal.Children {
			if c.Name == ical.CompEvent {
				c.Props.SetText(ical.PropUID, uid)
			}
		}
	}
	var b bytes.Buffer
	if err := convert.Encode(&b, cal); err != nil {
		return nil, losses, err
	}
	o := &Object{
		Calendar: r.cal.ID, Series: series, Name: shortHash(string(r.cal.GraphID)+"\x00"+string(series), 32) + ".ics", UID: uid,
		ETag: shortHash(b.String(), 32), Sequence: s.Sequence, Stamp: stampOf(cal), First: first, Last: last,
		Data: b.Bytes(), Size: b.Len(),
	}
	return o, losses, nil
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
		var x, y []byte
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
func nextLine(b []byte) (line, rest []byte) {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n') + 1
		if i == 0 {
			i = len(b)
		}
		line, b = b[:i], b[i:]
		if !isStamp(line) {
			return line, b
		}
	}
	return nil, nil
}

func isStamp(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte(":"))
	switch string(name) {
	case ical.PropDateTimeStamp, ical.PropLastModified, ical.PropSequence:
		return true
	}
	return false
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
