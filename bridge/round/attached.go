package round

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
)

// attachPage is how many series are looked through between two questions to Graph.
const attachPage = 100

// attachments asks Graph what is attached to events, where clients get that. No list of events has it, so it is asked for by
// itself: of each event that something is attached to, whenever its ETag is another.
type attachments struct {
	*mirror
	deriver *Deriver
}

// complete asks for what is open, and for what is marked to be derived.
func (a attachments) complete(ctx context.Context) error {
	if !a.deriver.serves() {
		return nil
	}
	open := func(after graph.EventID) ([]graph.EventID, error) {
		return a.deriver.store.ToAttach(ctx, a.cal.ID, after, attachPage)
	}
	marked := func(after graph.EventID) ([]graph.EventID, error) {
		marks, err := a.deriver.store.Marked(ctx, a.cal.ID, bridge.StageDerive, after, attachPage)
		return seriesOf(marks), err
	}
	for _, list := range []func(graph.EventID) ([]graph.EventID, error){open, marked} {
		for after := graph.EventID(""); ; {
			ids, err := list(after)
			if err != nil {
				return err
			}
			if err := a.of(ctx, ids, nil); err != nil {
				return err
			}
			if len(ids) < attachPage {
				break
			}
			after = ids[len(ids)-1]
		}
	}
	return nil
}

// of asks for some series, where that is due; of those in always whatever their events say, since something was just attached there.
func (a attachments) of(ctx context.Context, series []graph.EventID, always map[graph.EventID]bool) error {
	if !a.deriver.serves() || len(series) == 0 {
		return nil
	}
	asked := map[graph.EventID]graph.AttachmentList{} // a step that is done once more asks nothing twice
	return a.again(ctx, func(ctx context.Context) error { return a.step(ctx, series, always, asked) })
}

func (a attachments) step(ctx context.Context, series []graph.EventID, always map[graph.EventID]bool, asked map[graph.EventID]graph.AttachmentList) error {
	known, err := a.deriver.attached(ctx, series)
	if err != nil {
		return err
	}
	rows, err := a.deriver.store.RowsOf(ctx, a.cal.ID, series)
	if err != nil {
		return err
	}
	want := make([]map[graph.EventID]string, len(series))
	var ask []graph.EventID
	for i, id := range series {
		s, ok, err := a.deriver.series(rows[id], bridge.Mark{Series: id, Unread: true})
		if err != nil || !ok {
			continue // as it is derived it is told
		}
		want[i] = attachedTo(s)
		if always[id] {
			for _, e := range events(s) {
				want[i][e.ID] = attachState(e)
			}
		}
		for event, state := range want[i] {
			if _, done := asked[event]; !done && (always[id] || known[id][event].State != state) {
				ask = append(ask, event)
			}
		}
	}
	if len(ask) > 0 {
		slices.Sort(ask)
		for _, l := range a.graph.AttachmentsOf(ctx, a.cal.GraphID, ask) {
			asked[l.ID] = l
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	for i, id := range series {
		if want[i] == nil && len(known[id]) == 0 {
			continue
		}
		var list []bridge.Attached
		changed := len(known[id]) != len(want[i])
		for _, event := range slices.Sorted(maps.Keys(want[i])) {
			one, is := known[id][event]
			if l, ok := asked[event]; ok {
				one = a.listed(id, event, want[i][event], l, one)
			}
			before := known[id][event]
			changed = changed || !is || before.State != one.State || before.Others != one.Others || !slices.EqualFunc(before.Files, one.Files, sameFile)
			list = append(list, one)
		}
		if !changed {
			continue
		}
		if a.cal.Seq, err = a.deriver.store.SetAttached(ctx, a.cal.ID, a.cal.Seq, id, list); err != nil {
			return err
		}
	}
	return nil
}

func sameFile(a, b bridge.File) bool {
	return a.ID == b.ID && a.Name == b.Name && a.Type == b.Type && a.Size == b.Size
}

// listed is what Graph has answered about an event. Where it has not, what was known stays, and it is asked again.
func (a attachments) listed(series, event graph.EventID, state string, l graph.AttachmentList, was bridge.Attached) bridge.Attached {
	one := bridge.Attached{Event: event, Series: series, State: state}
	switch {
	case isGone(l.Err):
	case isHidden(l.Err):
		one.Others = 1
	case l.Err != nil:
		a.log.Info("what is attached to an event cannot be read now", "event", event, "err", l.Err)
		one.State, one.Files, one.Others = "", was.Files, was.Others
	}
	if l.Err != nil {
		return one
	}
	for _, f := range l.Attachments {
		switch {
		case f.IsInline: // a picture of the text
		case f.Kind == graph.FileAttachment || f.Kind == "":
			one.Files = append(one.Files, bridge.File{ID: f.ID, Name: f.Name, Type: f.ContentType, Size: f.Size})
		default:
			one.Others++
		}
	}
	return one
}

// attachState tells one state of an event from another: a change of what is attached gives it another ETag.
func attachState(e graph.Event) string { return cmp.Or(e.ETag, e.ChangeKey, e.LastModified, "-") }

// events are the event of a series, which is its master, and its exceptions.
func events(s convert.Series) []graph.Event {
	all := []graph.Event{s.Event}
	for _, e := range slices.Concat(s.Event.ExceptionOccurrences, s.Exceptions) {
		if e.ID != "" && e.Removed == nil && !slices.ContainsFunc(all, func(have graph.Event) bool { return have.ID == e.ID }) {
			all = append(all, e)
		}
	}
	return all
}

// attachedTo are the events of a series that something is attached to, with their states. An exception that does not say is as its
// master.
func attachedTo(s convert.Series) map[graph.EventID]string {
	m := map[graph.EventID]string{}
	for i, e := range events(s) {
		if e.HasAttachments || i > 0 && s.Event.HasAttachments && !bytes.Contains(e.Raw, []byte(`"hasAttachments"`)) {
			m[e.ID] = attachState(e)
		}
	}
	return m
}

// serves reports whether clients get what is attached to the events of the calendar.
func (d *Deriver) serves() bool { return d.link != nil && d.policy.Attachments }

// attached is what is known to be attached to some series, by series and event.
func (d *Deriver) attached(ctx context.Context, series []graph.EventID) (map[graph.EventID]map[graph.EventID]bridge.Attached, error) {
	if !d.serves() {
		return nil, nil
	}
	list, err := d.store.Attached(ctx, d.cal.ID, series...)
	if err != nil {
		return nil, err
	}
	m := map[graph.EventID]map[graph.EventID]bridge.Attached{}
	for _, a := range list {
		if m[a.Series] == nil {
			m[a.Series] = map[graph.EventID]bridge.Attached{}
		}
		m[a.Series][a.Event] = a
	}
	return m, nil
}

// attach gives a series what is attached to it, and reports whether Graph is to be asked about it first.
func (d *Deriver) attach(s *convert.Series, known map[graph.EventID]bridge.Attached) (due bool) {
	if !d.serves() {
		return false
	}
	s.Attachments = map[graph.EventID]convert.Attached{}
	for event, a := range known {
		one := convert.Attached{Others: a.Others}
		for _, f := range a.Files {
			one.Files = append(one.Files, convert.Attachment{ID: string(f.ID), Key: f.Token, Name: f.Name, Type: f.Type, Size: f.Size, URL: d.link(f.Token, f.Name), Digest: f.Digest})
		}
		s.Attachments[event] = one
	}
	for event, state := range attachedTo(*s) {
		if known[event].State != state {
			due = true
		}
	}
	return due
}
