package web

import (
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/convert"
)

// maxLosses bounds the list of losses on a page.
const maxLosses = 500

// calendarPage shows the month or week of one calendar, or of all of an account, as clients see it.
func calendarPage(v *visit, a Account) error {
	view, err := v.h.accountView(v.r.Context(), a)
	if err != nil {
		return err
	}
	name := v.r.PathValue("calendar")
	data := map[string]any{"Account": view, "One": (*calendarView)(nil), "All": view.Calendars}
	title := "Calendars of " + a.Name
	shown := view.Calendars
	if name != "" {
		i := slices.IndexFunc(shown, func(c calendarView) bool { return c.Name == name })
		if i < 0 {
			return bridge.ErrNotFound
		}
		shown = shown[i : i+1]
		title = shown[0].DisplayName
		data["One"] = &shown[0]
		if data["Losses"], err = v.losses(shown[0].Calendar); err != nil {
			return err
		}
	}
	cals := make([]bridge.Calendar, len(shown))
	for i, c := range shown {
		cals[i] = c.Calendar
	}
	zone := time.Local // the view finds a better one
	if loc, _, ok := convert.LoadZone(view.Zone); ok {
		zone = loc
	}
	if data["View"], err = viewOf(v.r.Context(), v.h.Store, cals, v.r.URL.Query(), zone, v.h.now()); err != nil {
		return err
	}
	return v.render("calendar", page{Title: title, Account: &a, Tab: "calendar", Script: true, Data: data})
}

// lossRow is an event with what was lost of it.
type lossRow struct {
	Subject string
	Start   time.Time
	Losses  []lossLine
}

type lossLine struct{ What, Reason string }

func (v *visit) losses(c bridge.Calendar) ([]lossRow, error) {
	list, err := v.h.Store.EventLosses(v.r.Context(), c.ID, maxLosses)
	if err != nil {
		return nil, err
	}
	var rows []lossRow
	for _, l := range list {
		last := len(rows) - 1
		if last < 0 || rows[last].Subject != l.Subject || !rows[last].Start.Equal(l.Start) {
			rows = append(rows, lossRow{Subject: l.Subject, Start: l.Start})
			last++
		}
		rows[last].Losses = append(rows[last].Losses, lossLine{fieldName(l.Field), l.Reason})
	}
	return rows, nil
}

// fieldName is the property of a loss as people call it.
func fieldName(field string) string {
	names := map[string]string{
		"subject": "Title", "body": "Description", "categories": "Categories", "hasAttachments": "Attachments", "location": "Place",
		"showAs": "Availability", "sensitivity": "Privacy", "reminderMinutesBeforeStart": "Reminder", "attendees": "People",
		"organizer": "Organizer", "recurrence": "Repetition", "cancelledOccurrences": "Removed occurrences", "occurrenceId": "Changed occurrence",
		"exceptionOccurrences": "Changed occurrences", "start": "Start", "end": "End", "originalStartTimeZone": "Time zone", "seriesMasterId": "Series",
	}
	if n, ok := names[field]; ok {
		return n
	}
	return strings.ToValidUTF8(field, "�")
}
