package bridge

import (
	"errors"
	"net/url"
	"time"
)

// Subscription is a Graph subscription to the events of an account's mailbox, or why there is none.
type Subscription struct {
	Account AccountID
	GraphID string // "": there is none
	State   []byte // SHA-256 of its clientState
	URL     string // that Graph notifies
	Renew   time.Time
	Expires time.Time
	Fault   string // why there is none, for the person
}

// Until is the subscription with what Graph granted. It is renewed when half of that is over.
func (s Subscription) Until(expires, now time.Time) Subscription {
	s.Expires, s.Renew = expires, now.Add(expires.Sub(now)/2)
	return s
}

// Notification is one item of what Graph posts to the notification URL
// (learn.microsoft.com/graph/change-notifications-delivery-webhooks).
type Notification struct {
	SubscriptionID string `json:"subscriptionId"`
	ClientState    string `json:"clientState"`
	// LifecycleEvent is reauthorizationRequired, subscriptionRemoved or missed; "" is a change of an event.
	LifecycleEvent string `json:"lifecycleEvent"`
}

// ErrTooMany: the user has as many as anybody may have.
var ErrTooMany = errors.New("too many")

// PushSubscription is a client that is told by Web Push when a calendar has changed.
type PushSubscription struct {
	ID       string // [a-z0-9]+, unguessable
	User     string
	Calendar CalendarID
	PushTarget
	Expires   time.Time
	Rev       int64     // of the calendar, that the client was last told of
	Failures  int       // since a message was last delivered
	NotBefore time.Time // of the next message; zero: now

	// Epoch and CalendarRev are the calendar's present ones; read only.
	Epoch       string
	CalendarRev int64
}

// PushTarget is where messages go and what they are encrypted with. All of it is secret.
type PushTarget struct {
	Endpoint  string `json:"endpoint"`
	PublicKey []byte `json:"public_key"`
	Auth      []byte `json:"auth"`
}

// Host is the host of the endpoint, which is no secret; "" where it is no URL.
func (t PushTarget) Host() string {
	u, err := url.Parse(t.Endpoint)
	if err != nil {
		return ""
	}
	return u.Host
}
