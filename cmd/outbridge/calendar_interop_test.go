//go:build interop

package main

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"

	"outbridge/bridge/graph/graphsim"
)

// calendarDesk is a running bridge with one account of that mailbox, and a browser whose person has signed in.
func calendarDesk(t *testing.T, sim *graphsim.Server, address string) (b *browser, url string, p *process) {
	t.Helper()
	outlook := httptest.NewServer(sim)
	t.Cleanup(outlook.Close)
	dir := t.TempDir()
	config := fmt.Sprintf("listen = \"127.0.0.1:0\"\n[microsoft]\ncloud = \"custom\"\nlogin_url = %q\ngraph_url = %q\ntenant = \"contoso.example\"\nclient_id = %q\nclient_secret_file = \"secret\"\n"+
		"[sync]\ninterval = \"5s\"\n[[account]]\nname = \"robin\"\nmailbox = %q\n", outlook.URL, outlook.URL, testClientID, address)
	for name, text := range map[string]string{"outbridge.toml": config, "secret": "secret\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	outbridge(t, dir, "sync")
	p = start(t, dir, "serve")
	found := p.waitFor(`open (\S+)/setup\?code=(\S+)$`)
	url = found[0]
	b = newBrowser(t)
	b.open(url + "/setup")
	b.fill("code", found[1])
	b.fill("password", "correct horse battery")
	b.fill("repeat", "correct horse battery")
	b.press("Set password")
	return b, url, p
}

// TestCalendarPages goes through a calendar as people do: each view, an event and where it comes from, a search, and the comparison
// with Outlook.
func TestCalendarPages(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID}
	box := sim.DemoMailbox()
	b, url, p := calendarDesk(t, sim, box.Address())
	for _, view := range []string{"month", "week", "day", "agenda"} {
		b.window("desktop")
		b.open(url + "/calendars/robin?view=" + view)
		b.until("the events", `document.querySelector(".calendar .event")`)
		b.look(view)
	}
	b.window("desktop")
	b.open(url + "/calendars/robin?view=month")
	b.until("a bar over days", `[...document.querySelectorAll(".calendar .event")].some(e => e.getBoundingClientRect().width > 1.5 * e.closest("[role=row]").getBoundingClientRect().width / 7)`)
	b.until("each event on one line", `[...document.querySelectorAll(".calendar .event")].every(e => e.getBoundingClientRect().height < 40 && e.scrollWidth > 20)`)
	b.tap("Week")
	b.until("the line for now", `document.querySelector(".calendar .now")`)
	if !strings.Contains(b.at(), "view=week") {
		t.Errorf("the address does not say what is shown: %s", b.at())
	}

	// A phone begins with today.
	b.window("phone")
	b.open(url + "/calendars/robin")
	b.until("the agenda", `document.querySelector(".calendar [data-date]")`)
	if first, today := eval[string](b, `document.querySelector(".calendar [data-date]").dataset.date`), eval[string](b,
		`new Intl.DateTimeFormat("sv", {timeZone: document.getElementById("calendar").dataset.zone}).format()`); first < today || first > time.Now().AddDate(0, 0, 4).Format(time.DateOnly) {
		t.Errorf("the agenda of %s begins on %s", today, first)
	}

	// An event with what there is to know of it, and back.
	before := b.at()
	b.tap("Stand-up")
	b.shows("Differences from Outlook", "every week on", "Open in Outlook")
	b.look("event")
	b.unfoldAll()
	b.shows("BEGIN:VCALENDAR")
	b.look("event-open")
	b.press("How this came about")
	b.shows("What was decided")
	b.look("origin")
	b.press("leave out names and texts")
	if text := b.text(); strings.Contains(text, "Stand-up") {
		t.Error("what is left out is there")
	}
	b.press("Back to the event")
	b.press("Back to the calendar")
	b.open(before)
	b.until("the events", `document.querySelector(".calendar .event")`)

	b.unfoldAll()
	b.fill("q", "lisbon")
	b.press("Show")
	b.shows("Fabrikam workshop", "until")
	b.look("search")
	b.open(url + "/calendars/robin?view=day&zone=Asia/Tokyo")
	b.until("the zone", `document.getElementById("zone").value === "Asia/Tokyo" && document.querySelectorAll("#zones option").length > 100`)

	// Outlook's own view, now.
	b.open(url + "/accounts/robin/compare")
	b.shows("Not compared yet")
	b.look("compare-never")
	b.press("Compare now")
	b.shows("today", "all equal")
	b.look("compare")
	p.end(syscall.SIGTERM)
	if v := sim.Violations(); len(v) > 0 {
		t.Errorf("Graph's rules were broken: %q", v)
	}
}

