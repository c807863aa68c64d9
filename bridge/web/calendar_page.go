package web

import (
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

// maxLosses is how many losses a page lists.
const maxLosses = 500

// calendarPage shows a month or week of one calendar of an account, or of all of them, as clients see it.
func calendarPage(v *visit, a Account) error {
	status, err := v.h.accountStatus(v.r.Context(), a)
	if err != nil {
		return err
	}
	name := v.r.PathValue("calendar")
	data := map[string]any{"Account": status, "One": (*calendarStatus)(nil), "All": status.Calendars}
	title := "Calendars of " + a.Name
	shown := status.Calendars
	if name != "" {
		i := slices.IndexFunc(shown, func(c calendarStatus) bool { return c.Name == name })
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
	zone := time.Local // the viewer looks for a better one
	if loc, ok := v.h.zone(status.Zone); ok {
		zone = loc
	}
	r := viewer{v.h.Store, v.h.zone}
	if data["View"], err = r.view(v.r.Context(), cals, v.r.URL.Query(), zone, v.h.now()); err != nil {
		return err
	}
	return v.render("calendar", page{Title: title, Account: &a, Tab: "calendar", Script: true, Data: data})
}

// lossRow is an event with how it differs from Outlook.
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

// fieldName is the name of a Graph property for people.
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
