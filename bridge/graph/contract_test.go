package graph_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
)

// lacking is what the client names though the metadata of a cloud does not know it, and what the client does where it is
// refused. Each line is needed: one that nothing comes across fails the test.
var lacking = map[string]string{
	// In the documentation of v1.0 (learn.microsoft.com/graph/api/resources/event), and in no metadata.
	"Prod event occurrenceId":     "left out; originalStart names the occurrence",
	"Fairfax event occurrenceId":  "left out; originalStart names the occurrence",
	"Mooncake event occurrenceId": "left out; originalStart names the occurrence",

	"Fairfax event cancelledOccurrences":           "left out; the Result is Partial",
	"Mooncake event cancelledOccurrences":          "left out; the Result is Partial",
	"Fairfax event exceptionOccurrences":           "left out; the Result is Partial",
	"Mooncake event exceptionOccurrences":          "left out; the Result is Partial",
	"Mooncake outlookUser masterCategories":        "IsNotOffered; the mailbox's zone is read all the same",
	"Mooncake (type) graph.outlookCategory":        "there are none",
	"Fairfax graph.attachment createUploadSession": "IsNotOffered; files of 3 MB or more cannot be added",

	// Beyond the extract of the metadata that is kept here.
	"Prod (type) graph.singleValueLegacyExtendedProperty":     "id and value",
	"Fairfax (type) graph.singleValueLegacyExtendedProperty":  "as in Prod",
	"Mooncake (type) graph.singleValueLegacyExtendedProperty": "as in Prod",
	"Prod (type) graph.attachmentItem":                        "attachmentType, name, size, contentType",
	"Mooncake (type) graph.attachmentItem":                    "as in Prod",
	"Prod (type) graph.uploadSession":                         "uploadUrl, nextExpectedRanges",
	"Mooncake (type) graph.uploadSession":                     "as in Prod",

	"Prod user accountEnabled":              "false for who may not sign in; who does not say may",
	"Fairfax user accountEnabled":           "as in Prod",
	"Mooncake user accountEnabled":          "as in Prod",
	"Prod user userType":                    "Guest or Member",
	"Fairfax user userType":                 "as in Prod",
	"Mooncake user userType":                "as in Prod",
	"Prod (root) groups":                    "transitiveMembers and delta of groups",
	"Fairfax (root) groups":                 "as in Prod",
	"Mooncake (root) groups":                "as in Prod",
	"Prod Collection(graph.user) delta":     "what has changed; then all are listed",
	"Fairfax Collection(graph.user) delta":  "as in Prod",
	"Mooncake Collection(graph.user) delta": "as in Prod",

	"Prod queryOption startDateTime":     "required by calendarView, instances and delta; of the documentation only",
	"Prod queryOption endDateTime":       "as startDateTime",
	"Fairfax queryOption startDateTime":  "as in Prod",
	"Fairfax queryOption endDateTime":    "as in Prod",
	"Mooncake queryOption startDateTime": "as in Prod",
	"Mooncake queryOption endDateTime":   "as in Prod",
}

// clouds are the names of the metadata, by those of Cloud; dod is like usgov.
var clouds = map[string]string{"": "Prod", "usgov": "Fairfax", "china": "Mooncake"}

// TestContract drives every call of the client against the simulator of each cloud, and holds what goes over the wire, both
// ways, against Microsoft's own metadata: testdata/metadata, under the MIT License that is beside it.
func TestContract(t *testing.T) {
	var used sync.Map
	for cloud, name := range clouds {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := readSchema(t, name)
				s.lacks = func(what string) bool {
					_, known := lacking[what]
					used.Store(what, true)
					return known
				}
				driveContract(t, s, cloud)
				s.checkReads(t)
			})
		})
	}
	for what := range lacking {
		if _, ok := used.Load(what); !ok {
			t.Errorf("nothing comes across %q", what)
		}
	}
}

