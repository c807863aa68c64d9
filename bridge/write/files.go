package write

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/bridge"
	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/caldav/ics"
)

// Refusals of what is said about files (RFC 8607 §3.11).
const (
	RefusedOccurrence convert.RefusalKind = "occurrence"   // the series has none of that RECURRENCE-ID
	RefusedFile       convert.RefusalKind = "managed-file" // the event has none of that MANAGED-ID
	RefusedFiles      convert.RefusalKind = "files"        // it has too many
)

// NewFile is a file that a client adds.
type NewFile struct {
	Name   string
	Type   string // media type
	Octets []byte
}

// Attach adds a file to an object: to the occurrences that rids name, "M" being the master, or to all of it. It returns what clients
// ask for it by.
func (w *Writer) Attach(ctx context.Context, r Request, rids []string, f NewFile) (Result, string, error) {
	return w.editFiles(ctx, r, func(e *filesEdit) error {
		parts, err := e.parts(rids)
		if err != nil {
			return err
		}
		for _, c := range parts {
			if len(c.Props[ical.PropAttach]) >= MaxFiles {
				return refuse(RefusedFiles, "An event may have %d files; remove one first.", MaxFiles)
			}
			e.put(c, f)
		}
		return nil
	})
}

// Reattach replaces a file, wherever the object has it.
func (w *Writer) Reattach(ctx context.Context, r Request, key string, f NewFile) (Result, string, error) {
	return w.editFiles(ctx, r, func(e *filesEdit) error {
		parts, err := e.parts(nil)
		if err != nil {
			return err
		}
		had := e.take(parts, key, true)
		if len(had) == 0 {
			return noFile
		}
		for _, c := range had {
			e.put(c, f)
		}
		return nil
	})
}

// Detach removes a file from the occurrences that rids name, or from all.
func (w *Writer) Detach(ctx context.Context, r Request, rids []string, key string) (Result, error) {
	result, _, err := w.editFiles(ctx, r, func(e *filesEdit) error {
		parts, err := e.parts(rids)
		if err != nil {
			return err
		}
		if len(e.take(parts, key, rids == nil)) == 0 {
			return noFile
		}
		return nil
	})
	return result, err
}

var noFile = refuse(RefusedFile, "The event has no file of that name for programs; reload the calendar.")

// filesEdit is an object while its files are changed.
type filesEdit struct {
	cal    *ical.Calendar
	reader *ics.Reader
	files  map[string][]byte
	digest string
}

// editFiles makes a change of the files of an object an edit like any other.
func (w *Writer) editFiles(ctx context.Context, r Request, change func(*filesEdit) error) (Result, string, error) {
	a, err := w.Store.Account(ctx, r.Account)
	if err != nil {
		return Result{}, "", err
	}
	t, err := w.find(ctx, a.ID, r.Calendar, r.Name, "")
	if err != nil {
		return Result{}, "", err
	}
	if !t.exists {
		return Result{}, "", ErrNotFound
	}
	// The names that clients have for the files are those of the object as it is, whatever they hold against it.
	e := &filesEdit{reader: &ics.Reader{Resolve: convert.Zone}}
	if loc, ok := convert.Zone(a.Settings.Zone); ok {
		e.reader.Floating = loc
	}
	if e.cal, err = ics.Decode(t.object.Data); err != nil {
		return Result{}, "", err
	}
	changeErr := change(e)
	if refused, ok := asRefused(changeErr); ok {
		one := &edit{w: w, r: r, account: a, operation: bridge.IntentPut}
		one.r.New = e.cal
		return Result{}, "", one.refused(ctx, refused)
	}
	if changeErr != nil {
		return Result{}, "", changeErr
	}
	var b bytes.Buffer
	if err := ics.Encode(&b, e.cal); err != nil {
		return Result{}, "", err
	}
	r.New, r.Octets, r.base, r.files = e.cal, b.Bytes(), t.object.Data, e.files
	result, err := w.edit(ctx, r, bridge.IntentPut)
	if err != nil || e.digest == "" {
		return result, "", err
	}
	key, err := w.keyOf(ctx, t.cal.ID, t.object.Series, e.digest)
	return result, key, err
}

// keyOf is what clients ask for a file of a series by, "" where there is none of that digest.
func (w *Writer) keyOf(ctx context.Context, c bridge.CalendarID, series graph.EventID, digest string) (string, error) {
	list, err := w.Store.Attached(ctx, c, series)
	key := ""
	for _, a := range list {
		for _, f := range a.Files {
			if f.Digest == digest && (key == "" || a.Event == series) {
				key = f.Token
			}
		}
	}
	return key, err
}

// put adds a file to a component.
func (e *filesEdit) put(c *ical.Component, f NewFile) {
	if e.digest == "" {
		sum := sha256.Sum256(f.Octets)
		e.digest = hex.EncodeToString(sum[:])
		e.files = map[string][]byte{e.digest: f.Octets}
	}
	convert.PutFile(c, f.Name, f.Type, e.digest, len(f.Octets))
}

