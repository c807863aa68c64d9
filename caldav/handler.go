package caldav

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"outbridge/caldav/ics"
)

// Handler serves a Backend over CalDAV at root-relative paths, or what clients take for paths below Prefix. Its fields are not to be changed once it serves.
type Handler struct {
	// Backend is where everything comes from. Required. It may also be a PropertyStore and a PushBackend.
	Backend Backend
	// Log takes server errors at Error and refused requests at Debug. Default: slog.Default().
	Log *slog.Logger
	// Refused is told of every sign-in that the Backend refuses, with the user that was tried. Default: nobody is.
	Refused func(r *http.Request, user string)
	// RefusedWrite is told of every PUT to a writable calendar that is refused for what was sent, before the Backend hears of
	// it, with the sentence that the client gets. Default: nobody is.
	RefusedWrite func(ctx context.Context, c Calendar, name string, r WriteRequest, sentence string)
	// Realm is shown by clients that ask for a password. Default: "CalDAV".
	Realm string
	// Now is the clock for DTSTAMP in free-busy answers. Default: time.Now.
	Now func() time.Time
	// TimeZone returns a VCALENDAR with one VTIMEZONE for an IANA name, for CALDAV:calendar-timezone (RFC 4791
	// §5.2.2), or nil. Default: the property is not there.
	TimeZone func(iana string) []byte
	// Zone finds the time zone of a TZID that is no IANA name, such as one of Windows. Default: there are none.
	Zone func(tzid string) (*time.Location, bool)
	// Export writes all objects of a calendar, each the octets of one, as one calendar, for GET of its collection. It may read
	// them several times, and is not to hold them. Default: a line of text is the answer.
	Export func(w io.Writer, objects func() iter.Seq2[[]byte, error]) error
	// PublicURL is the origin that clients use, such as "https://calendar.example.com", for the answers that need a
	// whole URL. Default: the request's own.
	PublicURL string
	// Prefix is the path before all of the server's own in the URLs that clients use, such as "/cal", without a slash at its end.
	// Whoever passes a request on here takes it away; every href in an answer has it. Default: none.
	Prefix string
	// HTTPS reports whether a client speaks https, for its URL where there is no PublicURL. Default: whether the request
	// came over TLS.
	HTTPS func(*http.Request) bool
	// Context makes the context that the Backend is called with of a request's. Default: it is the request's.
	Context func(context.Context) context.Context
	// RetryAfter is what a client is told to wait after ErrUnavailable. Default: one minute.
	RetryAfter time.Duration

	spans     spanCache
	documents documents
	once      sync.Once // makes those below
	turns     *turns
	large     *turns
	huge      *turns
	exports   *turns
}

// davTokens is the DAV header of every answer (RFC 4918 §10.1). Thunderbird throws the first token away.
const davTokens = "1, 3, access-control, extended-mkcol, calendar-access"

// abilities are what a DAV header has beyond davTokens: WebDAV-Push, RFC 6638 §2, with the token that it had as a draft, which
// Evolution looks for, and RFC 8607 §3.1.
type abilities uint8

const (
	pushes abilities = 1 << iota
	schedules
	keepsFiles
	allAbilities = pushes | schedules | keepsFiles
)

// davHeaders are the DAV headers by abilities. They are the same slices in all answers.
var davHeaders = func() (all [allAbilities + 1][]string) {
	for a := range all {
		tokens := davTokens
		for i, more := range []string{"webdav-push", "calendar-auto-schedule, calendar-schedule", "calendar-managed-attachments"} {
			if a>>i&1 != 0 {
				tokens += ", " + more
			}
		}
		all[a] = []string{tokens}
	}
	return all
}()

// These are the same in many answers, and not to be changed.
var (
	varyCoding      = []string{"Accept-Encoding"}
	varyPreferences = []string{"Accept-Encoding, Brief, Prefer"}
	xmlTypes        = []string{xmlType}
	objectTypes     = []string{objectType}
	notShared       = []string{"private, no-cache"}
)

const (
	allowRead  = "OPTIONS, GET, HEAD, PROPFIND, PROPPATCH, REPORT"
	allowWrite = allowRead + ", PUT, DELETE, COPY, MOVE"
)

// davHeader is "DAV" as net/http keeps it.
const davHeader = "Dav"

const xmlType = "application/xml; charset=utf-8"

// maxDrain is how much of an unread body is read before the answer, so that the connection lives on: Apple's
// clients take a connection that is closed on them for a failure.
const maxDrain = 1 << 20

