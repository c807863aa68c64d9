package web

import (
	"cmp"
	"errors"
	"strings"

	"outbridge/bridge"
)

func accountPath(name string) string { return "/accounts/" + name }

// account is the one named in the URL.
func (v *visit) account() (Account, error) { return v.accountNamed(v.r.PathValue("user")) }

func (v *visit) accountNamed(name string) (Account, error) {
	a, err := v.h.Accounts.Account(v.r.Context(), name)
	if err != nil {
		return Account{}, err
	}
	if theirs, err := v.belongs(&a); err != nil || !theirs {
		return Account{}, cmp.Or(err, bridge.ErrNotFound)
	}
	v.back = accountPath(name)
	return a, nil
}

// front is the front page: the accounts for the administrator, the address of the server for everybody else.
func front(v *visit) error {
	if v.h.Accounts != nil && comesBack(v.r.URL.Query()) {
		return signInBack(v)
	}
	if !v.signedIn() {
		fresh := false
		if v.h.Accounts != nil {
			var err error
			if fresh, err = v.h.fresh(v.r.Context()); err != nil {
				return err
			}
		}
		return v.render("front", page{Title: "Outlook calendars in any calendar app", Script: true, Data: map[string]bool{"Pages": v.h.Accounts != nil, "Fresh": fresh}})
	}
	list, err := v.listed()
	if err != nil {
		return err
	}
	if v.session.Role == bridge.RolePerson && len(list) == 0 {
		return v.redirect("/connect")
	}
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	query := v.r.URL.Query().Get("q")
	shown, more := sought(list, query)
	var accounts []accountStatus
	for _, a := range shown {
		if theirs, err := v.belongs(&a); err != nil || !theirs {
			if err != nil {
				return err
			}
			continue
		}
		one, err := v.h.accountStatus(v.r.Context(), a)
		if err != nil {
			return err
		}
		accounts = append(accounts, one)
	}
	return v.render("accounts", page{Title: "Accounts", Data: map[string]any{"Accounts": accounts, "App": app,
		"Seek": len(list) > maxShown, "Query": query, "More": more, "Any": len(list) > 0}})
}

// listed are the accounts that concern the visitor: all of them, or those of a person, since there may be ten thousand of others. Whose
// each is, belongs says.
func (v *visit) listed() (list []Account, err error) {
	if v.session.Role != bridge.RolePerson {
		return v.h.Accounts.List(v.r.Context())
	}
	own, err := v.h.Store.OwnedBy(v.r.Context(), v.session.Person)
	for _, name := range own {
		a, err := v.h.Accounts.Account(v.r.Context(), name)
		if errors.Is(err, bridge.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, err
}

// maxShown is how many accounts the front page shows: each takes some looks into the database.
const maxShown = 100

// sought are the accounts whose name or address has what the visitor looks for, the first of them, and how many more there are.
func sought(list []Account, words string) (shown []Account, more int) {
	words = strings.ToLower(strings.TrimSpace(words))
	for _, a := range list {
		switch {
		case !strings.Contains(a.Name, words) && !strings.Contains(strings.ToLower(a.Mailbox), words):
		case len(shown) == maxShown:
			more++
		default:
			shown = append(shown, a)
		}
	}
	return shown, more
}

func accountPage(v *visit, a Account) error {
	status, err := v.h.accountStatus(v.r.Context(), a)
	if err != nil {
		return err
	}
	return v.render("account", page{Title: Plain(a.Name), Account: &a, Tab: "overview", Script: status.Watched(), Again: status.Watched(), Data: status})
}

// accountState tells the script of the account's page what its state is now.
func accountState(v *visit, a Account) error {
	status, err := v.h.accountStatus(v.r.Context(), a)
	if err != nil {
		return err
	}
	plainText(v.w, 200, status.Word.String())
	return nil
}

func (v *visit) newAccountPage(trouble *Problem) error {
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	if app.ClientID == "" {
		return v.redirect("/app")
	}
	return v.render("account-new", page{Title: "Add an account", Trouble: trouble, Data: map[string]any{
		"App": app, "Name": v.r.FormValue("name"), "Mailbox": v.r.FormValue("mailbox")}})
}

func newAccountForm(v *visit) error { return v.newAccountPage(nil) }

func addAccount(v *visit) error {
	name, mailbox := strings.ToLower(strings.TrimSpace(v.r.PostFormValue("name"))), strings.TrimSpace(v.r.PostFormValue("mailbox"))
	err := v.h.Accounts.Add(v.r.Context(), name, mailbox)
	if p, ok := problemOf(err); ok {
		v.status = 400
		return v.newAccountPage(p)
	}
	if err != nil {
		return err
	}
	v.record(bridge.ActAccountAdded, name, mailbox)
	if mailbox != "" {
		return v.redirect(accountPath(name))
	}
	return v.redirect(accountPath(name) + "/sign-in")
}

func removeAccountForm(v *visit, a Account) error {
	return v.render("account-remove", page{Title: With("Remove {account}", a.Name), Account: &a})
}

func removeAccount(v *visit, a Account) error {
	if err := v.h.endDevice(v.r.Context(), a.Name); err != nil {
		return err
	}
	if err := v.h.Accounts.Remove(v.r.Context(), a.Name); err != nil {
		return err
	}
	v.h.sweepFeeds(v.r.Context())
	v.record(bridge.ActAccountRemoved, a.Name, "")
	return v.redirect("/?done=removed")
}

func syncNow(v *visit, a Account) error {
	status, err := v.h.standing(v.r.Context(), a, nil)
	if err != nil {
		return err
	}
	if !status.CanSync {
		if status.Button != "" {
			return v.redirect(accountPath(a.Name) + "/sign-in")
		}
		return v.redirect("/app")
	}
	v.h.Accounts.Nudge(a.Name)
	return v.redirect(accountPath(a.Name) + "?done=synced")
}
