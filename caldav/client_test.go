package caldav_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/emersion/go-webdav"
	webdavcal "github.com/emersion/go-webdav/caldav"
)

// go-webdav's client walks from the well-known URL to the events.
func TestGoWebdavClient(t *testing.T) {
	s := serve(t, fixture())
	ctx := t.Context()
	c, err := webdavcal.NewClient(webdav.HTTPClientWithBasicAuth(http.DefaultClient, "alice", "secret"), s.url+"/.well-known/caldav")
	if err != nil {
		t.Fatal(err)
	}
	principal, err := c.FindCurrentUserPrincipal(ctx)
	if err != nil || principal != "/dav/principals/alice/" {
		t.Fatal(principal, err)
	}
	home, err := c.FindCalendarHomeSet(ctx, principal)
	if err != nil || home != "/dav/calendars/alice/" {
		t.Fatal(home, err)
	}
	cals, err := c.FindCalendars(ctx, home)
	if err != nil || len(cals) != 2 || cals[0].Name != "Work & more" || cals[0].Path != workPath || !slices.Equal(cals[0].SupportedComponentSet, []string{"VEVENT"}) {
		t.Fatal(cals, err)
	}
	request := webdavcal.CalendarCompRequest{Name: "VCALENDAR", AllProps: true, AllComps: true}
	objects, err := c.QueryCalendar(ctx, cals[0].Path, &webdavcal.CalendarQuery{
		CompRequest: request,
		CompFilter: webdavcal.CompFilter{Name: "VCALENDAR", Comps: []webdavcal.CompFilter{{
			Name: "VEVENT", Start: time.Date(2026, 8, 10, 0, 0, 0, 0, time.UTC), End: time.Date(2026, 8, 12, 0, 0, 0, 0, time.UTC),
		}}},
	})
	if err != nil || len(objects) != 3 {
		t.Fatal(objects, err)
	}
	got, err := c.MultiGetCalendar(ctx, cals[0].Path, &webdavcal.CalendarMultiGet{CompRequest: request, Paths: []string{objects[0].Path, objects[1].Path}})
	if err != nil || len(got) != 2 || len(got[0].Data.Events()) == 0 {
		t.Fatal(got, err)
	}
	one, err := c.GetCalendarObject(ctx, workPath+"weekly.ics")
	if err != nil || len(one.Data.Events()) != 2 || one.ETag == "" || one.ModTime.IsZero() {
		t.Fatal(one, err)
	}
	for _, e := range one.Data.Events() {
		e.Props.SetText("UID", "copy")
	}
	put, err := c.PutCalendarObject(ctx, "/dav/calendars/alice/private/copy.ics", one.Data)
	if err != nil || put.Path == "" {
		t.Fatal(put, err)
	}
	if _, err := c.PutCalendarObject(ctx, workPath+"copy.ics", one.Data); err == nil {
		t.Error("a read-only calendar took an object")
	}
	infos, err := c.ReadDir(ctx, workPath, false)
	if err != nil || len(infos) != 5 {
		t.Error(infos, err)
	}
}
