package convert_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-ical"
	"pgregory.net/rapid"

	"outbridge/bridge/convert"
	"outbridge/bridge/graph"
	"outbridge/bridge/graph/graphsim"
	"outbridge/caldav/ics"
)

// office is a mailbox of the simulated Outlook, and the bridge's client of it.
type office struct {
	sim    *graphsim.Server
	box    *graphsim.Mailbox
	client *graph.Client
}

func newOffice(now time.Time) *office {
	sim := &graphsim.Server{BaseURL: "http://outlook.test", Now: func() time.Time { return now }}
	box := sim.AddMailbox("alice@contoso.example", "Alice", "W. Europe Standard Time")
	authority := &graph.Authority{LoginURL: sim.BaseURL, Tenant: "contoso.example", ClientID: "app", ClientSecret: "secret",
		Scopes: graph.AppScopes(sim.BaseURL), HTTP: sim.Client()}
	return &office{sim, box, &graph.Client{BaseURL: sim.BaseURL + "/v1.0", Mailbox: box.Address(), HTTP: sim.Client(), Tokens: fixedToken{authority}}}
}

// series reads a series as the bridge does; false: it is gone.
func (o *office) series(t *rapid.T, id graph.EventID, zone string) (convert.Series, bool) {
	res := o.client.Masters(t.Context(), "", []graph.MasterRef{{ID: id, Zone: zone}})[0]
	if graph.IsNotFound(res.Err) {
		return convert.Series{}, false
	}
	if res.Err != nil {
		t.Fatal(res.Err)
	}
	return convert.Series{Event: res.Event, MailboxZone: "W. Europe Standard Time", Owner: o.box.Address(), Scheduling: true}, true
}

// carryOut runs the steps of a plan, reading the series before each of them.
func (o *office) carryOut(t *rapid.T, s convert.Series, plan convert.Plan) {
	ctx, id, zone := t.Context(), s.Event.ID, s.Event.OriginalStartTimeZone
	for _, step := range plan.Steps {
		s, ok := o.series(t, id, zone)
		if !ok {
			t.Fatalf("%s of what is gone", step.Op)
		}
		target, etag := id, s.Event.ETag
		if step.Occurrence != "" {
			target, etag = graph.OccurrenceID(id, step.Occurrence), ""
			for _, e := range s.Event.ExceptionOccurrences {
				if graph.OccurrenceDate(e.OccurrenceID) == step.Occurrence {
					target, etag = e.ID, e.ETag
				}
			}
		}
		var err error
		switch step.Op {
		case convert.OpUpdate:
			_, err = o.client.Update(ctx, "", target, etag, zone, step.Fields)
		case convert.OpDelete:
			err = o.client.Delete(ctx, "", target, etag)
		case convert.OpCancel:
			err = o.client.Cancel(ctx, "", target, step.Comment)
		case convert.OpAccept, convert.OpTentative, convert.OpDecline:
			err = o.client.Respond(ctx, "", target, string(step.Op), step.Comment, !step.Silent)
		default:
			t.Fatalf("a step %q", step.Op)
		}
		if err != nil {
			t.Fatalf("%s %s %s: %v", step.Op, step.Occurrence, step.Fields, err)
		}
	}
}

// foreseen compares the mails of a plan with those that were sent.
func (o *office) foreseen(t *rapid.T, plan convert.Plan) {
	count := map[string]int{}
	for _, step := range plan.Steps {
		for _, m := range step.Mails {
			for _, to := range m.To {
				count[m.Kind+" "+strings.ToLower(to)]++
			}
		}
	}
	for _, m := range o.sim.Mails() {
		for _, to := range m.To {
			count[m.Kind+" "+to]--
		}
	}
	for what, n := range count {
		if n != 0 {
			t.Fatalf("foreseen and sent differ by %d %s", n, what)
		}
	}
	o.sim.ResetMails()
}

var (
	simZones = []string{"W. Europe Standard Time", "Pacific Standard Time", "India Standard Time", "UTC", "America/Sao_Paulo"}
	simNow   = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
)

