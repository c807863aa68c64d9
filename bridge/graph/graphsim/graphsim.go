// Package graphsim is a simulated Outlook: Microsoft's login service and the calendar part of Microsoft Graph
// v1.0, served over HTTP from memory. It is the other side of the demo and of every test.
//
// It behaves like the real service as far as that is documented or was observed, surprises included: occurrences
// in a delta are skeletal, a deleted occurrence has no tombstone, tombstones come for events outside the window,
// a calendar view pages by ten. Where nobody knows what the real service does, a field of Server chooses.
//
// A mailbox is edited through Mailbox and Calendar, as a person does in Outlook, and Calendar.Instances says what
// Outlook would show. The expansion of recurrences shares no code with the converter, so that each checks the
// other.
//
// Invariants: one lock guards all state, and of the functions that others supply only Server.Now and the edit
// functions are called while it is held; a page of a delta round shows the calendar as it was when the round began.
package graphsim

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server serves the login service (/{tenant}/oauth2/v2.0/devicecode, token and authorize, and /devicelogin, where
// a person approves a device code) and Graph (/v1.0/…) at one origin. The zero value is ready. Fields must not be
// changed while requests run.
type Server struct {
	Now       func() time.Time // nil: time.Now
	BaseURL   string           // origin used in links; "": that of the request
	Log       *slog.Logger     // nil: no log
	ClientID  string           // others get AADSTS700016; "": any is accepted
	TokenLife time.Duration    // of access tokens; 0: one hour

	// ClientSecret is the application's; "": any is accepted, and sign-ins of users need none.
	ClientSecret string
	// Certificates are those of the application: client assertions must be signed with a key of theirs. nil: client
	// assertions only need the right claims.
	Certificates []*x509.Certificate
	// RedirectURIs are the application's: others are refused on a page, with AADSTS50011. http://localhost stands for all
	// of its ports. nil: every https address, and every address of this machine.
	RedirectURIs []string
	// AdminScopes are the permissions that an administrator would have to allow first, as "Calendars.Read.Shared": who
	// signs in for one of them is refused with AADSTS90094.
	AdminScopes []string
	// IDToken is asked for the id token of each sign-in before it is signed, and may make another of it. nil: none is changed.
	// It is called while the lock is held.
	IDToken func(*IDToken)
	// AutoApprove makes sign-ins need nobody: a device code is approved at the first poll, and the authorize page
	// redirects at once, for the mailbox of login_hint or else the first.
	AutoApprove bool
	// DeviceInterval is the interval that a device code answer asks for, in whole seconds; 0: 5 seconds.
	DeviceInterval time.Duration

	DefaultPage   int // page size where the request names none; 0: 10
	MaxPage       int // upper bound of a page, save that a delta keeps a series together; 0: 200
	ExceptionPage int // exceptionOccurrences shown at once, the rest by exceptionOccurrences@odata.nextLink; 0: all
	Concurrency   int // more requests at once for a mailbox are answered 429 ApplicationThrottled; 0: any number is served
	BatchParts    int // so many parts of a $batch are served, and the others answered 429 ApplicationThrottled; 0: all are served

	Tokens int // of deltas that are remembered, the latest; 0: 20,000

	EmptyPages  bool  // a first round of a delta begins with an empty page that has a nextLink
	ReplayLast  bool  // a delta round repeats what the round before said
	Duplicate   bool  // a delta round says some entries twice, on different pages
	SplitSeries bool  // a series may be spread over pages of a delta, where pages are else as long as it takes
	Shuffle     int64 // seed for the order of a delta round, series spread over pages; 0: in order

	NullItems       bool // a page's items begin with a null
	NumericBatchIDs bool // the parts of a batch are answered with numbers for ids where they are such, as some proxies do

	Skip29                  bool // day 29, 30 and 31 skip shorter months, where Outlook takes the last day
	NoCancelledOccurrences  bool // cancelledOccurrences and exceptionOccurrences are unknown properties, as before 2025
	ExceptionsUntold        bool // exceptionOccurrences of a GET is empty, though lists name the exceptions
	NullRecurrence          bool // the recurrence of a master is null in every answer
	InstancesLackExceptions bool // /instances leaves exceptions out, as some mailboxes did

	// Cloud is whose metadata counts. "usgov" and "dod" (Fairfax) know neither cancelledOccurrences nor exceptionOccurrences,
	// nor does "china" (Mooncake), which knows no masterCategories either; "": the global one, which knows all.
	Cloud string
	// Unknown are further properties of an event that the service does not know, such as occurrenceId: it does not tell
	// them, and refuses a request that names them.
	Unknown []string
	// Unnamed makes refusals of unknown properties not say which ones.
	Unnamed bool

	// ExactDuration makes an occurrence during which the clocks change last as long as the others, as RFC 5545 section
	// 3.8.5.3 has it. Otherwise it ends at their time of day, as a recurrence of Exchange says (EndTimeOffset in
	// [MS-OXOCAL] 2.2.1.44).
	ExactDuration bool

	// AllDayInstants says all-day times as the instants of the midnights in the event's zone, where Graph has them at
	// midnight in any zone; Offsets writes times with an offset and no fraction. Neither is documented, both were seen.
	AllDayInstants, Offsets bool

	GroupsApart          bool     // /calendars leaves out those of other groups than the standard one
	DelegatedDeltaDenied bool     // the links of a delta of somebody else's calendar are answered 403, whoever shares it
	PrivateUnreadable    bool     // a private event of a calendar of somebody else is listed, and answered 404 by its id
	EventsAnywhere       bool     // an event is also at the path of a calendar of its mailbox that it is not in
	SelectDropsLink      bool     // a GET of one event that selects properties does not say which calendar holds it
	NoCalendarLink       bool     // no GET of one event says so
	AppMailboxes         []string // addresses that an app may read in its own name (ApplicationAccessPolicy), others are answered 403; nil: all

	AppPermissions []string // that an app has of the directory, as "User.Read.All"; nil: all
	DirectoryPage  int      // people on a page of the directory at most; 0: as many as are asked for

	Writing Writing // what becomes of writes

	// Stale is asked before each GET is served: true shows it the mailbox as it was before the last write through Graph, as long as
	// nothing else has happened since. It is called concurrently.
	Stale func(r *http.Request) bool

	// Webhooks sends notifications and validation requests; nil: http.DefaultTransport, without redirects.
	Webhooks *http.Client
	// InsecureWebhooks allows notification URLs of the form http:// at the loopback addresses.
	InsecureWebhooks bool
	// NotificationDelay is how long a notification waits for others to travel with; 0: not at all.
	NotificationDelay time.Duration
	// WebhookFault is asked before each request to a notification URL: Status and Drop keep it from arriving, DropAnswer
	// its answer from counting. nil: no fault. It is called concurrently.
	WebhookFault func(r *http.Request) *Fault

	// Fault is asked before each request is served, login requests and the parts of a $batch included; nil: no
	// fault. It may edit mailboxes. It is called concurrently.
	Fault func(r *http.Request) *Fault

	mu         sync.Mutex
	version    uint64
	mailboxes  []*Mailbox
	byUser     map[string]*Mailbox // by address and by object id, in lower case
	directory  directory
	login      login
	sync       syncStates
	hooks      hooks
	requests   []Request
	violations []string
	concurrent int
	mails      []Mail
	told       map[string]string // what each has last been told of each thing
	touches    []touch
	uploads    map[string]*upload
}

// A Fault is an answer that replaces the one of the service, or what happens to it on its way.
type Fault struct {
	Delay      time.Duration // waits first; alone, it changes nothing else
	Status     int           // HTTP status; 0: the request is served
	Code       string        // of the Graph error, or "error" of a login answer
	Message    string
	AADSTS     int           // a login answer with this error code; Status, Code and Message follow from it where empty
	RetryAfter time.Duration // header Retry-After, in seconds rounded up
	Header     http.Header   // further headers
	Body       []byte        // the body, verbatim, when set
	Drop       bool          // closes the connection without an answer
	DropAnswer bool          // serves the request, with all that it changes, and then closes the connection
}

// A Request is one logged Graph request.
type Request struct {
	Method     string
	Path       string // with the query, as sent
	Prefer     []string
	Status     int // 0: dropped, whether or not it was served
	BatchParts int
	Parts      []Request // of a $batch
}

const maxLog = 20000

// Requests are the Graph requests since the last ResetRequests, oldest first: the latest 20,000.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Request(nil), s.requests...)
}