// driveContract makes every call of the client once at least.
func driveContract(t *testing.T, s *schema, cloud string) {
	hooks := new(subscriber)
	sim := &graphsim.Server{Cloud: cloud, ExceptionPage: 1, MaxPage: 50, EmptyPages: true, Webhooks: &http.Client{Transport: inMemory{hooks}}}
	box, friend := sim.DemoMailbox(), sim.AddMailbox("bob@contoso.example", "Bob", "UTC")
	friend.Calendar().ShareToEdit(box)
	box.AddCalendar("Odd", "#123456")
	box.AddCalendarGroup("Others")
	now := time.Now()
	everyEnum(box.Calendar(), now)
	wire := &contractWire{t: t, schema: s, next: sim.Client().Transport}
	own := delegated(t, sim, box, graph.WriteScope(graphURL), graph.SharedWriteScope(graphURL), graphURL+"/User.Read", graphURL+"/MailboxSettings.Read", "offline_access")
	own.HTTP = &http.Client{Transport: wire}
	driven := map[string]bool{"TokenExpires": true, "Do": true, "Batch": true} // none of these names anything
	for _, c := range []*graph.Client{own, {BaseURL: own.BaseURL, HTTP: own.HTTP, Tokens: own.Tokens, Mailbox: friend.Address()}} {
		did := func(name string, err error) {
			driven[name] = true
			if err != nil && (c == own && !s.lacks(s.cloud+" "+map[string]string{"Categories": "outlookUser masterCategories"}[name]) || !graph.IsNotOffered(err)) {
				t.Errorf("%s: %v", name, err)
			}
		}
		cals, err := c.Calendars(t.Context())
		did("Calendars", err)
		_, err = c.PrimaryCalendar(t.Context())
		did("PrimaryCalendar", err)
		_, err = c.Calendar(t.Context(), cals[0].ID)
		did("Calendar", err)
		_, err = c.GroupCalendars(t.Context())
		did("GroupCalendars", err)
		_, err = c.Me(t.Context())
		did("Me", err)
		_, err = c.MailboxZone(t.Context())
		did("MailboxZone", err)
		_, err = c.Categories(t.Context())
		did("Categories", err)
		start, end := now.AddDate(0, -4, 0), now.AddDate(1, 0, 0)
		var ids []graph.EventID
		var refs []graph.MasterRef
		driven["DeltaURL"] = true
		for link := c.DeltaURL(cals[0].ID, start, end); link != ""; {
			page, err := c.Delta(t.Context(), link)
			did("Delta", err)
			for _, e := range page.Events {
				ids = append(ids, e.ID)
				if e.Type == graph.SeriesMaster {
					refs = append(refs, graph.MasterRef{ID: e.ID, Zone: e.OriginalStartTimeZone})
				}
			}
			link = page.Next
		}
		for _, r := range c.Events(t.Context(), cals[0].ID, ids) {
			did("Events", r.Err)
		}
		for _, r := range c.Masters(t.Context(), cals[0].ID, refs) {
			did("Masters", r.Err)
			_, err := c.Instances(t.Context(), cals[0].ID, r.ID, start, end)
			did("Instances", err)
		}
		for _, err := range c.EventsFrom(t.Context(), cals[0].ID, now) {
			did("EventsFrom", err)
		}
		for e, err := range c.FullView(t.Context(), cals[0].ID, start, end) {
			did("FullView", err)
			for _, r := range c.Listed(t.Context(), cals[0].ID, []graph.Event{e}) {
				did("Listed", r.Err)
			}
		}
		for _, err := range c.View(t.Context(), cals[0].ID, start, end) {
			did("View", err)
		}
		driveWrites(t, cloud, c, cals[0].ID, box, sim.AddMailbox(c.Mailbox+"guest@contoso.example", "Guest", "UTC"), did)
		if c != own {
			continue
		}
		sub, err := c.Subscribe(t.Context(), graph.Subscription{NotificationURL: "https://me.example/n", LifecycleNotificationURL: "https://me.example/l", ClientState: "state", Expires: now.Add(time.Hour)})
		did("Subscribe", err)
		_, err = c.Subscriptions(t.Context())
		did("Subscriptions", err)
		_, err = c.RenewSubscription(t.Context(), sub.ID, now.Add(2*time.Hour))
		did("RenewSubscription", err)
		did("ReauthorizeSubscription", c.ReauthorizeSubscription(t.Context(), sub.ID))
		did("DeleteSubscription", c.DeleteSubscription(t.Context(), sub.ID))
	}
	sim.SetGroup("team", sim.SetUser(graphsim.DirectoryUser{Name: "Bob", UPN: friend.Address(), Mail: friend.Address()}), "nested")
	sim.SetGroup("nested")
	alone := app(sim, "")
	alone.HTTP = own.HTTP
	people, err := alone.People(t.Context())
	if driven["People"] = true; err != nil || len(people) != 1 {
		t.Errorf("People: %v, %v", people, err)
	}
	people, groups, err := alone.GroupMembers(t.Context(), "team")
	if driven["GroupMembers"] = true; err != nil || len(people) != 1 || len(groups) != 1 {
		t.Errorf("GroupMembers: %v, %v, %v", people, groups, err)
	}
	for name, begin := range map[string]func() (string, error){
		"WatchPeople": func() (string, error) { return alone.WatchPeople(t.Context()) },
		"WatchGroups": func() (string, error) { return alone.WatchGroups(t.Context(), []string{"team", "nested"}) },
	} {
		link, err := begin()
		if driven[name] = true; err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, _, err := alone.Changed(t.Context(), link); err != nil {
			t.Errorf("Changed after %s: %v", name, err)
		}
		driven["Changed"] = true
	}
	for i := range reflect.TypeFor[*graph.Client]().NumMethod() {
		if name := reflect.TypeFor[*graph.Client]().Method(i).Name; !driven[name] {
			t.Errorf("the contract does not call %s", name)
		}
	}
	// What is told where nothing is selected.
	if err := own.Do(t.Context(), graph.Call{Method: "GET", Path: "/me/events"}); err != nil {
		t.Error(err)
	}
}

