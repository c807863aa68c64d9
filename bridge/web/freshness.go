package web

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

// freshness is how old the calendars are that a page of an account shows, and why that is so.
type freshness struct {
	Level    string // "" where all is well: then Good is all that is said
	Sentence string
	Good     time.Time // of the last good sync; zero: never
	Button   string    // where there is something to do
	Link     string    // without the base
}

// freshness is that of an account, or of one of its calendars by its path segment.
func (h *Handler) freshness(ctx context.Context, a Account, calendar string) (f freshness, err error) {
	v, err := h.standing(ctx, a, nil)
	if err != nil {
		return f, err
	}
	cals := v.Calendars
	if i := slices.IndexFunc(cals, func(c calendarStatus) bool { return c.Name == calendar }); i >= 0 {
		cals, f.Good = cals[i:i+1], cals[i].Good
	} else {
		f.Good = v.Good
	}
	since := "None of them has been synced yet."
	if !f.Good.IsZero() {
		since = "You see what was there " + ago(h.now(), f.Good) + "."
	}
	overview := accountPath(a.Name)
	switch {
	case v.Word == notSignedIn:
		f.Level, f.Sentence, f.Button, f.Link = "bad", "Nobody has signed in to this account yet, so nothing is synced.", v.Button, overview+"/sign-in"
	case v.State.Code == bridge.StateSignIn && v.Button != "":
		f.Level, f.Sentence, f.Button, f.Link = "bad", "The sign-in has ended, so nothing is synced. "+since, v.Button, overview+"/sign-in"
	case v.Level == "bad":
		f.Level, f.Sentence, f.Button, f.Link = "bad", strings.TrimSpace(v.Sentence+" "+since), "What to do", overview
	default:
		if f.Sentence = behind(cals, h.now()); f.Sentence != "" {
			f.Level, f.Button, f.Link = "bad", "What to do", overview
		} else if fresh := unsynced(cals); fresh != "" || len(cals) == 0 && v.Good.IsZero() {
			f.Level, f.Sentence, f.Button, f.Link = "wait", strings.TrimSpace("The first sync is in progress"+fresh+": not everything is here yet."), "Watch it", overview
		}
	}
	return f, nil
}

// mostNamed is how many calendars a sentence names.
const mostNamed = 3

// behind says which calendars are out of date; "" where none is.
func behind(cals []calendarStatus, now time.Time) string {
	var all []string
	for _, c := range cals {
		if c.Stale {
			all = append(all, fmt.Sprintf("%s was last synced %s", c.DisplayName, ago(now, c.Good)))
		}
	}
	if len(all) == 0 {
		return ""
	}
	text := strings.Join(all[:min(len(all), mostNamed)], ", ")
	if more := len(all) - mostNamed; more > 0 {
		text += fmt.Sprintf(", and %d more are as old", more)
	}
	return text + "."
}

// unsynced names the calendars that had no good sync yet; "" where there is none.
func unsynced(cals []calendarStatus) string {
	var all []string
	for _, c := range cals {
		if c.Good.IsZero() {
			all = append(all, c.DisplayName)
		}
	}
	if len(all) == 0 {
		return ""
	}
	text := " of " + strings.Join(all[:min(len(all), mostNamed)], ", ")
	if more := len(all) - mostNamed; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (h *Handler) staleAfter() time.Duration {
	if h.StaleAfter == nil {
		return 0
	}
	return h.StaleAfter()
}