// TestCalendarTellsOfLoading holds up and breaks the network below the page: it says that it loads, that loading failed, and tries again
// when it is asked to, and nothing on it moves meanwhile.
func TestCalendarTellsOfLoading(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID}
	b, url, p := calendarDesk(t, sim, sim.DemoMailbox().Address())
	const (
		says = `document.querySelector("#calendar-state [role=status]").textContent`
		next = `document.querySelector(".calendar button[aria-label=Next], .calendar button[title=Next]").click()`
		top  = `document.getElementById("calendar").getBoundingClientRect().top + scrollY`
	)
	for _, screen := range []string{"desktop", "phone"} {
		b.window(screen)
		b.open(url + "/calendars/robin?view=month")
		b.until("the events", `document.querySelector(".calendar .event")`)
		b.until("nothing said", says+` === ""`)
		where := eval[float64](b, top)
		eval[bool](b, `(() => {
			const real = fetch;
			window.fetch = async (...request) => {
				if (await new Promise(go => window.let = go)) return real(...request);
				throw new TypeError("Failed to fetch");
			};
			return true;
		})()`)
		eval[bool](b, `(() => { `+next+`; return true; })()`)
		b.until("that it loads", says+` === "Loading the events …" && document.getElementById("calendar").getAttribute("aria-busy") === "true" && !document.getElementById("calendar-again").checkVisibility()`)
		b.look("loading on a " + screen)
		eval[bool](b, `(window.let(false), true)`)
		b.until("that it failed", says+` === "The events could not be loaded."`)
		b.look("loading failed on a " + screen)
		eval[bool](b, `(document.getElementById("calendar-again").click(), true)`)
		b.until("that it loads again", says+` === "Loading the events …"`)
		eval[bool](b, `(window.let(true), true)`)
		b.until("the end of it", says+` === "" && document.getElementById("calendar-again").hidden && document.querySelector(".calendar .event")`)
		b.window(screen) // which looking has changed
		if now := eval[float64](b, top); now != where {
			t.Errorf("on a %s the calendar has moved from %g to %g", screen, where, now)
		}
	}
	p.end(syscall.SIGTERM)
}

// TestCalendarOfManyEvents opens the month, and an agenda on a phone, of a calendar that has 10,000 events in it, and logs what
// that takes: of the clock, which other tests turn too, and of the processor.
func TestCalendarOfManyEvents(t *testing.T) {
	t.Parallel()
	sim := &graphsim.Server{ClientID: testClientID, MaxPage: 200}
	box := sim.AddMailbox("kim@contoso.example", "Kim", "W. Europe Standard Time")
	begin := time.Now().UTC().Truncate(24 * time.Hour)
	for i := range 10_000 {
		at := begin.AddDate(0, 0, i%25-10).Add(time.Duration(6+i/25%12) * time.Hour)
		box.Calendar().Create(graphsim.Event{Subject: fmt.Sprintf("Meeting %d", i), Location: "Room 7", Start: at, End: at.Add(time.Hour)})
	}
	b, url, p := calendarDesk(t, sim, box.Address())
	work := func() (seconds float64) {
		b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			got, err := cdp.Call(ctx, t, performance.GetMetrics, cdp.Empty{})
			for _, m := range got.Metrics {
				if m.Name == "TaskDuration" {
					seconds = m.Value
				}
			}
			return err
		}))
		return seconds
	}
	for _, c := range [][2]string{{"desktop", "month"}, {"phone", "agenda"}} {
		b.window(c[0])
		b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks})
			return err
		}))
		b.open(url + "/calendars/robin?view=" + c[1])
		b.until("the events", `document.querySelector(".calendar .event")`)
		t.Logf("%s on a %s: %.2f s of the processor in the browser; %s", c[1], c[0], work(), eval[string](b, `(() => {
			const json = performance.getEntriesByType("resource").find(e => e.name.includes("events.json"));
			return Math.round(performance.now()) + " ms at most, of these " + Math.round(json.duration) + " ms for " + json.decodedBodySize + " octets (" + json.encodedBodySize + " sent); " +
				document.querySelectorAll("*").length + " elements"; })()`))
	}
	p.end(syscall.SIGTERM)
}