// driveWrites makes every call once that changes something. The guest is somebody to invite, and invites the owner of box.
func driveWrites(t *testing.T, cloud string, c *graph.Client, cal graph.CalendarID, box, guest *graphsim.Mailbox, did func(string, error)) {
	ctx := t.Context()
	made, err := c.Create(ctx, cal, "Pacific Standard Time", []byte(`{"subject":"Stand-up","body":{"contentType":"text","content":"Bring the card"},
		"start":{"dateTime":"2026-12-07T09:00:00","timeZone":"W. Europe Standard Time"},"end":{"dateTime":"2026-12-07T09:15:00","timeZone":"W. Europe Standard Time"},
		"isAllDay":false,"location":{"displayName":"Harbour Street 4"},"showAs":"busy","sensitivity":"private","importance":"normal","categories":["Health"],
		"isReminderOn":false,"attendees":[{"type":"required","emailAddress":{"address":"`+guest.Address()+`"}}],
		"recurrence":{"pattern":{"type":"weekly","interval":1,"daysOfWeek":["monday"],"firstDayOfWeek":"monday"},
		"range":{"type":"endDate","startDate":"2026-12-07","endDate":"2027-03-31","recurrenceTimeZone":"W. Europe Standard Time"}},
		"transactionId":"`+c.Mailbox+`1","singleValueExtendedProperties":[{"id":"`+graph.PropertyClientUID+`","value":"it's me"},{"id":"`+graph.PropertyObjectName+`","value":"a.ics"},
		{"id":"`+graph.PropertyIntent+`","value":"1"}]}`))
	did("Create", err)
	found, err := c.FindByProperty(ctx, cal, graph.PropertyClientUID, "it's me")
	did("FindByProperty", err)
	having, err := c.Having(ctx, cal, graph.PropertyClientUID)
	did("Having", err)
	if len(having) != len(found) {
		t.Errorf("%d events have a property that %d have with one value", len(having), len(found))
	}
	if len(found) != 1 || found[0].ID != made.ID {
		t.Errorf("found %v", found)
	} else if v, ok := found[0].Property(graph.PropertyClientUID); !ok || v != "it's me" {
		t.Errorf("the property is %q", v)
	}
	located, err := c.FindByICalUID(ctx, made.ICalUID, cal)
	did("FindByICalUID", err)
	if len(located) != 1 || located[0].Event.ID != made.ID || located[0].Calendar != cal {
		t.Errorf("found %v", located)
	}
	read := graph.Trial{Method: "GET", Path: "/calendars/" + url.PathEscape(string(cal)) + "/events/" + url.PathEscape(string(made.ID)), Zone: "Europe/Berlin", PageSize: 5}
	tried, err := c.Try(ctx, read)
	did("Try", err)
	both, err := c.TryTogether(ctx, read, graph.Trial{Method: "PATCH", Path: read.Path, IfMatch: `W/"old"`, Body: []byte(`{"subject":"Lost"}`)})
	did("TryTogether", err)
	if tried.Status != 200 || tried.RequestID == "" || both[0].Status != 200 || both[1].Status != 412 || both[1].Code == "" {
		t.Errorf("tried %d %s, together %d and %d", tried.Status, tried.RequestID, both[0].Status, both[1].Status)
	}
	made, err = c.Update(ctx, cal, made.ID, made.ETag, "UTC", []byte(`{"subject":"Sit-down"}`))
	did("Update", err)
	for _, r := range c.Changes(ctx, cal, "UTC", []graph.Change{
		{ID: graph.OccurrenceID(made.ID, "2026-12-14"), Fields: []byte(`{"subject":"Late","start":{"dateTime":"2026-12-14T10:00:00","timeZone":"W. Europe Standard Time"},
			"end":{"dateTime":"2026-12-14T10:15:00","timeZone":"W. Europe Standard Time"}}`)},
		{ID: graph.OccurrenceID(made.ID, "2026-12-21")},
	}) {
		did("Changes", r.Err)
	}
	small, err := c.AddAttachment(ctx, cal, made.ID, "map.txt", "text/plain", 4, strings.NewReader("ABCD"))
	did("AddAttachment", err)
	_, large := c.AddAttachment(ctx, cal, made.ID, "plan.pdf", "", 4<<20, io.LimitReader(zeroes{}, 4<<20))
	if large != nil && (cloud != "usgov" || !graph.IsNotOffered(large)) {
		t.Errorf("AddAttachment: %v", large)
	}
	files, err := c.Attachments(ctx, cal, made.ID)
	did("Attachments", err)
	if len(files) == 2 != (large == nil) {
		t.Errorf("attachments: %v", files)
	}
	for _, l := range c.AttachmentsOf(ctx, cal, []graph.EventID{made.ID, made.ID}) {
		if did("AttachmentsOf", l.Err); len(l.Attachments) != len(files) {
			t.Errorf("attachments in a batch: %v", l.Attachments)
		}
	}
	file, err := c.OpenAttachment(ctx, cal, made.ID, small)
	if did("OpenAttachment", err); err == nil {
		if b, err := io.ReadAll(file); string(b) != "ABCD" || err != nil || file.Close() != nil {
			t.Errorf("read %q, %v", b, err)
		}
	}
	did("RemoveAttachment", c.RemoveAttachment(ctx, cal, made.ID, small))
	did("Cancel", c.Cancel(ctx, cal, graph.OccurrenceID(made.ID, "2026-12-28"), "next year"))
	event, err := c.Update(ctx, cal, made.ID, "*", "UTC", []byte(`{"isReminderOn":true,"reminderMinutesBeforeStart":5}`))
	did("Update", err)
	did("Delete", c.Delete(ctx, cal, made.ID, event.ETag))
	_, err = c.Schedules(ctx, []string{guest.Address(), "outside@example.net"}, time.Now(), time.Now().AddDate(0, 0, 70), 0)
	did("Schedules", err)
	if c.Mailbox != "" {
		return
	}
	guest.Calendar().Invite(graphsim.Event{Subject: "Party", Start: time.Now(), End: time.Now().Add(time.Hour),
		Attendees: []graph.Attendee{{EmailAddress: graph.EmailAddress{Address: box.Address()}}}})
	invitations := box.Calendar().Events()
	did("Respond", c.Respond(ctx, cal, invitations[len(invitations)-1], graph.Accept, "See you there", true))
	other, err := c.CreateCalendar(ctx, "Garden")
	did("CreateCalendar", err)
	did("DeleteCalendar", c.DeleteCalendar(ctx, other.ID))
}

