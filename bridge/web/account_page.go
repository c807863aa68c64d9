package web

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"outbridge/bridge"
)

func accountPath(name string) string { return "/accounts/" + name }

// account is the one that the address names.
func (v *visit) account() (Account, error) { return v.accountNamed(v.r.PathValue("user")) }

// ofAccount serves a page of the account that the address names.
func ofAccount(serve func(*visit, Account) error) func(*visit) error {
	return func(v *visit) error {
		a, err := v.account()
		if err != nil {
			return err
		}
		return serve(v, a)
	}
}

func (v *visit) accountNamed(name string) (Account, error) {
	list, err := v.h.Accounts.List(v.r.Context())
	if err != nil {
		return Account{}, err
	}
	i := slices.IndexFunc(list, func(a Account) bool { return a.Name == name })
	if i < 0 {
		return Account{}, bridge.ErrNotFound
	}
	v.back = accountPath(name)
	return list[i], nil
}

// accountView is an account with how it fares.
type accountView struct {
	Account
	State     bridge.State
	Sentence  string // what is the matter; ""
	Advice    string // how to fix it; ""
	Level     string // "good", "wait", "bad": how its state is shown
	Word      string // the state in a word or two
	Button    string // what to press about it; ""
	Good      time.Time
	Pulse     bridge.Pulse
	Zone      string
	Who       string // the address of who signed in; ""
	Calendars []calendarView
}

// calendarView is a calendar with how it fares.
type calendarView struct {
	bridge.Calendar
	bridge.Counts
	Level string
	Word  string
}

func (h *Handler) accountView(ctx context.Context, a Account) (accountView, error) {
	v := accountView{Account: a, Pulse: h.Accounts.Pulse(a.Name)}
	row, err := h.Store.Account(ctx, a.Name)
	if err != nil && !errors.Is(err, bridge.ErrNotFound) {
		return v, err
	}
	v.State, v.Zone, v.Who = row.State, row.Settings.Zone, row.Identity.Address
	v.Good = row.LastGood
	if v.Pulse.Good.After(v.Good) {
		v.Good = v.Pulse.Good
	}
	if err == nil {
		cals, err := h.Store.Calendars(ctx, row.ID)
		if err != nil {
			return v, err
		}
		for _, c := range cals {
			c.Color = c.ShownColor()
			one := calendarView{Calendar: c, Level: "good", Word: "In step"}
			if one.Counts, err = h.Store.Counts(ctx, c.ID); err != nil {
				return v, err
			}
			switch {
			case c.Fault != (bridge.Fault{}):
				one.Level, one.Word = "bad", "Last round failed"
			case c.Good.IsZero():
				one.Level, one.Word = "wait", "First round"
			case v.State.Code == bridge.StateOK && v.Pulse.Good.After(c.Good):
				one.Good = v.Pulse.Good // the stored time may lag behind by a checkpoint
			}
			v.Calendars = append(v.Calendars, one)
		}
	}
	v.judge(row.TokenVersion)
	return v, nil
}

// judge puts the state into a word, a colour and a button. version counts the sign-ins of the account.
func (v *accountView) judge(version int64) {
	v.Sentence, v.Advice = WordsFor(v.State.Fault).Sentence, action(v.State.Fault)
	switch v.State.Code {
	case bridge.StateOK:
		v.Level, v.Word = "good", "In step with Outlook"
	case bridge.StateNew, "":
		v.Level, v.Word = "wait", "First round"
		v.Sentence, v.Advice = "The first round is on its way.", ""
	case bridge.StateUnavailable:
		v.Level, v.Word = "wait", "Microsoft does not answer"
	case bridge.StateSignIn:
		v.Level, v.Word, v.Button = "bad", "Sign-in needed", "Sign in again"
	case bridge.StateDenied:
		v.Level, v.Word = "bad", "Not allowed"
	case bridge.StateConfiguration:
		v.Level, v.Word = "bad", "Set-up needed"
	default:
		v.Level, v.Word = "bad", "Trouble"
	}
	if v.State.Final && v.State.TokenVersion != version {
		v.Level, v.Word, v.Button = "wait", "Signed in", ""
		v.Sentence, v.Advice = "The first round with the new sign-in is on its way.", ""
	}
	if version == 0 && v.Mailbox == "" && v.Level != "good" {
		v.Level, v.Word, v.Button = "wait", "Not signed in yet", "Sign in to Microsoft"
		v.Sentence, v.Advice = "Nobody has signed in to this account yet.", ""
	}
	// Another sign-in may be what is left to do, even where an administrator has to act first.
	if v.Button == "" && v.Level == "bad" && v.Mailbox == "" && v.State.Action.SignsIn() {
		v.Button = "Sign in again"
	}
	if strings.TrimSuffix(v.Advice, ".") == v.Button {
		v.Advice = "" // the button says it
	}
}

