package web

import (
	"fmt"
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// compared is what came of holding a calendar against Outlook's own view.
type compared struct {
	calendarStatus
	Result  string // in a sentence; "": it was not compared yet
	Level   string
	Waiting bool // for a comparison that somebody has asked for
	Differ  []differenceView
}

// differenceView is an occurrence as Outlook's view showed it, and as it was here.
type differenceView struct{ Subject, Outlook, Here string }

// comparePage shows, for each calendar of an account, when it was compared with Outlook's own view and what differed.
func comparePage(v *visit, a Account) error {
	status, err := v.h.standing(v.r.Context(), a, nil)
	if err != nil {
		return err
	}
	zone := time.Local
	if loc, ok := v.h.zone(status.Zone); ok {
		zone = loc
	}
	if err := v.look(a); err != nil {
		return err
	}
	var list []compared
	waiting := false
	for _, c := range status.Calendars {
		one := v.h.compared(c, zone)
		differ, err := v.h.Store.Differences(v.r.Context(), c.ID)
		if err != nil {
			return err
		}
		if !a.Readable {
			differ = nil
		}
		for _, d := range differ {
			one.Differ = append(one.Differ, differenceOf(d, zone))
		}
		waiting = waiting || one.Waiting
		list = append(list, one)
	}
	// An account that nobody is signed in to compares nothing, however long the page waits.
	if status.Level == "bad" || status.Button != "" {
		waiting = false
	}
	return v.render("compare", page{Title: "Compare with Outlook", Account: &a, Tab: "calendar", Script: waiting,
		Data: map[string]any{"Account": status, "Calendars": list, "Waiting": waiting}})
}

func (h *Handler) compared(c calendarStatus, zone *time.Location) compared {
	one := compared{calendarStatus: c, Level: "wait"}
	audit := c.Audit
	one.Waiting = !audit.Due.IsZero() && !h.now().Before(audit.Due)
	if audit.At.IsZero() {
		return one
	}
	one.Level = "good"
	when := "Compared " + dayText(audit.At.In(zone), h.now().In(zone))
	switch {
	case c.Way == bridge.WayView && audit.Found == 0:
		one.Result = when + ": everything was read again, and nothing had changed."
	case c.Way == bridge.WayView:
		one.Result = fmt.Sprintf("%s: everything was read again, and %s had changed.", when, count(audit.Found, "event", "events"))
	case audit.Found == 0 && audit.Compared == 0:
		one.Result = when + ": nothing differed."
	case audit.Found == 0:
		one.Result = fmt.Sprintf("%s: %s, all equal.", when, occurrencesText(audit.Compared))
	default:
		one.Result = fmt.Sprintf("%s: %s, of which %d differed.", when, occurrencesText(audit.Compared), audit.Found)
		if audit.Compared == 0 {
			one.Result = fmt.Sprintf("%s: %s.", when, count(audit.Found, "difference", "differences"))
		}
		switch {
		case audit.Again == 0:
			one.Result += " They were read again, and are as Outlook shows them now."
		default:
			one.Level = "wait"
			one.Result += fmt.Sprintf(" They were read again; of %s Outlook said something else than its own view, and the view was taken.", count(audit.Again, "occurrence", "occurrences"))
		}
	}
	return one
}

func differenceOf(d bridge.Difference, zone *time.Location) differenceView {
	text := func(s ics.Span) string {
		if s.Start.IsZero() {
			return "nothing"
		}
		start, end := s.Start.In(zone), s.End.In(zone)
		if civilDay(start).Equal(civilDay(end)) {
			return start.Format("Mon 2 Jan 2006, 15:04") + "–" + end.Format("15:04")
		}
		return start.Format("Mon 2 Jan 2006, 15:04") + " – " + end.Format("Mon 2 Jan 2006, 15:04")
	}
	return differenceView{strings.TrimSpace(d.Subject), text(ics.Span(d.Outlook)), text(ics.Span(d.Here))}
}

// dayText is a time as "03:12 today", "03:12 yesterday" or "2 November 2026, 03:12".
func dayText(t, now time.Time) string {
	switch civilDay(now).Sub(civilDay(t)) {
	case 0:
		return t.Format("15:04") + " today"
	case day:
		return t.Format("15:04") + " yesterday"
	}
	return t.Format("2 January 2006, 15:04")
}

// occurrencesText is "1,204 occurrences".
func occurrencesText(n int) string {
	if n == 1 {
		return "1 occurrence"
	}
	return thousands(n) + " occurrences"
}

func compareNow(v *visit, a Account) error {
	if err := v.h.Accounts.Compare(v.r.Context(), a.Name); err != nil {
		return err
	}
	return v.redirect(accountPath(a.Name) + "/compare")
}

// compareState tells the script of the page whether a comparison is still to be waited for.
func compareState(v *visit, a Account) error {
	status, err := v.h.standing(v.r.Context(), a, nil)
	if err != nil {
		return err
	}
	for _, c := range status.Calendars {
		if v.h.compared(c, time.UTC).Waiting && status.Level != "bad" && status.Button == "" {
			plainText(v.w, 200, "comparing")
			return nil
		}
	}
	plainText(v.w, 200, "done")
	return nil
}
