package work_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge"
	"outbridge/bridge/graph/graphsim"
)

// TestSoak runs a bridge for more than three weeks with somebody editing all the while: access tokens expire every hour and
// refresh tokens rotate, the window rolls on several times, the subscription is renewed, audits run, Graph forgets the
// cursor, is away for a night, and the program is restarted. Every day clients must see what Outlook shows.
func TestSoak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hook := &webhook{}
		var away atomic.Int64 // until when Graph is, in unix seconds
		w := makeWorld(t, t.Context(), t.TempDir(), slog.New(slog.DiscardHandler), func(s *graphsim.Server) {
			s.Now, s.Webhooks, s.MaxPage, s.Concurrency = nil, &http.Client{Transport: hook}, 25, 4
			s.Fault = func(*http.Request) *graphsim.Fault {
				if time.Now().Unix() < away.Load() {
					return &graphsim.Fault{Status: http.StatusServiceUnavailable}
				}
				return nil
			}
		})
		defer w.Sim.Close()
		start := func() (stop func()) {
			w.realTime()
			w.s.NotifyURL, w.Rounds.ListEvery, w.Rounds.AuditEvery, w.Rounds.CheckpointAfter = notifyURL, 5*time.Minute, 24*time.Hour, 5*time.Minute
			w.Rounds.History, w.Rounds.Horizon = bridge.Period{Months: 1}, bridge.Period{Months: 2}
			hook.b = w.s
			return w.run()
		}
		stop := start()
		cal, begin := w.Box.Calendar(), time.Now()
		// on is a wall-clock time on a day counted from today.
		on := func(day, hour int) time.Time {
			return time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, day).Add(time.Duration(hour) * time.Hour)
		}
		series := cal.Create(graphsim.Event{Subject: "Stand-up", Start: on(0, 9), End: on(0, 10), Recurrence: weekly("", 0, 9, "monday", "wednesday").Recurrence})
		windows := map[time.Time]bool{}
		for day := range 24 {
			one := cal.Create(graphsim.Event{Subject: fmt.Sprint("Meeting ", day), Start: on(day%40, 8+day%9), End: on(day%40, 9+day%9)})
			cal.Create(graphsim.Event{Subject: fmt.Sprint("Far ", day), Start: on(200+day, 11), End: on(200+day, 12)})
			time.Sleep(7 * time.Hour)
			switch day % 10 {
			case 1:
				w.Must(cal.Change(one, func(e *graphsim.Event) { e.Start, e.End = e.Start.Add(time.Hour), e.End.Add(time.Hour) }))
			case 2:
				w.Must(cal.Delete(one))
			case 3:
				for _, i := range cal.Instances(on(3, 0), on(10, 0)) {
					if i.SeriesMasterID == series {
						w.Must(cal.CancelOccurrence(series, i.Start.Format(time.DateOnly)))
						break
					}
				}
			case 4:
				w.Sim.ForgetDeltaTokens()
			case 5:
				away.Store(time.Now().Add(8 * time.Hour).Unix())
			case 6:
				stop()
				w.crash()
				stop = start()
			case 7:
				w.Must(cal.Touch(series))
			}
			time.Sleep(17 * time.Hour)
			w.Check()
			c, err := w.Store.Calendar(w.Ctx, 1)
			w.Must(err)
			windows[c.Window.Start] = true
			if c.Audit.Found != 0 {
				t.Fatalf("day %d: an audit found %d differences", day, c.Audit.Found)
			}
		}
		stop()
		defer w.Store.Close()
		if len(windows) < 2 {
			t.Errorf("the window rolled on %d times in three weeks", len(windows)-1)
		}
		a, err := w.Store.Account(w.Ctx, "alice")
		w.Must(err)
		if a.TokenVersion < 230 {
			t.Errorf("%d refreshes in %s of hourly tokens", a.TokenVersion, time.Since(begin))
		}
		if n := len(w.Sim.Subscriptions()); n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}
