package bridge

import "testing"

// Whose a calendar is goes by its owner, under any address of the account, and by the mailbox that it is read from where the
// owner is not known.
func TestForeignCalendars(t *testing.T) {
	a := Account{Mailbox: "alice@contoso.example", Identity: Identity{Address: "alice@contoso.onmicrosoft.example", Aliases: []string{"a.example@contoso.example"}}}
	own := Calendar{Default: true, Owner: "Alice@contoso.example"}
	for _, tc := range []struct {
		name string
		c    Calendar
		want bool
	}{
		{"the default one", own, false},
		{"the default one, under a name that nobody knows", Calendar{Default: true, Owner: "alice@old.example"}, false},
		{"another of one's own", Calendar{Owner: "ALICE@contoso.example"}, false},
		{"one's own under an alias", Calendar{Owner: "a.example@contoso.example"}, false},
		{"one that Outlook lists of somebody", Calendar{Owner: "bob@contoso.example"}, true},
		{"of a mailbox that is read beside it", Calendar{Owner: "bob@contoso.example", Mailbox: "bob@contoso.example"}, true},
		{"the default one of that mailbox", Calendar{Default: true, Owner: "bob@contoso.example", Mailbox: "bob@contoso.example"}, true},
		{"of that mailbox, without an owner", Calendar{Mailbox: "bob@contoso.example"}, true},
		{"without an owner", Calendar{}, false},
		{"one's own mailbox, read beside itself", Calendar{Owner: "alice@contoso.example", Mailbox: "alice@contoso.example"}, false},
	} {
		all := []Calendar{own, tc.c}
		if got := tc.c.IsForeign(a.Addresses(all)); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	if (Calendar{Owner: "bob@contoso.example"}).IsForeign(nil) || !(Calendar{Mailbox: "bob@contoso.example"}).IsForeign(nil) {
		t.Error("with no address of one's own it does not go by the mailbox")
	}
}
