package web

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"outbridge/bridge"
)

// Accounts is what the pages do with accounts: adding and removing them, and signing them in to Microsoft. Its methods are
// called concurrently. An error that the person at the page can do something about is a *Problem, a *bridge.OtherMailboxError,
// or one that bridge.FaultOf knows.
type Accounts interface {
	// List is every account, by name.
	List(ctx context.Context) ([]Account, error)
	// Add makes an account. A mailbox of "" is that of whoever signs in to it; an address is read app-only, see App.
	Add(ctx context.Context, name, mailbox string) error
	// Remove ends the account and removes all that is stored of it.
	Remove(ctx context.Context, name string) error
	// Nudge starts a round of the account now.
	Nudge(name string)
	Pulse(name string) bridge.Pulse

	// App is the app registration in use. SetApp changes it where the configuration names none.
	App(ctx context.Context) (App, error)
	SetApp(ctx context.Context, r bridge.Registration) error

	// DeviceCode begins a sign-in of the account by a code that is entered at Microsoft. Only with other may it be
	// somebody else who signs in than before.
	DeviceCode(ctx context.Context, account string, other bool) (DeviceCode, error)
	// BrowserURL is where a sign-in of the account in this browser begins; Microsoft sends it back to redirectURI, with
	// state. Exchange ends it: back is the query that it came back with, a code or an error. verifier is of PKCE (RFC 7636).
	BrowserURL(ctx context.Context, account, redirectURI, state, verifier string) (string, error)
	Exchange(ctx context.Context, account string, back url.Values, redirectURI, verifier string, other bool) error
}

// Account is one account as the pages know it.
type Account struct {
	Name       string
	Mailbox    string // an address: app-only; "": of whoever signs in
	Configured bool   // in the configuration file, so it cannot be removed on a page
}

// App is the app registration at Microsoft.
type App struct {
	bridge.Registration
	Configured bool // named in the configuration file, so it cannot be changed on a page
	AppOnly    bool // it has a secret or a certificate, so mailboxes can be read by their address
	// Consent is where an administrator lets the app into the whole organization; "" while there is none.
	Consent string
}

// DeviceCode is a sign-in that waits for a person.
type DeviceCode struct {
	UserCode        string
	VerificationURI string
	Expires         time.Time
	// Wait returns nil once the person has signed in and the account has been told.
	Wait func(ctx context.Context) error
}

// Problem is an error in words for the person at the page.
type Problem struct {
	Sentence string // what happened
	Action   string // what to do
}

func (p *Problem) Error() string { return strings.TrimSpace(p.Sentence + " " + p.Action) }

// problemOf is err as a Problem, or false where it is none of the person's business.
func problemOf(err error) (*Problem, bool) {
	var p *Problem
	var other *bridge.OtherMailboxError
	f := bridge.FaultOf(err)
	switch {
	case err == nil:
		return nil, false
	case errors.As(err, &p):
		return p, true
	case errors.As(err, &other):
		return &Problem{Sentence: fmt.Sprintf("This account belongs to %s, and that sign-in was of %s.", other.Before.Address, other.Now.Address),
			Action: "Sign in as the same person, or tick that somebody else may sign in, whose calendars then replace all of the account's."}, true
	case errors.Is(err, context.DeadlineExceeded), f.Reason == bridge.ReasonThrottled, f.Reason == bridge.ReasonUnreachable, f.Reason == bridge.ReasonUnavailable:
		return &Problem{Sentence: "Microsoft's login service does not answer properly at the moment.", Action: "Try again in a while."}, true
	case f.Reason == "proxy-sign-in", f.Reason == "captive-portal", f.Reason == "unknown-ca":
		return &Problem{Sentence: WordsFor(f).Sentence, Action: action(f)}, true
	case f.Action == bridge.ActionWait, f.Action == bridge.ActionInspect:
		return nil, false
	}
	sentence := WordsFor(f).Sentence
	if f.AADSTS != 0 { // to look it up by
		sentence = fmt.Sprintf("%s (AADSTS%d)", sentence, f.AADSTS)
	}
	return &Problem{Sentence: sentence, Action: action(f)}, true
}
