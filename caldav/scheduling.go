package caldav

import (
	"cmp"
	"mime"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-ical"

	"outbridge/caldav/ics"
)

// Scheduling (RFC 6638): the two boxes of a principal, and free-busy requests. Invitations and answers are what a backend
// makes of writes; no message is ever in the inbox.

const (
	maxRecipients  = 100       // of a free-busy request
	maxBusyRequest = 256 << 10 // octets
)

// inboxToken is the one state of an inbox.
var inboxToken = Token{Epoch: "inbox"}

// scheduling is what the principal has of it, asked for once.
func (x *exchange) scheduling() (Scheduling, error) {
	b, ok := x.h.Backend.(ScheduleBackend)
	if !ok {
		return Scheduling{}, nil
	}
	if x.boxes == nil {
		s, err := b.Scheduling(x.ctx, x.principal)
		if err != nil {
			return s, err
		}
		x.boxes = &s
	}
	return *x.boxes, nil
}

// boxURL is the property of a principal that names a box.
func boxURL(href func(user string) string) func(*exchange, *resource) (bool, error) {
	return func(x *exchange, _ *resource) (bool, error) {
		s, err := x.scheduling()
		x.raw("<href>" + x.outside(href(x.principal.Name)) + "</href>")
		return s.Boxes, err
	}
}

// defaultCalendarURL is CALDAV:schedule-default-calendar-URL (RFC 6638 §9.2).
func defaultCalendarURL(x *exchange, _ *resource) (bool, error) {
	s, err := x.scheduling()
	x.raw("<href>" + x.outside(calendarHref(x.principal.Name, s.Default)) + "</href>")
	return s.Default != "", err
}

// syncInbox answers DAV:sync-collection on the inbox, in which nothing ever is.
func (x *exchange) syncInbox(n *node) error {
	s, err := parseSync(n)
	if err != nil {
		return err
	}
	if s.token != "" && s.token != inboxToken.String() {
		return ErrTokenGone
	}
	x.beginMultistatus()
	x.raw("<sync-token>" + inboxToken.String() + "</sync-token>")
	x.endMultistatus()
	return nil
}

// busyRequest is a free-busy request as it was sent (RFC 5546 §3.3.2).
type busyRequest struct {
	within    ics.Span
	uid, mask string
	organizer ical.Prop
	attendees []ical.Prop
}

func badMessage(sentence string) error { return forbidden(validSchedulingMessage).because(sentence) }

// parseBusyRequest reads the body of a POST to an outbox.
func parseBusyRequest(octets []byte) (*busyRequest, error) {
	cal, err := ics.Decode(octets)
	if err != nil {
		return nil, forbidden(ValidCalendarData).because("What was sent is not iCalendar that can be read.")
	}
	var q *ical.Component
	for _, c := range cal.Children {
		switch {
		case c.Name == ical.CompTimezone:
		case c.Name != ical.CompFreeBusy || q != nil:
			return nil, badMessage("Only free-busy requests can be sent here. Invitations and answers are sent for you when the event is saved.")
		default:
			q = c
		}
	}
	method := cal.Props.Get(ical.PropMethod)
	if q == nil || method == nil || !strings.EqualFold(strings.TrimSpace(method.Value), "REQUEST") {
		return nil, badMessage("Only free-busy requests can be sent here: a VFREEBUSY with METHOD:REQUEST.")
	}
	r := &busyRequest{attendees: q.Props["ATTENDEE"]}
	text := func(name string) string {
		if p := q.Props.Get(name); p != nil {
			return strings.TrimSpace(p.Value)
		}
		return ""
	}
	for name, t := range map[string]*time.Time{"DTSTART": &r.within.Start, "DTEND": &r.within.End} {
		m, err := ics.ParseMoment(text(name), nil)
		if err != nil || m.Loc != time.UTC || m.Wall.Year() < 1 {
			return nil, badMessage("A free-busy request needs its DTSTART and its DTEND in UTC.")
		}
		*t = m.Wall
	}
	if !r.within.Start.Before(r.within.End) {
		return nil, badMessage("The free-busy request ends before it starts.")
	}
	r.uid, r.mask = text("UID"), text("X-CALENDARSERVER-MASK-UID")
	switch p := q.Props.Get("ORGANIZER"); {
	case p == nil:
		return nil, badMessage("A free-busy request needs an ORGANIZER.")
	case len(r.attendees) == 0:
		return nil, badMessage("A free-busy request needs an ATTENDEE.")
	case len(r.attendees) > maxRecipients:
		return nil, forbidden(MaxAttendeesPerInstance).because("Up to 100 people can be asked about at once.")
	default:
		r.organizer = *p
	}
	return r, nil
}