// take removes the link to a file from components, and returns those that had it. copies: also from those that have a copy of it,
// as exceptions have of what their series has.
func (e *filesEdit) take(parts []*ical.Component, key string, copies bool) (had []*ical.Component) {
	var like *ical.Prop
	is := func(p ical.Prop) bool { return p.Params.Get("MANAGED-ID") == key }
	for _, c := range parts {
		if i := slices.IndexFunc(c.Props[ical.PropAttach], is); i >= 0 {
			p := c.Props[ical.PropAttach][i]
			like = &p
		}
	}
	if like == nil {
		return nil
	}
	same := func(p ical.Prop) bool {
		return is(p) || copies && p.Params.Get("MANAGED-ID") != "" && p.Params.Get("FILENAME") == like.Params.Get("FILENAME") && p.Params.Get("SIZE") == like.Params.Get("SIZE")
	}
	for _, c := range parts {
		list := slices.DeleteFunc(slices.Clone(c.Props[ical.PropAttach]), same)
		if len(list) < len(c.Props[ical.PropAttach]) {
			had = append(had, c)
			c.Props[ical.PropAttach] = list
		}
	}
	return had
}

// parts are the components that rids name; an occurrence that has none yet gets one. nil: all.
func (e *filesEdit) parts(rids []string) (list []*ical.Component, err error) {
	all := events(e.cal)
	if rids == nil {
		return all, nil
	}
	master := slices.IndexFunc(all, func(c *ical.Component) bool { return c.Props.Get(ical.PropRecurrenceID) == nil })
	for _, rid := range rids {
		if rid == "M" {
			if master < 0 {
				return nil, refuse(RefusedOccurrence, "The event has no series that a file could be of.")
			}
			list = append(list, all[master])
			continue
		}
		c, err := e.occurrence(all, master, rid)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(list, c) {
			list = append(list, c)
		}
	}
	return list, nil
}

// occurrence is the component of a RECURRENCE-ID.
func (e *filesEdit) occurrence(all []*ical.Component, master int, rid string) (*ical.Component, error) {
	none := refuse(RefusedOccurrence, "The series has no occurrence %s.", strings.ToValidUTF8(rid, ""))
	m, err := ics.ParseMoment(rid, nil)
	if err != nil {
		return nil, none
	}
	at := e.reader.Instant(m)
	var found *ics.Instance
	span := ics.Span{Start: at.AddDate(-1, 0, 0), End: at.AddDate(1, 0, 0)} // an occurrence may have been moved
	err = e.reader.Instances(e.cal, span, func(i ics.Instance) bool {
		same := i.ID.Date == m.Date && (m.Date && i.ID.Wall.Equal(m.Wall) || !m.Date && (e.reader.Instant(i.ID).Equal(at) || m.Loc == nil && i.ID.Wall.Equal(m.Wall)))
		if i.Series && same {
			found = &i
		}
		return found == nil
	})
	if err != nil && !errors.Is(err, ics.ErrTooMany) {
		return nil, err
	}
	switch {
	case found == nil || master < 0 && !found.Override:
		return nil, none
	case found.Override:
		return found.Event, nil
	}
	c := &ical.Component{Name: ical.CompEvent, Props: ical.Props{}, Children: all[master].Children}
	for name, props := range all[master].Props {
		switch name {
		case ical.PropRecurrenceRule, ical.PropRecurrenceDates, ical.PropExceptionDates, "EXRULE", ical.PropDuration:
		default:
			c.Props[name] = slices.Clone(props)
		}
	}
	start := all[master].Props.Get(ical.PropDateTimeStart)
	put := func(name string, wall time.Time) {
		p := ical.Prop{Name: name, Params: start.Params, Value: wall.Format(ics.WallForm)}
		switch {
		case found.Clock.Date:
			p.Value = wall.Format(ics.DateForm)
		case found.Clock.Loc == time.UTC && strings.HasSuffix(start.Value, "Z"):
			p.Value = wall.Format(ics.UTCForm)
		}
		c.Props[name] = []ical.Prop{p}
	}
	put(ical.PropRecurrenceID, found.Clock.Wall)
	put(ical.PropDateTimeStart, found.Clock.Wall)
	if found.End.After(found.Start) {
		loc := found.Clock.Loc
		if loc == nil {
			loc = e.reader.Floating
		}
		if loc == nil {
			loc = time.UTC
		}
		end := ics.Wall(found.End, loc)
		if found.Clock.Date {
			end = found.Clock.Wall.AddDate(0, 0, max(found.Length.Days, 1))
		}
		put(ical.PropDateTimeEnd, end)
	}
	e.cal.Children = append(e.cal.Children, c)
	return c, nil
}

// OpenedFile is a file that is read. Whoever gets it closes Body.
type OpenedFile struct {
	Name string
	Type string // media type; "" is not known
	Size int64  // octets; -1 is not known
	Body io.ReadCloser
}

// OpenFile is a file that a client asks for, or bridge.ErrNotFound.
func (w *Writer) OpenFile(ctx context.Context, account, key string) (OpenedFile, error) {
	f, err := w.Store.File(ctx, account, key)
	if err != nil {
		return OpenedFile{}, err
	}
	m, err := w.Mailbox(ctx, account)
	if err != nil {
		return OpenedFile{}, err
	}
	c, err := w.Store.Calendar(ctx, f.Calendar)
	if err != nil {
		return OpenedFile{}, err
	}
	g, ok := m.graphOf(c)
	if !ok || !m.Policy.Attachments {
		return OpenedFile{}, bridge.ErrNotFound
	}
	content, err := g.OpenAttachment(ctx, c.GraphID, f.Event, f.ID)
	if graph.IsNotFound(err) {
		err = errors.Join(bridge.ErrNotFound, err)
	}
	if err != nil && passes(err) {
		err = errors.Join(err, &Busy{After: retryAfter, Sentence: "Outlook cannot be reached at the moment; try again."})
	}
	if err != nil {
		return OpenedFile{}, err
	}
	return OpenedFile{f.Name, cmp.Or(f.Type, content.ContentType), content.Size, content}, nil
}