// zeroes is endless.
type zeroes struct{}

func (zeroes) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// everyEnum fills a calendar with events that have each value that the client's comments name.
func everyEnum(cal *graphsim.Calendar, now time.Time) {
	event := func(edit func(*graphsim.Event)) {
		e := graphsim.Event{Subject: "any", Start: now.AddDate(0, 0, 1), End: now.AddDate(0, 0, 1).Add(time.Hour), JoinURL: "https://teams.microsoft.com/l/1", Location: "Room 1; Room 2"}
		edit(&e)
		cal.Create(e)
	}
	for _, v := range []string{"free", "tentative", "busy", "oof", "workingElsewhere", "unknown"} {
		event(func(e *graphsim.Event) { e.ShowAs = v })
	}
	for _, v := range []string{"normal", "personal", "private", "confidential"} {
		event(func(e *graphsim.Event) { e.Sensitivity = v })
	}
	for _, v := range []string{"low", "normal", "high"} {
		event(func(e *graphsim.Event) { e.Importance = v })
	}
	for _, v := range []string{"none", "organizer", "tentativelyAccepted", "accepted", "declined", "notResponded"} {
		event(func(e *graphsim.Event) { e.Response = v })
	}
	for _, v := range []string{"required", "optional", "resource"} {
		event(func(e *graphsim.Event) {
			e.Attendees = []graph.Attendee{{Type: v, EmailAddress: graph.EmailAddress{Name: "B", Address: "b@contoso.example"}}}
		})
	}
	ranges := []graph.RecurrenceRange{{Type: "noEnd"}, {Type: "numbered", NumberOfOccurrences: 3}, {Type: "endDate", EndDate: now.AddDate(2, 0, 0).Format(time.DateOnly)}}
	indexes := []string{"first", "second", "third", "fourth", "last"}
	for i, v := range []string{"weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly", "daily"} {
		event(func(e *graphsim.Event) {
			e.Recurrence = &graph.Recurrence{Pattern: graph.RecurrencePattern{Type: v, Index: indexes[i%5], FirstDayOfWeek: "monday"}, Range: ranges[i%3]}
		})
	}
}