// drawEvent is an event of the mailbox's own, half of them series, a third of them meetings.
func drawEvent(t *rapid.T) graphsim.Event {
	e := graphsim.Event{Subject: "Event", Body: "<p>Some text</p>", Location: "Room 5", AllDay: rapid.IntRange(0, 4).Draw(t, "allday") == 0,
		Zone: rapid.SampledFrom(simZones).Draw(t, "zone"), ShowAs: rapid.SampledFrom([]string{"busy", "free", "tentative", "oof"}).Draw(t, "showAs")}
	e.Start = simNow.Truncate(24*time.Hour).AddDate(0, 0, rapid.IntRange(1, 200).Draw(t, "day"))
	e.End = e.Start.AddDate(0, 0, 1)
	if !e.AllDay {
		e.Start = e.Start.Add(time.Duration(rapid.IntRange(5, 20).Draw(t, "hour")) * time.Hour)
		e.End = e.Start.Add(time.Duration(rapid.IntRange(1, 8).Draw(t, "quarters")) * 15 * time.Minute)
	}
	if rapid.Bool().Draw(t, "meeting") {
		for _, name := range []string{"ada", "bo"} {
			e.Attendees = append(e.Attendees, graph.Attendee{Type: "required", EmailAddress: graph.EmailAddress{Name: name, Address: name + "@example.org"}})
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "series") > 0 {
		r := graph.Recurrence{Pattern: graph.RecurrencePattern{Type: "weekly", Interval: rapid.IntRange(1, 2).Draw(t, "interval"), FirstDayOfWeek: "monday",
			DaysOfWeek: []string{strings.ToLower(e.Start.Weekday().String()), "wednesday"}}, Range: graph.RecurrenceRange{Type: "numbered", NumberOfOccurrences: 12}}
		if rapid.Bool().Draw(t, "daily") {
			r.Pattern = graph.RecurrencePattern{Type: "daily", Interval: rapid.IntRange(1, 3).Draw(t, "days")}
		}
		e.Recurrence = &r
	}
	return e
}

// simEdit is something that a person does in a client.
type simEdit struct {
	name string
	do   func(t *rapid.T, cal *ical.Calendar)
}

func veventsOf(cal *ical.Calendar) []*ical.Component {
	return ics.Children(cal.Component, ical.CompEvent)
}

func put(c *ical.Component, name, value string) {
	p := ical.NewProp(name)
	p.Value = value
	c.Props.Set(p)
}

// pick is one of the components.
func pick(t *rapid.T, cal *ical.Calendar) *ical.Component {
	return rapid.SampledFrom(veventsOf(cal)).Draw(t, "component")
}

// shift moves the times of a component.
func shift(c *ical.Component, by time.Duration, names ...string) {
	for _, name := range names {
		for i := range c.Props[name] {
			p := &c.Props[name][i]
			m, err := ics.ParseMoment(p.Value, time.UTC)
			if err != nil {
				continue
			}
			form := ics.WallForm
			if m.Date {
				form = ics.DateForm
				if by%(24*time.Hour) != 0 {
					continue
				}
			} else if strings.HasSuffix(p.Value, "Z") {
				form = ics.UTCForm
			}
			p.Value = m.Wall.Add(by).Format(form)
		}
	}
}

var simEdits = []simEdit{
	{"rename", func(t *rapid.T, cal *ical.Calendar) {
		put(pick(t, cal), "SUMMARY", rapid.SampledFrom([]string{"New", "Newer", "Event"}).Draw(t, "summary"))
	}},
	{"place", func(t *rapid.T, cal *ical.Calendar) { put(pick(t, cal), "LOCATION", "Elsewhere") }},
	{"describe", func(t *rapid.T, cal *ical.Calendar) {
		put(pick(t, cal), "DESCRIPTION", rapid.SampledFrom([]string{"One line", `Two\n\nlines`, "<b>no HTML</b> & so on"}).Draw(t, "text"))
	}},
	{"free", func(t *rapid.T, cal *ical.Calendar) { put(pick(t, cal), "TRANSP", "TRANSPARENT") }},
	{"categories", func(t *rapid.T, cal *ical.Calendar) { put(pick(t, cal), "CATEGORIES", `One,Two\, three`) }},
	{"class", func(t *rapid.T, cal *ical.Calendar) { put(pick(t, cal), "CLASS", "PRIVATE") }},
	{"priority", func(t *rapid.T, cal *ical.Calendar) { put(pick(t, cal), "PRIORITY", "1") }},
	{"alarm", func(t *rapid.T, cal *ical.Calendar) {
		c := pick(t, cal)
		c.Children = nil
		if rapid.Bool().Draw(t, "on") {
			a := ical.NewComponent(ical.CompAlarm)
			put(a, "ACTION", "DISPLAY")
			put(a, "DESCRIPTION", "x")
			put(a, "TRIGGER", "-PT20M")
			c.Children = []*ical.Component{a}
		}
	}},
	{"move one later", func(t *rapid.T, cal *ical.Calendar) {
		c := pick(t, cal)
		if c.Props.Get("RRULE") == nil {
			shift(c, 45*time.Minute, "DTSTART", "DTEND")
		}
	}},
	{"move all later", func(t *rapid.T, cal *ical.Calendar) {
		c := veventsOf(cal)[0]
		shift(c, time.Hour, "DTSTART", "DTEND", "EXDATE")
		for _, o := range veventsOf(cal)[1:] {
			shift(o, time.Hour, "RECURRENCE-ID")
		}
	}},
	{"uninvite", func(t *rapid.T, cal *ical.Calendar) {
		c := veventsOf(cal)[0]
		c.Props["ATTENDEE"] = slices.DeleteFunc(c.Props["ATTENDEE"], func(p ical.Prop) bool { return strings.Contains(p.Value, "ada@") })
	}},
	{"invite", func(t *rapid.T, cal *ical.Calendar) {
		c := veventsOf(cal)[0]
		put(c, "ORGANIZER", "mailto:alice@contoso.example")
		p := ical.NewProp("ATTENDEE")
		p.Value = "mailto:cy@example.org"
		c.Props.Add(p)
	}},
	{"remove one", func(t *rapid.T, cal *ical.Calendar) {
		c := veventsOf(cal)[0]
		if i, ok := occurrenceOf(t, cal); ok {
			p := ical.NewProp("EXDATE")
			p.Value = i.Start.Format(ics.UTCForm)
			if i.AllDay() {
				p.Value = i.Clock.Wall.Format(ics.DateForm)
				p.Params.Set("VALUE", "DATE")
			}
			c.Props.Add(p)
		}
	}},
	{"change one", func(t *rapid.T, cal *ical.Calendar) {
		before := len(cal.Children)
		change(t, cal)
		if len(cal.Children) == before {
			return
		}
		c := cal.Children[before]
		put(c, "SUMMARY", "Changed")
		if rapid.Bool().Draw(t, "moved") {
			shift(c, 30*time.Minute, "DTSTART", "DTEND")
		}
	}},
	{"revert one", func(t *rapid.T, cal *ical.Calendar) {
		if list := veventsOf(cal); len(list) > 1 {
			gone := list[len(list)-1]
			cal.Children = slices.DeleteFunc(cal.Children, func(c *ical.Component) bool { return c == gone })
		}
	}},
	{"shorten", func(t *rapid.T, cal *ical.Calendar) {
		if p := veventsOf(cal)[0].Props.Get("RRULE"); p != nil {
			p.Value = strings.Replace(p.Value, "COUNT=12", "COUNT=6", 1)
		}
	}},
	{"no series", func(t *rapid.T, cal *ical.Calendar) {
		c := veventsOf(cal)[0]
		c.Props.Del("RRULE")
		c.Props.Del("EXDATE")
		cal.Children = slices.DeleteFunc(cal.Children, func(x *ical.Component) bool { return x.Name == ical.CompEvent && x != c })
	}},
	{"all day", func(t *rapid.T, cal *ical.Calendar) {
		c := veventsOf(cal)[0]
		if c.Props.Get("RRULE") != nil {
			return
		}
		r := &ics.Reader{Resolve: convert.Zone}
		i, err := r.Event(cal, c)
		if err != nil {
			t.Fatal(err)
		}
		for name, d := range map[string]time.Time{"DTSTART": i.Clock.Wall, "DTEND": i.Clock.Wall.AddDate(0, 0, 1)} {
			p := ical.NewProp(name)
			p.Value = d.Format(ics.DateForm)
			p.Params.Set("VALUE", "DATE")
			c.Props.Set(p)
		}
	}},
}

func firstWall(t *rapid.T, cal *ical.Calendar) time.Time {
	r := &ics.Reader{Resolve: convert.Zone}
	i, err := r.Event(cal, veventsOf(cal)[0])
	if err != nil {
		t.Fatal(err)
	}
	return i.Clock.Wall
}

// occurrenceOf is a plain occurrence of a series, but for the first.
func occurrenceOf(t *rapid.T, cal *ical.Calendar) (ics.Instance, bool) {
	if veventsOf(cal)[0].Props.Get("RRULE") == nil {
		return ics.Instance{}, false
	}
	r := &ics.Reader{Resolve: convert.Zone}
	list, err := r.Expand(cal, ics.Span{Start: simNow.AddDate(-1, 0, 0), End: simNow.AddDate(2, 0, 0)})
	if err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(i ics.Instance) bool { return i.Override })
	if len(list) < 2 {
		return ics.Instance{}, false
	}
	return rapid.SampledFrom(list[1:]).Draw(t, "occurrence"), true
}