// front is the first page: for anybody the address of the server, for the administrator the accounts.
func front(v *visit) error {
	if v.h.Accounts != nil && comesBack(v.r.URL.Query()) {
		return signInBack(v)
	}
	if !v.signedIn() {
		unset := false
		if v.h.Accounts != nil {
			var err error
			if unset, err = v.unset(); err != nil {
				return err
			}
		}
		return v.render("front", page{Title: "Outlook calendars for every calendar program", Data: map[string]bool{"Pages": v.h.Accounts != nil, "Unset": unset}})
	}
	list, err := v.h.Accounts.List(v.r.Context())
	if err != nil {
		return err
	}
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	var views []accountView
	for _, a := range list {
		one, err := v.h.accountView(v.r.Context(), a)
		if err != nil {
			return err
		}
		views = append(views, one)
	}
	return v.render("accounts", page{Title: "Accounts", Data: map[string]any{"Accounts": views, "App": app}})
}

func accountPage(v *visit, a Account) error {
	view, err := v.h.accountView(v.r.Context(), a)
	if err != nil {
		return err
	}
	return v.render("account", page{Title: a.Name, Account: &a, Tab: "overview", Script: view.Level == "wait", Data: view})
}

// accountState tells the script of the account's page how it fares by now.
func accountState(v *visit, a Account) error {
	view, err := v.h.accountView(v.r.Context(), a)
	if err != nil {
		return err
	}
	plain(v.w, 200, view.Word)
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
	if mailbox != "" {
		return v.redirect(accountPath(name))
	}
	return v.redirect(accountPath(name) + "/sign-in")
}

func removeAccountForm(v *visit, a Account) error {
	return v.render("account-remove", page{Title: "Remove " + a.Name, Account: &a})
}

func removeAccount(v *visit, a Account) error {
	v.h.flows.endDevice(a.Name)
	if err := v.h.Accounts.Remove(v.r.Context(), a.Name); err != nil {
		return err
	}
	v.sweepFeeds()
	return v.redirect("/?done=removed")
}

func syncNow(v *visit, a Account) error {
	v.h.Accounts.Nudge(a.Name)
	return v.redirect(accountPath(a.Name) + "?done=synced")
}

func (v *visit) appPage(trouble *Problem, r bridge.Registration) error {
	app, err := v.h.Accounts.App(v.r.Context())
	if err != nil {
		return err
	}
	if trouble == nil {
		r = app.Registration
	}
	r.Tenant = cmp.Or(r.Tenant, "common")
	_, register := v.callback()
	return v.render("app", page{Title: "App registration", Trouble: trouble, Data: map[string]any{"App": app, "Form": r, "Register": register}})
}

func appForm(v *visit) error { return v.appPage(nil, bridge.Registration{}) }

func setApp(v *visit) error {
	r := bridge.Registration{ClientID: strings.TrimSpace(v.r.PostFormValue("client_id")), Tenant: strings.TrimSpace(v.r.PostFormValue("tenant"))}
	err := v.h.Accounts.SetApp(v.r.Context(), r)
	if p, ok := problemOf(err); ok {
		if !errors.As(err, new(*Problem)) {
			p.Action = "Check the client ID and the tenant, and which accounts the app registration supports."
		}
		v.status = 400
		return v.appPage(p, r)
	}
	if err != nil {
		return err
	}
	list, err := v.h.Accounts.List(v.r.Context())
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return v.redirect("/new-account")
	}
	return v.redirect("/?done=app")
}