// checkReads holds the types that answers are read into, and the values that the code knows, against the metadata.
func (s *schema) checkReads(t *testing.T) {
	for name, typ := range map[string]reflect.Type{
		"event": reflect.TypeFor[graph.Event](), "calendar": reflect.TypeFor[graph.Calendar](), "user": reflect.TypeFor[graph.DirectoryUser](),
		"outlookCategory": reflect.TypeFor[graph.Category](), "subscription": reflect.TypeFor[graph.SubscriptionJSON](),
		"attachment": reflect.TypeFor[graph.Attachment](), "scheduleInformation": reflect.TypeFor[graph.ScheduleJSON](),
	} {
		s.checkGo(t, "graph."+name, typ, map[reflect.Type]bool{})
	}
	for enum, want := range map[string][]string{
		"eventType":             {graph.SingleInstance, graph.Occurrence, graph.Exception, graph.SeriesMaster},
		"freeBusyStatus":        {"free", "tentative", "busy", "oof", "workingElsewhere", "unknown"},
		"sensitivity":           {"normal", "personal", "private", "confidential"},
		"importance":            {"low", "normal", "high"},
		"responseType":          {"none", "organizer", "tentativelyAccepted", "accepted", "declined", "notResponded"},
		"attendeeType":          {"required", "optional", "resource"},
		"recurrencePatternType": {"daily", "weekly", "absoluteMonthly", "relativeMonthly", "absoluteYearly", "relativeYearly"},
		"recurrenceRangeType":   {"endDate", "noEnd", "numbered"},
		"weekIndex":             {"first", "second", "third", "fourth", "last"},
		"dayOfWeek":             {"sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"},
		"bodyType":              {"text", "html"},
	} {
		have := slices.Sorted(maps.Keys(s.enums["graph."+enum]))
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("%s has %v, the client knows %v", enum, have, want)
		}
	}
}

func (s *schema) checkGo(t *testing.T, edm string, typ reflect.Type, seen map[reflect.Type]bool) {
	if seen[typ] {
		return
	}
	seen[typ] = true
	if s.types[edm] == nil {
		if !s.lacks(s.cloud + " (type) " + edm) {
			t.Errorf("there is no type %s", edm)
		}
		return
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if of, _, annotation := strings.Cut(name, "@"); annotation {
			if of != "" {
				s.property(t, edm, of)
			}
			continue
		}
		if of, ok := s.property(t, edm, name); ok {
			s.checkGoValue(t, edm+"."+name, of, f.Type, seen)
		}
	}
}

func (s *schema) checkGoValue(t *testing.T, path, edm string, typ reflect.Type, seen map[reflect.Type]bool) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if of, many := collection(edm); many {
		if typ.Kind() != reflect.Slice {
			t.Errorf("%s is %s and read into %s", path, edm, typ)
			return
		}
		s.checkGoValue(t, path, of, typ.Elem(), seen)
		return
	}
	want := map[string]reflect.Kind{"Edm.Boolean": reflect.Bool, "Edm.Int32": reflect.Int, "Edm.Double": reflect.Float64}[edm]
	switch {
	case want != 0:
	case strings.HasPrefix(edm, "Edm."), s.enums[edm] != nil:
		want = reflect.String
	default:
		want = reflect.Struct
	}
	switch {
	case typ.Kind() != want:
		t.Errorf("%s is %s and read into %s", path, edm, typ)
	case want == reflect.Struct:
		s.checkGo(t, edm, typ, seen)
	}
}

// A schema is the metadata of one cloud (OData CSDL XML 4.01, docs.oasis-open.org/odata/odata-csdl-xml).
type schema struct {
	cloud string
	types map[string]*schemaType
	enums map[string]map[string]bool // type, member
	bound map[string]string          // "type name" of a function or action → the type that it returns
	posts map[string][]schemaMember  // of these, the actions, with their parameters
	lacks func(what string) bool
}

