package convert_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

type fixedToken struct{ authority *graph.Authority }

func (t fixedToken) Token(ctx context.Context) (string, error) {
	return (&graph.AppTokens{Authority: t.authority}).Token(ctx)
}
func (fixedToken) Invalidate(string) {}

// TestSimulation holds the converter against the simulated Outlook, whose expansion of recurrences shares no code with
// it: random series with random exceptions and cancellations, read as the bridge reads them, converted, and expanded.
func TestSimulation(t *testing.T) {
	const perCheck = 10
	zones := []string{"W. Europe Standard Time", "Pacific Standard Time", "India Standard Time", "UTC", "AUS Eastern Standard Time", "America/Sao_Paulo", "GMT Standard Time"}
	weekdays := []string{"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"}
	now := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		sim := &graphsim.Server{BaseURL: "http://outlook.test", Now: func() time.Time { return now }}
		box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
		authority := &graph.Authority{LoginURL: sim.BaseURL, Tenant: "contoso.example", ClientID: "app", ClientSecret: "secret",
			Scopes: graph.AppScopes(sim.BaseURL), HTTP: sim.Client()}
		client := &graph.Client{BaseURL: sim.BaseURL + "/v1.0", Mailbox: box.Address(), HTTP: sim.Client(), Tokens: fixedToken{authority}}
		cal := box.Calendar()
		window := convert.Span{Start: now.AddDate(-1, 0, 0), End: now.AddDate(2, 0, 0)}
		var refs []graph.MasterRef
		for n := range perCheck {
			e := graphsim.Event{Subject: fmt.Sprint("Series ", n), AllDay: rapid.IntRange(0, 4).Draw(t, "allday") == 0, Zone: rapid.SampledFrom(zones).Draw(t, "zone")}
			// Not in the hours in which clocks are turned: what Outlook shows there, only its own list can tell.
			e.Start = now.Truncate(24*time.Hour).AddDate(0, 0, rapid.IntRange(-400, 200).Draw(t, "day"))
			e.End = e.Start.AddDate(0, 0, 1)
			if !e.AllDay {
				e.Start = e.Start.Add(time.Duration(rapid.IntRange(5, 20).Draw(t, "hour")) * time.Hour)
				e.End = e.Start.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "quarters")) * 15 * time.Minute)
			}
			p := graph.RecurrencePattern{
				Type:           rapid.SampledFrom([]string{"daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"}).Draw(t, "type"),
				Interval:       rapid.IntRange(1, 5).Draw(t, "interval"),
				DaysOfWeek:     rapid.SliceOfNDistinct(rapid.SampledFrom(weekdays), 1, 5, rapid.ID[string]).Draw(t, "days"),
				FirstDayOfWeek: rapid.SampledFrom(weekdays).Draw(t, "first"),
				Index:          rapid.SampledFrom([]string{"first", "second", "third", "fourth", "last"}).Draw(t, "index"),
				DayOfMonth:     rapid.IntRange(1, 31).Draw(t, "dayOfMonth"),
				Month:          rapid.IntRange(1, 12).Draw(t, "month"),
			}
			if p.Type == "absoluteYearly" {
				p.DayOfMonth = min(p.DayOfMonth, time.Date(2028, time.Month(p.Month)+1, 0, 0, 0, 0, 0, time.UTC).Day())
			}
			r := graph.RecurrenceRange{Type: rapid.SampledFrom([]string{"noEnd", "numbered", "endDate"}).Draw(t, "range")}
			switch r.Type {
			case "numbered":
				r.NumberOfOccurrences = rapid.IntRange(1, 40).Draw(t, "count")
			case "endDate":
				r.EndDate = e.Start.AddDate(0, 0, rapid.IntRange(0, 900).Draw(t, "length")).Format(time.DateOnly)
			}
			e.Recurrence = &graph.Recurrence{Pattern: p, Range: r}
			id := cal.Create(e)
			var own []graphsim.Instance
			for _, i := range cal.Instances(window.Start, window.End) {
				if i.SeriesMasterID == id {
					own = append(own, i)
				}
			}
			if len(own) == 0 {
				continue
			}
			refs = append(refs, graph.MasterRef{ID: id, Zone: e.Zone})
			for range rapid.IntRange(0, 3).Draw(t, "edits") {
				date := rapid.SampledFrom(own).Draw(t, "occurrence").Start.Format(time.DateOnly)
				if rapid.Bool().Draw(t, "cancel") {
					_ = cal.CancelOccurrence(id, date)
				} else {
					_ = cal.ChangeOccurrence(id, date, func(e *graphsim.Event) {
						e.Subject += " changed"
						if !e.AllDay {
							e.Start, e.End = e.Start.Add(90*time.Minute), e.End.Add(90*time.Minute)
						}
					})
				}
			}
		}
		want := map[graph.EventID][]string{}
		for _, i := range cal.Instances(window.Start, window.End) {
			want[i.SeriesMasterID] = append(want[i.SeriesMasterID], line(i.Start, i.End, i.Subject))
		}
		for n, res := range client.Masters(t.Context(), "", refs) {
			if res.Err != nil {
				t.Fatal(res.Err)
			}
			got := []string{}
			obj, _, err := convert.ToICS(convert.Series{Event: res.Event, Window: window})
			if err == nil {
				list, err := (&ics.Reader{Resolve: convert.Zone}).Expand(obj, ics.Span(window))
				if err != nil {
					t.Fatal(err)
				}
				for _, i := range list {
					got = append(got, line(i.Start, i.End, i.Summary()))
				}
			} else if len(want[refs[n].ID]) > 0 {
				t.Fatal(err)
			}
			slices.SortFunc(got, cmp.Compare[string])
			slices.SortFunc(want[refs[n].ID], cmp.Compare[string])
			if d := gocmp.Diff(append([]string{}, want[refs[n].ID]...), got); d != "" {
				t.Fatalf("%s %+v: Outlook shows and clients get (-want +got):\n%s", refs[n].Zone, res.Event.Recurrence, d)
			}
		}
	})
}

func line(start, end time.Time, subject string) string {
	return start.UTC().Format(time.RFC3339) + " " + end.UTC().Format(time.RFC3339) + " " + subject
}
