package graphsim

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// A refusal is why a write is not done.
type refusal struct {
	status        int
	code, message string
}

func (f *refusal) Error() string { return f.code + ": " + f.message }

func invalid(format string, args ...any) error {
	return &refusal{400, "ErrorPropertyValidationFailure", fmt.Sprintf("At least one property failed validation. "+format, args...)}
}

func (c *call) refuse(err error) response {
	var f *refusal
	switch {
	case errors.As(err, &f):
		return c.fail(f.status, f.code, f.message)
	case errors.Is(err, ErrCrossing):
		return c.fail(400, "ErrorOccurrenceCrossingBoundary", "Modified occurrence is crossing or overlapping adjacent occurrence.")
	}
	return c.fail(404, "", "")
}

// mayWrite tells whether the token and the calendar allow changes.
func (c *call) mayWrite(cal *Calendar) bool {
	switch {
	case !cal.canEdit || c.guest() && !cal.editors[c.token.mailbox]:
		return false
	case c.foreign(cal):
		return c.allowed("Calendars.ReadWrite.Shared")
	}
	return c.allowed("Calendars.ReadWrite", "Calendars.ReadWrite.Shared")
}

// createEvent is POST …/events. A transactionId makes one event only.
func (c *call) createEvent(cal *Calendar) response {
	if !c.mayWrite(cal) {
		return c.fail(403, "", "")
	}
	reminder := 15
	e := Event{ReminderMinutes: &reminder, Zone: "UTC"}
	props, err := c.properties()
	if err == nil {
		err = c.mailbox.apply(props, &e, true)
	}
	if err == nil {
		err = check(e, c.mailbox)
	}
	if err == nil {
		err = checkRange(e)
	}
	if err != nil {
		return c.refuse(err)
	}
	if e.TransactionID == "" {
		c.server.violation("POST of an event without a transactionId")
	} else if t, used := c.mailbox.made[e.TransactionID]; used {
		return c.duplicate(t)
	}
	c.checkRecurrence(props)
	before := cal.before(nil)
	if e.JoinURL != "" && !slices.Contains(cal.providers(), cmp.Or(e.Provider, "teamsForBusiness")) {
		c.server.violation("an online meeting of a provider that the calendar does not have")
	}
	x := cal.create(e)
	before.x, before.state = x, x.copied()
	c.wrote(x, before)
	if e.TransactionID != "" {
		if c.mailbox.made == nil {
			c.mailbox.made = map[string]transaction{}
		}
		c.mailbox.made[e.TransactionID] = transaction{x.n, string(c.body)}
	}
	c.server.mail(x, noDay, MailInvitation, addresses(e.Attendees), c.name())
	return c.written(x, noDay, http.StatusCreated)
}

// duplicate answers a transactionId that was used.
func (c *call) duplicate(t transaction) response {
	if t.body != string(c.body) {
		c.server.violation("a transactionId for another event than the one that it has made")
	}
	status, x := http.StatusBadRequest, c.mailbox.items[t.n-1]
	switch c.server.Writing.Duplicates {
	case DuplicateAsIfMade:
		if x != nil {
			return c.written(x, noDay, http.StatusCreated)
		}
	case DuplicateConflict:
		status = http.StatusConflict
	}
	a := c.fail(status, "ErrorDuplicateTransactionId", duplicateTransaction)
	if x != nil && c.server.Writing.Duplicates != DuplicateUnnamed {
		a.body.(map[string]any)["error"].(map[string]any)["@event.existingEventId"] = x.id(c.prefer.immutable)
	}
	return a
}

// wrote takes note of a write, for what still shows the state before, and of what happens after it.
func (c *call) wrote(x *item, before *moment) {
	x.cal.mailbox.last = before
	c.server.touchLater(x)
}

// name is the request, for the ledger.
func (c *call) name() string { return c.r.Method + " /v1.0/" + c.path }

// noDay is the day of what is no occurrence.
var noDay time.Time

// written answers with the event as it is now.
func (c *call) written(x *item, day time.Time, status int) response {
	a := c.getEvent(x, day)
	if a.status == http.StatusOK {
		a.status = status
	}
	return a
}

// changeEvent is PATCH or DELETE of an event, or POST of one of its actions.
func (c *call) changeEvent(x *item, day time.Time, action string) response {
	if !c.mayWrite(x.cal) {
		return c.fail(403, "", "")
	}
	match := c.r.Header.Get("If-Match")
	if action != "" {
		if match != "" && match != "*" && !strings.HasPrefix(strings.TrimPrefix(match, "W/"), `"`) {
			return c.fail(500, "ErrorInternalServerError", "An internal server error occurred. The operation failed.")
		}
		if c.r.Method != http.MethodPost {
			return c.fail(405, "", "")
		}
		return c.act(x, day, strings.ToLower(action))
	}
	v := x.self()
	if !day.IsZero() {
		v = x.instance(day)
	}
	switch {
	case match == "" && v.kind != graph.Occurrence && (c.r.Method == http.MethodPatch || c.r.Method == http.MethodDelete):
		c.server.violation("%s of %q without If-Match", c.r.Method, v.ev.Subject)
	case match != "" && match != "*" && match != `W/"`+changeKey(x.cal.mailbox, v.version)+`"`:
		return c.fail(412, "", "")
	}
	switch c.r.Method {
	case http.MethodDelete:
		c.delete(x, day)
		return response{status: http.StatusNoContent}
	case http.MethodPatch:
		return c.patch(x, day)
	}
	return c.fail(405, "", "")
}

