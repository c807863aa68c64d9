package web

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"outbridge/bridge"
)

// Accounts is what the pages do with accounts: adding and removing them, and signing them in to Microsoft. Its methods are
// called concurrently. An error that the person at the page can do something about is a *Problem.
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
	if !errors.As(err, &p) {
		return nil, false
	}
	return &Problem{Sentence: p.Sentence, Action: onPage(p.Action)}, true
}

var loginCommand = regexp.MustCompile("(Run|run) `outbridge login [^`]*`(?: again)?")

// onPage is an advice that names the command line, for somebody who sees a page.
func onPage(action string) string {
	return loginCommand.ReplaceAllStringFunc(action, func(s string) string {
		if strings.HasPrefix(s, "R") {
			return "Sign in again"
		}
		return "sign in again"
	})
}
