package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"outbridge/bridge"
)

// historyPage shows what has changed in a calendar, as clients were shown it.
func historyPage(v *visit, a Account) error {
	status, err := v.h.standing(v.r.Context(), a, nil)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(status.Calendars, func(c calendarStatus) bool { return c.Name == v.r.PathValue("calendar") })
	if i < 0 {
		return bridge.ErrNotFound
	}
	c := status.Calendars[i]
	list, err := v.h.Store.History(v.r.Context(), c.ID, bridge.HistoryFew)
	if err != nil {
		return err
	}
	type event struct {
		bridge.HistoryEvent
		Link string // without the base; "": it is not there any more, or has no page
	}
	type change struct {
		bridge.History
		Events []event
		More   int
		Failed bool
	}
	if err := v.look(a); err != nil {
		return err
	}
	var rows []change
	for _, h := range list {
		if !a.Readable {
			h.Events = nil
		}
		row := change{History: h, Failed: h.Fault != bridge.Fault{}, More: h.Added + h.Changed + h.Removed - len(h.Events)}
		for _, e := range h.Events {
			one := event{HistoryEvent: e}
			if !e.Gone {
				one.Link = v.h.eventLink(a.Name, c.Name, e.Object)
			}
			row.Events = append(row.Events, one)
		}
		rows = append(rows, row)
	}
	return v.render("history", page{Title: With("History of {calendar}", c.DisplayName), Account: &a, Tab: "history", Data: map[string]any{"Calendar": c, "Rows": rows, "Readable": a.Readable}})
}

// eventLink is the path of an event's page, without the base; "" where events have none.
func (h *Handler) eventLink(user, calendar, object string) string {
	path := "/calendars/" + url.PathEscape(user) + "/" + url.PathEscape(calendar) + "/" + url.PathEscape(object)
	r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/calendars/" + user + "/" + calendar + "/" + object, RawPath: path}}
	if _, pattern := h.mux.Handler(r); pattern == "" {
		return ""
	}
	return path
}

// summary is what has changed at one time, in words.
func (l *Language) summary(h bridge.History) string {
	var parts []string
	if h.Added > 0 {
		parts = append(parts, l.N(h.Added, "{n} new [events]", "{n} new [events]"))
	}
	if h.Changed > 0 {
		parts = append(parts, l.N(h.Changed, "{n} changed [events]", "{n} changed [events]"))
	}
	if h.Removed > 0 {
		parts = append(parts, l.N(h.Removed, "{n} deleted [events]", "{n} deleted [events]"))
	}
	return strings.Join(parts, ", ")
}

// changeWords are what has become of an event.
var changeWords = map[string]Text{"added": "new [an event]", "changed": "changed [an event]", "removed": "deleted [an event]"}