// delete removes an event or an occurrence. The attendees of a meeting are told, if it is the owner's.
func (c *call) delete(x *item, day time.Time) {
	before, e := x.cal.before(x), x.at(day)
	if e.organizedBy(x.cal.owner()) {
		c.server.mail(x, day, MailCancellation, addresses(e.Attendees), c.name())
	}
	x.remove(day)
	if day.IsZero() {
		m := x.cal.mailbox
		if m.deleted == nil {
			m.deleted = map[int]time.Time{}
		}
		m.deleted[x.n] = c.server.now()
		m.last = before
		return
	}
	c.wrote(x, before)
}

// isDeleted tells whether an id is that of an event that lies in the deleted items.
func (m *Mailbox) isDeleted(id string, now time.Time) bool {
	p, ok := parseID(id)
	at, gone := m.deleted[p.n]
	return ok && gone && p.tag == m.tag && p.orig.IsZero() && now.Sub(at) < deletedFor
}

func (c *call) patch(x *item, day time.Time) response {
	props, err := c.properties()
	if err != nil {
		return c.refuse(err)
	}
	before := x.ev.clone()
	if !day.IsZero() {
		before = x.exceptionDraft(day)
		if props["recurrence"] != nil {
			return c.refuse(invalid("An occurrence has no recurrence."))
		}
	}
	e := before.clone()
	if err = x.cal.mailbox.apply(props, &e, false); err == nil {
		err = check(e, x.cal.mailbox)
	}
	if err == nil && props["recurrence"] != nil {
		err = checkRange(e)
	}
	if err == nil && !day.IsZero() && x.crosses(day, e, !c.server.Writing.PassDeleted) {
		err = ErrCrossing
	}
	if err != nil {
		return c.refuse(err)
	}
	c.checkPatch(x, props, before)
	past, exceptions := x.cal.before(x), map[time.Time][]graph.Attendee{}
	if day.IsZero() {
		for d := range x.exceptions {
			exceptions[d] = x.at(d).Attendees
		}
	}
	if err := c.change(x, day, e, props); err != nil {
		return c.refuse(err)
	}
	c.wrote(x, past)
	x.announce(day, before, x.at(day), visible(props), exceptions, c.name())
	return c.written(x, day, http.StatusOK)
}

// change makes an event or occurrence what it is to be. A series whose times or recurrence are sent, changed or not, loses its exceptions
// and cancellations, where Writing does not say otherwise.
func (c *call) change(x *item, day time.Time, e Event, props map[string]json.RawMessage) error {
	retimes := false
	for name := range props {
		retimes = retimes || slices.Contains([]string{"start", "end", "isallday", "recurrence"}, strings.ToLower(name))
	}
	if !day.IsZero() || x.series == nil || !retimes {
		return x.edit(day, func(into *Event) { *into = e })
	}
	was := x.copied()
	c.server.forgetOccurrences(x)
	if err := x.set(e); err != nil {
		return err
	}
	if x.gen == was.gen { // nothing differs
		if err := x.reset(x.ev); err != nil {
			return err
		}
	}
	keep := c.server.Writing
	for d, exception := range was.exceptions {
		if keep.KeepExceptions && x.series != nil && x.series.has(d) {
			x.exceptions[d] = exception
			x.files[d] = was.files[d]
		}
	}
	for d := range was.cancelled {
		if keep.KeepCancellations && x.series != nil && x.series.has(d) {
			x.cancelled[d] = true
		}
	}
	x.update()
	return nil
}

// visible tells whether attendees see anything of a change, but for who else attends.
func visible(props map[string]json.RawMessage) bool {
	for name := range props {
		lower := strings.ToLower(name)
		if lower != "attendees" && !strings.HasPrefix(name, "@") && !slices.Contains(silent, lower) && !slices.Contains(ignored, lower) {
			return true
		}
	}
	return false
}

// answer is the body of an action.
type answer struct {
	Comment         string
	SendResponse    *bool
	ProposedNewTime *struct{ Start, End graph.DateTimeTimeZone }
}

// act is accept, tentativelyAccept, decline or cancel, of the whole event or of one occurrence.
func (c *call) act(x *item, day time.Time, action string) response {
	var in answer
	if len(bytes.TrimSpace(c.body)) > 0 {
		if err := json.Unmarshal(c.body, &in); err != nil {
			return c.fail(400, "BadRequest", "Unable to read JSON request payload.")
		}
	}
	e := x.at(day)
	own := e.organizedBy(x.cal.owner())
	given, isAnswer := map[string]string{"accept": "accepted", "tentativelyaccept": "tentativelyAccepted", "decline": "declined"}[action]
	told := in.SendResponse == nil || *in.SendResponse
	switch {
	case action == "permanentdelete":
		c.server.violation("permanentDelete of %q", e.Subject)
		c.delete(x, day)
		return response{status: http.StatusNoContent}
	case action != "cancel" && !isAnswer:
		return c.unknownSegment(action)
	case action == "cancel" && !own:
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. You need to be an organizer to cancel a meeting.")
	case isAnswer && own:
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. You can't respond to this meeting because you're the meeting organizer.")
	case in.ProposedNewTime != nil && (!told || e.NoProposals || action == "accept"):
		return c.fail(400, "ErrorInvalidRequest", "Your request can't be completed. A new time cannot be proposed.")
	case action == "cancel":
		c.delete(x, day)
		return response{status: http.StatusAccepted}
	}
	if told {
		c.server.reply(x, day, given, c.name())
	}
	if action == "decline" {
		c.delete(x, day)
		return response{status: http.StatusAccepted}
	}
	before := x.cal.before(x)
	if err := x.edit(day, func(e *Event) { e.answer(given, c.server.now()) }); err != nil {
		return c.refuse(err)
	}
	c.wrote(x, before)
	return response{status: http.StatusAccepted}
}