type schemaType struct {
	Name       string         `xml:",attr"`
	BaseType   string         `xml:",attr"`
	Properties []schemaMember `xml:"Property"`
	Navigation []schemaMember `xml:"NavigationProperty"`
	Members    []schemaMember `xml:"Member"`
}

type schemaMember struct {
	Name     string `xml:",attr"`
	Type     string `xml:",attr"`
	Nullable string `xml:",attr"`
}

type schemaCall struct {
	Name       string         `xml:",attr"`
	Parameters []schemaMember `xml:"Parameter"`
	Return     schemaMember   `xml:"ReturnType"`
}

func readSchema(t *testing.T, cloud string) *schema {
	var file struct {
		Entities  []schemaType `xml:"EntityType"`
		Complex   []schemaType `xml:"ComplexType"`
		Enums     []schemaType `xml:"EnumType"`
		Actions   []schemaCall `xml:"Action"`
		Functions []schemaCall `xml:"Function"`
	}
	if err := xml.Unmarshal(testdata(t, "metadata/v1.0-"+cloud+".xml"), &file); err != nil {
		t.Fatal(err)
	}
	s := &schema{cloud: cloud, types: map[string]*schemaType{}, enums: map[string]map[string]bool{}, bound: map[string]string{}, posts: map[string][]schemaMember{}}
	for _, typ := range append(file.Entities, file.Complex...) {
		s.types["graph."+typ.Name] = &typ
	}
	for _, typ := range file.Enums {
		members := map[string]bool{}
		for _, m := range typ.Members {
			members[m.Name] = true
		}
		s.enums["graph."+typ.Name] = members
	}
	for _, call := range append(file.Functions, file.Actions...) {
		s.bound[call.Parameters[0].Type+" "+call.Name] = call.Return.Type
	}
	for _, call := range file.Actions {
		s.posts[call.Parameters[0].Type+" "+call.Name] = call.Parameters[1:]
	}
	return s
}

// member is a property of a type, its own or inherited.
func (s *schema) member(edm, name string) (m schemaMember, navigation, ok bool) {
	for typ := s.types[edm]; typ != nil; typ = s.types[typ.BaseType] {
		for i, m := range append(slices.Clone(typ.Properties), typ.Navigation...) {
			if m.Name == name {
				return m, i >= len(typ.Properties), true
			}
		}
	}
	return schemaMember{}, false, false
}

// property is the type of a property, whose lack is an error where it is not listed.
func (s *schema) property(t *testing.T, edm, name string) (of string, ok bool) {
	m, _, ok := s.member(edm, name)
	if !ok && !s.lacks(s.cloud+" "+strings.TrimPrefix(edm, "graph.")+" "+name) {
		t.Errorf("%s has no %s", edm, name)
	}
	return m.Type, ok
}

func collection(edm string) (of string, many bool) {
	of, many = strings.CutPrefix(edm, "Collection(")
	return strings.TrimSuffix(of, ")"), many
}

// resolve finds the type of what a path leads to. ok is false for what is lacking, listed or not.
func (s *schema) resolve(t *testing.T, method, path string) (edm string, ok bool) {
	segments := strings.Split(strings.Trim(path, "/"), "/")
	// The extract has no entity container: these are its parts that matter here.
	edm = map[string]string{"me": "graph.user", "users": "Collection(graph.user)", "subscriptions": "Collection(graph.subscription)"}[segments[0]]
	if edm == "" {
		if !s.lacks(s.cloud + " (root) " + segments[0]) {
			t.Errorf("%s %s: there is no such root", method, path)
		}
		return "", false
	}
	for i, escaped := range segments[1:] {
		name, err := url.PathUnescape(escaped)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		last := i == len(segments)-2
		if returns, bound := s.bound[edm+" "+name]; bound {
			if _, action := s.posts[edm+" "+name]; !last || action != (method == http.MethodPost) {
				t.Errorf("%s %s: a function takes a GET, an action a POST, at the end", method, path)
			}
			return returns, true
		}
		if name == "$value" && last && edm == "graph.attachment" {
			return "", false // no JSON
		}
		if name == "delta" && s.lacks(s.cloud+" "+edm+" delta") {
			return "", false
		}
		if of, many := collection(edm); many {
			if last && method == http.MethodPost {
				if !s.lacks(s.cloud + " " + of + " " + name) {
					t.Errorf("%s: %s has no action %s", path, edm, name)
				}
				return "", false
			}
			edm = of
			continue
		}
		if edm, ok = s.property(t, edm, name); !ok {
			return "", false
		}
	}
	of, many := collection(edm)
	allowed := map[string]bool{http.MethodGet: true, http.MethodPost: many, http.MethodPatch: !many, http.MethodDelete: !many}
	if !allowed[method] {
		t.Errorf("%s %s: not of a %s", method, path, edm)
	}
	if method == http.MethodPost {
		return of, true
	}
	return edm, true
}

