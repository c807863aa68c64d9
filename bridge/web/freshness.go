package web

import (
	"context"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

// freshness is how old the calendars are that a page of an account shows, and why that is so.
type freshness struct {
	Level     string // "" where all is well: then Good is all that is said
	Sentences []Text
	Good      time.Time // of the last good sync; zero: never
	Button    Text      // where there is something to do
	Link      string    // without the base
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
	var since Text = "None of them has been synced yet."
	if !f.Good.IsZero() {
		since = With("You see what was there {when}.", ago(h.now(), f.Good))
	}
	tell := func(level string, button Text, link string, sentences ...Text) {
		f.Level, f.Button, f.Link, f.Sentences = level, button, link, sentences
	}
	overview := accountPath(a.Name)
	switch {
	case v.Word == notSignedIn:
		tell("bad", v.Button, overview+"/sign-in", "Nobody has signed in to this account yet, so nothing is synced.")
	case v.State.Code == bridge.StateSignIn && v.Button != "":
		tell("bad", v.Button, overview+"/sign-in", "The sign-in has ended, so nothing is synced.", since)
	case v.Level == "bad":
		tell("bad", "What to do", overview, v.Sentence, since)
	default:
		if late := behind(cals, h.now()); len(late) > 0 {
			tell("bad", "What to do", overview, late...)
		} else if fresh := unsynced(cals); fresh != "" {
			tell("wait", "Watch it", overview, fresh)
		} else if len(cals) == 0 && v.Good.IsZero() {
			tell("wait", "Watch it", overview, "The first sync is in progress: not everything is here yet.")
		}
	}
	return f, nil
}

// mostNamed is how many calendars a sentence names.
const mostNamed = 3

// behind says which calendars are out of date, a sentence for each; none where none is.
func behind(cals []calendarStatus, now time.Time) (all []Text) {
	for _, c := range cals {
		if c.Stale {
			all = append(all, With("{calendar} was last synced {when}.", c.DisplayName, ago(now, c.Good)))
		}
	}
	if more := len(all) - mostNamed; more > 0 {
		all = append(all[:mostNamed], Counted(more, "{n} more is as old.", "{n} more are as old."))
	}
	return all
}

// unsynced names the calendars that had no good sync yet; "" where there is none.
func unsynced(cals []calendarStatus) Text {
	var all []string
	for _, c := range cals {
		if c.Good.IsZero() {
			all = append(all, c.DisplayName)
		}
	}
	names := strings.Join(all[:min(len(all), mostNamed)], ", ")
	switch more := len(all) - mostNamed; {
	case len(all) == 0:
		return ""
	case more > 0:
		return Counted(more, "The first sync of {calendars} and {n} more is in progress: not everything is here yet.", "The first sync of {calendars} and {n} more is in progress: not everything is here yet.", names)
	}
	return With("The first sync of {calendars} is in progress: not everything is here yet.", names)
}

func (h *Handler) staleAfter() time.Duration {
	if h.StaleAfter == nil {
		return 0
	}
	return h.StaleAfter()
}