// mailAddress is the plain address of a calendar user address, "" where it is none.
func mailAddress(s string) string {
	s = strings.TrimSpace(s)
	if len(s) < len("mailto:") || !strings.EqualFold(s[:len("mailto:")], "mailto:") {
		return ""
	}
	s, _, _ = strings.Cut(s[len("mailto:"):], "?")
	a, err := url.PathUnescape(s)
	local, domain, ok := strings.Cut(a, "@")
	if err != nil || !ok || local == "" || domain == "" || len(a) > 320 || strings.ContainsAny(a, " \t\r\n<>\"") {
		return ""
	}
	return a
}

// userAddress is the plain address of a calendar user address, which may be the principal itself.
func (x *exchange) userAddress(s string, own []string) string {
	if a := mailAddress(s); a != "" {
		return a
	}
	t, err := x.parseHref(strings.TrimSpace(s))
	if err == nil && t.kind == kindPrincipal && t.user == x.principal.Name && len(own) > 0 {
		return own[0]
	}
	return ""
}

// askBusy answers a POST to the outbox (RFC 6638 §5). Who is asking, and about whom, is said in the body: the headers
// Originator and Recipient, of a draft, are not looked at.
func (x *exchange) askBusy() error {
	b, ok := x.h.Backend.(ScheduleBackend)
	if !ok {
		return ErrNotFound
	}
	t, params, err := mime.ParseMediaType(x.req.Header.Get("Content-Type"))
	if err == nil && t != "text/calendar" && t != "text/plain" {
		return forbidden(SupportedCalendarData).because("Only requests in the format iCalendar (text/calendar) are understood here.")
	}
	sent, err := x.readBody(maxBusyRequest, forbidden(MaxResourceSize).because("The request is too long."))
	if err != nil {
		return err
	}
	octets, ok := toUTF8(sent, params["charset"])
	if !ok {
		return forbidden(ValidCalendarData).because("The request is in a character encoding that is not understood. Send it as UTF-8.")
	}
	r, err := parseBusyRequest(octets)
	if err != nil {
		return err
	}
	own, err := x.addresses()
	if err != nil {
		return err
	}
	organizer := x.userAddress(r.organizer.Value, own)
	if !slices.ContainsFunc(own, func(a string) bool { return strings.EqualFold(a, organizer) }) {
		return forbidden(validOrganizer).because("The organizer of a free-busy request has to be the person who is signed in.")
	}
	answers, err := x.busyOf(b, r, own)
	if err != nil {
		return err
	}
	x.rw.Header().Set("Content-Type", xmlType)
	x.beginRoot("C:schedule-response")
	for i, p := range r.attendees {
		if err := x.busyResponse(r, p, answers[i]); err != nil {
			return err
		}
	}
	x.raw("</C:schedule-response>\n")
	return nil
}

