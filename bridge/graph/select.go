package graph

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// eventNames are the properties that Event knows and that a $select may name, without annotations. The last two are a
// series master's, and need to be named by a GET of one (learn.microsoft.com/graph/api/event-get).
var eventNames = sync.OnceValue(func() []string {
	var names []string
	t := reflect.TypeFor[Event]()
	for i := range t.NumField() {
		switch name := t.Field(i).Tag.Get("json"); {
		case name == "-", strings.Contains(name, "@"), slices.Contains(masterNames, name):
		default:
			names = append(names, name)
		}
	}
	return append(names, masterNames...)
})

var masterNames = []string{"cancelledOccurrences", "exceptionOccurrences"}

// unknownAge is how long it is remembered that a service does not know a property.
const unknownAge = 24 * time.Hour

// unknowns are the properties that the service has said not to know, so that it is not asked for them with each event.
// The zero value is none. It may be used concurrently.
type unknowns struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (u *unknowns) add(name string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.until == nil {
		u.until = make(map[string]time.Time)
	}
	u.until[name] = time.Now().Add(unknownAge)
}

// names are those that the service does not know.
func (u *unknowns) names() (names []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for name, until := range u.until {
		if time.Now().Before(until) {
			names = append(names, name)
		}
	}
	return names
}

// selection is what a request names of an event, and what it does without since Graph refuses it: first what the refusal
// names, else one thing after another, those first that are doubtful. occurrenceId is in the documentation and in no
// cloud's metadata; the two lists of a master are in the metadata of the global cloud only.
type selection struct {
	unknown *unknowns // of the Client
	master  bool      // the lists of a master too
	refused []string
	guess   int // of guesses
}

func (c *Client) selection(master bool) selection {
	return selection{unknown: &c.unknown, master: master, refused: c.unknown.names()}
}

// guesses are what to do without, where a refusal does not say what it is about.
var guesses = [][]string{
	nil,
	{"occurrenceId"},
	{"occurrenceId", "exceptionOccurrences"},
	{"occurrenceId", "cancelledOccurrences"},
	{"occurrenceId", "cancelledOccurrences", "exceptionOccurrences"},
}

// lacks reports whether the request does without a property.
func (s *selection) lacks(name string) bool {
	return slices.Contains(s.refused, name) || s.guess < len(guesses) && slices.Contains(guesses[s.guess], name)
}

// partial reports whether a master is read without one of its lists.
func (s *selection) partial() bool { return slices.ContainsFunc(masterNames, s.lacks) }

// bare reports whether nothing is named any more: Graph then tells what it likes.
func (s *selection) bare() bool {
	return s.guess >= len(guesses) || s.master && !slices.ContainsFunc(masterNames, func(name string) bool { return !s.lacks(name) })
}

// query is $select and $expand, "" for neither.
func (s *selection) query() string {
	if s.bare() {
		return ""
	}
	var names []string
	for _, name := range eventNames() {
		if !s.lacks(name) && (s.master || !slices.Contains(masterNames, name)) {
			names = append(names, name)
		}
	}
	q := "$select=" + strings.Join(names, ",")
	if s.master && !s.lacks("exceptionOccurrences") {
		q += "&$expand=exceptionOccurrences"
	}
	return q
}

// relent asks for less after a refusal, and reports whether there is less to ask for.
func (s *selection) relent(e *Error) bool {
	if e.Status != http.StatusBadRequest && e.Status != http.StatusNotImplemented || s.bare() {
		return false
	}
	before := s.query()
	if name := unknownProperty(e); name != "" {
		s.unknown.add(name)
	}
	s.refused = s.unknown.names()
	for s.query() == before {
		s.guess++
	}
	return true
}

var namedProperty = regexp.MustCompile(`(?i)property named '([A-Za-z]+)'`)

// unknownProperty is the property of an event that a refusal says that the service does not know: "Could not find a
// property named 'occurrenceId' on type 'microsoft.graph.event'."
func unknownProperty(e *Error) string {
	found := namedProperty.FindStringSubmatch(e.Message)
	if found == nil {
		return ""
	}
	i := slices.IndexFunc(eventNames(), func(name string) bool { return strings.EqualFold(name, found[1]) })
	if i < 0 {
		return ""
	}
	return eventNames()[i]
}