var filterNames = regexp.MustCompile(`^([A-Za-z/]+) (?:eq|ge) '([^']*)'$`)

// The two forms in which an extended property is asked for (learn.microsoft.com/graph/api/singlevaluelegacyextendedproperty-get).
var (
	expandedProperty = regexp.MustCompile(`^(singleValueExtendedProperties)\(\$filter=id eq '[^']+'\)$`)
	filterProperty   = regexp.MustCompile(`^(singleValueExtendedProperties)/Any\(ep: ep/id eq '[^']+' and ep/value (?:eq '(?:[^']|'')+'|ne null)\)$`)
)

// action is whether a path ends with an action, and its parameters.
func (s *schema) action(path string) ([]schemaMember, bool) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	for bound, parameters := range s.posts {
		if strings.HasSuffix(bound, " "+name) {
			return parameters, true
		}
	}
	return nil, false
}

// checkParameters holds the body of an action against its parameters, whose names count in any case.
func (s *schema) checkParameters(t *testing.T, target string, parameters []schemaMember, body []byte) {
	var in map[string]any
	if len(body) > 0 {
		if err := json.Unmarshal(body, &in); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	for name, value := range in {
		i := slices.IndexFunc(parameters, func(p schemaMember) bool { return strings.EqualFold(p.Name, name) })
		if i < 0 {
			t.Errorf("%s has no parameter %s", target, name)
			continue
		}
		s.checkValue(t, name, parameters[i].Type, value)
	}
}

// checkRequest holds a request against the metadata, and says what a good answer to it is.
func (s *schema) checkRequest(t *testing.T, method, target string, body []byte) (edm string, ok bool) {
	u, err := url.Parse(target)
	if err != nil {
		t.Errorf("%s: %v", target, err)
		return "", false
	}
	path := strings.TrimPrefix(u.EscapedPath(), "/v1.0")
	edm, ok = s.resolve(t, method, path)
	if !ok {
		return "", false
	}
	if parameters, action := s.action(path); action && method == http.MethodPost {
		s.checkParameters(t, target, parameters, body)
		return edm, edm != ""
	}
	one, many := collection(edm)
	for name, values := range u.Query() {
		switch name {
		case "$select", "$expand":
			if found := expandedProperty.FindStringSubmatch(values[0]); found != nil {
				s.property(t, one, found[1])
				continue
			}
			for of := range strings.SplitSeq(values[0], ",") {
				if of == "" {
					continue
				}
				m, navigation, has := s.member(one, of)
				if !has {
					s.property(t, one, of)
				} else if name == "$expand" && !navigation {
					t.Errorf("%s is no navigation property: %v", of, m)
				}
			}
		case "$filter":
			if found := filterProperty.FindStringSubmatch(values[0]); found != nil {
				s.property(t, one, found[1])
				continue
			}
			found := filterNames.FindStringSubmatch(values[0])
			if found == nil {
				t.Errorf("a filter that cannot be checked: %s", values[0])
				continue
			}
			of := one
			for name := range strings.SplitSeq(found[1], "/") {
				of, _ = s.property(t, of, name)
			}
			if members := s.enums[of]; members != nil && !members[found[2]] {
				t.Errorf("%s has no %s", of, found[2])
			}
		case "$top", "$skip":
			if !many {
				t.Errorf("%s of a %s", name, edm)
			}
		case "$deltatoken", "$skiptoken": // the service's own
		default:
			if !s.lacks(s.cloud + " queryOption " + name) {
				t.Errorf("%s: what is %s?", target, name)
			}
		}
	}
	if len(body) > 0 {
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Errorf("%s: %v", target, err)
		}
		s.checkValue(t, one, one, value)
	}
	return edm, true
}

// checkAnswer holds a good answer against the metadata.
func (s *schema) checkAnswer(t *testing.T, target, edm string, body []byte) {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Errorf("%s: %v", target, err)
		return
	}
	if _, many := collection(edm); many {
		page, _ := value.(map[string]any)
		for name := range page {
			if name != "value" && !strings.HasPrefix(name, "@odata.") {
				t.Errorf("%s: a page has a %s", target, name)
			}
		}
		value = page["value"]
	}
	s.checkValue(t, edm, edm, value)
}

