package bridge

import (
	"time"

	"outbridge/bridge/convert"
)

// Session is a browser that is signed in to the pages.
type Session struct {
	ID      int64
	Person  PersonID // 0: the administrator by password
	Role    Role
	Agent   string // the browser's User-Agent
	Created time.Time
	Seen    time.Time // last use, to some minutes
	Expires time.Time
}

// Registration names the app registration at Microsoft that people sign in with, where the configuration does not.
type Registration struct {
	ClientID string `json:"client_id"`
	Tenant   string `json:"tenant"`
	Cloud    string `json:"cloud,omitempty"` // one of Microsoft's; "": that of the configuration
}

// Credential is what the app of a Registration identifies itself with: a client secret, or a certificate with its key as PEM.
type Credential struct {
	Secret      string `json:"secret,omitempty"`
	Expires     string `json:"expires,omitempty"` // the date that the app registration shows for Secret, 2027-01-31; "": not known
	Certificate string `json:"certificate,omitempty"`
}

// Options of the bridge that were set on the pages; the zero value of each leaves it to the configuration.
type Options struct {
	Interval      string `json:"interval,omitempty"`
	History       string `json:"history,omitempty"`
	Horizon       string `json:"horizon,omitempty"`
	Notifications bool   `json:"notifications,omitempty"`
}

// AccountOptions say which calendars an account has. Include and Exclude are names, "*" in them being any text; Shared are the
// addresses of other people's mailboxes.
type AccountOptions struct {
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
	Shared  []string `json:"shared,omitempty"`
}

// Ticket is good for one app password of a user, made when the link is followed.
type Ticket struct {
	User    string
	Label   string // of the password
	Expires time.Time
}

// EventLoss is a recorded loss and the event that it is of.
type EventLoss struct {
	convert.Loss
	Subject string
	Start   time.Time // zero: not known
}
