package bridge

import (
	"context"
	"time"
)

// Role is what somebody who has signed in may do on the pages.
type Role string

const (
	// RolePerson has what belongs to them, and nothing else.
	RolePerson Role = "person"
	// RoleAdministrator has the state of everything, and the bridge's set-up.
	RoleAdministrator Role = "administrator"
)

// PersonID is a person in the store; 0 is nobody, and in a session the administrator by password.
type PersonID int64

// Person is somebody who signs in to the pages other than by the administrator's password.
type Person struct {
	ID   PersonID
	Name string // of its own; what they sign in with, where they have a password
	// Tenant and ObjectID are who they are at Microsoft, in lower case; "": they do not sign in there.
	Tenant, ObjectID string
	Password         bool // they have one
	Invited          bool // they came by an invitation
	Created          time.Time
}

// Owner is who an account belongs to.
type Owner struct {
	Owned  bool     // it belongs to somebody, who may never have been here
	Person PersonID // who that is; 0: nobody, or somebody who has not been here
	Given  bool     // by an administrator, so that it outlives its owner
}

// Invitation is a one-time link by which somebody becomes a person of the bridge.
type Invitation struct {
	ID      int64
	Name    string // whom it is for
	Account string // that becomes theirs; "": they connect a mailbox themselves
	Created time.Time
	Expires time.Time
}

// PeopleStore keeps who else than the administrator uses the pages, and what belongs to them.
type PeopleStore interface {
	// Person, PersonByIdentity and PersonByName find one, or ErrNotFound. hash is that of the password, or "".
	Person(ctx context.Context, id PersonID) (Person, error)
	PersonByIdentity(ctx context.Context, tenant, objectID string) (Person, error)
	PersonByName(ctx context.Context, name string) (p Person, hash string, err error)
	// People lists them by name.
	People(ctx context.Context) ([]Person, error)
	// AddPerson makes one. ErrExists: the name or the identity is somebody else's.
	AddPerson(ctx context.Context, p Person, hash string) (Person, error)
	// SetPersonPassword sets the hash and ends all sessions of the person.
	SetPersonPassword(ctx context.Context, id PersonID, hash string) error
	// RemovePerson removes a person and ends their sessions. Accounts that were given to them stay, and belong to nobody. ErrExists: they
	// have connected one, which has to go first.
	RemovePerson(ctx context.Context, id PersonID) error

	// OwnerOf is whom an account belongs to; the zero value where there is no such account. One row read.
	OwnerOf(ctx context.Context, account string) (Owner, error)
	// OwnedBy lists the names of the accounts of a person.
	OwnedBy(ctx context.Context, id PersonID) ([]string, error)
	// Owned lists those of all people.
	Owned(ctx context.Context) (map[PersonID][]string, error)
	// SetOwner gives an account that belongs to nobody to a person. ErrExists: it belongs to somebody; ErrNotFound: there is no
	// such account or person.
	SetOwner(ctx context.Context, account string, id PersonID, given bool) error

	// AddInvitation makes an invitation and returns its secret, the only time that it is seen.
	AddInvitation(ctx context.Context, i Invitation) (Invitation, string, error)
	// Invitations lists those that have not expired at now, by age. Invitation finds one by its secret, or ErrNotFound.
	Invitations(ctx context.Context, now time.Time) ([]Invitation, error)
	Invitation(ctx context.Context, secret string, now time.Time) (Invitation, error)
	RevokeInvitation(ctx context.Context, id int64) error
	// AcceptInvitation uses an invitation up: the person is made, and its account is theirs. ErrNotFound: it is not valid at now;
	// ErrExists: as in AddPerson and SetOwner, and the invitation stays.
	AcceptInvitation(ctx context.Context, secret string, p Person, hash string, now time.Time) (Person, Invitation, error)
}

// Record is one thing that somebody did, kept so that others can see it. It has no secrets and nothing of events.
type Record struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	What    Act       `json:"what"`
	Who     string    `json:"who"`               // the administrator, or a person by name; "": nobody who is known
	Role    Role      `json:"role,omitempty"`    // in which they did it
	Network string    `json:"network"`           // where the request came from
	Whom    string    `json:"whom,omitempty"`    // the account, or the person, that it was done to
	Detail  string    `json:"detail,omitempty"`  // a name, a label, a reason
	Browser string    `json:"browser,omitempty"` // User-Agent
}

// Act is what a Record tells of.
type Act string

const (
	ActSignedIn         Act = "signed-in"
	ActSignInRefused    Act = "sign-in-refused"
	ActSignedOut        Act = "signed-out"
	ActPasswordMade     Act = "password-made"
	ActPasswordRevoked  Act = "password-revoked"
	ActProfileMade      Act = "profile-made"
	ActFeedMade         Act = "feed-made"
	ActFeedChanged      Act = "feed-changed"
	ActFeedRotated      Act = "feed-rotated"
	ActFeedShown        Act = "feed-shown"
	ActFeedRemoved      Act = "feed-removed"
	ActInvited          Act = "invited"
	ActInvitationEnded  Act = "invitation-revoked"
	ActInvitationUsed   Act = "invitation-used"
	ActPersonRemoved    Act = "person-removed"
	ActConnected        Act = "mailbox-connected"
	ActMailboxSignedIn  Act = "mailbox-signed-in"
	ActAccountAdded     Act = "account-added"
	ActAccountRemoved   Act = "account-removed"
	ActEventsSeen       Act = "events-seen"
	ActSettingsChanged  Act = "settings-changed"
	ActPasswordChanged  Act = "password-changed"
	ActPolicyChanged    Act = "policy-changed"
	ActWritesResumed    Act = "writes-resumed"
	ActSessionEnded     Act = "session-ended"
	ActSignedOutOfThese Act = "signed-out-everywhere"
)

// RecordLife is how long a Record is kept, and MaxRefused how many refused sign-ins are: these anybody can cause.
const (
	RecordLife = 400 * 24 * time.Hour
	MaxRefused = 10000
)

// RecordStore keeps records.
type RecordStore interface {
	// AddRecord keeps one, and drops those that are over RecordLife or MaxRefused.
	AddRecord(ctx context.Context, r Record) error
	// Records lists up to limit, the latest first, with an id below before; 0: from the latest on.
	Records(ctx context.Context, before int64, limit int) ([]Record, error)
}