// exchange is one request with its answer.
type exchange struct {
	reply
	h         *Handler
	ctx       context.Context
	principal Principal
	target    target
	stored    PropertyStore       // nil if the backend keeps no properties
	push      PushBackend         // nil if the backend keeps no subscriptions
	minimal   bool                // Prefer: return=minimal (RFC 8144 §2) or Brief: t
	data      *dataRequest        // what a report wants of calendar-data; nil outside of reports
	ics       ics.Reader          // of all that the request has to read
	zone      floating            // that the request names
	floating  map[string]floating // by calendar, once it has been asked for
	drained   bool                // the body has been read to its end
	can       abilities           // that the DAV header has
	turnsHeld []turn
	firstTurn [1]turn     // room for what nearly all requests hold
	boxes     *Scheduling // once it has been asked for
	missed    int         // octets of names that were answered as not there
	expanded  int         // octets that were made of recurrences
}

// ServeHTTP implements http.Handler. Where an answer has begun and cannot be finished, it breaks the connection
// by http.ErrAbortHandler: an answer that ended well would make a client believe that it has seen everything.
func (h *Handler) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	x := &exchange{reply: newReply(rw, r), h: h, ctx: r.Context(), ics: ics.Reader{Resolve: h.Zone}}
	if h.Context != nil {
		x.ctx = h.Context(x.ctx)
	}
	x.turnsHeld = x.firstTurn[:0]
	defer x.release()
	defer x.giveBack()
	x.idle()
	x.announceAlso(0)
	rw.Header()["Vary"] = varyCoding
	err := x.serve()
	if err != nil && !x.started {
		x.drop()
		x.fail(err)
		err = nil
	}
	if err == nil {
		if !x.drained && r.Body != http.NoBody && r.Header.Get("Expect") == "" {
			_, _ = io.CopyN(io.Discard, r.Body, maxDrain)
		}
		err = x.finish()
	}
	if err != nil {
		if r.Context().Err() == nil {
			h.log().ErrorContext(x.ctx, "answer broken off", "method", r.Method, "path", r.URL.Path, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
}

func (x *exchange) serve() error {
	r := x.req
	user, password, ok := r.BasicAuth()
	if !ok {
		return ErrUnauthorized
	}
	var err error
	if x.principal, err = x.h.Backend.Login(x.ctx, user, password); err != nil {
		if errors.Is(err, ErrUnauthorized) && x.h.Refused != nil {
			x.h.Refused(r, user)
		}
		return err
	}
	if err := x.takeTurn(x.h.turnsOf); err != nil {
		return err
	}
	if isWellKnown(r.URL.Path) && r.Method != http.MethodOptions {
		// 307 is the one redirect that every client follows with its method kept.
		x.rw.Header().Set("Location", x.outside(rootPath))
		x.status = http.StatusTemporaryRedirect
		return nil
	}
	path := r.URL.EscapedPath()
	if path == "*" || path == "" || isWellKnown(r.URL.Path) {
		path = "/"
	}
	x.push, _ = x.h.Backend.(PushBackend)
	if id, ok := strings.CutPrefix(path, registrationPath); ok {
		return x.registration(id)
	}
	if id, ok := strings.CutPrefix(path, attachmentsPath); ok {
		return x.attachment(id)
	}
	if x.target, err = parsePath(path); err != nil {
		if r.Method == http.MethodPut {
			return x.refusedName(path, err)
		}
		return err
	}
	if u := x.target.user; u != "" && u != x.principal.Name {
		return ErrNotFound
	}
	x.stored, _ = x.h.Backend.(PropertyStore)
	if err := x.announce(); err != nil {
		return err
	}
	if c := r.Header.Get("Content-Encoding"); c != "" && !strings.EqualFold(c, "identity") {
		x.rw.Header().Set("Accept-Encoding", "identity") // RFC 9110 §12.5.3
		return &statusError{status: http.StatusUnsupportedMediaType, sentence: "send the request body without a content coding"}
	}
	switch r.Method {
	case http.MethodOptions:
		return x.options()
	case http.MethodGet, http.MethodHead:
		return x.get()
	case "PROPFIND":
		return x.propfind()
	case "PROPPATCH":
		return x.proppatch()
	case "REPORT":
		return x.report()
	case http.MethodPut:
		return x.put()
	case http.MethodDelete:
		return x.delete()
	case http.MethodPost:
		return x.post()
	case "MOVE", "COPY":
		return x.move()
	case "MKCALENDAR", "MKCOL", "LOCK", "UNLOCK", "ACL":
		return x.refuseWrite()
	}
	return &statusError{status: http.StatusMethodNotAllowed, sentence: "method not allowed", allow: allowRead}
}

// turnsOf, largeTurns and hugeTurns make the turns when they are first asked for, since a Handler is made as a literal.
func (h *Handler) turnsOf() *turns {
	h.once.Do(func() {
		h.turns = &turns{each: userTurns, all: allTurns}
		h.large = &turns{each: userLargeTurns, all: allLargeTurns}
		h.exports = &turns{each: userExports, all: allExports}
		h.huge = &turns{each: allHugeTurns, all: allHugeTurns}
	})
	return h.turns
}

func (h *Handler) largeTurns() *turns {
	h.turnsOf()
	return h.large
}

func (h *Handler) exportTurns() *turns {
	h.turnsOf()
	return h.exports
}

func (h *Handler) hugeTurns() *turns {
	h.turnsOf()
	return h.huge
}

// takeTurn waits for a turn, which the request keeps to its end.
func (x *exchange) takeTurn(of func() *turns) error {
	t, err := of().take(x.ctx, x.principal.Name)
	if err == nil {
		x.turnsHeld = append(x.turnsHeld, t)
	}
	return err
}

func (x *exchange) giveBack() {
	for _, t := range x.turnsHeld {
		t.giveBack()
	}
}

// prefers reports whether the Prefer header (RFC 7240) has a preference that is heard here, and says that it was.
func (x *exchange) prefers(preference string) bool {
	for _, v := range x.req.Header.Values("Prefer") {
		for p := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.ReplaceAll(p, " ", ""), preference) {
				if h := x.rw.Header(); !slices.Contains(h["Preference-Applied"], preference) {
					h.Add("Preference-Applied", preference)
				}
				return true
			}
		}
	}
	return false
}