// checkValue holds a JSON value against the type that it is to have (OData JSON 4.01 section 7.1).
func (s *schema) checkValue(t *testing.T, path, edm string, value any) {
	wrong := func() { t.Errorf("%s is no %s: %v", path, edm, value) }
	if of, many := collection(edm); many {
		list, ok := value.([]any)
		if !ok {
			wrong()
		}
		for _, v := range list {
			s.checkValue(t, path, of, v)
		}
		return
	}
	if members := s.enums[edm]; members != nil {
		if name, ok := value.(string); !ok || !members[name] {
			wrong()
		}
		return
	}
	text, isText := value.(string)
	form := map[string]string{"Edm.DateTimeOffset": time.RFC3339Nano, "Edm.Date": time.DateOnly, "Edm.TimeOfDay": "15:04:05.999999999"}[edm]
	switch edm {
	case "Edm.Boolean":
		if _, ok := value.(bool); !ok {
			wrong()
		}
	case "Edm.Int32":
		if n, ok := value.(float64); !ok || n != float64(int32(n)) {
			wrong()
		}
	case "Edm.Double":
		if _, ok := value.(float64); !ok {
			wrong()
		}
	case "Edm.Binary":
		if _, err := base64.StdEncoding.DecodeString(text); !isText || err != nil {
			wrong()
		}
	case "Edm.String", "Edm.Guid":
		if !isText {
			wrong()
		}
	case "Edm.DateTimeOffset", "Edm.Date", "Edm.TimeOfDay":
		if _, err := time.Parse(form, text); !isText || err != nil {
			wrong()
		}
	default:
		object, ok := value.(map[string]any)
		if s.types[edm] == nil && s.lacks(s.cloud+" (type) "+edm) {
			return
		}
		if kind, _ := object["@odata.type"].(string); s.types["graph."+strings.TrimPrefix(kind, "#microsoft.graph.")] != nil {
			edm = "graph." + strings.TrimPrefix(kind, "#microsoft.graph.")
		}
		if !ok || s.types[edm] == nil {
			wrong()
		}
		for name, v := range object {
			if of, annotation, ok := strings.Cut(name, "@"); ok {
				if of != "" {
					s.property(t, edm, of)
				} else if !slices.Contains([]string{"odata.context", "odata.etag", "odata.type", "odata.mediaContentType", "removed"}, annotation) {
					t.Errorf("%s has a @%s", path, annotation)
				}
				continue
			}
			m, _, ok := s.member(edm, name)
			switch {
			case !ok:
				s.property(t, edm, name)
			case v == nil && m.Nullable != "false":
			default:
				s.checkValue(t, path+"."+name, m.Type, v)
			}
		}
	}
}

// contractWire checks what passes through it, each part of a batch for itself.
type contractWire struct {
	t      *testing.T
	schema *schema
	next   http.RoundTripper
}

func (w *contractWire) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/v1.0/") {
		return w.next.RoundTrip(r) // an upload session, which no metadata knows
	}
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	type part struct {
		ID, Method, URL string
		Body            json.RawMessage
	}
	sent := []part{{"", r.Method, r.URL.RequestURI(), body}}
	batch := strings.HasSuffix(r.URL.Path, "/$batch")
	if batch {
		var in struct{ Requests []part }
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, fmt.Errorf("a batch that cannot be read: %w", err)
		}
		sent = in.Requests
	}
	expect := map[string]string{}
	for _, p := range sent {
		if edm, ok := w.schema.checkRequest(w.t, p.Method, p.URL, p.Body); ok {
			expect[p.ID] = edm
		}
	}
	resp, err := w.next.RoundTrip(r)
	if err != nil {
		return resp, err
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	type reply struct {
		ID     string
		Status int
		Body   json.RawMessage
	}
	got := []reply{{"", resp.StatusCode, answer}}
	if batch {
		var out struct{ Responses []reply }
		if err := json.Unmarshal(answer, &out); err != nil {
			return nil, fmt.Errorf("a batch that cannot be read: %w", err)
		}
		got = out.Responses
	}
	for _, p := range got {
		if edm := expect[p.ID]; edm != "" && p.Status/100 == 2 && p.Status != http.StatusNoContent {
			w.schema.checkAnswer(w.t, r.URL.Path, edm, p.Body)
		}
	}
	return resp, nil
}
