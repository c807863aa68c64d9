package bridge

import (
	"errors"
	"fmt"
	"strings"

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

// StateOf puts an error of a round into words.
func StateOf(err error, account string) State {
	var auth *graph.AuthError
	var shared *SharedError
	switch {
	case err == nil:
		return State{Code: StateOK}
	case errors.As(err, &auth):
		s := State{Code: StateConfiguration, Sentence: auth.Sentence, Action: auth.ActionFor(account), Final: true, Claims: auth.Claims}
		switch {
		case auth.SignIn:
			s.Code = StateSignIn
		case auth.Admin:
			s.Code = StateDenied
		}
		return s
	case graph.IsSignInNeeded(err):
		s := State{Code: StateSignIn, Sentence: "Microsoft Graph does not accept the sign-in.", Action: "Run `outbridge login " + account + "`."}
		var challenge *graph.Error
		if errors.As(err, &challenge) && challenge.Claims != "" {
			s.Sentence, s.Claims, s.Final = "A policy of the organization asks for a new sign-in.", challenge.Claims, true
		}
		return s
	case errors.As(err, &shared) && (graph.IsAccessDenied(shared.Err) || graph.IsNotFound(shared.Err)):
		return State{Code: StateDenied, Sentence: "The calendar of " + shared.Address + " cannot be read.",
			Action: "Have it shared with you in Outlook (with the right to see all details), then run `outbridge login " + account +
				"` so that Calendars.Read.Shared is granted; or take the address out of shared in the configuration."}
	case graph.IsMailboxMissing(err):
		return State{Code: StateConfiguration, Sentence: "Microsoft 365 has no usable mailbox for this account.",
			Action: "Check the address, its licence, and that the mailbox is in Exchange Online."}
	case graph.IsAccessDenied(err):
		return State{Code: StateDenied, Sentence: "Microsoft Graph denies access to a calendar.",
			Action: "Check that the app has the permission Calendars.Read and that the calendar is shared with you."}
	case graph.IsUnavailable(err):
		return State{Code: StateUnavailable, Sentence: "Microsoft's service does not answer properly at the moment.",
			Action: "Nothing: it is tried again by itself."}
	case errors.Is(err, ErrConflict):
		return State{Code: StateOK}
	}
	return State{Code: StateError, Sentence: Sentence(err), Action: "It is tried again; look into the log if it stays."}
}

// Sentence is an error as one line for a person.
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