// clearCopy is an object as a client has it: octets that were read.
func clearCopy(t *rapid.T, cal *ical.Calendar) *ical.Calendar {
	b, err := ics.Append(nil, cal.Component)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ics.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestPlansConverge edits random events as clients do, carries the plans out in the simulated Outlook, and reads what has
// become of them: the same edit of it is nothing to do any more, and who was mailed is who was to be.
func TestPlansConverge(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		o := newOffice(simNow)
		e := drawEvent(t)
		id := o.box.Calendar().Create(e)
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			s, ok := o.series(t, id, e.Zone)
			if !ok {
				return
			}
			cal, _, err := convert.ToICS(s)
			if err != nil {
				return // nothing is left of it
			}
			want := clearCopy(t, cal)
			var names []string
			for range rapid.IntRange(1, 2).Draw(t, "edits") {
				edit := rapid.SampledFrom(simEdits).Draw(t, "edit")
				names = append(names, edit.name)
				edit.do(t, want)
			}
			if !o.settle(t, id, e.Zone, cal, want, names) {
				return
			}
		}
		if v := o.sim.Violations(); len(v) > 0 {
			t.Fatalf("%s", strings.Join(v, "\n"))
		}
	})
}

// answerEdits are what a person does with an invitation.
var answerEdits = []simEdit{
	{"accept", func(t *rapid.T, cal *ical.Calendar) { answerIn(pick(t, cal), "ACCEPTED") }},
	{"tentative", func(t *rapid.T, cal *ical.Calendar) { answerIn(pick(t, cal), "TENTATIVE") }},
	{"decline", func(t *rapid.T, cal *ical.Calendar) { answerIn(pick(t, cal), "DECLINED") }},
	{"accept all", func(t *rapid.T, cal *ical.Calendar) { answerIn(veventsOf(cal)[0], "ACCEPTED") }},
	{"answer one", func(t *rapid.T, cal *ical.Calendar) {
		before := len(cal.Children)
		change(t, cal)
		if len(cal.Children) > before {
			answerIn(cal.Children[before], rapid.SampledFrom([]string{"ACCEPTED", "TENTATIVE", "DECLINED"}).Draw(t, "answer"))
		}
	}},
	{"old text", func(t *rapid.T, cal *ical.Calendar) { put(pick(t, cal), "SUMMARY", "An old title") }},
}

