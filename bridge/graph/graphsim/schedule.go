package graphsim

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// Limits of getSchedule.
const (
	scheduleMost  = 100
	scheduleSpan  = 62 * 24 * time.Hour
	scheduleItems = 1000
)

// getSchedule answers when people are busy, by the default calendars of the mailboxes of this server.
func (c *call) getSchedule() response {
	var in struct {
		Schedules                []string
		StartTime, EndTime       graph.DateTimeTimeZone
		AvailabilityViewInterval *json.RawMessage
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return c.fail(400, "BadRequest", "Unable to read JSON request payload.")
	}
	interval := 30
	if raw := in.AvailabilityViewInterval; raw != nil || strings.Contains(strings.ToLower(string(c.body)), `"availabilityviewinterval"`) {
		if raw == nil {
			return c.fail(500, "", "")
		}
		if err := json.Unmarshal(*raw, &interval); err != nil || interval < 5 || interval > 1440 {
			return c.fail(400, "ErrorInvalidParameter", "The interval has to be between 5 and 1440 minutes.")
		}
	}
	var w window
	for i, t := range []graph.DateTimeTimeZone{in.StartTime, in.EndTime} {
		loc, ok := zone(t.TimeZone)
		at, err := time.Parse("2006-01-02T15:04:05.999999999", t.DateTime)
		if !ok || err != nil {
			return c.fail(400, "TimeZoneNotSupportedException", "A valid TimeZone value must be specified.")
		}
		*[]*time.Time{&w.from, &w.to}[i] = instant(at, loc)
	}
	switch {
	case c.server.Writing.NoSchedules:
		return c.fail(403, "", "")
	case len(in.Schedules) > scheduleMost:
		return c.fail(400, "ErrorMailboxDataArrayTooBig", fmt.Sprintf("There are too many target users in the EmailAddress array. The allowed size = %d; the actual size = %d.", scheduleMost, len(in.Schedules)))
	case !w.from.Before(w.to) || w.to.Sub(w.from) > scheduleSpan:
		return c.fail(400, "ErrorInvalidTimeInterval", "The requested time duration specified for FreeBusyViewOptions.TimeWindow is not within the allowed limits.")
	}
	all := []map[string]any{}
	for _, address := range in.Schedules {
		all = append(all, c.schedule(address, w, time.Duration(interval)*time.Minute))
	}
	return response{status: 200, body: map[string]any{"@odata.context": c.server.origin(c.r) + "/v1.0/$metadata#Collection(microsoft.graph.scheduleInformation)", "value": all}}
}

func (c *call) schedule(address string, w window, interval time.Duration) map[string]any {
	wrong := func(code, message string) map[string]any {
		return map[string]any{"scheduleId": address, "availabilityView": "", "error": map[string]any{"message": message, "responseCode": code}}
	}
	m := c.server.mailbox(address)
	if m == nil {
		return wrong("5009", "Unable to resolve e-mail address "+address+" to an Active Directory object.")
	}
	var views []view
	for _, x := range m.cals[0].items {
		if x.series == nil {
			views = append(views, x.self())
		} else {
			views = append(views, x.occurrences(w)...)
		}
	}
	views = slices.DeleteFunc(views, func(v view) bool { return !v.start.Before(w.to) || !v.end.After(w.from) })
	slices.SortFunc(views, func(a, b view) int { return cmp.Or(a.start.Compare(b.start), a.n-b.n) })
	if len(views) > scheduleItems {
		return wrong("5006", "The result set contains too many calendar entries. The allowed size = 1000.")
	}
	slots := []byte(strings.Repeat("0", int((w.to.Sub(w.from)+interval-1)/interval)))
	items := []map[string]any{}
	open := m == c.token.mailbox || m.cals[0].shared[c.token.mailbox]
	for _, v := range views {
		showAs := v.ev.showAs()
		item := map[string]any{"status": showAs, "start": c.timeJSON(v.start, v.ev.Start, false), "end": c.timeJSON(v.end, v.ev.End, false)}
		if private := v.ev.Sensitivity == "private"; open {
			item["isPrivate"] = private
			if item["subject"], item["location"] = v.ev.Subject, v.ev.Location; private && m != c.token.mailbox {
				item["subject"], item["location"] = "", ""
			}
		}
		items = append(items, item)
		level := map[string]byte{"free": '0', "workingElsewhere": '4', "tentative": '1', "busy": '2', "oof": '3'}[showAs]
		for i := range slots {
			if from := w.from.Add(time.Duration(i) * interval); v.start.Before(from.Add(interval)) && v.end.After(from) && level > slots[i] && level != '4' {
				slots[i] = level
			}
		}
	}
	return map[string]any{"scheduleId": address, "availabilityView": string(slots), "scheduleItems": items, "workingHours": map[string]any{
		"daysOfWeek": []string{"monday", "tuesday", "wednesday", "thursday", "friday"}, "startTime": "08:00:00.0000000", "endTime": "17:00:00.0000000",
		"timeZone": map[string]any{"name": m.zone}}}
}
