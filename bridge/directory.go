package bridge

import (
	"context"
	"time"
)

// Member is a person of the organization's directory and the account that the bridge keeps for them.
type Member struct {
	ID          AccountID // 0: not made yet
	Name        string    // of the account, for life
	Tenant      string    // the directory
	ObjectID    string    // in it; stays when the address changes
	Mailbox     string    // address of the mailbox
	DisplayName string
	Left        time.Time // when the person left the members; zero: has not
}

// LeftOut is a member that has no account.
type LeftOut struct {
	Tenant, ObjectID     string
	Address, DisplayName string
	Reason               LeftOutReason
}

// LeftOutReason is why a member has no account.
type LeftOutReason string

const (
	LeftOutGuest      LeftOutReason = "guest"       // their mailbox is in another organization
	LeftOutDisabled   LeftOutReason = "disabled"    // may not sign in to Microsoft; so are rooms and shared mailboxes
	LeftOutNoAddress  LeftOutReason = "no-address"  // without a mail address there is no mailbox
	LeftOutDenied     LeftOutReason = "denied"      // by the configuration
	LeftOutNotAllowed LeftOutReason = "not-allowed" // the configuration allows others
	LeftOutConfigured LeftOutReason = "configured"  // another account reads the same mailbox
)

// MemberChanges bring the accounts of the directory to what it says. Each person is in one of the lists at most.
type MemberChanges struct {
	Join   []Member  // new: ID is 0. One whose name or person has an account by now is passed over
	Change []Member  // take Mailbox, DisplayName and Left of those with that ID
	Out    []LeftOut // are left out, for that reason
	In     []LeftOut // are no longer left out
}

// Empty reports whether there is nothing to do.
func (c MemberChanges) Empty() bool {
	return len(c.Join) == 0 && len(c.Change) == 0 && len(c.Out) == 0 && len(c.In) == 0
}

// DirectoryStatus is how the bridge fares with the organization's directory.
type DirectoryStatus struct {
	Good    time.Time `json:"good"`    // last time that it was known who the members are, to the hour; zero: never
	Members int       `json:"members"` // that have an account
	Fault   Fault     `json:"fault"`   // why the last listing failed; zero when it did not
	Object  string    `json:"object,omitempty"`
	Doubt   *Doubt    `json:"doubt,omitempty"`
}

// Doubt is an answer of the directory that is not believed yet: too many people would be gone at once. They are served meanwhile.
type Doubt struct {
	Since   time.Time `json:"since"`
	Members int       `json:"members"` // that the answer leaves
	Gone    int       `json:"gone"`    // that it would end
	// Confirmed: an administrator has said that it is right to end Gone accounts.
	Confirmed bool `json:"confirmed,omitempty"`
}

// DirectoryStore keeps who of the organization's directory has an account.
type DirectoryStore interface {
	// AccountByIdentity finds the account of a person, whatever its origin, or ErrNotFound. One row read. Account.Left tells whether
	// the person has left.
	AccountByIdentity(ctx context.Context, tenant, objectID string) (Account, error)
	// SetIdentity says whose account it is. ErrExists: the person has another one.
	SetIdentity(ctx context.Context, id AccountID, tenant, objectID string) error
	// Members lists the accounts of the directory by id, those that have left included.
	Members(ctx context.Context) ([]Member, error)
	// LeftOut lists the members without an account by address.
	LeftOut(ctx context.Context) ([]LeftOut, error)
	// ChangeMembers makes changes in one transaction.
	ChangeMembers(ctx context.Context, c MemberChanges) error
	// RemoveDeparted removes up to limit accounts of the directory that left at before or earlier, with all that is theirs, and tells
	// their names.
	RemoveDeparted(ctx context.Context, before time.Time, limit int) (names []string, err error)
	// TakenNames lists the names of all accounts.
	TakenNames(ctx context.Context) ([]string, error)
	// DirectoryStatus is what SetDirectoryStatus has kept; the zero value where that is nothing.
	DirectoryStatus(ctx context.Context) (DirectoryStatus, error)
	SetDirectoryStatus(ctx context.Context, s DirectoryStatus) error
}