// ResetRequests empties the log of requests.
func (s *Server) ResetRequests() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = nil
}

func (s *Server) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// origin is the scheme and host for links.
func (s *Server) origin(r *http.Request) string {
	switch {
	case s.BaseURL != "":
		return strings.TrimSuffix(s.BaseURL, "/")
	case r.URL.Scheme != "": // from Client
		return r.URL.Scheme + "://" + r.Host
	case r.TLS != nil:
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

// A response is an answer before it is written. A body is marshalled as JSON unless it is a []byte.
type response struct {
	status int
	header http.Header
	body   any
}

func (a response) with(name, value string) response {
	if a.header == nil {
		a.header = http.Header{}
	}
	a.header.Set(name, value)
	return a
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := s.fault(r)
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
	if token, ok := strings.CutPrefix(r.URL.Path, uploadPath); ok {
		s.serveUpload(w, r, token, fault)
		return
	}
	if path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/v1.0/"); ok {
		s.serveGraph(w, r, path, fault)
		return
	}
	var a response
	switch {
	case fault.Drop:
		panic(http.ErrAbortHandler)
	case fault.AADSTS != 0:
		a = s.loginFault(r, fault)
	case fault.Status != 0:
		a = fault.answer(s, r)
	default:
		a = s.serveLogin(r)
	}
	if fault.DropAnswer {
		panic(http.ErrAbortHandler)
	}
	a.write(w)
}

func (s *Server) fault(r *http.Request) Fault {
	if s.Fault != nil {
		if f := s.Fault(r); f != nil {
			return *f
		}
	}
	return Fault{}
}

// answer is the answer that the fault makes of a Graph request.
func (f Fault) answer(s *Server, r *http.Request) response {
	a := s.graphError(r, f.Status, f.Code, f.Message)
	if f.Body != nil {
		a.body = f.Body
	}
	for name, values := range f.Header {
		for _, v := range values {
			a = a.with(name, v)
		}
	}
	if f.RetryAfter > 0 {
		a = a.with("Retry-After", fmt.Sprint(int64((f.RetryAfter+time.Second-1)/time.Second)))
	}
	return a
}

func (a response) write(w http.ResponseWriter) {
	body, contentType := a.encode()
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" && contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	if _, file := a.body.(content); file {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	w.Write(body)
}

// Client is an HTTP client whose requests are served in this process, whatever their host: no sockets, and a
// Delay passes at once in a testing/synctest bubble. It ends requests whose context ends, and reports dropped
// connections as errors.
func (s *Server) Client() *http.Client { return &http.Client{Transport: transport{s}} }

type transport struct{ server *Server }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in := inbound(ctx, r)
	if r.Body != nil {
		defer r.Body.Close()
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		in.Body = io.NopCloser(strings.NewReader(string(body)))
		in.ContentLength = int64(len(body))
	}
	w := httptest.NewRecorder()
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }()
		t.server.ServeHTTP(w, in)
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case failure := <-done:
		if failure == http.ErrAbortHandler {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, io.ErrUnexpectedEOF
		} else if failure != nil {
			panic(failure)
		}
	}
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// inbound turns a client's request into the one that a server sees. It keeps scheme and host in the URL, for the
// links.
func inbound(ctx context.Context, r *http.Request) *http.Request {
	in := r.Clone(ctx)
	in.Host = r.URL.Host
	if r.Host != "" {
		in.Host = r.Host
	}
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:0"
	in.Body = http.NoBody
	return in
}

// queryValue is a query parameter whose name may be in any case.
func queryValue(q url.Values, name string) (string, bool) {
	for key, values := range q {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0], true
		}
	}
	return "", false
}