// busyOf asks about the attendees, each address once, and returns what is known of each of them.
func (x *exchange) busyOf(b ScheduleBackend, r *busyRequest, own []string) ([]Busy, error) {
	q := BusyQuery{Start: r.within.Start, End: r.within.End, Mask: r.mask, Client: x.req.Header.Get("User-Agent")}
	place := map[string]int{} // of an address in the query
	at := make([]int, len(r.attendees))
	for i, p := range r.attendees {
		at[i] = -1
		a := x.userAddress(p.Value, own)
		if a == "" {
			continue
		}
		key := strings.ToLower(a)
		if _, ok := place[key]; !ok {
			place[key] = len(q.Recipients)
			q.Recipients = append(q.Recipients, a)
		}
		at[i] = place[key]
	}
	var known []Busy
	if len(q.Recipients) > 0 {
		var err error
		if known, err = b.FreeBusy(x.ctx, x.principal, q); err != nil {
			return nil, err
		}
	}
	answers := make([]Busy, len(at))
	for i, n := range at {
		switch {
		case n < 0:
			answers[i].Status = BusyUnknownUser
		case n < len(known):
			answers[i] = known[n]
		default:
			answers[i].Status = BusyUnavailable
		}
	}
	return answers, nil
}

// busyResponse appends the CALDAV:response of one recipient (RFC 6638 §10.2).
func (x *exchange) busyResponse(r *busyRequest, attendee ical.Prop, b Busy) error {
	x.raw("<C:response><C:recipient><href>")
	x.text(strings.TrimSpace(attendee.Value))
	x.raw("</href></C:recipient><C:request-status>")
	x.text(string(cmp.Or(b.Status, BusyKnown)))
	x.raw("</C:request-status>")
	if cmp.Or(b.Status, BusyKnown) == BusyKnown {
		x.raw("<C:calendar-data>")
		text, err := x.busyReply(r, attendee, b.Periods)
		if err != nil {
			return err
		}
		x.buf = appendData(x.buf, text, false)
		x.raw("</C:calendar-data>")
	}
	x.raw("</C:response>")
	return x.flush()
}

// busyReply is the VFREEBUSY that answers for one recipient (RFC 5546 §3.3.3).
func (x *exchange) busyReply(r *busyRequest, attendee ical.Prop, periods []BusyPeriod) ([]byte, error) {
	c := ical.NewComponent(ical.CompFreeBusy)
	set := func(name, value string) {
		c.Props[name] = []ical.Prop{{Name: name, Params: ical.Params{}, Value: value}}
	}
	if r.uid != "" {
		set("UID", r.uid)
	}
	set("DTSTAMP", x.h.now().UTC().Format(ics.UTCForm))
	set("DTSTART", r.within.Start.Format(ics.UTCForm))
	set("DTEND", r.within.End.Format(ics.UTCForm))
	set("ORGANIZER", r.organizer.Value)
	set("ATTENDEE", attendee.Value)
	var busy []BusyPeriod
	for _, p := range periods {
		if p.Start.Before(r.within.Start) {
			p.Start = r.within.Start
		}
		if p.End.After(r.within.End) {
			p.End = r.within.End
		}
		if p.Start.Before(p.End) {
			busy = append(busy, p)
		}
	}
	slices.SortStableFunc(busy, func(a, b BusyPeriod) int { return a.Start.Compare(b.Start) })
	if len(busy) > maxBusy {
		return nil, forbidden(matchesWithinLimits)
	}
	for _, p := range busy {
		f := ical.Prop{Name: "FREEBUSY", Params: ical.Params{}, Value: p.Start.UTC().Format(ics.UTCForm) + "/" + p.End.UTC().Format(ics.UTCForm)}
		f.Params.Set("FBTYPE", string(cmp.Or(p.Type, Busily)))
		c.Props["FREEBUSY"] = append(c.Props["FREEBUSY"], f)
	}
	cal := ical.NewCalendar()
	cal.Props = ical.Props{}
	for name, value := range map[string]string{"VERSION": "2.0", "PRODID": "-//outbridge//CalDAV//EN", "METHOD": "REPLY"} {
		cal.Props[name] = []ical.Prop{{Name: name, Params: ical.Params{}, Value: value}}
	}
	cal.Children = []*ical.Component{c}
	return ics.Append(nil, cal.Component)
}

func (h *Handler) now() time.Time {
	if h.Now != nil {
		return h.Now()
	}
	return time.Now()
}
