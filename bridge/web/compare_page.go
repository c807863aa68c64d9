package web

import (
	"strings"
	"time"

	"outbridge/bridge"
	"outbridge/caldav/ics"
)

// compared is what came of holding a calendar against Outlook's own view.
type compared struct {
	calendarStatus
	Result  []Text // in sentences; none: it was not compared yet
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
		one := v.h.compared(v.lang, c, zone)
		differ, err := v.h.Store.Differences(v.r.Context(), c.ID)
		if err != nil {
			return err
		}
		if !a.Readable {
			differ = nil
		}
		for _, d := range differ {
			one.Differ = append(one.Differ, differenceOf(v.lang, d, zone))
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

func (h *Handler) compared(l *Language, c calendarStatus, zone *time.Location) compared {
	one := compared{calendarStatus: c, Level: "wait"}
	audit := c.Audit
	one.Waiting = !audit.Due.IsZero() && !h.now().Before(audit.Due)
	if audit.At.IsZero() {
		return one
	}
	one.Level = "good"
	when := dayText(l, audit.At.In(zone), h.now().In(zone))
	say := func(t Text) { one.Result = append(one.Result, t) }
	switch {
	case c.Way == bridge.WayView && audit.Found == 0:
		say(With("Compared {when}: everything was read again, and nothing had changed.", when))
	case c.Way == bridge.WayView:
		say(Counted(audit.Found, "Compared {when}: everything was read again, and {n} event had changed.", "Compared {when}: everything was read again, and {n} events had changed.", when))
	case audit.Found == 0 && audit.Compared == 0:
		say(With("Compared {when}: nothing differed.", when))
	case audit.Found == 0:
		say(Counted(audit.Compared, "Compared {when}: {n} occurrence, all equal.", "Compared {when}: {n} occurrences, all equal.", when))
	default:
		if audit.Compared == 0 {
			say(Counted(audit.Found, "Compared {when}: {n} difference.", "Compared {when}: {n} differences.", when))
		} else {
			say(Counted(audit.Compared, "Compared {when}: {n} occurrence, of which {differed} differed.", "Compared {when}: {n} occurrences, of which {differed} differed.", when, audit.Found))
		}
		if audit.Again == 0 {
			say("They were read again, and are as Outlook shows them now.")
		} else {
			one.Level = "wait"
			say(Counted(audit.Again, "They were read again; of {n} occurrence Outlook said something else than its own view, and the view was taken.",
				"They were read again; of {n} occurrences Outlook said something else than its own view, and the view was taken."))
		}
	}
	return one
}

func differenceOf(l *Language, d bridge.Difference, zone *time.Location) differenceView {
	text := func(s ics.Span) string {
		if s.Start.IsZero() {
			return l.Text("nothing")
		}
		start, end := s.Start.In(zone), s.End.In(zone)
		if civilDay(start).Equal(civilDay(end)) {
			return l.Time(start, "Mon 2 Jan 2006, 15:04") + "–" + l.Time(end, "15:04")
		}
		return l.Time(start, "Mon 2 Jan 2006, 15:04") + " – " + l.Time(end, "Mon 2 Jan 2006, 15:04")
	}
	return differenceView{strings.TrimSpace(d.Subject), text(ics.Span(d.Outlook)), text(ics.Span(d.Here))}
}

// dayText is a time as "03:12 today", "03:12 yesterday" or "2 November 2026, 03:12".
func dayText(l *Language, t, now time.Time) string {
	clock := l.Time(t, "15:04")
	switch civilDay(now).Sub(civilDay(t)) {
	case 0:
		return l.Text("{time} today", clock)
	case day:
		return l.Text("{time} yesterday", clock)
	}
	return l.Time(t, "2 January 2006, 15:04")
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
		if v.h.compared(v.lang, c, time.UTC).Waiting && status.Level != "bad" && status.Button == "" {
			plainText(v.w, 200, "comparing")
			return nil
		}
	}
	plainText(v.w, 200, "done")
	return nil
}
