package sqlstore

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"outbridge/bridge"
)

// Objects are found by their names whether or not these follow each other, and come in the order of names.
func TestObjectsByName(t *testing.T) { forEach(t, testObjectsByName) }

func testObjectsByName(t *testing.T, s *Store) {
	c := calendar(t, s)
	for _, name := range strings.Fields("a b c d e f gone é") {
		stage(t, s, c.ID, object(name+".ics", name, now, now.Add(time.Hour)))
	}
	publish(t, s, c.ID, 8)
	gone := object("gone.ics", "", now, now)
	gone.Deleted = true
	stage(t, s, c.ID, gone)
	publish(t, s, c.ID, 1)
	for _, tt := range []struct {
		asked, after string
		limit        int
		want         string
	}{
		{asked: "a b c d e f gone é", want: "a b c d e f é"},
		{asked: "c b d", want: "b c d"},
		{asked: "b b c", want: "b c"},
		{asked: "a c d f", want: "a c d f"},
		{asked: "a b f é", want: "a b f é"},
		{asked: "aa b bb c cc e", want: "b c e"},
		{asked: "aa d", want: "d"},
		{asked: "gone", want: ""},
		{asked: "x y z", want: ""},
		{asked: "", want: ""},
		{asked: "a b c e", after: "b", want: "c e"},
		{asked: "a b c", after: "c", want: ""},
		{asked: "a b c d", limit: 3, want: "a b c"},
		{asked: "a b d e", limit: 3, want: "a b d"},
		{asked: "a b d", limit: 2, want: "a b"},
	} {
		q := bridge.ObjectQuery{Names: []string{}, WithData: true, Limit: cmp.Or(tt.limit, 10)}
		for _, name := range strings.Fields(tt.asked) {
			q.Names = append(q.Names, name+".ics")
		}
		if tt.after != "" {
			q.After = tt.after + ".ics"
		}
		for _, room := range [][]bridge.Object{nil, make([]bridge.Object, 20)} {
			q.Room = room
			var got []string
			for _, o := range must(s.Objects(t.Context(), c.ID, q))(t) {
				name := strings.TrimSuffix(o.Name, ".ics")
				if string(o.Data) != name || !o.First.Equal(now) || !o.Last.Equal(now.Add(time.Hour)) {
					t.Errorf("%s has %q from %s to %s", o.Name, o.Data, o.First, o.Last)
				}
				got = append(got, name)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("of %q after %q: %q, want %q", tt.asked, tt.after, got, tt.want)
			}
		}
	}
}