func answerIn(c *ical.Component, partstat string) {
	for i := range c.Props["ATTENDEE"] {
		if p := &c.Props["ATTENDEE"][i]; strings.Contains(p.Value, "alice@") {
			p.Params.Set("PARTSTAT", partstat)
			delete(p.Params, "RSVP")
		}
	}
	if partstat != "DECLINED" { // as Thunderbird does
		put(c, "STATUS", map[string]string{"ACCEPTED": "CONFIRMED", "TENTATIVE": "TENTATIVE"}[partstat])
	}
}

// change adds an override of some occurrence, as it is.
func change(t *rapid.T, cal *ical.Calendar) {
	i, ok := occurrenceOf(t, cal)
	if !ok {
		return
	}
	c := *i.Event
	c.Props = ical.Props{}
	for name, props := range i.Event.Props {
		if name == "RRULE" || name == "EXDATE" || name == "RDATE" {
			continue
		}
		for _, p := range props {
			p.Params = maps.Clone(p.Params)
			c.Props.Add(&p)
		}
	}
	shift(&c, i.Clock.Wall.Sub(firstWall(t, cal)), "DTSTART", "DTEND")
	id := c.Props["DTSTART"][0]
	id.Name = "RECURRENCE-ID"
	c.Props["RECURRENCE-ID"] = []ical.Prop{id}
	cal.Children = append(cal.Children, &c)
}

