package bridge

import (
	"time"

	"outbridge/bridge/convert"
)

// Session is a browser that is signed in to the pages as the administrator.
type Session struct {
	ID      int64
	Agent   string // the browser's User-Agent
	Created time.Time
	Seen    time.Time // last use, to some minutes
	Expires time.Time
}

// Registration names the app registration at Microsoft that people sign in with, where the configuration does not.
type Registration struct {
	ClientID string `json:"client_id"`
	Tenant   string `json:"tenant"`
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