// prefersMinimal reports whether a multistatus is to leave out what is not there (RFC 8144 §2.1, or Microsoft's Brief).
func (x *exchange) prefersMinimal() bool {
	return strings.EqualFold(x.req.Header.Get("Brief"), "t") || x.prefers("return=minimal")
}

// options answers 200 with an empty body: Thunderbird takes a 204 for a failure.
func (x *exchange) options() error {
	allow := allowRead
	if x.target.calendar != "" {
		c, err := x.calendar()
		if err != nil {
			return err
		}
		if c.Writable {
			allow = allowWrite
		}
		if c.Attachments && x.target.kind == kindObject {
			allow += ", POST"
		}
	}
	if x.target.kind == kindOutbox {
		allow += ", POST"
	}
	x.rw.Header().Set("Allow", allow)
	return nil
}

// calendar looks up the calendar of the request path.
func (x *exchange) calendar() (Calendar, error) {
	c, err := x.h.Backend.Calendar(x.ctx, x.principal, x.target.calendar)
	x.announceMore(c.Schedules, c.Attachments)
	return c, err
}

// announce says in the DAV header what there is at the request path beyond davTokens. For calendars, and what is in them, the
// rest is said once they have been looked up; for the collections above them, of which clients ask as well, it is what the
// principal has at all. A box that is not there is ErrNotFound.
func (x *exchange) announce() error {
	switch k := x.target.kind; {
	case k == kindCalendar:
		key, err := x.pushKey()
		if key != nil {
			x.announceAlso(pushes)
		}
		return err
	case k == kindObject:
		return nil
	}
	s, err := x.scheduling()
	if err != nil {
		return err
	}
	if x.target.kind&kindBoxes != 0 && !s.Boxes {
		return ErrNotFound
	}
	limits, err := x.attachmentLimits()
	x.announceMore(s.Boxes, limits != AttachmentLimits{})
	return err
}

// announceMore says that events with guests are sent, and that files are kept.
func (x *exchange) announceMore(scheduling, attachments bool) {
	if scheduling {
		x.announceAlso(schedules)
	}
	if attachments {
		x.announceAlso(keepsFiles)
	}
}

func (x *exchange) announceAlso(more abilities) {
	x.can |= more
	if x.req.Method != "REPORT" { // nobody looks for it there
		x.rw.Header()[davHeader] = davHeaders[x.can]
	}
}

func (h *Handler) log() *slog.Logger {
	if h.Log != nil {
		return h.Log
	}
	return slog.Default()
}
