package bridge

import (
	"context"
	"fmt"

	"golang.org/x/oauth2"
)

// Identity is who signed in to an account.
type Identity struct {
	ID      string `json:"id"`      // Microsoft's object id, which stays when the address changes
	Address string `json:"address"` // as a person reads it
	Name    string `json:"name"`
	// Aliases are further addresses of the mailbox, by which invitations may name it.
	Aliases []string `json:"aliases,omitempty"`
}

// OtherMailboxError refuses a sign-in as somebody else than before: everything in the account would become another
// mailbox's.
type OtherMailboxError struct {
	Account     string
	Before, Now Identity
}

func (e *OtherMailboxError) Error() string {
	return fmt.Sprintf("account %s belongs to %s, and this sign-in is of %s", e.Account, e.Before.Address, e.Now.Address)
}

// SignIn keeps the outcome of a sign-in. As somebody else than before only where other is true; otherwise the error is an
// *OtherMailboxError, and the old sign-in stays.
func SignIn(ctx context.Context, s SignInStore, a Account, who Identity, token *oauth2.Token, other bool) error {
	if a.Identity.ID != "" && a.Identity.ID != who.ID && !other {
		return &OtherMailboxError{a.Name, a.Identity, who}
	}
	return s.SaveSignIn(ctx, a.ID, who, token)
}
