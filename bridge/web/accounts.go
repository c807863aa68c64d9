package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"outbridge/bridge"
)

// Accounts is what the pages do with accounts: add and remove them, and sign them in to Microsoft. Its methods are called
// concurrently. An error that the administrator can do something about is a *Problem, a *bridge.OtherMailboxError, or one
// that bridge.FaultOf knows.
type Accounts interface {
	// List returns every account, by name.
	List(ctx context.Context) ([]Account, error)
	// Account is the one of a name, or bridge.ErrNotFound.
	Account(ctx context.Context, name string) (Account, error)
	// Add adds an account. A mailbox of "" is that of the person who signs in; an address is read app-only, see App.
	Add(ctx context.Context, name, mailbox string) error
	// AddFor adds an account that belongs to a person, who will sign a mailbox in, under a name like wish. It belongs to them before
	// anything is in it.
	AddFor(ctx context.Context, wish string, id bridge.PersonID) (name string, err error)
	// Remove removes the account and everything stored for it.
	Remove(ctx context.Context, name string) error
	// SetPolicy sets what calendar programs may change, unless the configuration file says it.
	SetPolicy(ctx context.Context, name string, p bridge.Policy) error
	// Nudge starts a round of the account now.
	Nudge(name string)
	Pulse(name string) bridge.Pulse
	// Compare has the account's calendars held against Outlook's own view in a round that starts now.
	Compare(ctx context.Context, name string) error

	// App returns the app registration in use. SetApp changes it, unless it is in the configuration file.
	App(ctx context.Context) (App, error)
	// A credential of nil keeps the one that there is; the zero value removes it. restart: it takes effect only after one.
	SetApp(ctx context.Context, r bridge.Registration, credential *bridge.Credential) (restart bool, err error)
	Options

	// DeviceCode starts a sign-in of the account with a code to be entered at Microsoft. WaitForDevice returns nil once the person
	// has signed in and the sign-in is stored; another process may call it. Only if other is set may another person than before
	// sign in.
	DeviceCode(ctx context.Context, account string) (DeviceCode, error)
	WaitForDevice(ctx context.Context, account string, code DeviceCode, other bool) error
	// BrowserURL is the URL at which a sign-in of the account in this browser starts. Microsoft sends the browser back to
	// redirectURI with state. Exchange completes the sign-in with the query that the browser came back with, which has a
	// code or an error. verifier is that of PKCE (RFC 7636).
	BrowserURL(ctx context.Context, account, redirectURI, state, verifier string) (string, error)
	Exchange(ctx context.Context, account string, back url.Values, redirectURI, verifier string, other bool) error
}

// Account is an account as the pages know it.
type Account struct {
	Name       string
	Mailbox    string // an address: app-only; "": that of the person who signs in
	Configured bool   // in the configuration file, so the pages cannot remove it
	Options    bridge.AccountOptions

	// For who is visiting: whose it is, whether they may read its events, and whether only as an administrator whose looks are recorded.
	Owner    bridge.Owner
	Readable bool
	Looked   bool

	Policy           bridge.Policy // what calendar programs may change
	PolicyConfigured bool          // by the configuration file
	WriteDenied      bool          // the sign-in does not allow what Policy does

	Twice []ReadTwice
}

// Own reports whether the account is the visitor's.
func (a Account) Own() bool { return a.Readable && !a.Looked }

// ReadTwice is a mailbox that an account reads and that is read already.
type ReadTwice struct {
	Address   string
	Shared    bool   // the account has it as shared; else it is its own
	By        string // the account that reads it too, which may be the same one
	BySharing bool   // that one has it as shared
}

// App is the app registration at Microsoft.
type App struct {
	bridge.Registration
	Configured bool // in the configuration file, so the pages cannot change it
	AppOnly    bool // it has a secret or certificate, so mailboxes can be read by their address
	// Credential is what it identifies itself with: "", "client secret" or "certificate"; Expires is when that ends, where it is
	// known. CredentialConfigured and CloudConfigured: these are in the configuration file.
	Credential           string
	Expires              time.Time
	CredentialConfigured bool
	CloudConfigured      bool
	Restart              bool // it takes effect with the next start
	// Consent is the URL where an administrator of the organization grants consent for all of it; "" if there is none.
	Consent string
}

// DeviceCode is a sign-in that waits for a person to enter a code.
type DeviceCode struct {
	UserCode        string          `json:"user_code"`
	VerificationURI string          `json:"verification_uri"`
	Expires         time.Time       `json:"expires"`
	Secret          json.RawMessage `json:"secret"` // what WaitForDevice asks with
}

// Problem is an error in words for the administrator.
type Problem struct {
	Sentence Text // what happened
	Action   Text // what to do
}

func (p *Problem) Error() string {
	return strings.TrimSpace(p.Sentence.String() + " " + p.Action.String())
}

// problemOf is err as a Problem; false if the administrator can do nothing about it.
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
		return &Problem{Sentence: With("This account belongs to {owner}, but you signed in as {person}.", other.Before.Address, other.Now.Address),
			Action: "Sign in as the same person, or choose to sign in as somebody else: their calendars then replace all calendars of the account."}, true
	case errors.Is(err, context.DeadlineExceeded), f.Reason == bridge.ReasonThrottled, f.Reason == bridge.ReasonUnreachable, f.Reason == bridge.ReasonUnavailable:
		return &Problem{Sentence: "Microsoft's login service is not available at the moment.", Action: "Try again in a while."}, true
	case f.Reason == "proxy-sign-in", f.Reason == "captive-portal", f.Reason == "unknown-ca":
		return &Problem{Sentence: wordingFor(f).Sentence, Action: wordingFor(f).action(f)}, true
	case f.Action == bridge.ActionWait, f.Action == bridge.ActionInspect:
		return nil, false
	}
	sentence := wordingFor(f).Sentence
	if f.AADSTS != 0 { // to look it up by
		sentence = With("{sentence} ({code})", sentence, fmt.Sprint("AADSTS", f.AADSTS))
	}
	return &Problem{Sentence: sentence, Action: wordingFor(f).action(f)}, true
}
