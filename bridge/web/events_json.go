package web

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/ics"
	"outbridge/caldav/negotiate"
)

const (
	maxSpan = 400 * 24 * time.Hour // asked for at once
	// smallAnswer is how long an answer may be without being compressed.
	smallAnswer = 4 << 10
)

// eventJSON is an occurrence as the script of the calendar page takes it.
type eventJSON struct {
	Title    string   `json:"title"`
	Start    string   `json:"start"` // an instant, or a date
	End      string   `json:"end,omitempty"`
	AllDay   bool     `json:"allDay,omitempty"`
	URL      string   `json:"url"`
	Color    string   `json:"color"`
	Place    string   `json:"place,omitempty"`
	Calendar string   `json:"calendar,omitempty"` // set if several are shown
	Notes    string   `json:"notes,omitempty"`
	Marks    []string `json:"marks,omitempty"` // the notes, for style sheets
}

// eventsJSON answers with the occurrences that overlap [start, end), of the calendars named, or of all. Times are instants, so
// the answer is the same in every time zone, and it stays valid until one of the calendars changes.
func eventsJSON(v *visit, a Account) error {
	q := v.r.URL.Query()
	span, err := spanOf(q)
	if err != nil {
		return err
	}
	row, err := v.h.Store.Account(v.r.Context(), a.Name)
	if err != nil {
		return err
	}
	cals, err := v.h.Store.Calendars(v.r.Context(), row.ID)
	if err != nil {
		return err
	}
	if names := q["calendar"]; len(names) > 0 {
		all := cals
		cals = nil
		for _, name := range names {
			i := slices.IndexFunc(all, func(c bridge.Calendar) bool { return c.Name == name })
			if i < 0 {
				return bridge.ErrNotFound
			}
			cals = append(cals, all[i])
		}
	}
	tag := v.h.eventsTag(v.lang, a.Name, cals, span)
	head := v.w.Header()
	head.Set("ETag", `"`+tag+`"`)
	head.Set("Cache-Control", "private, no-cache")
	head.Set("Vary", "Accept-Encoding, Accept-Language, Cookie")
	if status := (negotiate.State{ETag: tag}).Check(v.r); status != http.StatusOK {
		v.w.WriteHeader(status)
		return nil
	}
	found, err := reader{v.h.Store, v.h.zone}.in(v.r.Context(), cals, ics.Span{Start: span.Start.Add(-day), End: span.End.Add(day)})
	if err != nil {
		return err
	}
	list := make([]eventJSON, 0, len(found.List))
	for _, o := range found.List {
		list = append(list, v.h.eventJSON(v.lang, a.Name, o, len(cals) > 1))
	}
	data, err := json.Marshal(struct {
		Events []eventJSON `json:"events"`
		Note   string      `json:"note,omitempty"`
	}{list, v.lang.Text(found.Note())})
	if err != nil {
		return err
	}
	head.Set("Content-Type", "application/json")
	if len(data) < smallAnswer || negotiate.Coding(v.r.Header, "gzip") != "gzip" {
		_, _ = v.w.Write(data) // an error here means that the client has gone
		return nil
	}
	head.Set("Content-Encoding", "gzip")
	head.Set("ETag", `"`+tag+`-gzip"`)
	z, err := gzip.NewWriterLevel(v.w, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := z.Write(data); err == nil {
		_ = z.Close()
	}
	return nil
}

const day = 24 * time.Hour

// spanOf reads start and end.
func spanOf(q url.Values) (ics.Span, error) {
	read := func(name string) (time.Time, error) {
		s := q.Get(name)
		for _, layout := range []string{time.RFC3339, time.DateOnly} {
			if t, err := time.Parse(layout, s); err == nil && t.Year() >= 1900 && t.Year() <= 2200 {
				return t.UTC(), nil
			}
		}
		return time.Time{}, &Problem{With("{name} is not a time: \"{text}\".", name, cut(s, 60)), "Write it like 2026-11-27 or 2026-11-27T09:00:00Z."}
	}
	start, err := read("start")
	if err != nil {
		return ics.Span{}, err
	}
	end, err := read("end")
	switch {
	case err != nil:
		return ics.Span{}, err
	case !start.Before(end) || end.Sub(start) > maxSpan:
		return ics.Span{}, &Problem{"The end has to be after the start, and at most 400 days after it.", ""}
	}
	return ics.Span{Start: start, End: end}, nil
}

// eventsTag changes with whatever is in the answer: its language, the calendars, how they are named and coloured, and this program.
func (h *Handler) eventsTag(l *Language, user string, cals []bridge.Calendar, span ics.Span) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q %q %d %d\n", l.Tag, h.Version, h.assets["/calendar.js"].tag, h.base(), user, span.Start.Unix(), span.End.Unix())
	for _, c := range cals {
		fmt.Fprintf(sum, "%d %q %d %q %q %q\n", c.ID, c.Epoch, c.Rev, c.Name, c.DisplayName, c.ShownColor())
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}

func (h *Handler) eventJSON(l *Language, user string, o occurrence, several bool) eventJSON {
	e := eventJSON{Title: o.title(l), AllDay: o.AllDay(), URL: h.eventURL(user, o, nil), Color: o.Calendar.ShownColor(), Place: o.place(), Notes: o.notesText(l)}
	for _, n := range o.notes() {
		e.Marks = append(e.Marks, n.code)
	}
	layout := time.RFC3339
	if o.AllDay() {
		layout = time.DateOnly
	}
	e.Start = o.Start.UTC().Format(layout)
	if o.End.After(o.Start) {
		e.End = o.End.UTC().Format(layout)
	}
	if several {
		e.Calendar = o.Calendar.DisplayName
	}
	return e
}

// eventURL is the page of an occurrence. The script adds the zone; nil: none is named.
func (h *Handler) eventURL(user string, o occurrence, zone *time.Location) string {
	to := h.base() + "/calendars/" + url.PathEscape(user) + "/" + url.PathEscape(o.Calendar.Name) + "/" + url.PathEscape(o.Object) + "?at=" + url.QueryEscape(o.at())
	if zone != nil && zone != time.Local {
		to += "&zone=" + url.QueryEscape(zone.String())
	}
	return to
}

// cut is the first n characters of a text from a request.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