// TestAnswersConverge is TestPlansConverge for invitations.
func TestAnswersConverge(t *testing.T) {
	t.Parallel()
	own := slices.DeleteFunc(slices.Clone(simEdits), func(e simEdit) bool {
		return !slices.Contains([]string{"free", "categories", "class", "alarm", "remove one"}, e.name)
	})
	edits := append(own, answerEdits...)
	rapid.Check(t, func(t *rapid.T) {
		o := newOffice(simNow)
		e := drawEvent(t)
		e.Organizer = graph.EmailAddress{Name: "Boss", Address: "boss@example.org"}
		e.Attendees = append(e.Attendees, graph.Attendee{Type: "required", EmailAddress: graph.EmailAddress{Name: "Alice", Address: o.box.Address()}})
		id := o.box.Receive(e)
		for range rapid.IntRange(1, 3).Draw(t, "rounds") {
			s, ok := o.series(t, id, e.Zone)
			if !ok {
				return
			}
			cal, _, err := convert.ToICS(s)
			if err != nil {
				return
			}
			want := clearCopy(t, cal)
			edit := rapid.SampledFrom(edits).Draw(t, "edit")
			edit.do(t, want)
			if !o.settle(t, id, e.Zone, cal, want, []string{edit.name}) {
				return
			}
		}
		if v := o.sim.Violations(); len(v) > 0 {
			t.Fatalf("%s", strings.Join(v, "\n"))
		}
	})
}

// settle carries out what a client wants, as often as the simulation forgets exceptions; false: the event is gone or refused.
func (o *office) settle(t *rapid.T, id graph.EventID, zone string, base, want *ical.Calendar, names []string) bool {
	resets, again := false, false
	ofSeries := map[string]bool{} // fields that were changed of the series, which its modified occurrences follow where they had the same
	for round := range 4 {
		s, ok := o.series(t, id, zone)
		if !ok {
			return false
		}
		now, _, err := convert.ToICS(s)
		if err != nil {
			return false
		}
		replanned := again
		edit := convert.Edit{Base: clearCopy(t, base), Current: clearCopy(t, now), New: clearCopy(t, want), Series: s,
			Addresses: []string{o.box.Address()}, Client: "Thunderbird/128.0"}
		if round > 0 && !again {
			edit.Base, edit.Repair = nil, true
		}
		again = false
		plan, _, err := convert.FromICS(edit)
		if err != nil {
			if r, ok := err.(*convert.Refusal); !ok || round > 0 {
				t.Fatalf("%v round %d: %v\n%s", names, round, err, text(want))
			} else {
				t.Logf("%v: %v", names, r)
				return true
			}
		}
		for _, step := range plan.Steps {
			for _, name := range fieldNames(step) {
				if round == 0 && step.Occurrence == "" {
					ofSeries[name] = true
				}
			}
		}
		if !slices.ContainsFunc(plan.Steps, func(s convert.Step) bool {
			return round == 0 || s.Occurrence == "" || len(s.Fields) == 0 || slices.ContainsFunc(fieldNames(s), func(name string) bool { return !ofSeries[name] })
		}) {
			return true
		}
		if round > 2 || round > 0 && !resets && !replanned {
			b, _ := json.Marshal(plan)
			t.Fatalf("%v round %d: still to do: %s\n%s\nis\n%s", names, round, b, text(want), text(now))
		}
		// What the occurrences are once the series has changed is to be seen: those follow that had the same.
		if n := slices.IndexFunc(plan.Steps, func(s convert.Step) bool { return s.Occurrence != "" }); round == 0 && n > 0 {
			plan.Steps = plan.Steps[:n]
			again = true
		}
		resets = resets || slices.ContainsFunc(plan.Steps, func(s convert.Step) bool { return s.Resets })
		o.carryOut(t, s, plan)
		o.foreseen(t, plan)
		if resets {
			o.sim.ResetViolations() // exceptions that are made once more are told once more
		}
	}
	return true
}

func fieldNames(s convert.Step) []string {
	var f map[string]json.RawMessage
	_ = json.Unmarshal(s.Fields, &f) // nil where the step has none
	if f["reminderMinutesBeforeStart"] != nil {
		f["isReminderOn"] = f["reminderMinutesBeforeStart"] // one of them says as much
		delete(f, "reminderMinutesBeforeStart")
	}
	return slices.Collect(maps.Keys(f))
}

func text(cal *ical.Calendar) string {
	b, _ := ics.Append(nil, cal.Component)
	return string(b)
}
