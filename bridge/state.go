package bridge

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"outbridge/bridge/graph"
)

// Codes of a State.
const (
	StateNew           = "new"           // no round yet
	StateOK            = "ok"            // the last round was good
	StateSignIn        = "sign-in"       // a person has to sign in
	StateDenied        = "denied"        // an administrator has to allow something
	StateConfiguration = "configuration" // the configuration or the app registration is wrong
	StateUnavailable   = "unavailable"   // it passes by itself
	StateError         = "error"         // anything else; it is tried again
)

// Fault is why something does not work, in codes and what belongs to them. It is put into words where people read it.
// The zero value is no fault.
type Fault struct {
	Reason   Reason        `json:"reason,omitempty"`
	Action   Action        `json:"action,omitempty"`
	AADSTS   int           `json:"aadsts,omitempty"`   // Microsoft's number of the refusal
	Said     string        `json:"said,omitempty"`     // and the first sentence of its description
	Address  string        `json:"address,omitempty"`  // of the mailbox that cannot be read
	Link     string        `json:"link,omitempty"`     // where an administrator lets the app in
	Duration time.Duration `json:"duration,omitempty"` // how long the organization lets a sign-in last, or how long to wait
	Detail   string        `json:"detail,omitempty"`   // the error itself in one line, which is technical
}

// Reason is why: those of graph.AuthError, and these.
type Reason string

const (
	ReasonSignInRefused  Reason = "sign-in-refused" // by Graph, though the login service gave a token
	ReasonPolicy         Reason = "policy"          // Graph asks for a sign-in that meets State.Claims
	ReasonShared         Reason = "shared-denied"   // the calendar of Address
	ReasonDenied         Reason = "access-denied"
	ReasonMailboxMissing Reason = "mailbox-missing"
	ReasonNoCalendars    Reason = "no-calendars"
	ReasonThrottled      Reason = "throttled"
	ReasonUnreachable    Reason = "unreachable"
	ReasonUnavailable    Reason = "unavailable"
	ReasonBusy           Reason = "database-busy"
	// Of the directory: it may not be read, its people are told of by their ids alone, or a group is not there.
	ReasonDirectoryDenied Reason = "directory-denied"
	ReasonPeopleHidden    Reason = "people-hidden"
	ReasonGroupMissing    Reason = "group-missing"
	ReasonOther           Reason = "other" // Detail says what
	ReasonWords           Reason = "words" // an earlier version stored the fault in words, which Detail has
)

// Action is what ends a fault.
type Action string

const (
	ActionSignIn       Action = "sign-in"         // the person signs in
	ActionAsk          Action = "ask"             // an administrator of the organization allows something
	ActionAskAndSignIn Action = "ask-and-sign-in" // and then the person signs in
	ActionShare        Action = "share"           // the owner of a calendar shares it, and then the person signs in
	ActionConfigure    Action = "configure"       // whoever runs the bridge corrects the configuration or the app registration
	ActionWait         Action = "wait"            // it passes by itself
	ActionInspect      Action = "inspect"         // it is tried again; the log says more
)

// SignsIn reports whether a sign-in is what ends the fault, perhaps after something else.
func (a Action) SignsIn() bool {
	return a == ActionSignIn || a == ActionAskAndSignIn || a == ActionShare
}

// ErrNoCalendars: what an account is to include and exclude leaves none of its calendars.
var ErrNoCalendars = errors.New("no calendar of the account is included")

