package bridge_test

import (
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
)

func TestFeedCheck(t *testing.T) {
	for _, c := range []struct {
		feed bridge.Feed
		want string // in the error; "" for none
	}{
		{bridge.Feed{Detail: bridge.DetailFull}, ""},
		{bridge.Feed{Detail: bridge.DetailBusy, Name: "Zoë, at work", Options: bridge.FeedOptions{Private: bridge.Hide, Free: bridge.Show, Declined: bridge.Hide,
			Cancelled: bridge.Show, Categories: []string{"Work"}, Past: "30d", Ahead: "1y6mo"}}, ""},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Private: bridge.Show, Alarms: true}}, ""},
		{bridge.Feed{}, "full, limited or busy"},
		{bridge.Feed{Detail: "all"}, "full, limited or busy"},
		{bridge.Feed{Detail: bridge.DetailFull, Name: "a\r\nMETHOD:CANCEL"}, "name"},
		{bridge.Feed{Detail: bridge.DetailFull, Name: strings.Repeat("x", 201)}, "name"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Private: "no"}}, "show, blur or hide"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Free: bridge.Blur}}, "show or hide"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Declined: "yes"}}, "show or hide"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Cancelled: "yes"}}, "show or hide"},
		{bridge.Feed{Detail: bridge.DetailLimited, Options: bridge.FeedOptions{Private: bridge.Show}}, "full detail only"},
		{bridge.Feed{Detail: bridge.DetailBusy, Options: bridge.FeedOptions{Alarms: true}}, "full detail only"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Past: "30"}}, "past"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{Ahead: "-1d"}}, "ahead"},
		{bridge.Feed{Detail: bridge.DetailFull, Options: bridge.FeedOptions{NotCategories: []string{" "}}}, "categories"},
	} {
		err := c.feed.Check()
		if (err == nil) != (c.want == "") || err != nil && (!strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%+v: %v", c.feed, err)
		}
	}
}

func TestFeedWindow(t *testing.T) {
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateOnly, s)
		if s != "" && err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, c := range []struct{ past, ahead, start, end string }{
		{"", "", "", ""},
		{"30d", "", "2026-10-24", ""},
		{"", "6mo", "", "2027-05-24"},
		{"0d", "0d", "2026-11-23", "2026-11-24"},
	} {
		w := bridge.Feed{Options: bridge.FeedOptions{Past: c.past, Ahead: c.ahead}}.Window(time.Date(2026, 11, 23, 23, 59, 59, 0, time.UTC))
		if !w.Start.Equal(day(c.start)) || !w.End.Equal(day(c.end)) {
			t.Errorf("%+v: %v", c, w)
		}
	}
}
