package main

import (
	"errors"
	"testing"

	"outbridge/bridge/web"
)

// What is wrong with how to sync is said in each language.
func TestSyncProblemsInLanguages(t *testing.T) {
	t.Parallel()
	for _, s := range []syncConfig{
		{Interval: "1s", History: "4mo", Horizon: "12mo"}, {Interval: "1m", History: "", Horizon: "12mo"}, {Interval: "1m", History: "soon", Horizon: "12mo"},
		{Interval: "1m", History: "4mo", Horizon: "soon"}, {Interval: "1m", History: "4y", Horizon: "4y"}, {Interval: "1m", History: "4mo", Horizon: "1d"},
		{Interval: "1m", History: "4mo", Horizon: "12mo", Notifications: true},
	} {
		c := defaultConfig()
		s.Audit, s.NotifiedInterval = c.Sync.Audit, c.Sync.NotifiedInterval
		c.Sync, c.PublicURL = s, "http://127.0.0.1:8080"
		wrong := c.syncProblems()
		if len(wrong) == 0 {
			t.Fatalf("nothing is wrong with %+v", s)
		}
		var p *web.Problem
		if !errors.As(syncProblem(wrong[0]), &p) {
			t.Fatal(wrong[0])
		}
		for _, l := range web.Languages()[1:] {
			for _, text := range []web.Text{p.Sentence, p.Action} {
				if text != "" && l.Text(text) == text.String() {
					t.Errorf("%s lacks %q", l.Tag, text)
				}
			}
		}
	}
}