// StateOf is the state that an error of a round leaves an account in. It holds nothing that differs from one round to the
// next while the trouble is the same, save for what nobody has a reason for.
func StateOf(err error) State {
	s := State{Code: StateOK, Fault: FaultOf(err)}
	if s.Reason != ReasonOther {
		s.Detail = ""
	} else if errors.Is(err, ErrConflict) {
		return State{Code: StateOK}
	}
	switch s.Action {
	case ActionSignIn:
		s.Code = StateSignIn
	case ActionAsk, ActionAskAndSignIn, ActionShare:
		s.Code = StateDenied
	case ActionConfigure:
		s.Code = StateConfiguration
	case ActionWait:
		s.Code, s.Fault = StateUnavailable, Fault{Reason: ReasonUnavailable, Action: ActionWait}
		if between := graph.Obstacle(err); between != "" {
			s.Reason = Reason(between)
		}
	case ActionInspect:
		s.Code = StateError
	}
	var auth *graph.AuthError
	var challenge *graph.Error
	switch {
	case errors.As(err, &auth):
		s.Claims, s.Final = auth.Claims, true
	case s.Reason == ReasonPolicy && errors.As(err, &challenge):
		s.Claims, s.Final = challenge.Claims, true
	}
	return s
}

// FaultOf is what is known of an error of a round, of a sign-in or of the store; no error is no fault.
func FaultOf(err error) Fault {
	var auth *graph.AuthError
	var shared *SharedError
	var answer *graph.Error
	errors.As(err, &answer)
	f := Fault{Reason: ReasonOther, Action: ActionInspect}
	switch {
	case err == nil:
		return Fault{}
	case errors.As(err, &auth):
		return Fault{Reason: Reason(auth.Reason), Action: actionOf(auth), AADSTS: auth.AADSTS, Said: auth.Said, Link: auth.ConsentURL, Duration: auth.Lifetime}
	case graph.IsSignInNeeded(err) && answer.Claims != "":
		f.Reason, f.Action = ReasonPolicy, ActionSignIn
	case graph.IsSignInNeeded(err):
		f.Reason, f.Action = ReasonSignInRefused, ActionSignIn
	case errors.As(err, &shared) && (graph.IsAccessDenied(shared.Err) || graph.IsNotFound(shared.Err)):
		f.Reason, f.Action, f.Address = ReasonShared, ActionShare, shared.Address
	case errors.Is(err, graph.ErrHidden):
		f.Reason, f.Action = ReasonPeopleHidden, ActionAsk
	case errors.Is(err, graph.ErrNoGroup):
		f.Reason, f.Action = ReasonGroupMissing, ActionConfigure
	case graph.IsMailboxMissing(err):
		f.Reason, f.Action = ReasonMailboxMissing, ActionConfigure
	case graph.IsAccessDenied(err):
		f.Reason, f.Action = ReasonDenied, ActionAsk
	case graph.Obstacle(err) != "":
		f.Reason, f.Action = Reason(graph.Obstacle(err)), ActionWait
	case graph.IsThrottled(err):
		f.Reason, f.Action, f.Duration = ReasonThrottled, ActionWait, answer.RetryAfter
	case graph.IsUnavailable(err) && answer.Status == 0:
		f.Reason, f.Action = ReasonUnreachable, ActionWait
	case graph.IsUnavailable(err):
		f.Reason, f.Action, f.Duration = ReasonUnavailable, ActionWait, answer.RetryAfter
	case errors.Is(err, ErrBusy):
		f.Reason, f.Action = ReasonBusy, ActionWait
	case errors.Is(err, ErrNoCalendars):
		f.Reason = ReasonNoCalendars
	}
	f.Detail = Sentence(err)
	return f
}

// actionOf is what ends a refusal of the login service.
func actionOf(e *graph.AuthError) Action {
	switch e.Fixer {
	case graph.Person:
		return ActionSignIn
	case graph.Operator:
		return ActionConfigure
	}
	switch e.Reason {
	case graph.ReasonAdminConsent, graph.ReasonConditionalAccess, graph.ReasonAppNotApproved, graph.ReasonAccountRisk, graph.ReasonAccountLocked:
		return ActionAskAndSignIn
	}
	return ActionAsk
}

// Sentence is an error as one line.
func Sentence(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + "…"
	}
	return line
}

// SharedError says that the calendar of another mailbox cannot be read.
type SharedError struct {
	Address string
	Err     error
}

func (e *SharedError) Error() string {
	return fmt.Sprintf("the calendar of %s: %v", e.Address, e.Err)
}

func (e *SharedError) Unwrap() error { return e.Err }
