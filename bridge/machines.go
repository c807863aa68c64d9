package bridge

import (
	"context"
	"time"
)

// LeaseStore keeps leases: what one of several processes does alone, until it has done it or is dead. Their time is the
// database's, so that machines whose clocks differ agree; a holder ends in time by counting from before it asked.
type LeaseStore interface {
	// TakeLease takes the lease for life from now, or prolongs it where owner has it. taken is false where somebody else has it.
	TakeLease(ctx context.Context, name, owner string, life time.Duration) (taken bool, err error)
	// LeaseOwner is who has the lease; "": nobody.
	LeaseOwner(ctx context.Context, name string) (owner string, err error)
	// LeaseLeft is how long the lease lasts; 0: nobody has it.
	LeaseLeft(ctx context.Context, name string) (time.Duration, error)
	// DropLease gives it back, if owner has it. DropLeases gives back all that owner has.
	DropLease(ctx context.Context, name, owner string) error
	DropLeases(ctx context.Context, owner string) error
}

// Nudge is why a round of an account is to begin before its time. Several are joined by |.
type Nudge int64

const (
	NudgeDue         Nudge = 1 << iota // something is to be read or done
	NudgeAsked                         // a person wants it, whatever there is to be said against it
	NudgeNotified                      // Graph tells of a change
	NudgeRemoved                       // Graph tells that it has removed the subscription
	NudgeReauthorize                   // Graph asks for a renewal of the subscription
)

// TurnStore keeps what a machine asks before it does a round of an account, and what others tell it.
type TurnStore interface {
	// Turn is the state of an account's rounds. It is one read.
	Turn(ctx context.Context, account string) (Turn, error)
	// AddNudge adds to the account's nudges. TakeNudge takes those that wait and those that a round took which has not ended; 0: there is
	// none. DropNudge forgets those that were taken, when their round has ended.
	AddNudge(ctx context.Context, account string, n Nudge) error
	TakeNudge(ctx context.Context, account string) (Nudge, error)
	DropNudge(ctx context.Context, account string) error
}

// Turn is the state of an account's rounds.
type Turn struct {
	Owner string    // of the lease RoundLease; "": nobody
	Nudge Nudge     // that waits
	Taken Nudge     // by a round that runs, or one that has been cut short
	Now   time.Time // by the database
}

// RoundLease is the lease of who does a long round of an account.
func RoundLease(account string) string { return "round/" + account }

// Machine is a server that uses the database.
type Machine struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"` // of the host
	Version string    `json:"version"`
	Schema  int64     `json:"schema"` // that it knows
	Address string    `json:"address"`
	Since   time.Time `json:"since"`
	Seen    time.Time `json:"seen"` // last, by the database
}

// MachineLife is how long a machine that does not say that it is there counts as there.
const MachineLife = 90 * time.Second

// MachineStore keeps the servers that use the database.
type MachineStore interface {
	// SeeMachine notes that a machine is there, forgets those that have not been for a day, and returns the database's time.
	SeeMachine(ctx context.Context, m Machine) (now time.Time, err error)
	// DropMachine forgets one that ends.
	DropMachine(ctx context.Context, id string) error
	// Machines lists those that are kept by name, and the database's time.
	Machines(ctx context.Context) (list []Machine, now time.Time, err error)
}

// Limit is how often something of a name may be tried: Burst times at once, and then once in Every.
type Limit struct {
	Name  string
	Burst int
	Every time.Duration
}

// AttemptStore counts attempts over all machines.
type AttemptStore interface {
	// Attempt counts one against each of the limits and returns 0, or counts none and returns how long to wait.
	Attempt(ctx context.Context, limits ...Limit) (wait time.Duration, err error)
	// Forgive forgets the attempts of a name.
	Forgive(ctx context.Context, name string) error
}
