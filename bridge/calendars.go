package bridge

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"outbridge/bridge/graph"
)

// listCalendars brings the calendars of the store in line with those of the mailbox.
func (b *Bridge) listCalendars(ctx context.Context, m Mailbox, a Account) (cals []Calendar, requests int64, err error) {
	counted, n := graph.CountRequests(ctx)
	list, err := m.Graph.Calendars(counted)
	if err != nil {
		return nil, n.Load(), err
	}
	if len(list) == 0 {
		// Every mailbox has a calendar, so this is a fault of the answer, and must not empty anybody's client.
		return nil, n.Load(), errors.New("Graph lists no calendar at all; the known ones are kept")
	}
	var want []Calendar
	for i, g := range list {
		want = append(want, Calendar{
			GraphID: g.ID, Name: slug(g.Name), DisplayName: displayName(g), Color: colorOf(g), CanEdit: g.CanEdit,
			Default: g.Default, Owner: g.Owner.Address, Order: i + 1, Modified: b.now(),
		})
	}
	if _, err := b.Store.SetCalendars(ctx, a.ID, want); err != nil {
		return nil, n.Load(), err
	}
	cals, err = b.Store.Calendars(ctx, a.ID)
	return cals, n.Load(), err
}

func displayName(g graph.Calendar) string {
	if name := strings.Join(strings.Fields(g.Name), " "); name != "" {
		return name
	}
	return "Calendar"
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slug makes a path segment of a calendar's name.
func slug(name string) string {
	s := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(s) > 40 {
		s = strings.Trim(s[:40], "-")
	}
	if s == "" {
		return "calendar"
	}
	return s
}

// presetColors are the looks of calendar.color where hexColor was never set. Microsoft publishes none.
var presetColors = map[string]string{
	"lightBlue": "#0099bc", "lightGreen": "#00cc6a", "lightOrange": "#f7630c", "lightGray": "#69797e", "lightYellow": "#fde300",
	"lightTeal": "#038387", "lightPink": "#bf0077", "lightBrown": "#8e562e", "lightRed": "#a4262c",
}

var hexColor = regexp.MustCompile(`^#[0-9a-f]{6}$`)

func colorOf(g graph.Calendar) string {
	if c := strings.ToLower(g.HexColor); hexColor.MatchString(c) {
		return c
	}
	return presetColors[g.Color]
}
